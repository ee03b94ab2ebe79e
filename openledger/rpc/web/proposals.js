/** Proposals: where the stake stands, and what each would change. */

import { h } from "./dom.js";
import * as f from "./format.js";
import { unitOf } from "./names.js";
import * as ui from "./ui.js";

const TOLD = {
  deposit: "Others add to the deposit; the vote begins when all of it is there.",
  voting: "Who has staked votes. Whoever does not goes with the vote of the validator's operator.",
  passed: "More than half of the stake that took a side said yes, and it was done.",
  rejected: "Not enough of the stake that took a side said yes.",
  vetoed: "More than a third of the votes were vetoes. The deposit burned.",
  failed: "It passed, but it was not possible any more: nothing of it was done.",
  expired: "The deposit was not reached in time; everybody has their part back.",
  "no quorum": "Too little of the stake voted. The deposit burned.",
};
const PAGE = 25;
const VOTERS = 100;
const OPTIONS = [
  ["yes", "yes", "two"],
  ["no", "no", "four"],
  ["abstain", "abstain", "rest"],
  ["no_with_veto", "no with veto", "three"],
];

export async function proposals({ rpc }, from) {
  const found = await rpc.newest("openledger_listProposals", PAGE, from);
  const rows = found.entries.map((p) => [
    ui.proposalLink(p.id, p.title),
    p.effect.name,
    ui.badge(p.status),
    ui.when(p.deadline),
    ui.money(p.deposit),
  ]);
  return ui.page(
    "Proposals",
    "Parameters of money and the community pool change only by a vote of the stake, within bounds that no vote can cross.",
    ui.section(null, ui.table("Proposals", ["Proposal", "Effect", "Status", "Ends", "#Deposit"], rows, "No proposal yet."), ui.listPager("proposals", found, PAGE)),
  );
}

export async function proposal({ rpc }, id) {
  if (!/^\d{1,15}$/.test(id ?? "")) return ui.missing("such proposal");
  const found = await rpc.find("openledger_getProposal", Number(id));
  if (found === null) return ui.missing(`proposal ${id}`);
  const { effect, votes } = found;
  const cast = Object.entries(await rpc.tryCall({}, "openledger_listVotes", found.id, `0x${"0".repeat(40)}`, VOTERS));
  const all = f.big(votes.bonded);
  const ppm = (wei) => (all ? Number((f.big(wei) * 1_000_000n) / all) : 0);
  const bars = OPTIONS.map(([option, words, tone]) => ({ label: words, ppm: ppm(votes[option]), wei: votes[option], tone }));
  return ui.page(
    `Proposal ${found.id}: ${found.title}`,
    TOLD[found.status],
    found.summary ? ui.section("Why", h("p", { class: "said" }, found.summary)) : null,
    ui.section(
      "What it does",
      ui.facts(["Effect", effect.name], ...Object.entries(effect.arguments).map(([name, value]) => [f.words(name), valueOf(name, value)])),
      effect.refusal ? h("p", {}, `It could not be done now: ${effect.refusal}`) : null,
      effect.changes ? ui.table("Changes", ["Would change", "From", "To"], effect.changes.map((c) => [nameOf(c.name), valueOf(c.name, c.before), valueOf(c.name, c.after)]), "Nothing.") : null,
      found.failure ? h("p", {}, `Not done: ${found.failure}`) : null,
    ),
    ui.section("Votes", ui.bars(bars), h("p", { class: "quiet" }, "The whole bar is the bonded stake, ", ui.money(votes.bonded), ".")),
    cast.length ? ui.section("Who voted", ui.table("Who voted", ["Account", "Vote"], cast.map(([who, option]) => [ui.accountLink(who), option.replaceAll("_", " ")]))) : null,
    ui.section(
      "Contents",
      ui.facts(
        ["Status", ui.badge(found.status)],
        ["Proposer", ui.accountLink(found.proposer, true)],
        ["Deposit", h("span", {}, ui.money(found.deposit), " of ", ui.money(found.needed))],
        ["Proposed", ui.moment(found.submitted)],
        [found.status === "deposit" ? "Deposits until" : "Votes until", ui.moment(found.deadline)],
      ),
    ),
  );
}

const ADDRESS = /^0x[0-9a-fA-F]{40}$/;

const nameOf = (name) => (ADDRESS.test(name) ? h("span", {}, "balance of ", ui.accountLink(name)) : f.words(name));

/** A value that a proposal names, in the unit of its name. */
function valueOf(name, value) {
  const text = String(value ?? "");
  if (ADDRESS.test(text)) return ui.accountLink(text, true);
  if (!/^\d+$/.test(text)) return text || "–";
  const unit = unitOf(name);
  if (unit === "wei") return ui.money(text, 18);
  if (unit === "ppm") return f.percent(text);
  if (unit === "bps") return f.percent(Number(text) * 100);
  return unit === "s" ? f.span(text) : f.count(text);
}
