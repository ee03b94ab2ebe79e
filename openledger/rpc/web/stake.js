/** Stake: what an account has with validators, and who has stake with a validator. */

import { h } from "./dom.js";
import * as f from "./format.js";
import * as ui from "./ui.js";

const PAGE = 25;

/** Cards for the page of an account: its delegations, and its delegators where it is a validator's operator. */
export async function stakeCards({ rpc }, address) {
  const [own, validators] = await Promise.all([rpc.tryCall([], "openledger_getDelegations", address), rpc.tryCall([], "openledger_listValidators")]);
  const named = new Map(validators.map((one) => [one.operator.toLowerCase(), one]));
  const operated = named.get(address.toLowerCase());
  const page = operated ? await rpc.tryCall(null, "openledger_listDelegators", address, `0x${"0".repeat(40)}`, PAGE) : null;
  return [own.length ? delegations(own, named) : null, operated ? validator(operated, page) : null];
}

const nameOf = (named, operator) => [named.get(operator.toLowerCase())?.name, " ", ui.accountLink(operator)];

function delegations(own, named) {
  const leaving = own.flatMap((one) => one.unbonding.map((part) => [one.operator, part]));
  return ui.section(
    "Stake",
    ui.table(
      "Stake",
      ["Validator", "#Stake", "#Earned by it, not yet withdrawn"],
      own.map((one) => [h("span", {}, nameOf(named, one.operator)), ui.money(one.amount), ui.money(one.rewards)]),
    ),
    leaving.length
      ? [
          h("h3", {}, "On its way out"),
          ui.table(
            "Unbonding",
            ["Validator", "#Stake", "Free"],
            leaving.map(([operator, part]) => [h("span", {}, nameOf(named, operator)), ui.money(part.amount), ui.moment(part.ready)]),
          ),
        ]
      : null,
  );
}

function validator(operated, page) {
  return ui.section(
    `Validator ${operated.name || "without a name"}`,
    ui.facts(
      ["Stake", ui.money(operated.stake)],
      ["Of this its own", ui.money(operated.own)],
      ["Commission", f.percent(operated.commission)],
      ["Power", f.count(operated.power)],
    ),
    page?.delegators.length
      ? [
          h("h3", {}, "Who has stake with it"),
          ui.table(
            "Delegators",
            ["Account", "#Stake"],
            page.delegators.map((one) => [ui.accountLink(one.delegator), ui.money(one.amount)]),
          ),
          page.next ? h("p", { class: "quiet" }, "More: ", ui.copyable(`openledger stake show --validator ${operated.operator}`)) : null,
        ]
      : null,
  );
}
