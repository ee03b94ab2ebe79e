/** "Add to MetaMask": EIP-3085, with this page's own address as the RPC URL; by hand where there is no wallet. Several
 * wallets in one browser are told apart by EIP-6963. */

import { h } from "./dom.js";
import { big } from "./format.js";
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

export function setUpWallet(rpc) {
  const button = document.getElementById("wallet");
  button.addEventListener("click", async () => {
    let chain;
    try {
      chain = await parameters(rpc);
    } catch (error) {
      button.textContent = "Node not reachable";
      setTimeout(() => (button.textContent = "Add to MetaMask"), 2500);
      return;
    }
    const provider = wallet();
    if (!provider) {
      byHand(chain, "This browser has no wallet. In any wallet, add a network with these values:");
      return;
    }
    try {
      await provider.request({ method: "wallet_addEthereumChain", params: [chain] });
    } catch (error) {
      if (error?.code === 4001) return; // the person said no
      byHand(chain, `The wallet did not take it (${String(error?.message ?? error)}). By hand:`);
    }
  });
}
