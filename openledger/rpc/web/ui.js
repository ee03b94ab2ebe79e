/** The pieces that every page uses: links, tables, tiles, bars, badges. */

import { h, route } from "./dom.js";
import * as f from "./format.js";
import { labelOf } from "./names.js";

export const accountLink = (address, whole = false) =>
  address
    ? h(
        "a",
        { href: route("address", address), class: labelOf(address) ? null : "mono", title: address },
        labelOf(address) ?? (whole ? address : f.short(address, 8, 6)),
      )
    : h("span", { class: "quiet" }, "none");

export const txLink = (hash, whole = false) =>
  h("a", { href: route("tx", hash), class: "mono", title: hash }, whole ? hash : f.short(hash, 10, 6));

export const blockLink = (number) => h("a", { href: route("block", f.num(number)) }, f.count(number));
export const datanetLink = (id, name) => h("a", { href: route("datanet", id) }, name ? `${id} · ${name}` : `datanet ${id}`);
export const modelLink = (id, name) => h("a", { href: route("model", id), class: name ? null : "ref" }, name ? `${id} · ${name}` : `model ${id}`);
export const proposalLink = (id, title) => h("a", { href: route("proposal", id) }, `${id} · ${title}`);
export const claimLink = (id) => h("a", { href: route("claim", id), class: "ref" }, `claim ${id}`);
export const challengeLink = (id) => h("a", { href: route("challenge", id), class: "ref" }, `challenge ${id}`);

/** A hash or blob name, shortened, whole in the tooltip. */
export const hash = (hex, head = 10, tail = 6) => h("span", { class: "mono", title: String(hex ?? "") }, f.short(hex, head, tail));

/** An amount in OPEN; exact wei in the tooltip. */
export const money = (wei, digits) => h("span", { class: "num", title: f.exact(wei) }, f.amount(wei, digits));

/** "1 contributor", "3 contributors". */
export const counted = (many, what) => `${f.count(many)} ${what}${many === 1 ? "" : "s"}`;

/** A moment; a ticking "12 s ago", exact in the tooltip. */
export function when(seconds) {
  if (!f.num(seconds)) return h("span", { class: "quiet" }, "–");
  const time = f.num(seconds);
  return h("time", { "data-time": time, title: f.moment(time) }, f.ago(time));
}

/** A moment where there is room: as date and time, and ticking. */
export const moment = (seconds) => (f.num(seconds) ? h("span", {}, f.moment(f.num(seconds)), " · ", when(seconds)) : when(seconds));

/** A page: heading, optional lead, sections. */
export const page = (title, lead, ...sections) =>
  h("div", { class: "page" }, h("h1", { tabindex: "-1" }, title), lead ? h("p", { class: "lead" }, lead) : null, ...sections);

/** A titled part of a page. */
export const section = (title, ...content) => h("section", { class: "card" }, title ? h("h2", {}, title) : null, ...content);

/** A table; `rows` are lists of cells; columns named "#…" are numbers and stand to the right. Narrow screens show each row
 * as a list of names and values (style.css), so the roles are said once more: CSS takes them away there. */
export function table(caption, columns, rows, empty = "Nothing here yet.") {
  if (rows.length === 0) return h("p", { class: "empty" }, empty);
  const numeric = columns.map((column) => /^#./.test(column));
  const names = columns.map((column) => column.replace(/^#(?=.)/, ""));
  const kind = (cell, i) => (numeric[i] ? "right" : /\S{28}/.test(cell?.textContent ?? cell) ? "long" : null);
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      { role: "table" },
      h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", { role: "row" }, names.map((name, i) => h("th", { scope: "col", role: "columnheader", class: numeric[i] ? "right" : null }, name)))),
      h("tbody", {}, rows.map((cells) => h("tr", { role: "row" }, cells.map((cell, i) => h("td", { role: "cell", "data-name": names[i], class: kind(cell, i) }, cell))))),
    ),
  );
}

/** Names and values. Pairs whose value is null are left out. */
export const facts = (...pairs) =>
  h(
    "dl",
    { class: "facts" },
    pairs.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );

/** A figure with its name and a note. */
export const tile = (name, value, note) =>
  h("div", { class: "tile" }, h("div", { class: "name" }, name), h("div", { class: "value" }, value), note ? h("div", { class: "note" }, note) : null);

/** Outcomes and states, from the side of what is looked at: a claim, a model and its index, a proposal, a transaction.
 * An upheld challenge is bad, as it has found something wrong; one that was dismissed has changed nothing. A word that
 * is not here is of something that still goes on. */
const TONES = {
  accepted: "good",
  success: "good",
  active: "good",
  yes: "good",
  passed: "good",
  refused: "bad",
  rejected: "bad",
  vetoed: "bad",
  failed: "bad",
  no: "bad",
  refuted: "bad",
  upheld: "bad",
  void: "bad",
  lapsed: "dull",
  expired: "dull",
  "no quorum": "dull",
  closed: "dull",
  retired: "dull",
  silent: "dull",
  dismissed: "dull",
  moot: "dull",
};

/** The class of a word's colour. */
export const tone = (word) => TONES[String(word)] ?? "calm";

/** A word in a coloured frame; the word itself says it too. */
export const badge = (word) => h("span", { class: `badge ${tone(word)}` }, word);

/** Shares as bars, the whole track being 1,000,000 ppm: `entries` are { label: node, ppm, tone, wei }; `wei` is what the
 * share was worth, where that is known. */
export function bars(entries) {
  return h(
    "ul",
    { class: entries.some(({ wei }) => wei !== undefined && wei !== null) ? "bars worth" : "bars" },
    entries.map(({ label, ppm, tone, wei }) =>
      h(
        "li",
        {},
        h("span", { class: "label" }, label),
        h("span", { class: "track", "aria-hidden": "true" }, h("span", { class: `bar ${tone ?? ""}`, style: { width: `${(ppm / 10_000).toFixed(3)}%` } })),
        h("span", { class: "num", title: `${ppm} ppm` }, f.percent(ppm)),
        wei === undefined || wei === null ? null : money(wei),
      ),
    ),
  );
}

/** One bar divided in parts: `parts` are { name, value (wei), tone }. */
export function divided(caption, parts, whole) {
  const total = f.big(whole);
  const width = (value) => (total === 0n ? 0 : Number((f.big(value) * 100_000n) / total) / 1000);
  return h(
    "figure",
    { class: "divided" },
    h(
      "div",
      { class: "track", role: "img", "aria-label": caption },
      parts.map((part) => h("span", { class: `bar ${part.tone}`, style: { width: `${width(part.value)}%` } })),
    ),
    h(
      "figcaption",
      {},
      parts.map((part) =>
        h("span", { class: "key" }, h("span", { class: `dot ${part.tone}`, "aria-hidden": "true" }), `${part.name} `, money(part.value, 3), part.note ? h("span", { class: "quiet" }, ` ${part.note}`) : null),
      ),
    ),
  );
}

/** A long value with a button that copies it; `what` names it to who cannot see it. */
export function copyable(text, what = text) {
  const copy = async ({ currentTarget: button }) => {
    const code = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
    } catch {
      button.textContent = "press Ctrl+C";
      getSelection()?.selectAllChildren(code);
    }
    setTimeout(() => (button.textContent = "copy"), 1500);
  };
  return h("span", { class: "copyable" }, h("code", {}, text), h("button", { type: "button", class: "copy", title: `copy ${what}`, "aria-live": "polite", on: { click: copy } }, "copy"));
}

/** Bytes as hex in a box that scrolls, shortened when very long. */
export function bytes(hex) {
  const text = String(hex ?? "0x");
  if (text.length <= 2) return h("span", { class: "quiet" }, "empty");
  const shown = text.length > 4096 ? `${text.slice(0, 4096)}… (${f.count((text.length - 2) / 2)} bytes)` : text;
  return h("pre", { class: "hex", tabindex: "0" }, shown);
}

/** What the node refused, in its own words. */
export const refused = (error) => h("div", {}, h("p", { class: "notice", role: "alert" }, error.message), error.hint ? h("p", { class: "quiet" }, error.hint) : null);

/** Previous and next of a list that is shown in pages. */
export function pager(previous, next, [back, on] = ["← newer", "older →"]) {
  if (!previous && !next) return null;
  return h(
    "nav",
    { class: "pager", "aria-label": "pages" },
    previous ? h("a", { href: previous }, back) : h("span"),
    next ? h("a", { href: next }, on) : h("span"),
  );
}

/** Newer and older of a list that `rpc.newest` gave `many` of; `name` is its route. */
export const listPager = (name, { count, from }, many) =>
  pager(from < count ? route(name, Math.min(from + many, count)) : null, from > many ? route(name, from - many) : null);

/** What to say when there is nothing of that name. */
export const missing = (what) => page("Not found", `There is no ${what} on this chain.`, h("p", {}, h("a", { href: "#/" }, "To the overview")));
