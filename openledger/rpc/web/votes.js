/** What validators vote on, claims and challenges of indexes: the phase where it stands, and what each has said. */

import { h } from "./dom.js";
import * as f from "./format.js";
import * as ui from "./ui.js";

const PHASES = ["pending", "voting", "reveal"];
export const ENDS = ["accepted", "refused", "lapsed"];

/** The way of a vote, with the place where it stands; `ended` says the end in the words of what was voted on. */
export function way(status, ended = status) {
  const at = PHASES.indexOf(status);
  const over = ENDS.includes(status);
  return h(
    "ol",
    { class: "phases", "aria-label": "phases" },
    PHASES.map((phase, i) => h("li", { class: over || i < at ? "past" : null, "aria-current": i === at ? "step" : null }, phase)),
    h("li", { class: over ? ui.tone(ended) : null, "aria-current": over ? "step" : null }, over ? ended : "verdict"),
  );
}

/** What a no says is wrong: everybody has looked at it once more before the vote closed. */
export function names(named) {
  if (!named) return "–";
  if (named.row !== undefined) {
    return `index row ${f.count(named.row)}${named.segment ? `, segment ${f.count(named.segment)}` : ""}`;
  }
  return named.share === "unattributed" ? "the unattributed part" : h("span", null, "share of ", ui.accountLink(named.share));
}

export function verdictTable(verdicts) {
  return ui.table(
    "Verdicts",
    ["Validator", "#Power", "Holds the blobs", "Committed", "Verdict", "Names", "Reason"],
    verdicts.map((vote) => [
      ui.accountLink(vote.operator),
      f.count(vote.power),
      vote.held ? "yes" : "–",
      vote.committed ? "yes" : "–",
      vote.verdict !== "none" ? ui.badge(vote.verdict) : "–",
      names(vote.named),
      h("div", { class: "text" }, vote.reason || "–"),
    ]),
    "No validator has spoken yet.",
  );
}
