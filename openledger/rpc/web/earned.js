/** Why an account earned what it did: from OPEN to claim to answers to rows, each step leading to its record. */

import { answerTable, answersOf, earningTable } from "./answers.js";
import { h, route } from "./dom.js";
import * as f from "./format.js";
import { columns } from "./plots.js";
import { attempt, remember } from "./rpc.js";
import * as ui from "./ui.js";

/** Epochs that are drawn. */
const EPOCHS = 30;

const total = (entry) => f.big(entry.fees) + f.big(entry.minted);

/** What an account earned by model, most first, and by claim, newest first. */
export function earningsCards(address, entries) {
  if (!entries.length) return [];
  const models = new Map();
  for (const entry of entries) models.set(entry.model, [...(models.get(entry.model) ?? []), entry]);
  const sum = (list) => list.reduce((all, entry) => all + total(entry), 0n);
  const byModel = [...models].map(([model, list]) => [model, list.length, sum(list)]).sort((a, b) => (b[2] > a[2] ? 1 : -1));
  const whole = sum(entries);
  return [
    byEpoch(entries),
    ui.section(
      "Earned by model",
      ui.table("Earnings by model", ["Model", "#Claims", "#Earned", "#Part"], byModel.map(([model, count, wei]) => [ui.modelLink(model), f.count(count), ui.money(wei, 9), f.ratio(wei, whole)])),
    ),
    ui.section(
      "Why",
      h("p", { class: "quiet" }, "Each line leads from the coins to the claim, its answers, and the rows that earned."),
      ui.table(
        "Earnings by claim",
        ["Claim", "Model", "Epoch", "#Share", "#From fees", "#By mint", ""],
        [...entries].reverse().map((entry) => [
          ui.claimLink(entry.claim),
          ui.modelLink(entry.model),
          f.count(entry.epoch),
          entry.share ? f.percent(entry.share) : "–",
          ui.money(entry.fees, 9),
          ui.money(entry.minted, 9),
          h("a", { href: route("earned", address, entry.claim), class: "ref", "aria-label": `why claim ${entry.claim} paid this account` }, "why"),
        ]),
      ),
    ),
  ];
}

/** What the newest epochs that paid the account brought it. */
function byEpoch(entries) {
  const sums = new Map();
  for (const entry of entries) sums.set(entry.epoch, (sums.get(entry.epoch) ?? 0n) + total(entry));
  const newest = [...sums].sort(([a], [b]) => a - b).slice(-EPOCHS);
  const top = newest.reduce((most, [, wei]) => (wei > most ? wei : most), 0n);
  const scaled = (wei) => Number((wei * 10_000n) / (top || 1n));
  const values = newest.map(([epoch, wei]) => ({ name: `epoch ${f.count(epoch)}`, value: scaled(wei), told: f.amount(wei) }));
  return ui.section(
    "Earned by epoch",
    columns("Earned by epoch", values, scaled(top), f.amount(top, 3)),
    h("p", { class: "quiet" }, "By data, models, claims and commission. What stake earns is only summed up above."),
  );
}

export async function earned(context, address, claimId) {
  if (!/^0x[0-9a-fA-F]{40}$/.test(address ?? "") || !/^\d{1,15}$/.test(claimId ?? "")) return ui.missing("such reward");
  const { rpc, cache } = context;
  const id = Number(claimId);
  const [rewards, claim, verdicts] = await Promise.all([
    rpc.call("openledger_explainReward", address),
    rpc.find("openledger_getClaim", id),
    rpc.find("openledger_getVerdicts", id),
  ]);
  const entry = rewards.claims.find((one) => one.claim === id);
  if (!claim || !entry) return ui.missing(`reward of this account by claim ${claimId}`);
  const [[answers, noAnswers], [rows, noRows]] = await Promise.all([
    attempt(() => answersOf(context, id, 0, 5)),
    attempt(() => remember(cache, `rows ${id} ${address}`, () => rpc.call("openledger_getEarningRows", id, address))),
  ]);
  return ui.page(
    `Why claim ${id} paid this account`,
    "Five steps, from the coins back to the data. Each names the record that holds it.",
    h(
      "ol",
      { class: "steps" },
      step("Coins", coins(address, entry)),
      step("Claim", theClaim(entry, claim, verdicts)),
      step(answers ? `Answers (${f.count(answers.count)})` : "Answers", noAnswers ? ui.refused(noAnswers) : answerTable(id, answers)),
      step("Rows", noRows ? ui.refused(noRows) : theRows(rows, entry)),
      step("Proof", proof(address, claim, entry)),
    ),
  );
}

const step = (title, ...content) => h("li", { class: "card" }, h("h2", {}, title), ...content);

const coins = (address, entry) =>
  ui.facts(
    ["Account", ui.accountLink(address, true)],
    ["From fees", ui.money(entry.fees, 18)],
    ["By mint", ui.money(entry.minted, 18)],
  );

function theClaim(entry, claim, verdicts) {
  const power = (list) => list.reduce((sum, vote) => sum + vote.power, 0);
  const yes = verdicts.filter((vote) => vote.verdict === "yes");
  return ui.facts(
    ["Claim", h("span", {}, ui.claimLink(claim.id), " ", ui.badge(claim.status))],
    ["Model", ui.modelLink(claim.model)],
    ["Epoch", f.count(claim.epoch)],
    ["Share of the contributors' fee", entry.share ? f.percent(entry.share) : "none: it was paid as owner, claimant or validator"],
    ["Said yes", verdicts.length ? `${yes.length} of ${verdicts.length} validators, ${f.ratio(power(yes), power(verdicts))} of the power` : null],
    ["Decided in block", claim.closed ? ui.blockLink(claim.closed) : null],
  );
}

function theRows(rows, entry) {
  if (!entry.share) return h("p", { class: "empty" }, "No row of this account earned by this claim.");
  return h(
    "div",
    {},
    h("p", { class: "quiet" }, `${f.count(rows.earning)} of its ${f.count(rows.held)} rows in the model earned; what they earned together is the share. A row's page has the proof that it is this contributor's.`),
    earningTable(rows.rows),
  );
}

function proof(address, claim, entry) {
  return h(
    "div",
    {},
    h("p", {}, "This page shows what the node says. To have every step checked on your own machine against a block's hash, run:"),
    h("p", {}, ui.copyable(`openledger rewards explain ${address} --claim ${claim.id}`)),
    ui.facts(
      ["Settlements", `${entry.settlements[0]} to ${entry.settlements[1] - 1} of model ${claim.model}, epoch ${claim.epoch}`],
      ["Answers (blob)", ui.copyable(entry.evidence)],
      ["What each row earned (blob)", ui.copyable(entry.scores)],
      ["Root over it", ui.copyable(entry.scoresRoot)],
    ),
  );
}
