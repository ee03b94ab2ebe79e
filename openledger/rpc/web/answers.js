/** Answers that claims pay for: who is paid, and, apart from it, evidence that people may look at. */

import { h, route } from "./dom.js";
import { broughtTo, flowsOf } from "./flows.js";
import * as f from "./format.js";
import { attempt, later, remember } from "./rpc.js";
import { brief, pieces } from "./spans.js";
import * as ui from "./ui.js";

export const ID = /^\d{1,15}$/;
const LISTED = 20;
const FIRST = 5;
/** Contributors that are shown one by one. */
export const MOST = 50;
const NOBODY = `0x${"0".repeat(40)}`;

/** Answers `start` and the following of a claim: { count, answers }. A claim's answers never change. */
export const answersOf = ({ rpc, cache }, claim, start = 0, most = LISTED) =>
  remember(cache, `answers ${claim} ${start} ${most}`, () => rpc.call("openledger_getAnswers", claim, start, most));

export const answerLink = (claim, number, text) => h("a", { href: route("answer", claim, number) }, text);

export const rowLink = (row, span = null) =>
  h(
    "a",
    { href: route("row", row.datanet, row.version, row.place, ...(span ? [span.begin, span.end] : [])), class: "ref" },
    `row ${f.count(row.place)}`,
  );

export const versionLink = (row) => h("a", { href: route("datanet", row.datanet, row.version) }, `datanet ${row.datanet}, version ${row.version}`);

/** The first of a claim's answers, for its page. */
export async function answersCard(context, claim) {
  const [found, refusal] = await attempt(() => answersOf(context, claim, 0, FIRST));
  if (refusal) return ui.section("Answers", ui.refused(refusal));
  return ui.section(`Answers (${f.count(found.count)})`, answerTable(claim, found));
}

/** All answers of a claim, in pages from number `from` on. */
export async function answers(context, claimId, from = "0") {
  if (!ID.test(claimId ?? "") || !ID.test(from)) return ui.missing("such answers");
  const [id, start] = [Number(claimId), Number(from)];
  const found = await answersOf(context, id, start);
  return ui.page(
    `Answers of claim ${id}`,
    `${ui.counted(found.count, "answer")} that the claim pays for. Each leads to who is paid for it.`,
    ui.section(
      null,
      answerTable(id, found, true),
      ui.pager(start ? route("answers", id, Math.max(start - LISTED, 0)) : null, start + LISTED < found.count ? route("answers", id, start + LISTED) : null, ["← earlier", "later →"]),
    ),
    h("p", {}, ui.claimLink(id)),
  );
}

export function answerTable(claim, found, paged = false) {
  const more = paged ? 0 : found.count - found.answers.length;
  return h(
    "div",
    {},
    ui.table(
      "Answers",
      ["Answer", "Asked", "Answered", "#Price"],
      found.answers.map((one) => [
        answerLink(claim, one.number, `answer ${one.number}`),
        h("div", { class: "text" }, brief(one.query)),
        h("div", { class: "text" }, brief(one.answer)),
        ui.money(one.price),
      ]),
      "None of its answers can be read here.",
    ),
    more > 0 ? h("p", {}, h("a", { href: route("answers", claim) }, `All ${f.count(found.count)} answers`)) : null,
  );
}

export async function answer(context, claimId, number, wanted) {
  if (!ID.test(claimId ?? "") || !ID.test(number ?? "")) return ui.missing("such answer");
  const [id, at] = [Number(claimId), Number(number)];
  const { rpc, cache } = context;
  const [claim, found] = await Promise.all([rpc.find("openledger_getClaim", id), rpc.find("openledger_getAnswers", id, at, 1)]);
  const one = found?.answers[0];
  if (!claim || !one) return ui.missing(`answer ${number} of claim ${claimId}`);
  const [paying, evidence, flows] = await Promise.all([
    attempt(() => remember(cache, `rows ${id}`, () => rpc.call("openledger_getEarningRows", id, NOBODY, 5))),
    attempt(() => remember(cache, `evidence ${id} ${at}`, () => rpc.call("openledger_getEvidence", id, at))),
    flowsOf(context, claim),
  ]);
  return ui.page(
    `Answer ${at} of claim ${id}`,
    "From the words to the people: what was asked and said, whose rows made that answer likelier, and what they were paid.",
    text(one, claim.model, evidence[0]?.spans ?? []),
    paid(claim, found.count, paying, flows),
    found.count > 1 ? alone(context, id, at, wanted === "alone") : null,
    seen(evidence),
    ui.section(
      "Receipt",
      ui.facts(
        ["Claim", ui.claimLink(id)],
        ["Model", ui.modelLink(claim.model)],
        ["Session", f.count(one.session)],
        ["Number in the session", one.index],
        ["Price", ui.money(one.price, 18)],
        ["Signed for", "by the session's consumer, over the root of all its receipts"],
      ),
      turner(id, at, found.count),
    ),
  );
}

const turner = (claim, at, count) =>
  ui.pager(at > 0 ? route("answer", claim, at - 1) : null, at + 1 < count ? route("answer", claim, at + 1) : null, ["← previous answer", "next answer →"]);

/** Question and answer; the words that stand in rows are marked and lead there. */
function text(one, model, spans) {
  return ui.section(
    null,
    h("h2", {}, "Asked"),
    h("p", { class: "said" }, one.query),
    h("h2", {}, "Answered"),
    h(
      "p",
      { class: "said" },
      pieces(one.answer, spans).map(({ text: words, span }) => {
        if (!span) return words;
        const place = span.places[0];
        return h("mark", {}, h("a", { href: route("row", place.datanet, place.version, place.place, place.begin, place.end), title: `in ${f.count(span.count)} places of the training rows` }, words));
      }),
    ),
    h("p", {}, "Answered by ", ui.modelLink(model), " for ", ui.money(one.price), "."),
    spans.length ? h("p", { class: "quiet" }, "Marked words stand in training rows exactly so; each leads to its row. This is evidence, not pay.") : null,
  );
}

/** Who is paid, in words first: how many people, for how many answers, how much. */
function paid(claim, count, [rows, refusal], flows) {
  const people = Object.keys(claim.shares);
  const sum = people.reduce((all, who) => all + (broughtTo(flows, who) ?? 0n), 0n);
  return ui.section(
    "Who is paid",
    flows
      ? h("p", {}, ui.claimLink(claim.id), ` paid ${ui.counted(people.length, "contributor")} `, ui.money(sum), ` for ${count === 1 ? "this answer" : `its ${f.count(count)} answers together`}.`)
      : null,
    shareBars(claim, flows),
    h(
      "p",
      { class: "quiet" },
      "The shares of ",
      ui.claimLink(claim.id),
      ", which is ",
      ui.badge(claim.status),
      count === 1 ? " and pays for this answer alone. " : ` and pays for its ${f.count(count)} answers together. `,
      "They follow from the model's index alone; validators recompute them. What no row explains is unattributed, and goes to the community pool.",
    ),
    h("h3", {}, "Rows that earn most"),
    refusal ? ui.refused(refusal) : earningTable(rows.rows, claim.shares, flows),
  );
}

/** What this answer would have brought by itself: scored by the node, once somebody asks. */
function alone(context, id, at, wanted) {
  const title = "This answer alone";
  const what = h("p", { class: "quiet" }, "What it would have brought if it were claimed by itself. The claim weighs its answers together, so its shares are no sum of these.");
  if (!wanted) return ui.section(title, what, h("p", {}, h("a", { href: route("answer", id, at, "alone") }, "Score it"), " (takes this node some seconds)"));
  const again = h("p", {}, "On your machine, checked against the chain: ", ui.copyable(`openledger proof shares ${id} --answer ${at}`));
  const asked = later(context, `alone ${id} ${at}`, () => context.rpc.patient("openledger_getAnswerShares", id, at, 5));
  if (!asked.done) return ui.section(title, what, h("p", { class: "empty", role: "status" }, "The node scores it…"));
  if (asked.refusal) return ui.section(title, what, ui.refused(asked.refusal), again);
  return ui.section(title, what, shareBars(asked.found), h("h3", {}, "Rows that it owes most"), earningTable(asked.found.rows), again);
}

/** Shares of contributors and what is unattributed, as bars, with what each brought where `flows` say it. */
export function shareBars({ shares, unattributed }, flows = null) {
  const sorted = Object.entries(shares).sort((a, b) => b[1] - a[1]);
  const entries = sorted.slice(0, MOST).map(([contributor, ppm]) => ({ label: ui.accountLink(contributor), ppm, wei: broughtTo(flows, contributor) }));
  const others = sorted.slice(MOST);
  if (others.length) entries.push({ label: `${f.count(others.length)} others`, ppm: others.reduce((sum, [, ppm]) => sum + ppm, 0) });
  if (unattributed) entries.push({ label: "unattributed", ppm: unattributed, tone: "rest" });
  return ui.bars(entries);
}

/** Rows that earn; what a row brought is its part of what its contributor got (`shares` and `flows` of the claim). */
export function earningTable(rows, shares = {}, flows = null) {
  const brought = (row) => {
    const ppm = Object.entries(shares).find(([who]) => who.toLowerCase() === row.contributor.toLowerCase())?.[1];
    return ppm ? ui.money((broughtTo(flows, row.contributor) * BigInt(row.ppb)) / (1000n * BigInt(ppm))) : "–";
  };
  return ui.table(
    "Rows that earn",
    ["Row", "Contributor", "Datanet", "#Of the fee", ...(flows ? ["#Brought"] : []), "Text"],
    rows.map((row) => [
      rowLink(row),
      ui.accountLink(row.contributor),
      versionLink(row),
      f.percent(row.ppb / 1000),
      ...(flows ? [brought(row)] : []),
      h("div", { class: "text" }, row.excerpt === null ? "–" : brief(row.excerpt)),
    ]),
    "No row earned anything: all of it is unattributed.",
  );
}

/** Evidence beside the answer, said to be no pay in its heading and its text. */
function seen([found, refusal]) {
  const title = "Evidence, not pay";
  if (refusal) return ui.section(title, ui.refused(refusal));
  return ui.section(
    title,
    h("p", { class: "quiet" }, "For people to look at: a row may have taught the model much without sharing a phrase with the answer, and common phrases teach nothing. Nobody is paid by it."),
    h("h3", {}, "The answer's very words in training rows"),
    ui.table(
      "Spans",
      ["Words of the answer", "#Long", "#Found", "In", "Contributor", "Datanet"],
      found.spans.flatMap((span) =>
        span.places.map((place, i) => [
          i ? h("span", { class: "quiet" }, "″") : h("div", { class: "text" }, brief(span.text)),
          i ? "" : `${span.words} words`,
          i ? "" : `${f.count(span.count)}×`,
          rowLink(place, place),
          ui.accountLink(place.contributor),
          versionLink(place),
        ]),
      ),
      "No four words in a row of this answer stand in a training row.",
    ),
    h("h3", {}, "Rows about the same things"),
    ui.table(
      "Similar rows",
      ["Row", "Contributor", "Datanet", "#BM25", "Text"],
      found.similar.map((row) => [rowLink(row), ui.accountLink(row.contributor), versionLink(row), row.bm25.toFixed(2), h("div", { class: "text" }, brief(row.text))]),
      "No row shares a word with it.",
    ),
  );
}
