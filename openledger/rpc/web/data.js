/** Datanets with their versions and contributors. */

import { MOST } from "./answers.js";
import { h, route } from "./dom.js";
import * as f from "./format.js";
import { modelTable } from "./models.js";
import { rowsCard } from "./rows.js";
import * as ui from "./ui.js";

const PAGE = 25;
const PARTS = 100;
const policy = (name) => ({ open: "anybody, own rows", invited: "the owner", reviewed: "anybody whom its reviewers accept" })[name] ?? name;

export async function datanets({ rpc }, from) {
  const found = await rpc.newest("openledger_listDatanets", PAGE, from);
  return ui.page(
    "Datanets",
    "Data sets with an owner, rules and a history. Every row has a contributor.",
    ui.section(
      null,
      ui.table(
        "Datanets",
        ["Name", "Owner", "Licence", "Who may commit", "Made", "#Version"],
        found.entries.map((item) => [
          ui.datanetLink(item.id, item.name),
          ui.accountLink(item.owner),
          item.licence,
          policy(item.policy),
          ui.when(item.created),
          item.head || "–",
        ]),
        "No datanet yet. The first is one transaction away: openledger datanet create",
      ),
      ui.listPager("datanets", found, PAGE),
    ),
  );
}

/** Rows by contributor in a version's parts: [address, rows, parts], most rows first. */
function byContributor(parts) {
  const sums = new Map();
  for (const part of parts) {
    const old = sums.get(part.contributor) ?? [0, 0];
    sums.set(part.contributor, [old[0] + part.rows, old[1] + 1]);
  }
  return [...sums].map(([address, [rows, count]]) => [address, rows, count]).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
}

export async function datanet(context, id, version) {
  const { rpc } = context;
  if (!/^\d{1,15}$/.test(id ?? "")) return ui.missing("such datanet");
  const [found, commits, models] = await Promise.all([
    rpc.find("openledger_getDatanet", Number(id)),
    rpc.find("openledger_getCommits", Number(id)),
    rpc.newest("openledger_listModels"),
  ]);
  if (found === null) return ui.missing(`datanet ${id}`);
  const newestFirst = [...commits].sort((a, b) => b.version - a.version);
  const chosen = newestFirst.find((commit) => String(commit.version) === version) ?? newestFirst[0];
  const at = Math.floor(Math.max(newestFirst.indexOf(chosen), 0) / PAGE) * PAGE;
  const trained = models.entries.filter((model) => model.data.some((ref) => ref.datanet === found.id));
  return ui.page(
    `${found.name}`,
    found.description,
    ui.section(
      null,
      ui.facts(
        ["Datanet", found.id],
        ["Owner", ui.accountLink(found.owner, true)],
        ["Licence", found.licence],
        ["Schema", found.schema],
        ["Who may commit", policy(found.policy)],
        ["Made", ui.moment(found.created)],
      ),
    ),
    chosen ? contributors(chosen) : null,
    ui.section(
      `Versions (${commits.length})`,
      ui.table(
        "Versions",
        ["Version", "Status", "Message", "Author", "Time", "#Rows", "#Contributors", "Merkle root"],
        newestFirst.slice(at, at + PAGE).map((commit) => [
          h("a", { href: route("datanet", found.id, commit.version), "aria-current": commit === chosen ? "true" : null }, `version ${commit.version}`),
          commit.status,
          h("div", { class: "text" }, commit.message || "–"),
          ui.accountLink(commit.author),
          ui.when(commit.time),
          f.count(commit.rows),
          byContributor(commit.parts).length,
          ui.hash(commit.root),
        ]),
        "No version yet.",
      ),
      ui.pager(
        at ? route("datanet", found.id, newestFirst[at - PAGE].version) : null,
        at + PAGE < newestFirst.length ? route("datanet", found.id, newestFirst[at + PAGE].version) : null,
      ),
    ),
    chosen ? await rowsCard(context, chosen) : null,
    chosen ? partsOf(chosen) : null,
    trained.length ? ui.section("Models trained on it", modelTable(trained)) : null,
  );
}

function contributors(commit) {
  const found = byContributor(commit.parts);
  const others = found.slice(MOST);
  const part = (rows) => Math.round((rows * 1_000_000) / commit.rows);
  const bars = found.slice(0, MOST).map(([address, rows]) => ({ label: ui.accountLink(address), ppm: part(rows), tone: "two" }));
  if (others.length) bars.push({ label: `${f.count(others.length)} others`, ppm: part(others.reduce((sum, [, rows]) => sum + rows, 0)), tone: "rest" });
  return ui.section(
    `Contributors of version ${commit.version}`,
    ui.bars(bars),
    h("p", { class: "quiet" }, `${ui.counted(commit.rows, "row")} by ${ui.counted(found.length, "contributor")}. How many rows somebody brought says nothing about their worth: claims decide what a row earns.`),
  );
}

function partsOf(commit) {
  let first = 0;
  const rows = commit.parts.slice(0, PARTS).map((part) => {
    const range = `${f.count(first)} – ${f.count(first + part.rows - 1)}`;
    first += part.rows;
    return [ui.accountLink(part.contributor), range, f.count(part.rows), ui.hash(part.blob, 12, 8)];
  });
  return ui.section(
    null,
    h(
      "details",
      { id: "parts" },
      h("summary", {}, `Parts of version ${commit.version} (${commit.parts.length})`),
      ui.table("Parts", ["Contributor", "Rows from – to", "#Rows", "Blob (sha256)"], rows),
      commit.parts.length > PARTS ? h("p", { class: "quiet" }, "The others: ", ui.copyable(`openledger rpc openledger_getCommit ${commit.datanet} ${commit.version}`)) : null,
    ),
  );
}
