/** Names that the chain fixes: modules, transaction types, native actions. */

export const MODULES = {
  "0x0000000000000000000000000000000000000800": "Datanets",
  "0x0000000000000000000000000000000000000801": "Models",
  "0x0000000000000000000000000000000000000802": "Attribution",
  "0x0000000000000000000000000000000000000803": "Staking",
  "0x0000000000000000000000000000000000000804": "Governance",
  "0x0000000000000000000000000000000000000805": "Deposits of proposals",
  "0x0000000000000000000000000000000000000900": "Outbox",
  "0xfffffffffffffffffffffffffffffffffffffffe": "System",
  "0x4e59b44847b379578588920ca78fbf26c0b4956c": "CREATE2 deployer",
  "0xca11bde05977b3631167028862be2a173976ca11": "Multicall3",
  "0xba5ed099633d3b313e4d5f7bdc1305d3c28ba5ed": "CreateX",
  "0x1820a4b7618bde71dce8cdc73aab6c95905fad24": "ERC-1820 registry",
  "0x0000f90827f1c53a10cb7a02335b175320002935": "Block hashes (EIP-2935)",
};

const TYPES = {
  0x0: "legacy",
  0x1: "access list (EIP-2930)",
  0x2: "EIP-1559",
  0x4: "set code (EIP-7702)",
  0x50: "native",
  0x51: "system",
};

export const NATIVE_TYPE = 0x50;
export const SYSTEM_TYPE = 0x51;

/** Statuses of a claim and verdicts, by their numbers in events. */
export const CLAIM_STATUSES = ["", "pending", "voting", "reveal", "accepted", "refused", "lapsed"];
export const VERDICTS = ["none yet", "yes", "no", "void"];

/** Native actions in words. */
export const ACTIONS = {
  "datanet.create": "create a datanet",
  "datanet.promise": "promise rows to come",
  "datanet.commit": "commit rows to a datanet",
  "datanet.review": "review rows of a datanet",
  "datanet.set_policy": "change who may commit to a datanet",
  "model.publish": "publish a model",
  "model.retire": "retire a model",
  "inference.open": "open a paid session",
  "inference.settle": "settle paid answers",
  "inference.close": "close a session",
  "attribution.claim": "claim attribution",
  "attribution.challenge": "challenge a claim",
  "attribution.challenge_index": "challenge an index",
  "rewards.claim": "withdraw rewards",
  "validator.create": "become a validator",
  "validator.edit": "edit a validator",
  "validator.unjail": "bring a validator back",
  "stake.delegate": "add stake",
  "stake.redelegate": "move stake",
  "stake.undelegate": "take stake back",
  "gov.propose": "put something to the vote",
  "gov.deposit": "deposit for a proposal",
  "gov.vote": "vote on a proposal",
};

/** Where the chain counts what a list has: the module, and the first bytes of the call (`claimCount()`, …). Challenges of
 * indexes take their numbers among those of claims. */
export const COUNTS = {
  openledger_listDatanets: ["0x0000000000000000000000000000000000000800", "0x49f62af4"], // datanetCount()
  openledger_listModels: ["0x0000000000000000000000000000000000000801", "0xc6a645fe"], // modelCount()
  openledger_listClaims: ["0x0000000000000000000000000000000000000802", "0x8da4d3c9"], // claimCount()
  openledger_listIndexChallenges: ["0x0000000000000000000000000000000000000802", "0x8da4d3c9"],
  openledger_listProposals: ["0x0000000000000000000000000000000000000804", "0xda35c664"], // proposalCount()
};

/** Units of parameters and of what else proposals change: the rest are numbers. */
const WEI = new Set(
  "initial_base_fee base_fee_floor cap reserve mint_per_epoch claim_bond challenge_bond model_bond work_price power_unit min_self_bond min_delegation gov_deposit amount communityPool".split(" "),
);
const PPM = new Set(
  "mint_factor claim_bond_ppm slash_double_sign slash_downtime slash_verdict slash_silence min_verdicts score_tolerance_relative min_signed gov_quorum gov_pass gov_veto".split(" "),
);

/** "wei", "ppm", "bps" or "s" of a named value; null for a plain number. An account's own name stands for its balance. */
export function unitOf(name) {
  if (WEI.has(name) || /^0x[0-9a-fA-F]{40}$/.test(name)) return "wei";
  if (PPM.has(name)) return "ppm";
  if (name.startsWith("split_")) return "bps";
  return name.endsWith("_seconds") ? "s" : null;
}

/** The ten accounts that every devnet funds (see guides/run-a-devnet.md); their keys are known to everybody. */
export const DEV_ACCOUNTS = [
  "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
  "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
  "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
  "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
  "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
  "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc",
  "0x976EA74026E726554dB657fA54763abd0C3a0aa9",
  "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955",
  "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f",
  "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720",
];
export const DEV_MNEMONIC = "test test test test test test test test test test test junk";

/** Label of a known address, or null. */
export function labelOf(address) {
  return MODULES[String(address ?? "").toLowerCase()] ?? null;
}

/** "native", "EIP-1559", … of a transaction's type. */
export function typeName(type) {
  return TYPES[Number(type)] ?? `type ${type}`;
}
