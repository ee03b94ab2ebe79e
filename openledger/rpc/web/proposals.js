/** Proposals: where the stake stands, and what each would change. */

import { h } from "./dom.js";
import * as f from "./format.js";
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
const OPTIONS = ["yes", "no", "abstain", "no_with_veto"];

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
  const rows = OPTIONS.map((option) => [option.replaceAll("_", " "), ui.money(votes[option]), percent(votes[option], votes.bonded)]);
  return ui.page(
    `Proposal ${found.id}: ${found.title}`,
    TOLD[found.status],
    found.summary ? ui.section("Why", h("div", { class: "text" }, found.summary)) : null,
    ui.section(
      "What it does",
      ui.facts(["Effect", effect.name], ...Object.entries(effect.arguments)),
      effect.refusal ? h("p", {}, `It could not be done now: ${effect.refusal}`) : null,
      effect.changes ? ui.table("Changes", ["Would change", "From", "To"], effect.changes.map((c) => [c.name, c.before ?? "–", c.after ?? "–"]), "Nothing.") : null,
      found.failure ? h("p", {}, `Not done: ${found.failure}`) : null,
    ),
    ui.section("Votes", ui.table("Votes", ["Vote", "#Stake", "#Of the bonded stake"], rows)),
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

function percent(part, whole) {
  const all = f.big(whole);
  return all === 0n ? "–" : `${(Number((f.big(part) * 10000n) / all) / 100).toFixed(2)} %`;
}
