/** One account: what it has, what it earned and why, which rows are its own, what it has sent. */

import { deed } from "./chain.js";
import { h, route } from "./dom.js";
import { earningsCards } from "./earned.js";
import * as f from "./format.js";
import { labelOf } from "./names.js";
import { attempt, remember } from "./rpc.js";
import { stakeCards } from "./stake.js";
import * as ui from "./ui.js";

const PAGE = 25;
/** Datanets that are looked through for rows of an account. */
const LOOKED = 200;

export async function account(context, address, before) {
  if (!/^0x[0-9a-fA-F]{40}$/.test(address ?? "") || !/^\d{0,15}$/.test(before ?? "")) return ui.missing("such account");
  const { rpc } = context;
  const [balance, nonce, code, rewards, rows, stake, sent] = await Promise.all([
    rpc.call("eth_getBalance", address, "latest"),
    rpc.call("eth_getTransactionCount", address, "latest"),
    rpc.call("eth_getCode", address, "latest"),
    rpc.tryCall(null, "openledger_explainReward", address),
    rowsOf(context, address),
    stakeCards(context, address),
    rpc.tryCall(null, "ots_searchTransactionsBefore", address, Number(before ?? 0), PAGE),
  ]);
  return ui.page(
    labelOf(address) ?? `Account ${f.short(address, 8, 6)}`,
    null,
    ui.section(
      null,
      ui.facts(
        ["Address", ui.copyable(address)],
        ["Balance", ui.money(balance, 18)],
        ["Transactions sent", f.count(nonce)],
        ["Code", code === "0x" ? null : code === "0xfe" ? "native module" : code.startsWith("0xef0100") ? h("span", {}, "delegates to ", ui.accountLink("0x" + code.slice(8))) : `contract, ${f.size((code.length - 2) / 2)}`],
      ),
    ),
    rewards ? rewardCard(rewards, rows) : null,
    rewards ? earningsCards(address, rewards.claims) : null,
    stake,
    rows.length ? rowsCard(rows) : null,
    sent ? transactionsCard(address, sent, before) : null,
  );
}

function rewardCard(rewards, rows) {
  if (f.big(rewards.fees) === 0n && f.big(rewards.minted) === 0n) {
    const why = rows.length ? " Its rows are below: they earn when a model trained on them is paid for an answer that they made likelier, and the validators accept the claim." : "";
    return ui.section("Rewards", h("p", { class: "empty" }, `This account has earned nothing yet.${why}`));
  }
  return ui.section(
    "Rewards",
    ui.facts(
      ["Earned from fees", ui.money(rewards.fees, 18)],
      ["Of these by stake", ui.money(rewards.staking, 18)],
      ["Earned by mint", ui.money(rewards.minted, 18)],
      ["Withdrawn", ui.money(rewards.taken, 18)],
      ["Locked while their claims can be challenged", ui.money(rewards.locked, 18)],
      ["To withdraw", ui.money(rewards.available, 18)],
    ),
    f.big(rewards.available) > 0n ? h("p", { class: "quiet" }, "Its owner takes it with ", h("code", {}, "openledger --key NAME rewards claim"), ".") : null,
  );
}

/** The newest version of each of the newest datanets that has rows of the account: [datanet, its version, how many]. A version never
 * changes, so it is asked for once. */
async function rowsOf({ rpc, cache }, address) {
  const [newest] = await attempt(() => rpc.newest("openledger_listDatanets", LOOKED));
  const datanets = (newest?.entries ?? []).filter((one) => one.head);
  const versions = await Promise.all(
    datanets.map((one) => remember(cache, `version ${one.id} ${one.head}`, () => rpc.tryCall(null, "openledger_getCommit", one.id, one.head))),
  );
  const held = (version) => Object.entries(version?.contributors ?? {}).find(([who]) => who.toLowerCase() === address.toLowerCase())?.[1] ?? 0;
  return datanets.map((one, i) => [one, versions[i], held(versions[i])]).filter(([, , count]) => count > 0);
}

const rowsCard = (rows) =>
  ui.section(
    "Rows contributed",
    ui.table(
      "Rows contributed",
      ["Datanet", "Licence", "#Newest version", "#Its rows", "#Of all"],
      rows.map(([datanet, version, count]) => [
        ui.datanetLink(datanet.id, datanet.name),
        datanet.licence,
        f.count(version.version),
        f.count(count),
        f.ratio(count, version.rows),
      ]),
    ),
  );

function transactionsCard(address, { txs, receipts, lastPage }, before) {
  const oldest = txs.length ? f.num(txs.at(-1).blockNumber) : 0;
  return ui.section(
    "Transactions",
    ui.table(
      "Transactions",
      ["Hash", "Time", "What", "From", "To", "#Value", "Outcome"],
      txs.map((tx, i) => [
        ui.txLink(tx.hash),
        ui.when(receipts[i].timestamp),
        deed(tx),
        ui.accountLink(tx.from),
        tx.to ? ui.accountLink(tx.to) : h("span", { class: "quiet" }, "new contract"),
        ui.money(tx.value),
        ui.badge(f.num(receipts[i].status) === 1 ? "success" : "failed"),
      ]),
      before ? "There are no older ones." : "This account has sent and received no transaction yet.",
    ),
    ui.pager(before ? route("address", address) : null, lastPage ? null : route("address", address, oldest), ["← newest", "older →"]),
  );
}
