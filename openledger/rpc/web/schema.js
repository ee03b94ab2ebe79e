/** Native actions and events as the chain defines them. Made by tests/unit/web/schema_js.py; do not edit. */

export const ACTIONS = {
  "datanet.create": {"type": "DatanetCreate", "fields": [["name", "string"], ["description", "string"], ["schema", "string"], ["licence", "string"], ["policy", "string"], ["reviewQuorum", "uint8"], ["bond", "uint256"]]},
  "datanet.commit": {"type": "DatanetCommit", "fields": [["datanet", "uint64"], ["parent", "uint64"], ["root", "bytes32"], ["rows", "uint64"], ["add", "Part[]"], ["remove", "bytes32[]"], ["message", "string"]]},
  "model.publish": {"type": "ModelPublish", "fields": [["name", "string"], ["base", "string"], ["data", "DataRef[]"], ["weights", "bytes32"], ["bundle", "bytes32"], ["receipt", "bytes32"], ["index", "bytes32"], ["indexRoot", "bytes32"], ["rows", "uint64"], ["method", "string"], ["baseLoss", "uint64"], ["heldOutLoss", "uint64"], ["lds", "uint32"], ["price", "uint256"]]},
  "model.retire": {"type": "ModelRetire", "fields": [["model", "uint64"]]},
  "inference.open": {"type": "InferenceOpen", "fields": [["model", "uint64"], ["deposit", "uint256"], ["expiry", "uint64"]]},
  "inference.settle": {"type": "InferenceSettle", "fields": [["session", "uint64"], ["cumulative", "uint256"], ["answers", "uint32"], ["receipts", "bytes32"], ["signature", "bytes"], ["close", "bool"]]},
  "inference.close": {"type": "InferenceClose", "fields": [["session", "uint64"]]},
  "attribution.claim": {"type": "AttributionClaim", "fields": [["model", "uint64"], ["epoch", "uint64"], ["first", "uint64"], ["shares", "Share[]"], ["unattributed", "uint32"], ["evidence", "bytes32"], ["scoresRoot", "bytes32"], ["scores", "bytes32"]]},
  "rewards.claim": {"type": "RewardsClaim", "fields": [["amount", "uint256"]]},
  "validator.create": {"type": "ValidatorCreate", "fields": [["pubKey", "bytes32"], ["proof", "bytes"], ["amount", "uint256"], ["name", "string"], ["oracle", "bool"]]},
  "validator.edit": {"type": "ValidatorEdit", "fields": [["name", "string"], ["oracle", "bool"]]},
  "validator.unjail": {"type": "ValidatorUnjail", "fields": []},
  "stake.delegate": {"type": "StakeDelegate", "fields": [["operator", "address"], ["amount", "uint256"]]},
  "stake.undelegate": {"type": "StakeUndelegate", "fields": [["operator", "address"], ["amount", "uint256"]]},
};

export const STRUCTS = {
  "DataRef": [["datanet", "uint64"], ["version", "uint64"]],
  "Part": [["contributor", "address"], ["blob", "bytes32"], ["rows", "uint32"]],
  "Share": [["contributor", "address"], ["ppm", "uint32"]],
};

export const EVENTS = {
  "0x3e23f60e2b3473b7daee4eef62b84ac82e4fafb2ef014fdcf0e6268f42fc7b9b": {"address": "0x0000000000000000000000000000000000000800", "name": "DatanetCommitted", "fields": [["datanet", "uint256", true], ["version", "uint256", true], ["author", "address", true], ["root", "bytes32", false], ["rows", "uint256", false]]},
  "0x72ddc5f7e6046dc07f21df491212d3b1757c4934b24e1a093c211e13476f5c33": {"address": "0x0000000000000000000000000000000000000800", "name": "DatanetCreated", "fields": [["datanet", "uint256", true], ["owner", "address", true], ["name", "string", false]]},
  "0xc71b75b3da3e004d1c38e4fe95862a1ca1d45762c09355e4dd1549eaaab20d39": {"address": "0x0000000000000000000000000000000000000801", "name": "EpochClosed", "fields": [["epoch", "uint256", true], ["minted", "uint256", false]]},
  "0x70e6cc9feac4125ab01e8730b951a4fe9519c5d07a94bf9f39fd7ffa825edc18": {"address": "0x0000000000000000000000000000000000000801", "name": "ModelPublished", "fields": [["model", "uint256", true], ["owner", "address", true], ["name", "string", false], ["price", "uint256", false]]},
  "0x791bfce3bfc5ac11726f885364a02a911d7554b6bb98088264f2cb3be3a125fa": {"address": "0x0000000000000000000000000000000000000801", "name": "ModelRetired", "fields": [["model", "uint256", true]]},
  "0xd2fe606d6e5a1d7a66766fa1df5b7868957cdeb3e929db537e6cea563a79e8e6": {"address": "0x0000000000000000000000000000000000000801", "name": "SessionClosed", "fields": [["session", "uint256", true], ["refund", "uint256", false]]},
  "0x4f76d6d11274565e7597b3509d0e84d72092a2db232af9d7731c4ff755302a18": {"address": "0x0000000000000000000000000000000000000801", "name": "SessionOpened", "fields": [["session", "uint256", true], ["model", "uint256", true], ["consumer", "address", true], ["deposit", "uint256", false], ["price", "uint256", false], ["expiry", "uint256", false]]},
  "0x9d38c5908d89c08864287aa7cbe148788e358d79cdfea6eb20a0a1df749ece4e": {"address": "0x0000000000000000000000000000000000000801", "name": "SessionSettled", "fields": [["session", "uint256", true], ["model", "uint256", true], ["epoch", "uint256", true], ["amount", "uint256", false], ["answers", "uint256", false]]},
  "0x24dbd32e6f90c7f45350b3fa0cf8614b4e2a6418e9584821852b346dd86ae5e3": {"address": "0x0000000000000000000000000000000000000802", "name": "BondSlashed", "fields": [["claim", "uint256", true], ["claimant", "address", true], ["amount", "uint256", false]]},
  "0x05c74edbb22590122e18353da8163ab7534dd8190bc6a4ac372519e50dd37459": {"address": "0x0000000000000000000000000000000000000802", "name": "ClaimOpened", "fields": [["claim", "uint256", true], ["model", "uint256", true], ["epoch", "uint256", true], ["claimant", "address", false], ["fee", "uint256", false]]},
  "0xff661763caa36e68f17e3f3d782a2e476da34c2c57f53f68082024ee8cb100ac": {"address": "0x0000000000000000000000000000000000000802", "name": "ClaimPhase", "fields": [["claim", "uint256", true], ["status", "uint8", false], ["deadline", "uint64", false]]},
  "0xd3e52f367e21e7f1af387f48ae0dc08669923b94c9c36e52747fbdaa5a676909": {"address": "0x0000000000000000000000000000000000000802", "name": "FeeBurned", "fields": [["claim", "uint256", true], ["amount", "uint256", false]]},
  "0x9cae03cb49e4d8d1e698d7615268b2998ee018de01d50eb2db551734478cbfc4": {"address": "0x0000000000000000000000000000000000000802", "name": "FeePaid", "fields": [["claim", "uint256", true], ["account", "address", true], ["amount", "uint256", false], ["role", "string", false]]},
  "0xd0a0d80667b5ed3ace8c9ff96305d7bde34ddaac3c5e0d62bf5f1e17b78dbf0e": {"address": "0x0000000000000000000000000000000000000802", "name": "FeeRefunded", "fields": [["claim", "uint256", true], ["consumer", "address", true], ["amount", "uint256", false]]},
  "0xe76a187449690f0071359da58a84f8930b26908aae428c6dad96c632d97e9349": {"address": "0x0000000000000000000000000000000000000802", "name": "RewardMinted", "fields": [["claim", "uint256", true], ["account", "address", true], ["amount", "uint256", false]]},
  "0xfc30cddea38e2bf4d6ea7d3f9ed3b6ad7f176419f4963bd81318067a4aee73fe": {"address": "0x0000000000000000000000000000000000000802", "name": "RewardsClaimed", "fields": [["account", "address", true], ["amount", "uint256", false]]},
  "0x83ba084294aeec6d06c754aad9f9f389bd415d635266b22edebcc3fe859c1124": {"address": "0x0000000000000000000000000000000000000802", "name": "VerdictMessage", "fields": [["claim", "uint256", true], ["validator", "address", true], ["phase", "uint8", false], ["verdict", "uint8", false], ["reason", "string", false]]},
  "0x5dac0c1b1112564a045ba943c9d50270893e8e826c49be8e7073adc713ab7bd7": {"address": "0x0000000000000000000000000000000000000803", "name": "Staked", "fields": [["delegator", "address", true], ["operator", "address", true], ["amount", "uint256", false]]},
  "0xcc90a4f2d7b65033483b2f4c7f47742028ea004a2be3fb0d16647fbf3fc457ca": {"address": "0x0000000000000000000000000000000000000803", "name": "Unbonded", "fields": [["delegator", "address", true], ["operator", "address", true], ["amount", "uint256", false]]},
  "0x5a389a3372b6ba19becb2ea7f4354992b8713511979f52f87fa0cf2378b9e9d3": {"address": "0x0000000000000000000000000000000000000803", "name": "UnbondingStarted", "fields": [["delegator", "address", true], ["operator", "address", true], ["amount", "uint256", false], ["ready", "uint64", false]]},
  "0xbd6ef12a04191d26243dfa78a2189df096e3f0ecf672035a1a852f1447d022a3": {"address": "0x0000000000000000000000000000000000000803", "name": "ValidatorCreated", "fields": [["operator", "address", true], ["validator", "address", true], ["pubKey", "bytes32", false], ["name", "string", false]]},
  "0x69da45a90c156b2d6f153d38a5236a9627e2a9871d194aa2a2fcd689de737eeb": {"address": "0x0000000000000000000000000000000000000803", "name": "ValidatorEdited", "fields": [["operator", "address", true], ["name", "string", false], ["oracle", "bool", false]]},
  "0x1a6f73975b1ae805e5acc88ad77f5c1639481a8070499b7e31cd7b15fb3abb96": {"address": "0x0000000000000000000000000000000000000803", "name": "ValidatorJailed", "fields": [["operator", "address", true], ["validator", "address", true], ["until", "uint64", false]]},
  "0x8ca31e8f4507bb164d05d4c2a4efa602406c847d1aba468d08c95b7cbde50c4d": {"address": "0x0000000000000000000000000000000000000803", "name": "ValidatorSlashed", "fields": [["operator", "address", true], ["validator", "address", true], ["amount", "uint256", false], ["reason", "string", false]]},
  "0x206a309ed352d0dff935e68c83e823bcb4f300930c69e8c243de181fed58608a": {"address": "0x0000000000000000000000000000000000000803", "name": "ValidatorTombstoned", "fields": [["operator", "address", true], ["validator", "address", true], ["height", "uint64", false]]},
  "0xf396868b76109769670bba6427b74dad98a50caaafdd6a3600323c2d44358912": {"address": "0x0000000000000000000000000000000000000803", "name": "ValidatorUnjailed", "fields": [["operator", "address", true], ["validator", "address", true]]},
  "0x9329fbdd03d364d04954e9ee1852111a10d1b0c5981f9614ddb14c2d7c58c5ff": {"address": "0x0000000000000000000000000000000000000900", "name": "ActionFailed", "fields": [["index", "uint256", false], ["code", "uint256", false]]},
};
