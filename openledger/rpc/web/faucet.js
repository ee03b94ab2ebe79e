/** The faucet of a devnet: ten OPEN for an address. Other chains have none, and show nothing. */

import { h } from "./dom.js";
import * as ui from "./ui.js";

const ADDRESS = /^0x[0-9a-fA-F]{40}$/;
const GIVEN = "0x8ac7230489e80000"; // 10 OPEN in wei

export async function faucet(rpc) {
  if ((await rpc.tryCall(null, "anvil_nodeInfo")) === null) return null;
  const input = h("input", { name: "address", type: "text", placeholder: "0x…", "aria-label": "Address", autocomplete: "off", spellcheck: "false" });
  const button = h("button", { type: "submit" }, "Get 10 OPEN");
  const said = h("p", { role: "status" });
  const give = async (event) => {
    event.preventDefault();
    const address = input.value.trim();
    if (!ADDRESS.test(address)) {
      said.replaceChildren("An address is 0x and 40 hex digits.");
      return;
    }
    button.disabled = true;
    try {
      const hash = await rpc.call("openledger_faucet", address, GIVEN);
      said.replaceChildren("Sent: ", ui.txLink(hash));
    } catch (error) {
      said.replaceChildren(String(error?.message ?? error));
    } finally {
      button.disabled = false;
    }
  };
  return ui.section("Faucet", h("div", { id: "faucet", "data-keep": "" }, h("form", { on: { submit: give } }, input, " ", button), said));
}
