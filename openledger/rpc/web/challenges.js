/** Challenges of published indexes: somebody says with a bond that a row of a model's index is wrong. They share their
 * numbers, their phases and their votes with claims. */

import { h } from "./dom.js";
import * as f from "./format.js";
import * as ui from "./ui.js";
import { ENDS, names, verdictTable, way } from "./votes.js";

const TOLD = {
  pending: "The validators say that they hold every blob that they need.",
  voting: "Each validator makes the row again from data, receipt and checkpoints, and commits to a verdict that nobody can read yet.",
  reveal: "The vote has closed. Verdicts are opened.",
};
const OUTCOMES = {
  upheld: "More than two thirds of the power found the row false. The model is refuted: it sells, settles and claims nothing any more.",
  dismissed: "More than two thirds of the power found the row right. The model stands.",
  moot: "Another challenge has refuted the model meanwhile. This one has cost nothing.",
};
const BONDS = {
  open: "held until the verdict",
  upheld: "given back, with half of the publisher's",
  dismissed: "burned",
  moot: "given back",
};
const LAPSED = { told: "No two thirds agreed in time. The model stands.", bond: "nine tenths given back, one tenth burned" };

/** Its outcome, and until then its phase. */
const standing = ({ outcome, status }) => (outcome === "open" ? status : outcome);

/** For a list of challenges, or for those of one model (`own`), which then need not be named. */
export function challengeTable(challenges, own = false) {
  return ui.table(
    "Challenges of indexes",
    ["Challenge", ...(own ? [] : ["Model"]), "Row", "Challenger", "#Bond", "Outcome"],
    challenges.map((one) => [
      ui.challengeLink(one.id),
      ...(own ? [] : [ui.modelLink(one.model)]),
      names(one),
      ui.accountLink(one.challenger),
      ui.money(one.bond),
      ui.badge(standing(one)),
    ]),
    "No published index was challenged yet.",
  );
}

export async function challenge({ rpc }, id) {
  if (!/^\d{1,15}$/.test(id ?? "")) return ui.missing("such challenge");
  return challengePage(rpc, Number(id), await rpc.find("openledger_getVerdicts", Number(id)));
}

/** The page of a challenge whose votes are known. */
export async function challengePage(rpc, id, verdicts) {
  const found = await rpc.find("openledger_getIndexChallenge", id);
  if (found === null || verdicts === null) return ui.missing(`challenge of an index with number ${id}`);
  const model = await rpc.find("openledger_getModel", found.model);
  const lapsed = found.status === "lapsed" && found.outcome === "dismissed";
  const whole = found.segment ? `, in segment ${f.count(found.segment)} of its training run` : "";
  return ui.page(
    `Challenge ${found.id}`,
    lapsed ? LAPSED.told : (OUTCOMES[found.outcome] ?? TOLD[found.status]),
    way(found.status, found.outcome),
    ui.section(
      "What is said to be wrong",
      h("p", {}, `Row ${f.count(found.row)} of the index of `, ui.modelLink(found.model, model?.name), `${whole}. Only this row is made again, by everybody.`),
    ),
    ui.section("Verdicts", h("p", { class: "quiet" }, "A yes says that the row is right, a no that it is false."), verdictTable(verdicts)),
    ui.section(
      "Money",
      ui.facts(
        ["Challenger's bond", h("span", {}, ui.money(found.bond, 18), ` (${lapsed ? LAPSED.bond : (BONDS[found.outcome] ?? "–")})`)],
        ["Publisher's bond now", model ? ui.money(model.bond, 18) : null],
      ),
    ),
    ui.section(
      "Contents",
      ui.facts(
        ["Model", ui.modelLink(found.model, model?.name)],
        ["Challenger", ui.accountLink(found.challenger, true)],
        ["Outcome", ui.badge(standing(found))],
        ["Attempt", found.attempt + 1],
        ["Phase ends", found.deadline && !ENDS.includes(found.status) ? ui.moment(found.deadline) : null],
        ["Opened in block", found.opened ? ui.blockLink(found.opened) : null],
        ["Closed in block", found.closed ? ui.blockLink(found.closed) : null],
      ),
    ),
  );
}
