/** The search box: an address, a transaction or block hash, a height, the number of anything, or part of a name. */

import { h, route } from "./dom.js";
import { attempt } from "./rpc.js";
import { brief } from "./spans.js";
import * as ui from "./ui.js";

/** Datanets whose versions are looked through, and results that are shown. */
const LOOKED = 20;
const MOST = 100;

const go = (target) => {
  location.replace(target);
  return ui.page("Search", "One moment…");
};

export async function find({ rpc }, text = "") {
  const asked = text.trim();
  if (/^0x[0-9a-fA-F]{40}$/.test(asked)) return go(route("address", asked));
  if (/^0x[0-9a-fA-F]{64}$/.test(asked)) {
    const [tx, block] = await Promise.all([
      rpc.call("eth_getTransactionByHash", asked),
      rpc.call("eth_getBlockByHash", asked, false),
    ]);
    if (tx) return go(route("tx", asked));
    if (block) return go(route("block", Number(block.number)));
    return ui.missing("transaction or block with this hash");
  }
  const named = /^(block|datanet|model|claim|challenge|proposal)\s*#?(\d{1,15})$/i.exec(asked);
  if (named) return go(route(named[1].toLowerCase(), Number(named[2])));
  if (/^\d{1,15}$/.test(asked)) return go(route("block", Number(asked)));
  const links = asked ? await hits(rpc, asked.toLowerCase()) : [];
  return ui.page(
    `Search: ${asked}`,
    null,
    ui.section(
      null,
      ui.table("Results", ["Kind", "Name", "By"], links, "Nothing of this name."),
      h("p", { class: "quiet" }, "Names are looked for among the newest 500 datanets, models and proposals, all validators, and what contributors wrote to their versions in the newest 20 datanets. Also understood: an address, a hash, a block height, “datanet 3”, “model 2”, “claim 1”, “challenge 3”, “proposal 1”."),
    ),
  );
}

/** What has the words in its name: [kind, link, whose]. */
async function hits(rpc, needle) {
  const has = (text) => String(text ?? "").toLowerCase().includes(needle);
  const named = async (method) => (await attempt(() => rpc.newest(method)))[0]?.entries ?? [];
  const [datanets, models, proposals, validators] = await Promise.all([
    named("openledger_listDatanets"),
    named("openledger_listModels"),
    named("openledger_listProposals"),
    rpc.tryCall([], "openledger_listValidators"),
  ]);
  const commits = await Promise.all(datanets.filter((one) => one.head).slice(0, LOOKED).map((one) => rpc.tryCall([], "openledger_getCommits", one.id)));
  return [
    ...datanets.filter((one) => has(one.name) || has(one.description)).map((one) => ["datanet", ui.datanetLink(one.id, one.name), ui.accountLink(one.owner)]),
    ...models.filter((one) => has(one.name)).map((one) => ["model", ui.modelLink(one.id, one.name), ui.accountLink(one.owner)]),
    ...proposals.filter((one) => has(one.title)).map((one) => ["proposal", ui.proposalLink(one.id, one.title), ui.accountLink(one.proposer)]),
    ...validators.filter((one) => has(one.name)).map((one) => ["validator", h("a", { href: route("address", one.operator) }, one.name), ui.accountLink(one.operator)]),
    ...commits.flat().filter((one) => has(one.message)).map((one) => ["version", h("a", { href: route("datanet", one.datanet, one.version) }, `datanet ${one.datanet}, version ${one.version}: ${brief(one.message, 80)}`), ui.accountLink(one.author)]),
  ].slice(0, MOST);
}
