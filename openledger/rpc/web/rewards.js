/** Who has earned what; the validators. */

import { h, route } from "./dom.js";
import * as f from "./format.js";
import * as ui from "./ui.js";

const PAGE = 50;
/** Validators with a bar of their own. */
const MOST = 20;

/** Everybody whom a claim names, with what they have earned. */
export async function rewards({ rpc }, from) {
  const [claims, models, validators] = await Promise.all([
    rpc.newest("openledger_listClaims"),
    rpc.newest("openledger_listModels"),
    rpc.tryCall([], "openledger_listValidators"),
  ]);
  const people = new Set();
  for (const claim of claims.entries) for (const contributor of Object.keys(claim.shares)) people.add(contributor);
  for (const model of models.entries) people.add(model.owner);
  for (const validator of validators) people.add(validator.operator);
  const addresses = [...people];
  const earned = await Promise.all(addresses.map((address) => rpc.tryCall(null, "openledger_getRewards", address)));
  const total = (reward) => f.big(reward.fees) + f.big(reward.minted);
  const rows = addresses
    .map((address, i) => [address, earned[i]])
    .filter(([, reward]) => reward && total(reward) > 0n)
    .sort((a, b) => (total(b[1]) > total(a[1]) ? 1 : -1));
  const first = Math.min(Number(from) || 0, Math.max(rows.length - 1, 0));
  return ui.page(
    "Rewards",
    "What contributors, owners and validators have earned since genesis. Open an account to see why.",
    ui.section(
      null,
      ui.table(
        "Rewards",
        ["Account", "#Earned", "#From fees", "#By mint", "#Withdrawn", "#To withdraw"],
        rows.slice(first, first + PAGE).map(([address, reward]) => [
          ui.accountLink(address),
          ui.money(total(reward)),
          ui.money(reward.fees),
          ui.money(reward.minted),
          ui.money(reward.taken),
          ui.money(reward.available),
        ]),
        "Nobody has earned anything yet: no claim has been accepted.",
      ),
      ui.pager(
        first ? route("rewards", Math.max(first - PAGE, 0)) : null,
        first + PAGE < rows.length ? route("rewards", first + PAGE) : null,
        ["← more", "less →"],
      ),
      claims.count > claims.entries.length ? h("p", { class: "quiet" }, `Who has a share in the newest ${f.count(claims.entries.length)} claims, owns a model or is a validator.`) : null,
    ),
  );
}

/** How a validator stands, in words. */
function stateOf(validator) {
  if (validator.tombstoned) return "signed twice, out for ever";
  if (validator.jailed) return "jailed for downtime";
  return validator.power ? "signs blocks" : "waits for a seat";
}

/** Power as bars, most first: who has a third of it can stop the chain, who has two thirds decides. */
function distribution(found, power) {
  const sorted = found.filter((one) => one.power).sort((a, b) => b.power - a.power);
  const bar = (label, part) => ({ label, ppm: Math.round((part / power) * 1_000_000), tone: "two" });
  const bars = sorted.slice(0, MOST).map((one) => bar(one.name ? h("a", { href: route("address", one.operator) }, one.name) : ui.accountLink(one.operator), one.power));
  const others = sorted.slice(MOST);
  if (others.length) bars.push(bar(`${others.length} others`, others.reduce((sum, one) => sum + one.power, 0)));
  let many = 0;
  for (let sum = 0; sum * 3 <= power; many++) sum += sorted[many].power;
  return [ui.bars(bars), h("p", { class: "quiet" }, `The largest ${many === 1 ? "has" : `${many} together have`} more than a third: without ${many === 1 ? "it" : "them"} the chain makes no blocks and no claim is decided.`)];
}

export async function validators({ rpc }) {
  const found = await rpc.call("openledger_listValidators");
  const power = found.reduce((sum, validator) => sum + validator.power, 0);
  return ui.page(
    "Validators",
    "They make blocks, recompute claims and vote on them.",
    power ? ui.section("Who has the power", distribution(found, power)) : null,
    ui.section(
      null,
      ui.table(
        "Validators",
        ["Name", "Operator", "#Stake", "#Commission", "#Power", "#Part", "State", "#Missed", "Oracle", "Consensus key"],
        found.map((validator) => [
          validator.name ? h("a", { href: route("address", validator.operator) }, validator.name) : "–",
          ui.accountLink(validator.operator),
          ui.money(validator.stake),
          `${validator.commission / 10_000} %`,
          f.count(validator.power),
          f.ratio(validator.power, power),
          stateOf(validator),
          `${validator.missed} of ${validator.window}`,
          validator.oracle ? "votes on claims" : "silent",
          ui.hash(validator.pubKey),
        ]),
      ),
    ),
  );
}
