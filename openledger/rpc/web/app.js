/**
 * The page: routes in the address after "#", a view for each, and what keeps them up to date.
 *
 * A view is `async (context, ...parts) -> node`; it asks the node and builds the page. After each new block, and when a
 * claim changes, the view of the current route is built again and replaces what is shown if it differs.
 */

import { account } from "./account.js";
import { answer, row } from "./answers.js";
import * as claims from "./claims.js";
import * as chain from "./chain.js";
import { challenge } from "./challenges.js";
import * as data from "./data.js";
import { show } from "./dom.js";
import { earned } from "./earned.js";
import { ago } from "./format.js";
import { Live } from "./live.js";
import * as models from "./models.js";
import { overview } from "./overview.js";
import * as proposals from "./proposals.js";
import * as rewards from "./rewards.js";
import { Rpc, RpcError } from "./rpc.js";
import { find } from "./search.js";
import { page, refused, section } from "./ui.js";
import { setUpWallet } from "./wallet.js";

const VIEWS = {
  "": overview,
  blocks: chain.blocks,
  block: chain.block,
  tx: chain.transaction,
  address: account,
  datanets: data.datanets,
  datanet: data.datanet,
  row,
  models: models.models,
  model: models.model,
  claims: claims.claims,
  claim: claims.claim,
  challenge,
  answer,
  earned,
  rewards: rewards.rewards,
  validators: rewards.validators,
  proposals: proposals.proposals,
  proposal: proposals.proposal,
  search: find,
};
const TAB_OF = {
  block: "blocks",
  tx: "blocks",
  datanet: "datanets",
  row: "datanets",
  model: "models",
  claim: "claims",
  challenge: "claims",
  answer: "claims",
  address: "rewards",
  earned: "rewards",
  proposal: "proposals",
};
const QUIET_MS = 250;

const rpc = new Rpc(new URL("/", location.href));
const socketUrl = new URL("/", location.href);
socketUrl.protocol = socketUrl.protocol === "https:" ? "wss:" : "ws:";
const live = new Live(rpc, socketUrl);
const context = { rpc, cache: new Map(), refresh };
const content = document.getElementById("content");
let turn = 0;
let due = null;

function parts() {
  try {
    return location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  } catch {
    return ["search", ""];
  }
}

/** Build the current route's view and show it; a newer call wins over an older one. */
async function draw(arrived) {
  const mine = ++turn;
  const [name, ...rest] = parts();
  const view = Object.hasOwn(VIEWS, name) ? VIEWS[name] : null;
  let node;
  try {
    node = view ? await view(context, ...rest) : page("Not found", "There is no such page.");
  } catch (error) {
    node = failure(error);
  }
  if (mine !== turn) return;
  if (!arrived && content.contains(getSelection()?.anchorNode) && !getSelection().isCollapsed) return;
  show(content, node);
  document.title = `${content.querySelector("h1")?.textContent ?? "OpenLedger"} · OpenLedger`;
  if (arrived) markTab(name);
}

function failure(error) {
  if (!(error instanceof Error)) throw error;
  const message = error instanceof TypeError ? `This page could not read the node's answer (${error.message}).` : error.message;
  return page("This did not work", null, section(null, refused({ message, hint: error instanceof RpcError ? error.hint : null })));
}

function markTab(name) {
  for (const link of document.querySelectorAll("#tabs a")) {
    const current = link.getAttribute("href") === `#/${TAB_OF[name] ?? name}`;
    if (!current) link.removeAttribute("aria-current");
    else {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "center" });
    }
  }
}

/** Draw again soon; many heads in a row give one drawing. */
function refresh() {
  due ??= setTimeout(() => {
    due = null;
    draw(false);
  }, QUIET_MS);
}

async function arrive() {
  await draw(true);
  scrollTo(0, 0);
  content.querySelector("h1")?.focus({ preventScroll: true });
}

function setUpTheme() {
  const root = document.documentElement;
  const chosen = localStorage.getItem("openledger-theme");
  if (chosen) root.dataset.theme = chosen;
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("openledger-theme", root.dataset.theme);
  });
}

const STATES = { live: "live", polling: "polling", offline: "node not reachable" };

live.addEventListener("state", ({ detail }) => {
  const place = document.getElementById("state");
  place.textContent = STATES[detail];
  place.dataset.state = detail;
});
live.addEventListener("head", ({ detail }) => {
  if (detail.restarted) context.cache.clear();
  refresh();
});
live.addEventListener("claims", refresh);
window.addEventListener("hashchange", arrive);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  content.focus();
});
document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = document.getElementById("query").value.trim();
  if (text) location.hash = `#/search/${encodeURIComponent(text)}`;
});
setInterval(() => {
  for (const time of document.querySelectorAll("time[data-time]")) time.textContent = ago(time.dataset.time);
}, 1000);

setUpTheme();
setUpWallet(rpc);
live.start();
draw(true);
rpc.call("web3_clientVersion").then(
  (version) => (document.getElementById("version").textContent = String(version)),
  () => undefined,
);
