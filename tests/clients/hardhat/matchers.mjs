// Hardhat 2 with its chai matchers, unchanged, on the contract at COIN, compiled with solc-js. Prints the claims that hold.
import { readFileSync } from "node:fs";

import hre from "hardhat"; // first: its configuration loads the matchers
import { PANIC_CODES } from "@nomicfoundation/hardhat-chai-matchers/panic.js";
import { anyUint, anyValue } from "@nomicfoundation/hardhat-chai-matchers/withArgs.js";
import chai from "chai";
import solc from "solc";

const { expect } = chai;
const { ethers } = hre;
const compiled = JSON.parse(
  solc.compile(
    JSON.stringify({
      language: "Solidity",
      sources: { "Coin.sol": { content: readFileSync(process.env.COIN, "utf8") } },
      settings: { outputSelection: { "*": { Coin: ["abi", "evm.bytecode.object"] } } },
    }),
  ),
).contracts["Coin.sol"].Coin;

const [first, second, third] = await ethers.getSigners();
const coin = await (await new ethers.ContractFactory(compiled.abi, compiled.evm.bytecode.object, first).deploy()).waitForDeployment();
const claims = {
  revertedWith: async () => {
    await expect(coin.refuseToWrite(true)).to.be.revertedWith("not today");
    await expect(coin.refuse(true)).to.be.revertedWith("not today");
    await expect(coin.refuseToWrite.estimateGas(true)).to.be.revertedWith(/today$/);
    await expect(coin.refuseToWrite(true, { gasLimit: 100_000 })).to.be.reverted;
  },
  revertedWithCustomError: async () => {
    await expect(coin.transfer(second, 1001)).to.be.revertedWithCustomError(coin, "Short").withArgs(first.address, 1000, 1001);
    await expect(coin.connect(second).transfer.staticCall(first, 5)).to.be.revertedWithCustomError(coin, "Short").withArgs(anyValue, anyUint, 5);
  },
  revertedWithoutReason: async () => {
    await expect(coin.refuseToWrite(false)).to.be.revertedWithoutReason();
    await expect(coin.refuse(false)).to.be.revertedWithoutReason();
  },
  revertedWithPanic: async () => {
    await expect(coin.divideAndKeep(0)).to.be.revertedWithPanic(PANIC_CODES.DIVISION_BY_ZERO);
    await expect(coin.divide(0)).to.be.revertedWithPanic(0x12);
    await expect(coin.divide(1)).not.to.be.reverted;
  },
  emit: async () => {
    await expect(coin.transfer(second, 7)).to.emit(coin, "Transfer").withArgs(first.address, second.address, 7);
    await expect(coin.note([1, 2])).to.emit(coin, "Noted").withArgs("word", "0x0102", [1n, 2n]).and.to.emit(coin, "Noted").withArgs("more", "0x", anyValue);
    await expect(coin.note([])).not.to.emit(coin, "Transfer");
  },
  changeEtherBalance: async () => {
    await hre.network.provider.send("evm_increaseTime", [3600]); // an epoch ends in the next block, which has one transaction all the same
    await expect(first.sendTransaction({ to: second, value: 200 })).to.changeEtherBalance(second, 200);
    await expect(coin.connect(second).pay(third, { value: 30 })).to.changeEtherBalance(second, (change) => change < -30n, { includeFee: true });
  },
  changeEtherBalances: async () => {
    await expect(first.sendTransaction({ to: second, value: 200 })).to.changeEtherBalances([first, second], [-200, 200]);
    await expect(coin.pay(third, { value: 30 })).to.changeEtherBalances([first, coin, third], [-30, 0, 30]);
  },
  changeTokenBalance: async () => {
    await expect(coin.transfer(second, 5)).to.changeTokenBalance(coin, second, 5);
    await expect(() => coin.transfer(third, 1)).to.changeTokenBalance(coin, third, 1);
  },
  changeTokenBalances: async () => {
    await expect(coin.transfer(second, 6)).to.changeTokenBalances(coin, [first, second], [-6, 6]);
  },
};

const found = {};
for (const [name, claim] of Object.entries(claims)) {
  found[name] = await claim().then(() => "holds", (error) => error.message);
}
console.log(JSON.stringify(found));
