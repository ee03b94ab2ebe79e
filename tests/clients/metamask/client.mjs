// MetaMask's own packages, unchanged, against the node at URL: network lookup, block tracker, gas fees, the life of a
// transaction, typed data. Only the accounts and the person who confirms are ours. Prints one JSON document.
import { recoverTypedSignature, signTypedData, SignTypedDataVersion } from "@metamask/eth-sig-util";
import { Messenger, MOCK_ANY_NAMESPACE } from "@metamask/messenger";
import { NetworkController, RpcEndpointType } from "@metamask/network-controller";
import { TransactionController } from "@metamask/transaction-controller";
import { GasFeeController } from "@metamask/gas-fee-controller";

const { URL: url, SECRET, BYTECODE } = process.env;
const CHAIN = "0x275d5";
const FROM = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
const TO = "0x" + "6c".repeat(20);
const key = Buffer.from(SECRET.slice(2), "hex");
const found = {};
const log = console.error;

const root = new Messenger({ namespace: MOCK_ANY_NAMESPACE });
const child = (namespace, actions, events) => {
  const messenger = new Messenger({ namespace, parent: root });
  root.delegate({ messenger, actions, events });
  return messenger;
};
const account = { id: "one", address: FROM, type: "eip155:eoa", metadata: { keyring: { type: "HD Key Tree" } }, methods: [] };
root.registerActionHandler("ErrorReportingService:captureException", (error) => log(error));
root.registerActionHandler("AccountsController:getSelectedAccount", () => account);
root.registerActionHandler("AccountsController:getState", () => ({ internalAccounts: { accounts: { one: account }, selectedAccount: "one" } }));
root.registerActionHandler("RemoteFeatureFlagController:getState", () => ({ remoteFeatureFlags: {}, cacheTimestamp: 0 }));
root.registerActionHandler("ApprovalController:addRequest", async () => ({ value: { txMeta: undefined } }));
root.registerActionHandler("KeyringController:signEip7702Authorization", async () => { throw new Error("not asked for"); });

// Network: found, looked up, EIP-1559 or not.
const network = new NetworkController({
  messenger: child("NetworkController", ["ErrorReportingService:captureException"], []),
  infuraProjectId: "0".repeat(32),
  getRpcServiceOptions: () => ({ fetch: globalThis.fetch.bind(globalThis), btoa: globalThis.btoa.bind(globalThis) }),
  getBlockTrackerOptions: () => ({ pollingInterval: 200 }),
});
const added = network.addNetwork({
  chainId: CHAIN, name: "OpenLedger devnet", nativeCurrency: "OPEN", blockExplorerUrls: [], defaultRpcEndpointIndex: 0,
  rpcEndpoints: [{ type: RpcEndpointType.Custom, url, name: "devnet" }],
});
const networkClientId = added.rpcEndpoints[0].networkClientId;
await network.setActiveNetwork(networkClientId);
await network.lookupNetwork(networkClientId);
found.network = network.state.networksMetadata[networkClientId].status;
found.eip1559 = await network.getEIP1559Compatibility(networkClientId);
const { provider, blockTracker } = network.getNetworkClientById(networkClientId);
const request = (method, ...params) => provider.request({ method, params });
found.chain = [await request("eth_chainId"), await request("net_version")];
found.block = (await blockTracker.getLatestBlock()).startsWith("0x");

// Gas fees, as the wallet shows them.
const fees = new GasFeeController({
  messenger: child("GasFeeController", ["NetworkController:getState", "NetworkController:getNetworkClientById",
    "NetworkController:getEIP1559Compatibility"], ["NetworkController:networkDidChange"]),
  getProvider: () => provider, getCurrentNetworkEIP1559Compatibility: async () => true,
  getCurrentAccountEIP1559Compatibility: () => true, getCurrentNetworkLegacyGasAPICompatibility: () => false,
  getChainId: () => CHAIN, onNetworkDidChange: () => {}, EIP1559APIEndpoint: url + "/none/<chain_id>", clientId: "test",
});
const shown = await fees.fetchGasFeeEstimates({ networkClientId });
found.fees = [shown.gasEstimateType, Number(shown.gasFeeEstimates.gasPrice) > 0]; // of a network that MetaMask's own service does not know

// Transactions: added, approved, signed, published, confirmed.
const transactions = new TransactionController({
  messenger: child("TransactionController",
    ["AccountsController:getSelectedAccount", "AccountsController:getState", "ApprovalController:addRequest",
      "NetworkController:findNetworkClientIdByChainId", "NetworkController:getNetworkClientById",
      "RemoteFeatureFlagController:getState", "KeyringController:signEip7702Authorization"],
    ["NetworkController:stateChange"]),
  disableHistory: true, disableSendFlowHistory: true, disableSwaps: true, transactionHistoryLimit: 40, hooks: {},
  getCurrentNetworkEIP1559Compatibility: async () => true, getCurrentAccountEIP1559Compatibility: async () => true,
  getNetworkClientRegistry: () => network.getNetworkClientRegistry(), getNetworkState: () => network.state,
  getGasFeeEstimates: (options) => fees.fetchGasFeeEstimates(options), getPermittedAccounts: async () => [FROM],
  getSavedGasFees: () => undefined, isSimulationEnabled: () => false, isFirstTimeInteractionEnabled: () => false,
  incomingTransactions: { isEnabled: () => false }, pendingTransactions: { isResubmitEnabled: () => false },
  sign: async (transaction) => transaction.sign(key),
});
const send = async (fields) => {
  const { result, transactionMeta } = await transactions.addTransaction({ from: FROM, ...fields }, { networkClientId, origin: "metamask" });
  const hash = await result;
  for (let tries = 0; tries < 400; tries += 1) {
    const meta = transactions.state.transactions.find((one) => one.id === transactionMeta.id);
    if (["confirmed", "failed", "dropped"].includes(meta.status)) return { hash, meta };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("it was not confirmed");
};
const transfer = await send({ to: TO, value: "0xde0b6b3a7640000" });
found.transfer = [transfer.meta.status, transfer.meta.txParams.gas, transfer.meta.type, transfer.meta.txParams.type];
found.received = await request("eth_getBalance", TO, "latest");
const deployment = await send({ data: BYTECODE, value: "0x0" });
const address = deployment.meta.txReceipt?.contractAddress ?? (await request("eth_getTransactionReceipt", deployment.hash)).contractAddress;
found.deployment = [deployment.meta.status, deployment.meta.type];
const call = await send({ to: address, data: "0x12345678", value: "0x0" });
found.call = [call.meta.status, call.meta.type, (await request("eth_getTransactionReceipt", call.hash)).logs.length];

// A native transaction: the wallet signs typed data and shows every field.
const fields = { name: "tales", licence: "CC-BY-4.0" };
const built = await request("openledger_buildTransaction", "datanet.create", fields, { from: FROM });
const signature = signTypedData({ privateKey: key, data: built.typedData, version: SignTypedDataVersion.V4 });
found.signer = recoverTypedSignature({ data: built.typedData, signature, version: SignTypedDataVersion.V4 });
const whole = await request("openledger_buildTransaction", "datanet.create", fields, built.options, signature);
found.native = (await request("eth_getTransactionReceipt", await request("eth_sendRawTransaction", whole.raw))).status;

console.log(JSON.stringify(found));
process.exit(0);
