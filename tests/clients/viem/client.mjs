// viem, unchanged, against the node at URL / WS_URL. Prints one JSON document; the Python test judges it.
import {
  createPublicClient, createWalletClient, defineChain, encodeFunctionData, http, parseEther, parseEventLogs, webSocket,
} from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";

const { URL: url, WS_URL: socketUrl, SECRET, BYTECODE } = process.env;
const abi = [
  { type: "function", name: "bump", inputs: [], outputs: [{ type: "uint256" }], stateMutability: "nonpayable" },
  { type: "event", name: "Bumped", inputs: [{ name: "value", type: "uint256", indexed: false }] },
];
const chain = defineChain({
  id: 161237,
  name: "OpenLedger devnet",
  nativeCurrency: { name: "OPEN", symbol: "OPEN", decimals: 18 },
  rpcUrls: { default: { http: [url], webSocket: [socketUrl] } },
  contracts: { multicall3: { address: "0xca11bde05977b3631167028862be2a173976ca11" } },
});
const account = privateKeyToAccount(SECRET);
const reader = createPublicClient({ chain, transport: http(), pollingInterval: 20 });
const wallet = createWalletClient({ account, chain, transport: http() });
const found = {};

found.chainId = await reader.getChainId();
found.balance = (await reader.getBalance({ address: account.address })).toString();

// A plain transfer, with fees and gas found by viem.
const to = privateKeyToAccount(generatePrivateKey()).address;
found.transferGas = Number(await reader.estimateGas({ account, to, value: 1n }));
const fees = await reader.estimateFeesPerGas();
found.feesArePositive = fees.maxFeePerGas > 0n && fees.maxPriorityFeePerGas > 0n;
const sent = await wallet.sendTransaction({ to, value: parseEther("1") });
const transfer = await reader.waitForTransactionReceipt({ hash: sent });
found.transfer = { status: transfer.status, type: transfer.type, gasUsed: Number(transfer.gasUsed) };
found.received = (await reader.getBalance({ address: to })).toString();

// A contract.
const deployed = await reader.waitForTransactionReceipt({ hash: await wallet.deployContract({ abi, bytecode: BYTECODE }) });
const address = deployed.contractAddress;
found.hasCode = (await reader.getCode({ address })).length > 2;
const simulated = await reader.simulateContract({ account, address, abi, functionName: "bump" });
found.simulated = Number(simulated.result);

// Heads and logs over a WebSocket, while a transaction is sent.
const live = createPublicClient({ chain, transport: webSocket() });
let head, log;
const heard = new Promise((resolve) => {
  const both = () => head !== undefined && log !== undefined && resolve();
  live.watchBlocks({ onBlock: (block) => { head ??= block; both(); } });
  live.watchContractEvent({ address, abi, eventName: "Bumped", onLogs: (logs) => { log ??= logs[0]; both(); } });
});
await new Promise((resolve) => setTimeout(resolve, 300));
const bumped = await reader.waitForTransactionReceipt({ hash: await wallet.writeContract(simulated.request) });
found.event = Number(parseEventLogs({ abi, logs: bumped.logs })[0].args.value);
await heard;
found.liveHead = head.hash === bumped.blockHash;
found.liveLog = log.transactionHash === bumped.transactionHash && log.args.value === 1n;
(await live.transport.getRpcClient()).close();

const logs = await reader.getContractEvents({ address, abi, eventName: "Bumped", fromBlock: 0n });
found.logs = logs.map((entry) => [Number(entry.args.value), entry.transactionHash === bumped.transactionHash]);
const block = await reader.getBlock({ blockHash: bumped.blockHash, includeTransactions: true });
found.blockHasTransaction = block.transactions.some((tx) => tx.hash === bumped.transactionHash);
const bump = { address, abi, functionName: "bump" };
found.multicall = (await reader.multicall({ contracts: [bump, bump], allowFailure: false })).map(Number);

// A revert with its reason.
try {
  await reader.call({ to: address });
} catch (error) {
  found.revert = error.walk((cause) => cause.code === 3)?.message ?? error.message;
}

// A native transaction, signed as typed data by an ordinary wallet.
const fields = { name: "letters", licence: "CC-BY-4.0" };
const request = (method, params) => reader.request({ method, params });
const built = await request("openledger_buildTransaction", ["datanet.create", fields, { from: account.address }]);
const signature = await wallet.signTypedData(built.typedData);
const whole = await request("openledger_buildTransaction", ["datanet.create", fields, built.options, signature]);
const hash = await reader.sendRawTransaction({ serializedTransaction: whole.raw });
const native = await reader.waitForTransactionReceipt({ hash });
found.native = { status: native.status, to: native.to, from: native.from === account.address.toLowerCase() };
found.nativeRead = (await reader.getTransaction({ hash })).hash === hash;
found.datanet = (await request("openledger_getDatanet", [1])).name;
found.encoded = encodeFunctionData({ abi, functionName: "bump" }).length;

// What viem asks in forms of its own: a timeout as a number, a transaction by its sender, types that a message does not need.
const serializedTransaction = await account.signTransaction(await wallet.prepareTransactionRequest({ to, value: 1n }));
found.sync = (await wallet.sendRawTransactionSync({ serializedTransaction, timeout: 20_000 })).status;
found.bySender = (await reader.getTransaction({ sender: account.address, nonce: 0 })).nonce;
const [unlocked] = await request("eth_accounts", []);
const types = { Sale: [{ name: "price", type: "uint256" }], Other: [{ name: "name", type: "string" }] };
const sale = { domain: { chainId: 161237 }, types, primaryType: "Sale", message: { price: 5n } };
const signed = await createWalletClient({ account: unlocked, chain, transport: http() }).signTypedData(sale);
found.typed = await reader.verifyTypedData({ address: unlocked, ...sale, signature: signed });

console.log(JSON.stringify(found));
