// Hardhat's chai matchers on transactions, calls, estimates, balances.
import { describe, it } from "node:test";

import { anyUint, anyValue } from "@nomicfoundation/hardhat-ethers-chai-matchers/withArgs";
import { PANIC_CODES } from "@nomicfoundation/hardhat-ethers-chai-matchers/panic";
import { expect } from "chai";
import { network } from "hardhat";

const { ethers, networkHelpers, provider } = await network.create();
const [first, second, third] = await ethers.getSigners();

async function deployed() {
  return { coin: await ethers.deployContract("Coin") };
}

describe("reverts", () => {
  it("with a reason, in a transaction, a call and an estimate", async () => {
    const { coin } = await networkHelpers.loadFixture(deployed);
    await expect(coin.refuseToWrite(true)).to.be.revertedWith("not today");
    await expect(coin.refuse(true)).to.be.revertedWith("not today");
    await expect(coin.refuseToWrite.staticCall(true)).to.be.revertedWith("not today");
    await expect(coin.refuseToWrite.estimateGas(true)).to.be.revertedWith(/today$/);
    await expect(coin.refuseToWrite(true, { gasLimit: 100_000 })).to.be.revert(ethers);
  });

  it("with a custom error and its arguments", async () => {
    const { coin } = await networkHelpers.loadFixture(deployed);
    await expect(coin.transfer(second, 1001)).to.be.revertedWithCustomError(coin, "Short");
    await expect(coin.transfer(second, 1001)).to.be.revertedWithCustomError(coin, "Short").withArgs(first.address, 1000, 1001);
    await expect(coin.connect(second).transfer.staticCall(first, 5)).to.be.revertedWithCustomError(coin, "Short").withArgs(anyValue, anyUint, 5);
    await expect(coin.transfer(second, 1)).not.to.be.revertedWithCustomError(coin, "Short");
  });

  it("without a reason, and by a panic", async () => {
    const { coin } = await networkHelpers.loadFixture(deployed);
    await expect(coin.refuseToWrite(false)).to.be.revertedWithoutReason(ethers);
    await expect(coin.refuse(false)).to.be.revertedWithoutReason(ethers);
    await expect(coin.divideAndKeep(0)).to.be.revertedWithPanic(PANIC_CODES.DIVISION_BY_ZERO);
    await expect(coin.divide(0)).to.be.revertedWithPanic(0x12);
    await expect(coin.divideAndKeep(1)).not.to.be.revert(ethers);
  });
});

describe("events", () => {
  it("are found with their arguments, one of several, and none", async () => {
    const { coin } = await networkHelpers.loadFixture(deployed);
    await expect(coin.transfer(second, 7)).to.emit(coin, "Transfer").withArgs(first.address, second.address, 7);
    await expect(coin.note([1, 2])).to.emit(coin, "Noted").withArgs("word", "0x0102", [1n, 2n]).and.to.emit(coin, "Noted").withArgs("more", "0x", anyValue);
    await expect(coin.note([])).not.to.emit(coin, "Transfer");
  });
});

describe("balances", () => {
  it("of wei change by transfers and by contracts, without the fee", async () => {
    const { coin } = await networkHelpers.loadFixture(deployed);
    await provider.request({ method: "evm_increaseTime", params: [3600] }); // an epoch ends in the next block, which has one transaction all the same
    await expect(first.sendTransaction({ to: second, value: 200 })).to.changeEtherBalance(ethers, second, 200);
    await expect(first.sendTransaction({ to: second, value: 200 })).to.changeEtherBalances(ethers, [first, second], [-200, 200]);
    await expect(coin.pay(third, { value: 30 })).to.changeEtherBalances(ethers, [first, coin, third], [-30, 0, 30]);
    await expect(coin.connect(second).pay(third, { value: 30 })).to.changeEtherBalance(ethers, second, (change: bigint) => change < -30n, { includeFee: true });
  });

  it("of tokens change", async () => {
    const { coin } = await networkHelpers.loadFixture(deployed);
    await expect(coin.transfer(second, 5)).to.changeTokenBalance(ethers, coin, second, 5);
    await expect(coin.transfer(second, 6)).to.changeTokenBalances(ethers, coin, [first, second], [-6, 6]);
    await expect(() => coin.transfer(third, 1)).to.changeTokenBalance(ethers, coin, third, 1);
  });
});

describe("words", () => {
  it("are addresses, keys and hashes", () => {
    expect(first.address).to.be.properAddress;
    expect("0x" + "11".repeat(32)).to.be.properPrivateKey;
    expect("0xabcd").to.hexEqual("0x00ABCD");
  });
});
