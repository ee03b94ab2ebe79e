/** Plots of a few numbers in a row, drawn as SVG: what is earned by epoch, gas by block. */

import { s } from "./dom.js";

const [WIDE, HIGH, LEFT, FOOT] = [640, 150, 96, 20];

/**
 * Columns, the oldest on the left: `entries` are { name, value, told }, value a number from 0 up, `told` in words with its
 * unit. `top` is the value of the upper edge, in words `topTold`.
 */
export function columns(what, entries, top, topTold) {
  const step = (WIDE - LEFT) / Math.max(entries.length, 8);
  const high = (value) => (top > 0 ? Math.min(value / top, 1) * (HIGH - FOOT - 12) : 0);
  const label = (text, x, y, anchor) => s("text", { class: "axis", x, y, "text-anchor": anchor }, text);
  return s(
    "svg",
    { class: "plot", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `${what}. ${entries.map(({ name, told }) => `${name}: ${told}`).join("; ")}` },
    [0, 0.5, 1].map((part) => {
      const y = HIGH - FOOT - part * (HIGH - FOOT - 12);
      return s("line", { class: "tick", x1: LEFT, x2: WIDE, y1: y, y2: y });
    }),
    label(topTold, LEFT - 8, 16, "end"),
    label("0", LEFT - 8, HIGH - FOOT + 4, "end"),
    entries.map(({ name, value, told }, i) =>
      s("rect", { class: "value own", x: LEFT + i * step + 1, y: HIGH - FOOT - high(value), width: Math.max(step - 2, 1), height: high(value) }, s("title", {}, `${name}: ${told}`)),
    ),
    entries.length ? label(entries[0].name, LEFT, HIGH - 4, "start") : null,
    entries.length > 1 ? label(entries.at(-1).name, LEFT + entries.length * step, HIGH - 4, "end") : null,
  );
}
