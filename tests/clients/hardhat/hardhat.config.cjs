// A Hardhat 2 project whose network is the node at URL; the accounts are the node's.
require("@nomicfoundation/hardhat-ethers");
require("@nomicfoundation/hardhat-chai-matchers");

module.exports = {
  solidity: "0.8.28",
  defaultNetwork: "openledger",
  networks: { openledger: { url: process.env.URL, chainId: 161237, accounts: "remote" } },
};
