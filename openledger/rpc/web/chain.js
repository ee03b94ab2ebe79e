/** Blocks and transactions. */

import { h, route } from "./dom.js";
import * as f from "./format.js";
import { nameOf, readLog } from "./events.js";
import { ACTIONS, CLAIM_STATUSES, NATIVE_TYPE, SYSTEM_TYPE, VERDICTS, typeName } from "./names.js";
import { actionOf, readPayload } from "./payload.js";
import { columns } from "./plots.js";
import { remember } from "./rpc.js";
import * as ui from "./ui.js";

const PAGE = 25;
/** Transactions of a block on one page. */
const LISTED = 100;
/** Fields of actions and events that are wei. */
const MONEY = new Set(["amount", "bond", "cumulative", "deposit", "fee", "minted", "price", "refund"]);

/** Blocks from `newest` downwards. A committed block never changes, so it is asked for once. */
export async function recentBlocks({ rpc, cache }, newest, many) {
  const numbers = Array.from({ length: Math.min(many, newest + 1) }, (_, i) => newest - i);
  const found = await Promise.all(
    numbers.map((number) => remember(cache, `block ${number}`, () => rpc.call("eth_getBlockByNumber", `0x${number.toString(16)}`, false))),
  );
  return found.filter((block) => block !== null);
}

/** The table of blocks; `brief` is the overview's form. */
export const blockTable = (blocks, brief = false) =>
  ui.table(
    "Blocks",
    ["Height", "Time", "#Transactions", "#Gas used", ...(brief ? [] : ["#Base fee", "Proposer"])],
    blocks.map((block) => [
      ui.blockLink(block.number),
      ui.when(block.timestamp),
      f.count(block.transactions.length),
      h("span", { class: "num", title: `of ${f.count(block.gasLimit)}` }, f.count(block.gasUsed)),
      ...(brief ? [] : [h("span", { class: "num" }, f.gwei(block.baseFeePerGas)), ui.accountLink(block.miner)]),
    ]),
  );

/** The upper edge of a plot of gas: a tenth of a block, a half, or all of it, and its words. */
function fullest(found) {
  const most = Math.max(...found.map((one) => f.num(one.gasUsed) / Math.max(f.num(one.gasLimit), 1)), 0);
  const top = [0.01, 0.1, 0.5].find((part) => most <= part) ?? 1;
  return [top, `${top * 100} %`];
}

export async function blocks(context, from) {
  const head = f.num(await context.rpc.call("eth_blockNumber"));
  const asked = Number(from);
  const newest = from && Number.isSafeInteger(asked) ? Math.min(Math.max(asked, 0), head) : head;
  const found = await recentBlocks(context, newest, PAGE);
  return ui.page(
    "Blocks",
    `${f.count(head)} blocks after genesis. A committed block is final.`,
    ui.section(
      "Gas used, of what a block may use",
      columns(
        "Gas used by block",
        [...found].reverse().map((one) => ({ name: `block ${f.count(one.number)}`, value: f.num(one.gasUsed) / Math.max(f.num(one.gasLimit), 1), told: `${f.count(one.gasUsed)} gas, ${f.ratio(one.gasUsed, one.gasLimit)}` })),
        ...fullest(found),
      ),
    ),
    ui.section(
      null,
      blockTable(found),
      ui.pager(
        newest < head ? route("blocks", Math.min(newest + PAGE, head)) : null,
        newest >= PAGE ? route("blocks", newest - PAGE) : null,
      ),
    ),
  );
}

/** What a transaction does, in words: the native action, the chain's own effects, a creation, a call, a transfer. */
export function deed(tx) {
  const type = Number(tx.type);
  if (type === SYSTEM_TYPE) return "the chain's own effects";
  if (type === NATIVE_TYPE) {
    const action = actionOf(tx);
    return action ? `${ACTIONS[action] ?? action}` : "native action";
  }
  if (!tx.to) return "create a contract";
  return tx.input && tx.input !== "0x" ? "call a contract" : "transfer";
}

export async function block({ rpc, cache }, id, from = "0") {
  const byHash = /^0x[0-9a-fA-F]{64}$/.test(id);
  if (!byHash && !/^\d{1,15}$/.test(id)) return ui.missing("such block");
  const found = await remember(cache, `whole block ${id}`, () =>
    byHash ? rpc.call("eth_getBlockByHash", id, true) : rpc.call("eth_getBlockByNumber", `0x${Number(id).toString(16)}`, true),
  );
  if (found === null || !/^\d{1,6}$/.test(from)) return ui.missing(`block ${id}`);
  const [start, many] = [Number(from), found.transactions.length];
  const number = f.num(found.number);
  const system = found.transactions.find((tx) => Number(tx.type) === SYSTEM_TYPE);
  const [receipt, head] = await Promise.all([
    system ? rpc.call("eth_getTransactionReceipt", system.hash) : null,
    rpc.call("eth_blockNumber"),
  ]);
  const effects = receipt ? ui.section("Effects of the chain itself (system transaction)", logList(receipt.logs)) : null;
  return ui.page(
    `Block ${f.count(number)}`,
    null,
    h(
      "nav",
      { class: "pager", "aria-label": "neighbours" },
      number > 0 ? h("a", { href: route("block", number - 1) }, `← ${f.count(number - 1)}`) : h("span"),
      number < f.num(head) ? h("a", { href: route("block", number + 1) }, `${f.count(number + 1)} →`) : h("span"),
    ),
    ui.section(
      null,
      ui.facts(
        ["Hash", ui.copyable(found.hash)],
        ["Time", ui.moment(found.timestamp)],
        ["Proposer", ui.accountLink(found.miner, true)],
        ["Gas used", `${f.count(found.gasUsed)} of ${f.count(found.gasLimit)} (${f.ratio(found.gasUsed, found.gasLimit)})`],
        ["Base fee", f.gwei(found.baseFeePerGas)],
        ["State root", h("span", { class: "mono" }, found.stateRoot)],
        ["Parent", number > 0 ? h("a", { href: route("block", number - 1), class: "mono" }, found.parentHash) : "genesis"],
      ),
    ),
    ui.section(
      `Transactions (${f.count(many)})`,
      ui.table(
        "Transactions",
        ["Hash", "Type", "What", "From", "To", "#Value"],
        found.transactions.slice(start, start + LISTED).map((tx) => [
          ui.txLink(tx.hash),
          typeName(tx.type),
          deed(tx),
          ui.accountLink(tx.from),
          tx.to ? ui.accountLink(tx.to) : h("span", { class: "quiet" }, "new contract"),
          ui.money(tx.value),
        ]),
        "This block has no transactions.",
      ),
      ui.pager(
        start ? route("block", number, Math.max(start - LISTED, 0)) : null,
        start + LISTED < many ? route("block", number, start + LISTED) : null,
        ["← earlier in the block", "later in the block →"],
      ),
    ),
    effects,
  );
}

/** Logs, by name and fields where the chain's own modules wrote them. */
function logList(logs) {
  return ui.table(
    "Logs",
    ["#No", "From", "Event", "Contents"],
    logs.map((log) => [f.num(log.logIndex), ui.accountLink(log.address), nameOf(log) ?? ui.hash(log.topics[0]), contents(log)]),
    "No logs.",
  );
}

function contents(log) {
  const read = readLog(log);
  if (read) {
    return h("div", { class: "pairs" }, read.map(([name, type, value]) => h("span", {}, h("span", { class: "quiet" }, `${f.words(name)} `), valueNode(name, type, value))));
  }
  return h("div", {}, log.topics.slice(1).map((topic) => h("div", {}, ui.hash(topic, 14, 12))), log.data === "0x" ? null : ui.bytes(log.data));
}

/** Named values of an action: [name, type, value]. */
function valueList(entries) {
  return ui.facts(...entries.map(([name, type, value]) => [f.words(name), valueNode(name, type, value)]));
}

function valueNode(name, type, value) {
  if (Array.isArray(value)) {
    if (value.length === 0) return h("span", { class: "quiet" }, "none");
    return h("div", {}, value.map((item) => h("div", {}, valueNode(name, type.replace(/\[\]$/, ""), item))));
  }
  if (value?.fields) return h("span", {}, value.fields.map(([n, t, v], i) => [i ? " · " : null, valueNode(n, t, v)]));
  if (name === "validator") return ui.hash(value, 8, 6); // the address of a block-signing key, not of an account
  if (type === "address") return ui.accountLink(value);
  if (type === "bytes32" || type === "bytes") return value.length > 66 ? ui.bytes(value) : h("span", { class: "mono" }, value);
  if (MONEY.has(name)) return ui.money(value, 18);
  if (name === "datanet") return ui.datanetLink(value);
  if (name === "model") return ui.modelLink(value);
  if (name === "claim") return ui.claimLink(value);
  if (name === "ppm" || name === "unattributed") return f.percent(Number(value));
  if (name === "expiry" || name === "deadline") return value ? f.moment(value) : h("span", { class: "quiet" }, "none");
  if ((name === "status" || name === "phase") && CLAIM_STATUSES[value]) return CLAIM_STATUSES[value];
  if (name === "verdict" && VERDICTS[value]) return VERDICTS[value];
  return String(value) || h("span", { class: "quiet" }, "–");
}

export async function transaction({ rpc, cache }, hash) {
  if (!/^0x[0-9a-fA-F]{64}$/.test(hash ?? "")) return ui.missing("such transaction");
  const [tx, receipt, reason] = await Promise.all([
    rpc.call("eth_getTransactionByHash", hash),
    rpc.call("eth_getTransactionReceipt", hash),
    rpc.tryCall(null, "openledger_getTransactionError", hash),
  ]);
  if (tx === null) return ui.missing(`transaction ${f.short(hash, 10, 6)}`);
  const mined = tx.blockNumber ? await remember(cache, `block ${f.num(tx.blockNumber)}`, () => rpc.call("eth_getBlockByNumber", tx.blockNumber, false)) : null;
  const type = Number(tx.type);
  const action = type === NATIVE_TYPE ? actionOf(tx) : null;
  const payload = action ? readPayload(action, tx.input) : null;
  const price = receipt?.effectiveGasPrice ?? tx.gasPrice;
  return ui.page(
    `Transaction ${f.short(tx.hash, 8, 6)}`,
    deed(tx),
    ui.section(
      null,
      ui.facts(
        ["Hash", ui.copyable(tx.hash)],
        ["Outcome", outcome(receipt, reason)],
        ["Type", `${typeName(type)} (0x${type.toString(16).padStart(2, "0")})`],
        ["Action", action],
        ["Block", tx.blockNumber ? h("span", {}, ui.blockLink(tx.blockNumber), `, place ${f.num(tx.transactionIndex)}`) : "waiting"],
        ["Time", mined ? ui.moment(mined.timestamp) : null],
        ["From", ui.accountLink(tx.from, true)],
        ["To", tx.to ? ui.accountLink(tx.to, true) : receipt?.contractAddress ? h("span", {}, "new contract ", ui.accountLink(receipt.contractAddress, true)) : "new contract"],
        ["Value", ui.money(tx.value, 18)],
        ["Nonce", f.count(tx.nonce)],
        ["Gas", receipt ? `${f.count(receipt.gasUsed)} of ${f.count(tx.gas)}` : f.count(tx.gas)],
        ["Gas price", price ? f.gwei(price) : null],
        ["Fee", receipt && price ? ui.money(f.big(receipt.gasUsed) * f.big(price), 18) : null],
      ),
    ),
    payload ? ui.section("Fields of the action", valueList(payload)) : null,
    ui.section(payload ? "Payload (msgpack)" : "Input", ui.bytes(tx.input)),
    receipt ? ui.section(`Logs (${receipt.logs.length})`, logList(receipt.logs)) : null,
  );
}

function outcome(receipt, reason) {
  if (receipt === null) return ui.badge("waiting");
  if (f.num(receipt.status) === 1) return ui.badge("success");
  return h("span", {}, ui.badge("failed"), reason ? ` ${reason}` : null);
}
