/** Attribution claims: their phase, the shares they claim, and what the validators say. */

import { answersCard, shareBars } from "./answers.js";
import { challengePage, challengeTable } from "./challenges.js";
import { h } from "./dom.js";
import { feeBar, flowsOf } from "./flows.js";
import * as f from "./format.js";
import * as ui from "./ui.js";
import { ENDS, names, verdictTable, way } from "./votes.js";

const PAGE = 25;
const TOLD = {
  pending: "The validators say that they hold every blob that they need.",
  voting: "Each validator recomputes the claim and commits to a verdict that nobody can read yet.",
  reveal: "The vote has closed. Verdicts are opened, with each validator's own scores of rows that its salt has drawn.",
  accepted: "More than two thirds of the power said yes. The fee is paid; OPEN is minted at the close of the epoch.",
  refused: "More than two thirds of the power said no. The consumers got their money back, the bond is lost.",
  lapsed: "No two thirds agreed in time. The contributors' part went to the pool, the rest was split as usual.",
};

export function claimTable(claims, empty = "No claim yet.") {
  return ui.table(
    "Claims",
    ["Claim", "Model", "Epoch", "Status", "#Fee", "#Minted"],
    claims.map((claim) => [
      ui.claimLink(claim.id),
      ui.modelLink(claim.model),
      f.count(claim.epoch),
      ui.badge(claim.status),
      ui.money(claim.fee),
      ui.money(claim.minted),
    ]),
    empty,
  );
}

export async function claims({ rpc }, from) {
  const [found, challenges] = await Promise.all([rpc.newest("openledger_listClaims", PAGE, from), rpc.newest("openledger_listIndexChallenges")]);
  return ui.page(
    "Claims",
    "An operator claims who made the settled answers of an epoch. The validators recompute it before any money moves.",
    ui.section(null, claimTable(found.entries), ui.listPager("claims", found, PAGE)),
    ui.section("Challenges of indexes", challengeTable(challenges.entries)),
  );
}

/** Its newest challenge: the validators have looked, or look, a second time. */
const doubt = (one) =>
  ui.section(
    "Challenge",
    ui.facts(
      ["Said to be wrong", names(one.contributor ? { share: one.contributor } : { row: one.row })],
      ["Challenger", ui.accountLink(one.challenger, true)],
      ["Bond", ui.money(one.bond, 18)],
      ["Outcome", ui.badge(one.outcome)],
    ),
    h("p", { class: "quiet" }, "The verdicts below are those of the validators that were asked for it."),
  );

export async function claim(context, id) {
  const { rpc } = context;
  if (!/^\d{1,15}$/.test(id ?? "")) return ui.missing("such claim");
  const [found, verdicts] = await Promise.all([
    rpc.find("openledger_getClaim", Number(id)),
    rpc.find("openledger_getVerdicts", Number(id)),
  ]);
  if (found === null) return verdicts === null ? ui.missing(`claim ${id}`) : challengePage(rpc, Number(id), verdicts);
  const flows = await flowsOf(context, found);
  return ui.page(
    `Claim ${found.id}`,
    found.status === "accepted" && f.big(found.minted) > 0n ? "More than two thirds of the power said yes. The fee is paid, and OPEN was minted." : TOLD[found.status],
    way(found.status),
    ui.section(
      flows ? "Who was paid" : "Shares",
      shareBars(found, flows),
      h("p", { class: "quiet" }, "Per cent of the contributors' part of the fee. What no row explains is unattributed, and goes to the community pool."),
    ),
    found.challenge ? doubt(found.challenge) : null,
    ui.section("Verdicts", verdictTable(verdicts)),
    await answersCard(context, found.id),
    ui.section(
      "Money",
      feeBar(found, flows),
      ui.facts(
        [ENDS.includes(found.status) ? "Fee" : "Fee in escrow", ui.money(found.fee, 18)],
        ["Bond", ui.money(found.bond, 18)],
        ["Verification fee", ui.money(found.workFee, 18)],
        ["Minted", ui.money(found.minted, 18)],
      ),
    ),
    ui.section(
      "Contents",
      ui.facts(
        ["Model", ui.modelLink(found.model)],
        ["Epoch", f.count(found.epoch)],
        ["Claimant", ui.accountLink(found.claimant, true)],
        ["Attempt", found.attempt + 1],
        ["Phase ends", found.deadline ? ui.moment(found.deadline) : null],
        ["Opened in block", found.opened ? ui.blockLink(found.opened) : null],
        ["Closed in block", found.closed ? ui.blockLink(found.closed) : null],
        ["Evidence (blob)", ui.copyable(found.evidence)],
        ["Scores (blob)", ui.copyable(found.scores)],
        ["Scores root", ui.copyable(found.scoresRoot)],
      ),
    ),
  );
}
