// A Hardhat 3 project whose network is the node at URL, as the guide has it: the accounts are the node's.
// The compiler is solc-js out of the packages, so that none is fetched.
import { createRequire } from "node:module";

import hardhatEthers from "@nomicfoundation/hardhat-ethers";
import hardhatChaiMatchers from "@nomicfoundation/hardhat-ethers-chai-matchers";
import hardhatToolboxViem from "@nomicfoundation/hardhat-toolbox-viem";
import { defineConfig } from "hardhat/config";

export default defineConfig({
  plugins: [hardhatToolboxViem, hardhatEthers, hardhatChaiMatchers],
  solidity: { version: "0.8.37", path: createRequire(import.meta.url).resolve("solc/soljson.js") },
  ignition: { blockPollingInterval: 100, strategyConfig: { create2: { salt: "0x" + "07".repeat(32) } } },
  networks: {
    openledger: { type: "http", chainType: "l1", url: process.env.URL!, accounts: "remote" },
    keyed: { type: "http", chainType: "l1", url: process.env.URL!, accounts: [process.env.SECRET!] },
  },
});
