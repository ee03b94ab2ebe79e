/** Plots of a few numbers in a row, drawn as SVG: what is earned by epoch, gas by block. */

import { s } from "./dom.js";

const [WIDE, HIGH, HEAD, FOOT] = [640, 160, 30, 28];

/**
 * Columns, the oldest on the left: `entries` are { name, value, told }, value a number from 0 up, `told` in words with its
 * unit. `top` is the value of the upper edge, in words `topTold`.
 */
export function columns(what, entries, top, topTold) {
  const step = WIDE / Math.max(entries.length, 8);
  const high = (value) => (top > 0 ? Math.min(value / top, 1) * (HIGH - FOOT - HEAD) : 0);
  const label = (text, x, y, anchor) => s("text", { class: "axis", x, y, "text-anchor": anchor }, text);
  return s(
    "svg",
    { class: "plot", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `${what}. ${entries.map(({ name, told }) => `${name}: ${told}`).join("; ")}` },
    [0, 0.5, 1].map((part) => {
      const y = HIGH - FOOT - part * (HIGH - FOOT - HEAD);
      return s("line", { class: "tick", x1: 0, x2: WIDE, y1: y, y2: y });
    }),
    label(topTold, 0, HEAD - 8, "start"),
    entries.map(({ name, value, told }, i) =>
      s("rect", { class: "value own", x: i * step + 1, y: HIGH - FOOT - high(value), width: Math.max(step - 2, 1), height: high(value) }, s("title", {}, `${name}: ${told}`)),
    ),
    entries.length ? label(entries[0].name, 0, HIGH - 6, "start") : null,
    entries.length > 1 ? label(entries.at(-1).name, Math.max(entries.length, 4) * step, HIGH - 6, "end") : null,
  );
}
