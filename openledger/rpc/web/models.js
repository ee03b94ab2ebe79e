/** Models: what they cost, how well their attribution tells the truth, what they were made of and how. */

import { blobSize, jsonBlob } from "./blobs.js";
import { challengeTable } from "./challenges.js";
import { h, route, s } from "./dom.js";
import { earners, flowsOfAll } from "./flows.js";
import * as f from "./format.js";
import * as ui from "./ui.js";

const PAGE = 25;
const nats = (micro) => (f.num(micro) ? `${(f.num(micro) / 1e6).toFixed(4)} nats a token` : null);

export function modelTable(models) {
  return ui.table(
    "Models",
    ["Name", "Owner", "Base", "#Price of an answer", "#Held-out loss", "#LDS", "Status"],
    models.map((model) => [
      ui.modelLink(model.id, model.name),
      ui.accountLink(model.owner),
      model.base,
      ui.money(model.price),
      nats(model.heldOutLoss) ?? "–",
      model.lds ? (model.lds / 1e6).toFixed(3) : "–",
      ui.badge(standing(model)),
    ]),
    "No model yet.",
  );
}

export async function models({ rpc }, from) {
  const found = await rpc.newest("openledger_listModels", PAGE, from);
  return ui.page("Models", "Trained on datanets, served for OPEN. Each carries the index by which its answers are attributed.", ui.section(null, modelTable(found.entries), ui.listPager("models", found, PAGE)));
}

export async function model(context, id) {
  if (!/^\d{1,15}$/.test(id ?? "")) return ui.missing("such model");
  const { rpc } = context;
  const [found, { entries: every }, { entries: claims }, { entries: challenges }] = await Promise.all([
    rpc.find("openledger_getModel", Number(id)),
    rpc.newest("openledger_listModels"),
    rpc.newest("openledger_listClaims"),
    rpc.newest("openledger_listIndexChallenges"),
  ]);
  if (found === null) return ui.missing(`model ${id}`);
  const [versions, index, receipt, manifest] = await Promise.all([
    Promise.all(found.data.map((ref) => rpc.find("openledger_getCommit", ref.datanet, ref.version))),
    blobSize(context, found.index),
    jsonBlob(context, found.receipt),
    jsonBlob(context, found.bundle),
  ]);
  const own = claims.filter((claim) => claim.model === found.id);
  const flows = await flowsOfAll(context, own.slice(0, PAGE));
  const doubts = challenges.filter((one) => one.model === found.id);
  return ui.page(
    found.name,
    null,
    ui.section(
      null,
      ui.facts(
        ["Model", found.id],
        ["Status", ui.badge(standing(found))],
        ["Owner", ui.accountLink(found.owner, true)],
        ["May mint", mints(found)],
        ["Publisher's bond", ui.money(found.bond)],
        ["Published in block", ui.blockLink(found.height)],
      ),
    ),
    truth(found, every, manifest?.measured),
    flows?.brought.size ? ui.section("Who earned with it", earners(flows), own.length > PAGE ? h("p", { class: "quiet" }, `By its newest ${PAGE} claims.`) : null) : null,
    h("div", { class: "columns" }, learned(found), cost(found, own, index)),
    lineage(found, versions, every),
    training(receipt),
    committed(found),
    doubts.length ? ui.section("Challenges of its index", challengeTable(doubts, true)) : null,
    own.length ? ui.section("Claims", claimsOf(own.slice(0, PAGE)), own.length > PAGE ? h("p", { class: "quiet" }, `Its newest ${PAGE}.`) : null) : null,
  );
}

const standing = ({ refuted, retired }) => (refuted ? "refuted" : retired ? "retired" : "active");

function mints({ mints, refuted }) {
  if (mints) return "yes";
  return refuted ? h("span", {}, "no: ", ui.challengeLink(refuted), " has shown that its index is false") : "no: its base is not allow-listed";
}

const claimsOf = (own) =>
  ui.table("Claims", ["Claim", "Epoch", "Status", "#Fee", "#Minted"], own.map((claim) => [ui.claimLink(claim.id), claim.epoch, ui.badge(claim.status), ui.money(claim.fee), ui.money(claim.minted)]));

/** The LDS that its owner has written on the chain, beside those of the other measured models here; `how` is what the
 * model's files say of the measurement. */
function truth(found, every, how) {
  const measured = every.filter((model) => model.lds).sort((a, b) => b.lds - a.lds);
  const again = h("p", {}, "Anybody can measure it again, from the chain and its blobs: ", ui.copyable(`openledger model eval ${found.id} --lds`));
  const title = "Does its attribution tell the truth?";
  const what = "LDS: the rank correlation between what the index says a row matters and what retraining without it shows; 1 is perfect, 0 is chance.";
  if (!found.lds) return ui.section(title, h("p", {}, `Not measured: its owner published it without an LDS (method ${found.method}).`), h("p", { class: "quiet" }, what), again);
  return ui.section(
    title,
    ui.facts(
      ["LDS over rows", (found.lds / 1e6).toFixed(3)],
      ["Whose word", h("span", {}, "its owner's, ", ui.accountLink(found.owner), ": no validator checks it")],
      ["Method of attribution", found.method],
      ["How it was measured", measurement(how) ?? "its files do not say; the command below gives the number with its standard error"],
    ),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "LDS of the models measured" }, ldsPlot(measured.slice(0, 12), found.id)),
    h("p", { class: "quiet" }, what, measured.length > 1 ? " The bars are all models of this chain that were measured, each by its owner, on its own data." : null),
    again,
  );
}

/** The owner's words about the measurement; null where there are none that can be read. */
function measurement(how) {
  const told = (score, over) =>
    Number.isInteger(score?.subsets) && Number.isInteger(score.lds) && Number.isInteger(score.error)
      ? `${over} ${(score.lds / 1e6).toFixed(3)} ± ${(score.error / 1e6).toFixed(3)} from ${f.count(score.subsets)} retrainings without a half of them`
      : null;
  const rows = told(how?.rows, "over rows");
  if (rows === null) return null;
  const documents = Number.isInteger(how.documents) ? `, on ${f.count(how.documents)} held-out documents` : "";
  return [rows, told(how.contributors, "over contributors")].filter((text) => text).join("; ") + documents;
}

const ROW = 26;
const LEFT = 170;
const WIDE = 640;

/** Bars from 0 to 1, one a model; the one of this page stands out. */
function ldsPlot(measured, own) {
  const height = measured.length * ROW + 24;
  const x = (value) => LEFT + (WIDE - LEFT - 56) * value;
  const label = (model) => `${model.name} (${model.method})`;
  const told = measured.map((model) => `${label(model)}: ${(model.lds / 1e6).toFixed(3)}`).join("; ");
  return s(
    "svg",
    { class: "plot named", viewBox: `0 0 ${WIDE} ${height}`, role: "img", "aria-label": `LDS of the models measured. ${told}` },
    [0, 0.25, 0.5, 0.75, 1].map((tick) => [
      s("line", { class: "tick", x1: x(tick), x2: x(tick), y1: 0, y2: height - 20 }),
      s("text", { class: "axis", x: x(tick), y: height - 5, "text-anchor": "middle" }, tick),
    ]),
    measured.map((model, i) => {
      const name = Array.from(label(model));
      const value = Math.min(model.lds / 1e6, 1);
      return [
        s("text", { class: "name", x: LEFT - 8, y: i * ROW + 17, "text-anchor": "end" }, name.length > 24 ? `${name.slice(0, 23).join("")}…` : name.join("")),
        s("rect", { class: model.id === own ? "value own" : "value", x: x(0), y: i * ROW + 4, width: Math.max(x(value) - x(0), 1), height: ROW - 9, rx: 3 }),
        s("text", { class: "name", x: x(value) + 6, y: i * ROW + 17 }, value.toFixed(3)),
      ];
    }),
  );
}

function learned(found) {
  const [before, after] = [f.num(found.baseLoss), f.num(found.heldOutLoss)];
  const better = before && after ? `${((1 - after / before) * 100).toFixed(2)} % lower than its base's` : null;
  return ui.section(
    "What it has learned",
    ui.facts(["Held-out loss of the base", nats(before) ?? "not measured"], ["Held-out loss after training", nats(after) ?? "not measured"], ["The loss is", better]),
    h("p", { class: "quiet" }, "On documents that it was not trained on; its owner's word, which openledger model eval checks."),
  );
}

function cost(found, own, index) {
  const paid = own.reduce((sum, claim) => sum + f.big(claim.workFee), 0n);
  return ui.section(
    "What it costs",
    ui.facts(
      ["An answer", ui.money(found.price, 18)],
      ["Method of attribution", found.method],
      ["Attribution index", index === null ? "not on this node" : `${f.size(index)}, ${f.size(index / Math.max(found.rows, 1))} a row`],
      ["Verification, for each claim", own.length ? ui.money(paid / BigInt(own.length), 9) : "no claim yet"],
    ),
  );
}

function lineage(found, versions, every) {
  const used = new Set(found.data.map((ref) => ref.datanet));
  const kin = every.filter((model) => model.id !== found.id && model.data.some((ref) => used.has(ref.datanet)));
  return ui.section(
    "What it was made of",
    ui.facts(["Base", found.base], ["Rows", f.count(found.rows)]),
    ui.table(
      "Data",
      ["Data", "#Rows", "#Contributors", "Committed by", "Merkle root"],
      found.data.map((ref, i) => [
        h("a", { href: route("datanet", ref.datanet, ref.version) }, `datanet ${ref.datanet}, version ${ref.version}`),
        versions[i] ? f.count(versions[i].rows) : "–",
        versions[i] ? Object.keys(versions[i].contributors).length : "–",
        versions[i] ? ui.accountLink(versions[i].author) : "–",
        versions[i] ? ui.hash(versions[i].root) : "–",
      ]),
    ),
    kin.length ? h("p", {}, "Other models of the same data: ", kin.slice(0, 12).map((model, i) => [i ? ", " : null, ui.modelLink(model.id, model.name)])) : null,
  );
}

/** How it was trained, as its receipt says; anybody can replay it. */
function training(receipt) {
  if (receipt === null) return ui.section("Training", h("p", { class: "empty" }, "The training receipt is not on this node."));
  const { settings = {}, optimizer = {} } = receipt;
  const named = (value) => (["string", "number"].includes(typeof value) ? String(value) : null);
  const batches = Array.isArray(receipt.batches) ? receipt.batches : [];
  const lrs = Array.isArray(receipt.lrs) ? receipt.lrs.map(Number).filter(Number.isFinite) : [];
  return ui.section(
    "Training",
    ui.facts(
      ["Kind", named(settings?.kind)],
      ["Steps", f.count(batches.length)],
      ["Rows in a step", batches.length && Array.isArray(batches[0]) ? f.count(batches[0].length) : null],
      ["Learning rate", lrs.length ? `${Math.max(...lrs.slice(0, 100_000)).toPrecision(3)} at most` : null],
      ["Optimiser", named(optimizer?.kind)],
      ["Seed", named(receipt.seed)],
      ["Held-out documents", named(receipt.held_out_rows)],
    ),
    h("p", { class: "quiet" }, "From its training receipt, whose hash stands on the chain; replaying it gives the same weights."),
  );
}

const committed = (found) =>
  ui.section(
    null,
    h(
      "details",
      { id: "committed" },
      h("summary", {}, "Hashes on the chain"),
      ui.facts(
        ["Weights", ui.copyable(found.weights)],
        ["Training receipt", ui.copyable(found.receipt)],
        ["Files (blob)", ui.copyable(found.bundle)],
        ["Attribution index (blob)", ui.copyable(found.index)],
        ["Index root", ui.copyable(found.indexRoot)],
      ),
    ),
  );
