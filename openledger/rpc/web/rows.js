/** Rows of datanets: a version's rows in pages, and one row with its proof. */

import { ID, rowLink, versionLink } from "./answers.js";
import { linesOf } from "./blobs.js";
import { h, route } from "./dom.js";
import * as f from "./format.js";
import { remember } from "./rpc.js";
import { brief, pieces } from "./spans.js";
import * as ui from "./ui.js";

const PAGE = 25;
const SHOWN = 5;

/** Rows `start` and following of a commit: { place, contributor, line }, line null where its blob cannot be read here. */
async function rowsOf(context, commit, start, many) {
  const found = [];
  let first = 0;
  for (const part of commit.parts) {
    const from = Math.max(start - first, 0);
    const count = Math.min(part.rows - from, start + many - first - from);
    if (count > 0) {
      const lines = await linesOf(context, part.blob, from, count);
      for (let i = 0; i < count; i++) found.push({ place: first + from + i, contributor: part.contributor, line: lines?.[i] ?? null });
    }
    first += part.rows;
  }
  return found;
}

const rowTable = (commit, rows) =>
  ui.table(
    "Rows",
    ["Row", "Contributor", "Text"],
    rows.map(({ place, contributor, line }) => [
      rowLink({ datanet: commit.datanet, version: commit.version, place }),
      ui.accountLink(contributor),
      line === null ? h("span", { class: "quiet" }, "not on this node, or too large for a page") : h("div", { class: "text wide" }, brief(textOf(line), 300)),
    ]),
    "This version has no rows.",
  );

/** The first rows of a commit, for the page of its datanet. */
export async function rowsCard(context, commit) {
  if (!commit.rows) return null;
  return ui.section(
    `Rows of version ${commit.version} (${f.count(commit.rows)})`,
    rowTable(commit, await rowsOf(context, commit, 0, SHOWN)),
    commit.rows > SHOWN ? h("p", {}, h("a", { href: route("rows", commit.datanet, commit.version) }, `All ${f.count(commit.rows)} rows`)) : null,
  );
}

export async function rows(context, datanet, version, from = "0") {
  if (![datanet, version, from].every((part) => ID.test(part ?? ""))) return ui.missing("such rows");
  const commit = await context.rpc.find("openledger_getCommit", Number(datanet), Number(version));
  const start = Number(from);
  if (!commit || (start && start >= commit.rows)) return ui.missing(`row ${from} of version ${version} of datanet ${datanet}`);
  const shown = await rowsOf(context, commit, start, PAGE);
  return ui.page(
    `Rows of datanet ${datanet}, version ${version}`,
    `${f.count(start)} to ${f.count(start + shown.length - 1)} of ${f.count(commit.rows)}, counted from 0. Each has a contributor, and a proof that it stands there.`,
    ui.section(
      null,
      rowTable(commit, shown),
      ui.pager(
        start ? route("rows", datanet, version, Math.max(start - PAGE, 0)) : null,
        start + PAGE < commit.rows ? route("rows", datanet, version, start + PAGE) : null,
        ["← earlier", "later →"],
      ),
    ),
    h("p", {}, versionLink({ datanet, version })),
  );
}

/** One row of a datanet, its contributor, and the proof that it stands there; `begin` to `end` are marked. */
export async function row({ rpc, cache }, datanet, version, place, begin, end) {
  if (![datanet, version, place].every((part) => ID.test(part ?? ""))) return ui.missing("such row");
  const ids = [Number(datanet), Number(version), Number(place)];
  const found = await remember(cache, `row ${ids}`, () => rpc.find("openledger_getRowProof", ...ids));
  if (!found) return ui.missing(`row ${place} of version ${version} of datanet ${datanet}`);
  const said = textOf(found.text);
  const spans = ID.test(begin ?? "") && ID.test(end ?? "") ? [{ begin: Number(begin), end: Number(end) }] : [];
  return ui.page(
    `Row ${f.count(place)} of datanet ${datanet}`,
    `Version ${version} has ${f.count(found.rows)} rows.`,
    ui.pager(ids[2] ? route("row", datanet, version, ids[2] - 1) : null, ids[2] + 1 < found.rows ? route("row", datanet, version, ids[2] + 1) : null, ["← previous row", "next row →"]),
    ui.section(null, h("p", { class: "said" }, pieces(said, spans).map((piece) => (piece.span ? h("mark", {}, piece.text) : piece.text)))),
    ui.section(
      null,
      ui.facts(
        ["Contributor", ui.accountLink(found.contributor, true)],
        ["Committed in", versionLink({ datanet, version })],
        ["Among", h("a", { href: route("rows", datanet, version, Math.floor(ids[2] / PAGE) * PAGE) }, "the rows of this version")],
        ["Row hash", ui.copyable(found.rowHash)],
      ),
      h(
        "details",
        { id: "proof" },
        h("summary", {}, "Merkle proof"),
        h("p", {}, "The leaf (contributor and row hash) and these hashes, from the leaf upwards, give the root that stands on the chain."),
        ui.facts(["Leaf", ui.copyable(found.leaf)], ...found.proof.map((node, i) => [`Hash ${i + 1}`, h("code", {}, node)]), ["Root", ui.copyable(found.root)]),
      ),
    ),
  );
}

/** The text of a row's line; the line itself where it is none. */
function textOf(line) {
  try {
    const { text: said } = JSON.parse(line);
    return typeof said === "string" ? said : line;
  } catch {
    return line;
  }
}
