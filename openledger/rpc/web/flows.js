/** Where the money of a claim went, as the chain's own events say: who got what in which part, what was minted, burned. */

import { nameOf, readLog, topicOf } from "./events.js";
import { h } from "./dom.js";
import * as f from "./format.js";
import { remember } from "./rpc.js";
import * as ui from "./ui.js";

const MODULE = "0x0000000000000000000000000000000000000802";
const TOPICS = ["FeePaid", "FeeBurned", "RewardMinted"].map(topicOf);
/** Contributors that are shown. */
const MOST = 20;
/** Parts of a fee in the order in which people think of them: [role in events, its words, its colour]. */
const ROLES = [
  ["contributor", "contributors", ""],
  ["owner", "the model's owner", "two"],
  ["staker", "stakers who verified it", "three"],
  ["pool", "community pool", "rest"],
  ["burned", "burned", "four"],
];

/**
 * Of an accepted claim: { fees (wei by role), brought (by lower-case address: wei for rows, fees and new coins), minted };
 * null for others, and where this node has no logs of it.
 */
export const flowsOf = (context, claim) => flowsOfAll(context, [claim]);

/** The same of several claims together: what they brought to whom. */
export async function flowsOfAll({ rpc, cache }, claims) {
  const paid = claims.filter((claim) => claim.status === "accepted");
  if (!paid.length) return null;
  const topics = [TOPICS, paid.map((claim) => `0x${claim.id.toString(16).padStart(64, "0")}`)];
  const from = Math.min(...paid.map((claim) => claim.opened));
  const key = paid.map((claim) => `${claim.id} ${claim.minted} ${claim.vests ?? 0}`).join(" ");
  const logs = await remember(cache, `flows ${key}`, () => rpc.tryCall(null, "eth_getLogs", { address: MODULE, topics, fromBlock: `0x${from.toString(16)}`, toBlock: "latest" }));
  return logs?.length ? added(logs) : null;
}

/** Who got how much for rows, most first, as bars. */
export function earners(flows) {
  const sorted = [...flows.brought].sort((a, b) => (b[1] > a[1] ? 1 : -1));
  const all = sorted.reduce((sum, [, wei]) => sum + wei, 0n);
  return ui.bars(sorted.slice(0, MOST).map(([who, wei]) => ({ label: ui.accountLink(who), ppm: Number((wei * 1_000_000n) / (all || 1n)), wei })));
}

function added(logs) {
  const found = { fees: {}, brought: new Map(), minted: 0n };
  for (const log of logs) {
    const event = nameOf(log);
    const { account, amount, role = "burned" } = Object.fromEntries((readLog(log) ?? []).map(([name, , value]) => [name, value]));
    const wei = f.big(amount);
    if (event === "RewardMinted") found.minted += wei;
    else found.fees[role] = (found.fees[role] ?? 0n) + wei;
    if (event === "RewardMinted" || role === "contributor") found.brought.set(account, (found.brought.get(account) ?? 0n) + wei);
  }
  return found;
}

/** Wei that a claim brought a contributor for rows; null where that is not known. */
export const broughtTo = (flows, address) => (flows ? (flows.brought.get(address.toLowerCase()) ?? 0n) : null);

/** The fee as one bar, divided by who got it, and what was minted on top. */
export function feeBar(claim, flows) {
  if (!flows) return null;
  const parts = ROLES.filter(([role]) => flows.fees[role]).map(([role, name, tone]) => ({ name, tone, value: flows.fees[role], note: f.ratio(flows.fees[role], claim.fee) }));
  const told = parts.map((part) => `${part.name} ${f.amount(part.value)}`).join(", ");
  return [
    ui.divided(`Of a fee of ${f.amount(claim.fee)}: ${told}`, parts, parts.reduce((sum, part) => sum + part.value, 0n)),
    flows.minted ? h("p", {}, "On top, new coins for the contributors: ", ui.money(flows.minted, 6), ".") : null,
  ];
}
