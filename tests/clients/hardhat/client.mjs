// Hardhat 2, its ethers plugin and its network helpers, unchanged, with the node at URL for a network. Prints one JSON document.
import helpers from "@nomicfoundation/hardhat-network-helpers";
import hre from "hardhat";

const { ethers } = hre;
const { loadFixture, mine, time } = helpers;
const found = {};
const number = async (value) => Number(await value);

// The artifact lies where `hardhat compile` would put it, so that no compiler is needed.
await hre.artifacts.saveArtifactAndDebugFile({
  _format: "hh-sol-artifact-1",
  contractName: "Counter",
  sourceName: "contracts/Counter.sol",
  abi: [
    { type: "function", name: "bump", inputs: [], outputs: [{ name: "", type: "uint256" }], stateMutability: "nonpayable" },
    { type: "event", name: "Bumped", inputs: [{ name: "value", type: "uint256", indexed: false }], anonymous: false },
  ],
  bytecode: process.env.BYTECODE,
  deployedBytecode: "0x",
  linkReferences: {},
  deployedLinkReferences: {},
});

found.network = [hre.network.name, await number(hre.network.provider.send("eth_chainId"))];
const [owner, second] = await ethers.getSigners();
found.signers = (await ethers.getSigners()).length;

// A contract: deployed by its name, called, sent to, its event read, its reverts understood.
const counter = await (await ethers.deployContract("Counter")).waitForDeployment();
const address = await counter.getAddress();
found.simulated = await number(counter.bump.staticCall());
const receipt = await (await counter.connect(second).bump()).wait();
found.bumped = [receipt.status, receipt.from === second.address];
found.events = (await counter.queryFilter("Bumped", 0)).map((event) => [Number(event.args.value), event.transactionHash === receipt.hash]);
const attempts = { call: () => ethers.provider.call({ to: address }), send: () => owner.sendTransaction({ to: address }) };
for (const [name, attempt] of Object.entries(attempts)) {
  found[name] = await attempt().then(() => "no revert", (error) => error.reason ?? error.message);
}
const failed = await owner.sendTransaction({ to: address, gasLimit: 100000 });
found.failed = await failed.wait().then(() => "no revert", (error) => [error.code, error.receipt.status]);
const keyed = await (await counter.connect(new ethers.Wallet(process.env.SECRET, ethers.provider)).bump()).wait();
found.keyed = [keyed.status, keyed.from === owner.address];

// An account whose key nobody has, with an edited balance, nonce, code and storage.
const stranger = ethers.Wallet.createRandom().address;
await helpers.setBalance(stranger, 10n ** 18n);
found.balance = String(await ethers.provider.getBalance(stranger));
await helpers.impersonateAccount(stranger);
const sent = await (await counter.connect(await ethers.getSigner(stranger)).bump()).wait();
found.impersonated = [sent.status, sent.from === stranger];
await helpers.stopImpersonatingAccount(stranger);
const unsigned = { from: stranger, to: address, data: "0x01" };
found.stopped = await hre.network.provider.send("eth_sendTransaction", [unsigned]).then(() => "sent", () => "refused");
const made = ethers.Wallet.createRandom().address;
await helpers.setCode(made, "0x600160005260206000f3");
await helpers.setNonce(made, 7);
await helpers.setStorageAt(address, 0, 41);
found.edits = [
  await number(ethers.provider.call({ to: made })),
  await ethers.provider.getTransactionCount(made),
  await number(helpers.getStorageAt(address, 0)),
  await number(counter.bump.staticCall()),
];

// Time and blocks.
const before = await time.latest();
found.increased = (await time.increase(3600)) - before >= 3600 && (await time.latest()) - before >= 3600;
const later = (await time.latest()) + 500;
await time.increaseTo(later);
found.increasedTo = (await time.latest()) - later;
await time.setNextBlockTimestamp(later + 1000);
const block = await ethers.provider.getBlock((await (await counter.bump()).wait()).blockNumber);
found.nextTimestamp = block.timestamp - later;
const height = await time.latestBlock();
await mine(10, { interval: 60 });
found.mined = [(await time.latestBlock()) - height, (await time.latest()) - block.timestamp >= 540];
await helpers.mineUpTo(height + 15);
found.minedUpTo = (await time.latestBlock()) - height;
await helpers.setNextBlockBaseFeePerGas(5n * 10n ** 9n);
await mine();
found.baseFee = String((await ethers.provider.getBlock("latest")).baseFeePerGas);

// Snapshots and fixtures.
const snapshot = await helpers.takeSnapshot();
const kept = await number(helpers.getStorageAt(address, 0));
await (await counter.bump()).wait();
found.changed = (await number(helpers.getStorageAt(address, 0))) - kept;
await snapshot.restore();
found.restored = (await number(helpers.getStorageAt(address, 0))) - kept;
let runs = 0;
async function deployed() {
  runs += 1;
  return (await ethers.deployContract("Counter")).waitForDeployment();
}
found.fixture = [];
for (let turn = 0; turn < 3; turn += 1) {
  const fresh = await loadFixture(deployed);
  await (await fresh.bump()).wait();
  found.fixture.push([runs, await number(helpers.getStorageAt(await fresh.getAddress(), 0))]);
}

console.log(JSON.stringify(found));
