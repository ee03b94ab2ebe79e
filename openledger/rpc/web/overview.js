/** The first page: where the chain stands, what it has minted and burned, the latest blocks and claims. */

import { blockTable, recentBlocks } from "./chain.js";
import { claimTable } from "./claims.js";
import { h, route } from "./dom.js";
import { faucet } from "./faucet.js";
import * as f from "./format.js";
import { DEV_ACCOUNTS, DEV_MNEMONIC } from "./names.js";
import * as ui from "./ui.js";

const BLOCKS = 8;
const CLAIMS = 6;

export async function overview(context) {
  const { rpc } = context;
  const [head, supply, epoch, status, recent] = await Promise.all([
    rpc.call("eth_getBlockByNumber", "latest", false),
    rpc.tryCall(null, "openledger_getSupply"),
    rpc.tryCall(null, "openledger_getEpoch"),
    rpc.tryCall(null, "openledger_getNodeStatus"),
    rpc.newest("openledger_listClaims", CLAIMS),
  ]);
  const newest = f.num(head.number);
  const [blocks, hint, tap] = await Promise.all([recentBlocks(context, newest, BLOCKS), devAccounts(rpc), faucet(rpc)]);
  return ui.page(
    "OpenLedger",
    "The people whose data makes a model good are found, named and paid.",
    h(
      "div",
      { class: "tiles" },
      ui.tile("Height", f.count(newest), ui.when(head.timestamp)),
      ui.tile("Base fee", h("span", { title: f.gwei(head.baseFeePerGas) }, f.gwei(head.baseFeePerGas, 4)), "burned per gas"),
      epoch ? ui.tile("Epoch", f.count(epoch.number), epochNote(epoch)) : null,
      status ? ui.tile("Consensus", String(status.mode ?? status.engine ?? "–"), peers(status)) : null,
    ),
    supply ? supplyCard(supply) : null,
    h(
      "div",
      { class: "columns" },
      ui.section("Latest blocks", blockTable(blocks, true), h("p", {}, h("a", { href: "#/blocks" }, "All blocks"))),
      ui.section("Latest claims", claimTable(recent.entries, "No claim yet. Run the demo: openledger demo"), h("p", {}, h("a", { href: "#/claims" }, "All claims"))),
    ),
    hint,
    tap,
  );
}

/** An idle chain makes no block to close an epoch with. */
function epochNote(epoch) {
  if (f.num(epoch.end) * 1000 > Date.now()) return h("span", {}, "ends ", ui.when(epoch.end));
  return "over; closes with the next block";
}

function peers(status) {
  if (status.mode === "solo") return "one validator, blocks on demand";
  const known = status.peers ?? null;
  return known === null ? null : `${f.count(known)} peers`;
}

/** Supply against the cap: what genesis gave, what was minted, what is left to mint. */
function supplyCard(supply) {
  const cap = f.big(supply.cap);
  return ui.section(
    "Supply of OPEN",
    ui.divided(
      `Of a cap of ${f.amount(cap, 0)}: ${f.amount(supply.genesis, 0)} at genesis, ${f.amount(supply.minted)} minted, ${f.amount(supply.reserveLeft)} left to mint`,
      [
        { name: "genesis", value: supply.genesis, tone: "", note: f.ratio(supply.genesis, cap) },
        { name: "minted", value: supply.minted, tone: "two", note: null },
        { name: "left to mint", value: supply.reserveLeft, tone: "rest", note: f.ratio(supply.reserveLeft, cap) },
      ],
      cap,
    ),
    h("p", { class: "quiet" }, "The whole bar is the cap. The rest of it belongs to no account on this chain, and nothing mints it."),
    ui.facts(
      ["In circulation", ui.money(supply.total, 9)],
      ["Minted against claims", ui.money(supply.minted, 18)],
      ["Burned for ever", ui.money(supply.burned, 18)],
      f.big(supply.edited ?? 0) || f.big(supply.editedAway ?? 0)
        ? ["Made by state edits", h("span", {}, ui.money(supply.edited, 18), ", taken away ", ui.money(supply.editedAway, 18))]
        : ["Made by state edits", null],
      ["Community pool", ui.money(supply.communityPool, 18)],
      ["Cap", ui.money(cap, 0)],
    ),
  );
}

/** The ten funded accounts, where this chain has them. */
async function devAccounts(rpc) {
  const balances = await Promise.all(DEV_ACCOUNTS.map((address) => rpc.tryCall("0x0", "eth_getBalance", address, "latest")));
  if (f.big(balances[0]) === 0n) return null;
  return ui.section(
    null,
    h(
      "details",
      { id: "dev-accounts" },
      h("summary", {}, "Ten funded accounts of this devnet"),
      h("p", {}, "Import one into your wallet, or let the faucet give to yours. Their keys are known to everybody: never use them on another chain."),
      ui.facts(["Phrase", ui.copyable(DEV_MNEMONIC)], ["Path", h("code", {}, "m/44'/60'/0'/0/0 to 9")]),
      ui.table(
        "Dev accounts",
        ["#", "Address", "#Balance"],
        DEV_ACCOUNTS.map((address, i) => [i, h("a", { href: route("address", address), class: "mono" }, address), ui.money(balances[i])]),
      ),
    ),
  );
}
