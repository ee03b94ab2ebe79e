/**
 * The page: routes in the address after "#", a view for each, and what keeps them up to date.
 *
 * A view is `async (context, ...parts) -> node`; it asks the node and builds the page. After each new block, and when a
 * claim changes, the view of the current route is built again, and what differs is changed in place.
 */

import { account } from "./account.js";
import { answer, answers } from "./answers.js";
import * as claims from "./claims.js";
import * as chain from "./chain.js";
import { challenge } from "./challenges.js";
import * as data from "./data.js";
import { h, renew, show } from "./dom.js";
import { earned } from "./earned.js";
import { ago } from "./format.js";
import { Live } from "./live.js";
import * as models from "./models.js";
import { overview } from "./overview.js";
import * as proposals from "./proposals.js";
import * as rewards from "./rewards.js";
import { row, rows } from "./rows.js";
import { Rpc, RpcError, Unreachable } from "./rpc.js";
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
  rows,
  models: models.models,
  model: models.model,
  claims: claims.claims,
  claim: claims.claim,
  challenge,
  answer,
  answers,
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
  rows: "datanets",
  model: "models",
  claim: "claims",
  challenge: "claims",
  answer: "claims",
  answers: "claims",
  address: "rewards",
  earned: "rewards",
  proposal: "proposals",
};
const QUIET_MS = 250;
const AGAIN_MS = 2_000;

const rpc = new Rpc(new URL("/", location.href));
const socketUrl = new URL("/", location.href);
socketUrl.protocol = socketUrl.protocol === "https:" ? "wss:" : "ws:";
const live = new Live(rpc, socketUrl);
const context = { rpc, cache: new Map(), refresh };
const content = document.getElementById("content");
const news = document.getElementById("news");
let turn = 0;
let building = false;
let stale = false;
let due = null;

function parts() {
  try {
    return location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  } catch {
    return ["search", ""];
  }
}

/** The view of the current route; what went wrong is a page as well. */
async function build([name, ...rest]) {
  const view = Object.hasOwn(VIEWS, name) ? VIEWS[name] : null;
  try {
    return [view ? await view(context, ...rest) : page("Not found", "There is no such page."), null];
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return [failure(error), error];
  }
}

/** Show the route that the address names, by an arrival (`fresh`) or as news of what is shown. A newer arrival wins over
 * an older one. News that come while something is built wait for it: a slow node would never be done otherwise. */
async function draw(fresh) {
  if (!fresh && building) {
    stale = true;
    return;
  }
  const mine = ++turn;
  building = true;
  stale = false;
  const [node, error] = await build(parts());
  if (mine !== turn) return;
  building = false;
  const failed = content.querySelector("#again") !== null;
  if (fresh) show(content, node);
  else if (error && !failed) news.textContent = `What you see is not up to date: ${error.message}.`;
  else if (!selecting()) renew(content, node);
  if (!error) news.textContent = "";
  content.setAttribute("aria-busy", "false");
  document.title = titleOf(content.querySelector("h1")?.textContent);
  if (error instanceof Unreachable) refresh(AGAIN_MS);
  else if (stale) refresh();
}

/** Somebody is marking text on the page: nothing moves under it. */
const selecting = () => content.contains(getSelection()?.anchorNode) && !getSelection().isCollapsed;

const titleOf = (heading) => (heading && heading !== "OpenLedger" ? `${heading} · OpenLedger` : "OpenLedger");

function failure(error) {
  const message = error instanceof TypeError ? `This page could not read the node's answer (${error.message}).` : error.message;
  const again = h("button", { type: "button", id: "again", on: { click: arrive } }, "Ask again");
  return page("This did not work", null, section(null, refused({ message, hint: error instanceof RpcError ? error.hint : null }), again));
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
function refresh(pause = QUIET_MS) {
  due ??= setTimeout(() => {
    due = null;
    draw(false);
  }, pause);
}

/** Another page: its tab is marked at once, and what was there gives way to a word of patience if the node is slow. */
async function arrive() {
  markTab(parts()[0]);
  content.setAttribute("aria-busy", "true");
  news.textContent = "";
  const mine = turn + 1;
  const patience = setTimeout(() => {
    if (mine === turn) content.replaceChildren(h("p", { class: "empty" }, "Asking the node…"));
  }, QUIET_MS);
  await draw(true);
  clearTimeout(patience);
  if (mine !== turn) return;
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
  if (place.dataset.state === "offline") refresh(); // what was missed
  place.textContent = STATES[detail];
  place.dataset.state = detail;
  if (detail === "offline") news.textContent = `The node does not answer since ${new Date().toLocaleTimeString()}. What you see is from before; this page asks again by itself.`;
});
live.addEventListener("head", ({ detail }) => {
  if (detail.restarted) context.cache.clear();
  refresh();
});
live.addEventListener("claims", () => refresh());
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
markTab(parts()[0]);
draw(true);
rpc.call("web3_clientVersion").then(
  (version) => (document.getElementById("version").textContent = String(version)),
  () => undefined,
);
