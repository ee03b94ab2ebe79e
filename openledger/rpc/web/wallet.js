/** "Add to MetaMask": EIP-3085, with this page's own address as the RPC URL; by hand where there is no wallet. Several
 * wallets in one browser are told apart by EIP-6963. */

import { h, route } from "./dom.js";
import { big, short } from "./format.js";
import { copyable } from "./ui.js";

/** Parameters of wallet_addEthereumChain. Wallets take explorer addresses over https only. */
async function parameters(rpc) {
  const chainId = await rpc.call("eth_chainId");
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  return {
    chainId,
    chainName: local ? "OpenLedger devnet" : "OpenLedger",
    rpcUrls: [location.origin],
    nativeCurrency: { name: "OPEN", symbol: "OPEN", decimals: 18 },
    ...(location.protocol === "https:" ? { blockExplorerUrls: [location.origin] } : {}),
  };
}

/** MetaMask where it is among the wallets that announce themselves, else the browser's only or first one. */
function wallet() {
  const found = [];
  const note = (event) => found.push(event.detail);
  window.addEventListener("eip6963:announceProvider", note);
  window.dispatchEvent(new Event("eip6963:requestProvider")); // they answer before this returns
  window.removeEventListener("eip6963:announceProvider", note);
  const metamask = found.find((one) => one?.info?.rdns === "io.metamask")?.provider;
  return metamask ?? (window.ethereum?.request ? window.ethereum : found[0]?.provider);
}

function byHand(chain, why) {
  const rows = [
    ["Network name", chain.chainName],
    ["RPC URL", chain.rpcUrls[0]],
    ["Chain ID", big(chain.chainId).toString()],
    ["Currency symbol", chain.nativeCurrency.symbol],
  ];
  document.getElementById("manual-why").textContent = why;
  document
    .getElementById("manual-facts")
    .replaceChildren(...rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, copyable(value)))));
  document.getElementById("manual").showModal();
}

const ADD = "Add to MetaMask";
const REFUSED = 4001;

/** The button: adds the chain, then knows the wallet's account; it leads to its page, or back to this chain. */
export function setUpWallet(rpc) {
  const button = document.getElementById("wallet");
  const said = document.getElementById("wallet-said");
  const now = { provider: null, account: null, elsewhere: false, chain: null };
  const show = () => {
    button.textContent = !now.account ? ADD : now.elsewhere ? "Switch to this chain" : short(now.account, 6, 4);
    button.title = now.account ? (now.elsewhere ? "The wallet is on another chain" : "The page of your account") : "";
  };
  const tell = (text) => (said.textContent = text);
  const listen = (provider) => {
    now.provider = provider;
    provider.on?.("accountsChanged", ([account = null]) => {
      now.account = account;
      tell(account ? `The wallet's account is now ${account}.` : "The wallet has left this page.");
      show();
    });
    provider.on?.("chainChanged", (id) => {
      now.elsewhere = big(id) !== big(now.chain.chainId);
      tell(now.elsewhere ? "The wallet is on another chain now." : "The wallet is on this chain.");
      show();
    });
  };
  const connect = async (provider) => {
    await provider.request({ method: "wallet_addEthereumChain", params: [now.chain] });
    const accounts = await provider.request({ method: "eth_requestAccounts" });
    const id = await provider.request({ method: "eth_chainId" });
    if (provider !== now.provider) listen(provider);
    now.account = accounts?.[0] ?? null;
    now.elsewhere = big(id) !== big(now.chain.chainId);
    tell(now.account ? `Added. Your account is ${now.account}.` : "Added.");
    show();
  };
  button.addEventListener("click", async () => {
    if (now.account && !now.elsewhere) {
      location.hash = route("address", now.account);
      return;
    }
    try {
      now.chain = await parameters(rpc);
    } catch (error) {
      tell("The node does not answer.");
      return;
    }
    const provider = wallet();
    if (!provider) {
      byHand(now.chain, "This browser has no wallet. In any wallet, add a network with these values:");
      return;
    }
    tell("The wallet asks you.");
    try {
      await connect(provider);
    } catch (error) {
      tell(error?.code === REFUSED ? "You said no in the wallet. Nothing was changed." : "");
      if (error?.code !== REFUSED) byHand(now.chain, `The wallet did not take it (${String(error?.message ?? error)}). By hand:`);
    }
  });
}
