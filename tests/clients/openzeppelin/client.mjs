// OpenZeppelin's contracts, compiled with solc-js (kept in artifacts.json), driven by ethers at URL. Prints one JSON document.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { ContractFactory, JsonRpcProvider, Signature, Wallet, id, parseEther } from "ethers";
import solc from "solc";

const { URL: url, SECRET } = process.env;
const source = readFileSync("Contracts.sol", "utf8");
const digest = createHash("sha256").update(source).digest("hex");

function compiled() {
  if (existsSync("artifacts.json")) {
    const kept = JSON.parse(readFileSync("artifacts.json", "utf8"));
    if (kept.digest === digest) return kept.contracts;
  }
  const input = {
    language: "Solidity", sources: { "Contracts.sol": { content: source } },
    settings: { optimizer: { enabled: true, runs: 200 }, evmVersion: "prague",
      outputSelection: { "Contracts.sol": { "*": ["abi", "evm.bytecode.object"] } } },
  };
  const load = (path) => ({ contents: readFileSync(`node_modules/${path}`, "utf8") });
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: load }));
  const errors = (output.errors ?? []).filter((error) => error.severity === "error");
  if (errors.length) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
  writeFileSync("artifacts.json", JSON.stringify({ digest, contracts: output.contracts["Contracts.sol"] }));
  return output.contracts["Contracts.sol"];
}

const contracts = compiled();
const provider = new JsonRpcProvider(url, undefined, { pollingInterval: 50, cacheTimeout: -1 });
const owner = new Wallet(SECRET, provider);
const other = Wallet.createRandom(provider);
const found = {};
const deploy = async (name, ...args) => {
  const { abi, evm } = contracts[name];
  return (await new ContractFactory(abi, evm.bytecode.object, owner).deploy(...args)).waitForDeployment();
};
const done = async (sent) => (await (await sent).wait()).status;
const refused = async (contract, call) => {
  try {
    await call();
  } catch (error) {
    return error.revert?.name ?? contract.interface.parseError(error.data)?.name ?? error.message;
  }
  return "accepted";
};

await done(owner.sendTransaction({ to: other.address, value: parseEther("5") }));

// ERC-20 with permit: an allowance by signature.
const token = await deploy("Token", owner.address);
await done(token.transfer(other.address, 7n));
found.balance = Number(await token.balanceOf(other.address));
found.tooMuch = await refused(token, () => token.connect(other).transfer(owner.address, 8n));
const { name, version, chainId, verifyingContract } = await token.eip712Domain();
const deadline = 2n ** 40n;
const types = { Permit: [["owner", "address"], ["spender", "address"], ["value", "uint256"], ["nonce", "uint256"],
  ["deadline", "uint256"]].map(([name, type]) => ({ name, type })) };
const signed = Signature.from(await owner.signTypedData({ name, version, chainId, verifyingContract }, types,
  { owner: owner.address, spender: other.address, value: 9n, nonce: await token.nonces(owner.address), deadline }));
await done(token.connect(other).permit(owner.address, other.address, 9n, deadline, signed.v, signed.r, signed.s));
found.allowance = Number(await token.allowance(owner.address, other.address));
await done(token.connect(other).transferFrom(owner.address, other.address, 9n));
found.events = (await token.queryFilter(token.filters.Transfer(null, other.address), 0)).map((event) => Number(event.args.value));

// ERC-721.
const art = await deploy("Art");
await done(art.mint(other.address, 5n));
found.art = await art.ownerOf(5n) === other.address;
found.unsafe = await refused(art, () => art.mint(art, 6n));

// A proxy that is upgraded.
const logic = await deploy("Box");
const proxy = await deploy("Proxy", logic, logic.interface.encodeFunctionData("initialize", [owner.address]));
const box = logic.attach(await proxy.getAddress());
await done(box.set(41n));
found.stranger = await refused(box, () => box.connect(other).set(1n));
const second = await deploy("BoxTwo");
await done(box.upgradeToAndCall(second, "0x"));
found.upgraded = [Number(await box.version()), Number(await box.value())];

// AccessManager: a role with a selector.
const manager = await deploy("Manager", owner.address);
const safe = await deploy("Safe", manager);
await done(manager.setTargetFunctionRole(safe, [id("open()").slice(0, 10)], 7n));
found.unauthorized = await refused(safe, () => safe.connect(other).open());
await done(manager.grantRole(7n, other.address, 0));
await done(safe.connect(other).open());
found.opened = Number(await safe.opened());

// Governor: proposed, voted, carried out; the devnet makes the blocks that the vote waits for.
const council = await deploy("Council", token);
await done(token.delegate(owner.address));
await done(token.transfer(council, 3n));
const proposal = [[await token.getAddress()], [0n], [token.interface.encodeFunctionData("transfer", [other.address, 3n])]];
await done(council.propose(...proposal, "pay"));
const number = await council.hashProposal(...proposal, id("pay"));
await provider.send("anvil_mine", ["0x2"]);
await done(council.castVote(number, 1));
await provider.send("anvil_mine", ["0xb"]);
found.succeeded = Number(await council.state(number));
await done(council.execute(...proposal, id("pay")));
found.carriedOut = [Number(await council.state(number)), Number(await token.balanceOf(other.address))];

provider.destroy();
console.log(JSON.stringify(found));
