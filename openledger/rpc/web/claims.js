/** Attribution claims: their phase, the shares they claim, and what the validators say. */

import { answersCard } from "./answers.js";
import { h } from "./dom.js";
import * as f from "./format.js";
import * as ui from "./ui.js";

const PHASES = ["pending", "voting", "reveal"];
const ENDS = ["accepted", "refused", "lapsed"];
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

/** Challenges of published indexes; they share their numbers with claims. */
function challengeTable(challenges) {
  return ui.table(
    "Challenges of indexes",
    ["Challenge", "Model", "Row", "Challenger", "#Bond", "Outcome"],
    challenges.map((one) => [
      f.count(one.id),
      ui.modelLink(one.model),
      names(one),
      ui.accountLink(one.challenger),
      ui.money(one.bond),
      ui.badge(one.outcome),
    ]),
    "No published index was challenged yet.",
  );
}

export async function claims({ rpc }) {
  const [found, challenges] = await Promise.all([rpc.all("openledger_listClaims"), rpc.all("openledger_listIndexChallenges")]);
  return ui.page(
    "Claims",
    "An operator claims who made the settled answers of an epoch. The validators recompute it before any money moves.",
    ui.section(null, claimTable([...found].sort((a, b) => b.id - a.id))),
    ui.section("Challenges of indexes", challengeTable(challenges.reverse())),
  );
}

/** The way of a claim, with the place where it stands. */
function way(status) {
  const at = PHASES.indexOf(status);
  const ended = ENDS.includes(status);
  const tone = status === "accepted" ? "good" : status === "refused" ? "bad" : "";
  return h(
    "ol",
    { class: "phases", "aria-label": "phases" },
    PHASES.map((phase, i) => h("li", { class: ended || i < at ? "past" : null, "aria-current": i === at ? "step" : null }, phase)),
    h("li", { class: ended ? tone || null : null, "aria-current": ended ? "step" : null }, ended ? status : "verdict"),
  );
}

export async function claim(context, id) {
  const { rpc } = context;
  if (!/^\d{1,15}$/.test(id ?? "")) return ui.missing("such claim");
  const [found, verdicts] = await Promise.all([
    rpc.find("openledger_getClaim", Number(id)),
    rpc.find("openledger_getVerdicts", Number(id)),
  ]);
  if (found === null) return ui.missing(`claim ${id}`);
  const shares = Object.entries(found.shares).sort((a, b) => b[1] - a[1]);
  const entries = shares.map(([contributor, ppm]) => ({ label: ui.accountLink(contributor), ppm }));
  if (found.unattributed) entries.push({ label: "unattributed", ppm: found.unattributed, tone: "rest" });
  return ui.page(
    `Claim ${found.id}`,
    found.status === "accepted" && f.big(found.minted) > 0n ? "More than two thirds of the power said yes. The fee is paid, and OPEN was minted." : TOLD[found.status],
    way(found.status),
    ui.section("Shares", ui.bars(entries), h("p", { class: "quiet" }, "Parts of the contributors' half of the fee; with the unattributed part they make exactly 1,000,000 ppm.")),
    ui.section("Verdicts", verdictTable(verdicts)),
    await answersCard(context, found.id),
    ui.section(
      "Money",
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
        ["Phase ends", found.deadline ? ui.when(found.deadline) : null],
        ["Opened in block", found.opened ? ui.blockLink(found.opened) : null],
        ["Closed in block", found.closed ? ui.blockLink(found.closed) : null],
        ["Evidence (blob)", ui.copyable(found.evidence)],
        ["Scores (blob)", ui.copyable(found.scores)],
        ["Scores root", ui.copyable(found.scoresRoot)],
      ),
    ),
  );
}

/** What a no says is wrong: everybody has looked at it once more before the vote closed. */
function names(named) {
  if (!named) return "–";
  if (named.row !== undefined) {
    return `index row ${f.count(named.row)}${named.segment ? `, segment ${f.count(named.segment)}` : ""}`;
  }
  return named.share === "unattributed" ? "the unattributed part" : h("span", null, "share of ", ui.accountLink(named.share));
}

function verdictTable(verdicts) {
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
