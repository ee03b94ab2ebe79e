/** The search box: an address, a transaction or block hash, a height, a datanet's number or part of its name. */

import { h, route } from "./dom.js";
import * as ui from "./ui.js";

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
  const needle = asked.toLowerCase();
  const [datanets, models] = await Promise.all([
    rpc.newest("openledger_listDatanets"),
    rpc.newest("openledger_listModels"),
  ]);
  const hits = (list) => list.filter((item) => needle && String(item.name).toLowerCase().includes(needle));
  const links = [
    ...hits(datanets.entries).map((item) => ["datanet", ui.datanetLink(item.id, item.name)]),
    ...hits(models.entries).map((item) => ["model", ui.modelLink(item.id, item.name)]),
  ];
  return ui.page(
    `Search: ${asked}`,
    null,
    ui.section(
      null,
      ui.table("Results", ["Kind", "Name"], links, "Nothing of this name."),
      h("p", { class: "quiet" }, "Also understood: an address, a hash, a block height, “datanet 3”, “model 2”, “claim 1”, “challenge 3”, “proposal 1”."),
    ),
  );
}
