// ethers, unchanged, against the node at URL / WS_URL. Prints one JSON document; the Python test judges it.
import { Contract, ContractFactory, JsonRpcProvider, Wallet, WebSocketProvider, parseEther, verifyTypedData } from "ethers";

const { URL: url, WS_URL: socketUrl, SECRET, BYTECODE } = process.env;
const abi = ["function bump() returns (uint256)", "event Bumped(uint256 value)"];
const provider = new JsonRpcProvider(url, undefined, { pollingInterval: 50, cacheTimeout: -1 });
const wallet = new Wallet(SECRET, provider);
const found = {};

found.chainId = Number((await provider.getNetwork()).chainId);
const fees = await provider.getFeeData();
found.fees = fees.maxFeePerGas > fees.maxPriorityFeePerGas && fees.gasPrice > 0n;

// A transfer; gas and fees are ethers' own estimates.
const to = Wallet.createRandom().address;
const receipt = await (await wallet.sendTransaction({ to, value: parseEther("1") })).wait();
found.transfer = [receipt.status, receipt.type, Number(receipt.gasUsed)];
found.received = (await provider.getBalance(to)).toString();
found.fee = receipt.fee === receipt.gasUsed * receipt.gasPrice;

// A contract: deployed, called, sent to, its events read and listened for over a WebSocket.
const factory = new ContractFactory(abi, BYTECODE, wallet);
const contract = await (await factory.deploy()).waitForDeployment();
const address = await contract.getAddress();
found.simulated = Number(await contract.bump.staticCall());
found.estimate = Number(await contract.bump.estimateGas()) > 21000;
const live = new WebSocketProvider(socketUrl);
const heard = new Promise((resolve) => new Contract(address, abi, live).on("Bumped", (value) => resolve(Number(value))));
const headed = new Promise((resolve) => live.on("block", resolve));
await live.getBlockNumber();
await new Promise((resolve) => setTimeout(resolve, 300));
const bumped = await (await contract.bump()).wait();
found.heard = await heard;
found.headed = (await headed) <= bumped.blockNumber;
await live.destroy();
const events = await contract.queryFilter("Bumped", 0);
found.events = events.map((event) => [Number(event.args.value), event.transactionHash === bumped.hash]);
const block = await provider.getBlock(bumped.blockNumber, true);
found.prefetched = block.prefetchedTransactions.map((tx) => tx.hash).includes(bumped.hash);

// Errors as ethers names them.
try {
  await provider.call({ to: address });
} catch (error) {
  found.revert = [error.code, error.reason];
}
try {
  await new Wallet(Wallet.createRandom().privateKey, provider).sendTransaction({ to, value: 1n });
} catch (error) {
  found.poor = error.code;
}
try {
  await (await wallet.sendTransaction({ to, value: 1n, nonce: 0 })).wait();
} catch (error) {
  found.stale = error.code;
}
try {
  await (await wallet.sendTransaction({ to: address, gasLimit: 100000 })).wait();
} catch (error) {
  found.failed = [error.code, error.receipt.status];
}

// Accounts of the node, several at once, and what a devnet adds.
const signer = await provider.getSigner(2);
const sent = await signer.sendTransaction({ to, value: 5n });
found.unlocked = (await sent.wait()).status;
found.message = (await signer.signMessage("hello")).length;
const id = await provider.send("evm_snapshot", []);
await provider.send("anvil_setBalance", [to, "0x1"]);
found.set = (await provider.getBalance(to)).toString();
found.reverted = await provider.send("evm_revert", [id]);
let nonce = await wallet.getNonce();
const many = await Promise.all([...Array(10)].map(() => wallet.sendTransaction({ to, value: 1n, nonce: nonce++ })));
found.many = (await Promise.all(many.map((tx) => tx.wait()))).every((done) => done.status === 1);

// EIP-7702.
const fresh = Wallet.createRandom(provider);
const auth = await fresh.authorize({ address, nonce: 0, chainId: found.chainId });
const delegated = await (await wallet.sendTransaction({ type: 4, to: fresh.address, data: "0x01", authorizationList: [auth] })).wait();
found.delegated = [delegated.status, delegated.logs.length, await provider.getCode(fresh.address) === "0xef0100" + address.slice(2).toLowerCase()];

// A native transaction by typed data.
const fields = { name: "poems", licence: "CC-BY-4.0" };
const build = (...params) => provider.send("openledger_buildTransaction", ["datanet.create", fields, ...params]);
const built = await build({ from: wallet.address });
const { domain, types, message } = built.typedData;
delete types.EIP712Domain;
const signature = await wallet.signTypedData(domain, types, message);
found.signer = verifyTypedData(domain, types, message, signature) === wallet.address;
const whole = await build(built.options, signature);
const hash = await provider.send("eth_sendRawTransaction", [whole.raw]);
found.native = (await provider.waitForTransaction(hash)).status;
found.nativeInBlock = (await provider.getBlock("latest", true)).prefetchedTransactions.some((tx) => tx.hash === hash);

provider.destroy();
console.log(JSON.stringify(found));
