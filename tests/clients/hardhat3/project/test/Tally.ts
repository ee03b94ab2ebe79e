// What `hardhat test --network openledger` runs: viem, its assertions, network helpers, ignition.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { network } from "hardhat";
import { parseEther, zeroAddress } from "viem";

import Tallies from "../ignition/modules/Tally.js";

const { viem, networkHelpers, ignition, provider } = await network.create();
const { time } = networkHelpers;
const client = await viem.getPublicClient();
const [first, second] = await viem.getWalletClients();
const stranger = "0x5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

async function deployed() {
  return { tally: await viem.deployContract("Tally", [1n]) };
}

describe("Tally", () => {
  it("is deployed by its name, sent to, read", async () => {
    const { tally } = await networkHelpers.loadFixture(deployed);
    const hash = await tally.write.add([2n], { account: second.account });
    const receipt = await client.waitForTransactionReceipt({ hash });
    assert.equal(receipt.status, "success");
    assert.equal(receipt.from, second.account.address);
    assert.equal(await tally.read.total(), 3n);
  });

  it("emits what viem's assertions find", async () => {
    const { tally } = await networkHelpers.loadFixture(deployed);
    await viem.assertions.emitWithArgs(tally.write.add([4n]), tally, "Added", [first.account.address, 5n]);
    const found = await tally.getEvents.Added({}, { fromBlock: 0n });
    assert.equal(found.length, 1);
  });

  it("reverts with what viem's assertions find, in calls, estimates and sends", async () => {
    const { tally } = await networkHelpers.loadFixture(deployed);
    await viem.assertions.revertWithCustomErrorWithArgs(tally.write.add([101n]), tally, "TooMany", [101n]);
    await viem.assertions.revertWith(tally.write.add([0n]), "nothing to add");
    await viem.assertions.revertWithCustomError(tally.simulate.add([102n]), tally, "TooMany");
    await viem.assertions.revertWithCustomError(tally.estimateGas.add([103n]), tally, "TooMany");
  });

  it("moves wei as viem's assertions count it", async () => {
    const send = () => first.sendTransaction({ to: stranger, value: parseEther("1") });
    await viem.assertions.balancesHaveChanged(send(), [{ address: stranger, amount: parseEther("1") }]);
  });

  it("is deployed by ignition", async () => {
    const { tally } = await ignition.deploy(Tallies, { parameters: { Tallies: { first: 30n } } });
    assert.equal(await tally.read.total(), 37n);
  });
});

describe("network helpers", () => {
  it("edit accounts", async () => {
    const { tally } = await networkHelpers.loadFixture(deployed);
    await networkHelpers.setBalance(stranger, 10n ** 18n);
    await networkHelpers.setNonce(stranger, 7);
    await networkHelpers.setStorageAt(tally.address, 0, 41);
    await networkHelpers.setCode(zeroAddress, "0x600160005260206000f3");
    assert.equal(await client.getBalance({ address: stranger }), 10n ** 18n);
    assert.equal(await client.getTransactionCount({ address: stranger }), 7);
    assert.equal(await tally.read.total(), 41n);
    assert.equal(BigInt(await networkHelpers.getStorageAt(tally.address, 0)), 41n);
    assert.equal(BigInt((await client.call({ to: zeroAddress })).data!), 1n);
  });

  it("impersonate", async () => {
    const { tally } = await networkHelpers.loadFixture(deployed);
    await networkHelpers.setBalance(stranger, 10n ** 18n);
    await networkHelpers.impersonateAccount(stranger);
    const hash = await tally.write.add([1n], { account: stranger });
    assert.equal((await client.getTransactionReceipt({ hash })).from, stranger);
    await networkHelpers.stopImpersonatingAccount(stranger);
    await assert.rejects(tally.write.add([1n], { account: stranger }));
  });

  it("move time and make blocks", async () => {
    const before = await time.latest();
    assert.ok((await time.increase(3600)) - before >= 3600);
    const later = (await time.latest()) + 500;
    await time.increaseTo(later);
    assert.equal(await time.latest(), later);
    await time.setNextBlockTimestamp(later + 1000);
    await networkHelpers.mine();
    assert.equal(await time.latest(), later + 1000);
    const height = await time.latestBlock();
    await networkHelpers.mine(10, { interval: 60 });
    assert.equal((await time.latestBlock()) - height, 10);
    await networkHelpers.mineUpTo(height + 15);
    assert.equal((await time.latestBlock()) - height, 15);
    await networkHelpers.setNextBlockBaseFeePerGas(5n * 10n ** 9n);
    await networkHelpers.setPrevRandao(77);
    await networkHelpers.setCoinbase(stranger);
    await networkHelpers.mine();
    const block = await client.getBlock();
    assert.equal(block.baseFeePerGas, 5n * 10n ** 9n);
    assert.equal(block.miner, stranger);
    assert.equal(BigInt(block.mixHash), 77n);
    await networkHelpers.setBlockGasLimit(20_000_000);
    await networkHelpers.mine();
    assert.equal((await client.getBlock()).gasLimit, 20_000_000n);
  });

  it("take a snapshot, and drop what waits", async () => {
    const { tally } = await networkHelpers.loadFixture(deployed);
    const snapshot = await networkHelpers.takeSnapshot();
    await tally.write.add([1n]);
    await snapshot.restore();
    assert.equal(await tally.read.total(), 1n);
    await provider.request({ method: "evm_setAutomine", params: [false] });
    try {
      const hash = await first.sendTransaction({ to: stranger, value: 1n, gas: 21_000n });
      assert.ok(await networkHelpers.dropTransaction(hash));
    } finally {
      await provider.request({ method: "evm_setAutomine", params: [true] });
    }
  });
});
