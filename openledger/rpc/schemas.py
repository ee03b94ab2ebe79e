"""JSON schemas of what goes in and out of the RPC, for the OpenRPC document. The names of Ethereum's forms are those of
execution-apis; a transaction here may also be a native one (0x50) or the system transaction (0x51)."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A component of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Schema:
    """A list of these."""
    return {"type": "array", "items": items}


def nullable(schema: Schema) -> Schema:
    """This or null."""
    return {"oneOf": [{"type": "null"}, schema]}


def one_of(*names: str) -> Schema:
    """One of these components."""
    return {"oneOf": [ref(name) for name in names]}


def mapping(values: Schema) -> Schema:
    """An object with keys of the caller's or the chain's."""
    return {"type": "object", "additionalProperties": values}


def record(required: dict[str, Schema], optional: dict[str, Schema] | None = None, *, closed: bool = True) -> Schema:
    """An object with these members; ``closed`` allows no others."""
    found: Schema = {
        "type": "object",
        "required": list(required),
        "properties": required | (optional or {}),
    }
    return found | ({"additionalProperties": False} if closed else {})


def _hex(digits: str) -> Schema:
    return {"type": "string", "pattern": f"^0x{digits}$"}


def _members(names: str, schema: Schema) -> dict[str, Schema]:
    return dict.fromkeys(names.split(), schema)


UINT, HASH, ADDRESS, BYTES = ref("uint"), ref("hash32"), ref("address"), ref("bytes")
NULL: Schema = {"type": "null"}
INTEGER: Schema = {"type": "integer"}
TEXT: Schema = {"type": "string"}

_HEADER = (
    _members("hash parentHash sha3Uncles stateRoot transactionsRoot receiptsRoot mixHash", HASH)
    | _members("number gasLimit gasUsed timestamp difficulty baseFeePerGas", UINT)
    | _members("withdrawalsRoot parentBeaconBlockRoot requestsHash", HASH)
    | _members("blobGasUsed excessBlobGas", UINT)
    | {"miner": ADDRESS, "logsBloom": ref("bytes256"), "extraData": BYTES, "nonce": ref("bytes8")}
)
_BLOCK = _HEADER | {
    "size": UINT,
    "transactions": {"anyOf": [array(HASH), array(ref("TransactionInfo"))]},
    "uncles": array(HASH),
    "withdrawals": {"type": "array", "items": {}},
}
_PENDING = {name: nullable(_HEADER[name]) for name in ("hash", "miner", "nonce")}
_PLACE = (
    _members("blockHash hash", HASH) | _members("blockNumber blockTimestamp transactionIndex", UINT) | {"from": ADDRESS}
)
_NO_PLACE = _members("blockHash blockNumber blockTimestamp transactionIndex", NULL) | {"hash": HASH, "from": ADDRESS}
_BODY = _members("nonce gas value gasPrice chainId", UINT) | {"to": nullable(ADDRESS), "input": BYTES}
_SIGNED = _members("v r s", UINT)
_ACCESS = {"accessList": ref("AccessList"), "yParity": ref("byte")}
_FEES = _members("maxFeePerGas maxPriorityFeePerGas", UINT)
_TYPES: dict[str, tuple[str, dict[str, Schema]]] = {
    "Legacy": ("0", {}),
    "2930": ("1", _ACCESS),
    "1559": ("2", _ACCESS | _FEES),
    "7702": ("4", _ACCESS | _FEES | {"authorizationList": ref("AuthorizationList"), "to": ADDRESS}),
    "Native": ("50", _ACCESS | _FEES | {"kind": TEXT, "to": ADDRESS}),
    "System": ("51", _ACCESS | _FEES | {"to": ADDRESS}),
}


def _transactions() -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    for name, (number, more) in _TYPES.items():
        body = {"type": _hex(number)} | _BODY | _SIGNED | more
        found[f"Transaction{name}"] = record(_PLACE | body)
        if name != "System":
            found[f"Waiting{name}"] = record(_NO_PLACE | body)
    found["TransactionInfo"] = one_of(*(f"Transaction{name}" for name in _TYPES))
    found["PendingTransactionInfo"] = one_of(*(f"Waiting{name}" for name in _TYPES if name != "System"))
    return found


_LOG = (
    _members("logIndex transactionIndex blockNumber blockTimestamp", UINT)
    | _members("transactionHash blockHash", HASH)
    | {"address": ADDRESS, "data": BYTES, "topics": array(ref("bytes32")), "removed": {"type": "boolean"}}
)
_RECEIPT = (
    _members("transactionIndex blockNumber cumulativeGasUsed gasUsed status effectiveGasPrice", UINT)
    | _members("transactionHash blockHash", HASH)
    | {
        "type": ref("byte"), "from": ADDRESS, "to": nullable(ADDRESS), "contractAddress": nullable(ADDRESS),
        "logs": array(ref("Log")), "logsBloom": ref("bytes256"),
    }
)  # fmt: skip
_ASKED = (
    _members("nonce gas value gasPrice maxFeePerGas maxPriorityFeePerGas chainId", UINT)
    | {
        "type": ref("byte"), "from": ADDRESS, "to": nullable(ADDRESS), "input": BYTES, "data": BYTES,
        "accessList": ref("AccessList"), "authorizationList": ref("AuthorizationList"),
    }
)  # fmt: skip
_CALL_ERROR = record({"code": INTEGER, "message": TEXT}, {"data": BYTES})
_SIMULATED = _members("gasUsed maxUsedGas", UINT) | {"returnData": BYTES, "logs": array(ref("Log"))}
_POOLED = mapping(mapping(ref("PendingTransactionInfo")))
_RESOURCE = record(
    {"disabled": {"type": "boolean"}},
    {"oldestBlock": UINT, "deleteStrategy": record({"type": {"const": "window"}, "retentionBlocks": UINT})},
)
_FORK = record(
    {
        "activationTime": INTEGER,
        "blobSchedule": record({"baseFeeUpdateFraction": INTEGER, "max": INTEGER, "target": INTEGER}),
        "chainId": UINT,
        "forkId": ref("bytes4"),
        "precompiles": mapping(ADDRESS),
        "systemContracts": mapping(ADDRESS),
    }
)
_TOPICS = array({"oneOf": [NULL, ref("bytes32"), array(nullable(ref("bytes32")))]})
_WHERE = {"address": {"oneOf": [NULL, ADDRESS, array(ADDRESS)]}, "topics": {"oneOf": [NULL, _TOPICS]}}

COMPONENTS: dict[str, Schema] = {
    "address": _hex("[0-9a-fA-F]{40}"),
    "byte": _hex("[0-9a-f]{1,2}"),
    "bytes": _hex("([0-9a-f]{2})*"),
    "bytes4": _hex("[0-9a-f]{8}"),
    "bytes8": _hex("[0-9a-f]{16}"),
    "bytes32": _hex("[0-9a-f]{64}"),
    "bytes256": _hex("[0-9a-f]{512}"),
    "bytesMax32": _hex("[0-9a-fA-F]{0,64}"),
    "hash32": _hex("[0-9a-f]{64}"),
    "uint": _hex("(0|[1-9a-f][0-9a-f]*)"),
    "uint64": _hex("(0|[1-9a-f][0-9a-f]{0,15})"),
    "uintDecimal": {"type": "string", "pattern": "^(0|[1-9][0-9]*)$"},
    "ratio": {"type": "number", "minimum": 0, "maximum": 1},
    "Number": {"anyOf": [ref("uint64"), {"type": "integer", "minimum": 0}]},
    "BlockTag": {"type": "string", "enum": ["earliest", "finalized", "safe", "latest", "pending"]},
    "BlockNumberOrTag": one_of("uint64", "BlockTag"),
    "BlockReference": {
        "anyOf": [
            ref("uint64"),
            ref("BlockTag"),
            ref("hash32"),
            record({"blockNumber": ref("uint64")}, {"requireCanonical": {"type": "boolean"}}),
            record({"blockHash": HASH}, {"requireCanonical": {"type": "boolean"}}),
        ]
    },
    "AccessList": array(record({"address": ADDRESS, "storageKeys": array(ref("bytes32"))})),
    "AuthorizationList": array(
        record(_members("chainId nonce r s", UINT) | {"address": ADDRESS, "yParity": ref("byte")})
    ),
    "GenericTransaction": record({}, _ASKED, closed=False),
    "Header": record(_HEADER),
    "Block": record(_BLOCK),
    "PendingHeader": record(_HEADER | _PENDING),
    "PendingBlock": record(
        _BLOCK | _PENDING | {"transactions": {"anyOf": [array(HASH), {"type": "array", "items": {"type": "object"}}]}}
    ),
    **_transactions(),
    "UnsignedTransaction": record(
        {"type": ref("byte")} | _BODY,
        {"from": ADDRESS, "hash": HASH} | _ACCESS | _FEES | _SIGNED | {"authorizationList": ref("AuthorizationList")},
    ),
    "Log": record(_LOG),
    "ReceiptInfo": record(_RECEIPT),
    "SyncingStatus": {"oneOf": [{"const": False}, record(_members("startingBlock currentBlock highestBlock", UINT))]},
    "Filter": {
        "oneOf": [
            record({}, _WHERE | _members("fromBlock toBlock", ref("BlockNumberOrTag")), closed=False)
            | {"not": {"required": ["blockHash"]}},
            record({"blockHash": HASH}, _WHERE, closed=False),
        ]
    },
    "FilterResults": {"anyOf": [array(HASH), array(ref("Log"))]},
    "AccountProof": record(
        {
            "address": ADDRESS,
            "accountProof": array(BYTES),
            "balance": UINT,
            "codeHash": HASH,
            "nonce": UINT,
            "storageHash": HASH,
            "storageProof": array(record({"key": ref("bytesMax32"), "value": UINT, "proof": array(BYTES)})),
        }
    ),
    "FeeHistory": record(
        {"oldestBlock": UINT, "baseFeePerGas": array(UINT), "gasUsedRatio": array(ref("ratio"))},
        {
            "baseFeePerBlobGas": array(UINT),
            "blobGasUsedRatio": array(ref("ratio")),
            "reward": array(array(UINT)),
        },
    ),
    "AccessListResult": record({"accessList": ref("AccessList"), "gasUsed": UINT}, {"error": TEXT}),
    "SimulatedCall": {
        "oneOf": [
            record(_SIMULATED | {"status": {"const": "0x1"}}),
            record(_SIMULATED | {"status": {"const": "0x0"}, "error": _CALL_ERROR}),
        ]
    },
    "SimulatedBlock": record(
        _BLOCK
        | {
            "calls": array(ref("SimulatedCall")),
            "transactions": {"anyOf": [array(HASH), {"type": "array", "items": {"type": "object"}}]},
        }
    ),
    "FillTransactionResult": record({"raw": BYTES, "tx": ref("UnsignedTransaction")}),
    "Account": record(_members("balance nonce", UINT) | _members("codeHash storageRoot", HASH)),
    "AccountInfo": record(_members("balance nonce", UINT) | {"code": BYTES}),
    "Configuration": record({"current": _FORK, "next": nullable(_FORK), "last": nullable(_FORK)}),
    "Capabilities": record(
        {"head": record({"number": UINT, "hash": HASH})}
        | _members("state tx logs receipts blocks stateproofs", _RESOURCE)
    ),
    "TxpoolStatus": record(_members("pending queued", UINT)),
    "TxpoolContent": record(_members("pending queued", _POOLED)),
    "TxpoolContentFrom": record(_members("pending queued", mapping(ref("PendingTransactionInfo")))),
    "TxpoolInspect": record(_members("pending queued", mapping(mapping(TEXT)))),
    "FlatTrace": record(
        {
            "type": {"enum": ["call", "create", "suicide"]},
            "action": {"type": "object"},
            "subtraces": INTEGER,
            "traceAddress": array(INTEGER),
            "blockHash": HASH,
            "blockNumber": INTEGER,
            "transactionHash": HASH,
            "transactionPosition": INTEGER,
        },
        {"result": nullable({"type": "object"}), "error": TEXT},
    ),
    "Replay": record(
        {"output": BYTES, "trace": array({"type": "object"})}
        | _members("stateDiff vmTrace", nullable({"type": "object"})),
        {"transactionHash": HASH},
    ),
    "BlockTrace": array(record({"txHash": HASH, "result": {}})),
}

RESULTS: dict[str, Schema] = {
    "eth_accounts": array(ADDRESS),
    "eth_baseFee": UINT,
    "eth_blobBaseFee": UINT,
    "eth_blockNumber": UINT,
    "eth_call": BYTES,
    "eth_capabilities": ref("Capabilities"),
    "eth_chainId": UINT,
    "eth_coinbase": ADDRESS,
    "eth_config": ref("Configuration"),
    "eth_createAccessList": ref("AccessListResult"),
    "eth_estimateGas": UINT,
    "eth_feeHistory": ref("FeeHistory"),
    "eth_fillTransaction": ref("FillTransactionResult"),
    "eth_gasPrice": UINT,
    "eth_getAccount": ref("Account"),
    "eth_getAccountInfo": ref("AccountInfo"),
    "eth_getBalance": UINT,
    "eth_getBlockByHash": nullable(ref("Block")),
    "eth_getBlockByNumber": {"anyOf": [NULL, ref("Block"), ref("PendingBlock")]},
    "eth_getBlockReceipts": nullable(array(ref("ReceiptInfo"))),
    "eth_getBlockTransactionCountByHash": nullable(UINT),
    "eth_getBlockTransactionCountByNumber": nullable(UINT),
    "eth_getCode": BYTES,
    "eth_getFilterChanges": ref("FilterResults"),
    "eth_getFilterLogs": array(ref("Log")),
    "eth_getHeaderByHash": nullable(ref("Header")),
    "eth_getHeaderByNumber": {"anyOf": [NULL, ref("Header"), ref("PendingHeader")]},
    "eth_getLogs": array(ref("Log")),
    "eth_getProof": ref("AccountProof"),
    "eth_getRawTransactionByBlockHashAndIndex": nullable(BYTES),
    "eth_getRawTransactionByBlockNumberAndIndex": nullable(BYTES),
    "eth_getRawTransactionByHash": nullable(BYTES),
    "eth_getStorageAt": ref("bytes32"),
    "eth_getStorageValues": mapping(array(ref("bytes32"))),
    "eth_getTransactionByBlockHashAndIndex": nullable(ref("TransactionInfo")),
    "eth_getTransactionByBlockNumberAndIndex": {"anyOf": [NULL, ref("TransactionInfo"), ref("PendingTransactionInfo")]},
    "eth_getTransactionByHash": {"anyOf": [NULL, ref("TransactionInfo"), ref("PendingTransactionInfo")]},
    "eth_getTransactionBySenderAndNonce": {"anyOf": [NULL, ref("TransactionInfo"), ref("PendingTransactionInfo")]},
    "eth_getTransactionCount": UINT,
    "eth_getTransactionReceipt": nullable(ref("ReceiptInfo")),
    "eth_getUncleCountByBlockHash": nullable(UINT),
    "eth_getUncleCountByBlockNumber": nullable(UINT),
    "eth_maxPriorityFeePerGas": UINT,
    "eth_newBlockFilter": UINT,
    "eth_newFilter": UINT,
    "eth_newPendingTransactionFilter": UINT,
    "eth_sendRawTransaction": HASH,
    "eth_sendRawTransactionSync": ref("ReceiptInfo"),
    "eth_simulateV1": array(ref("SimulatedBlock")),
    "eth_subscribe": UINT,
    "eth_syncing": ref("SyncingStatus"),
    "net_peerCount": UINT,
    "net_version": ref("uintDecimal"),
    "web3_sha3": HASH,
    "txpool_status": ref("TxpoolStatus"),
    "txpool_content": ref("TxpoolContent"),
    "txpool_contentFrom": ref("TxpoolContentFrom"),
    "txpool_inspect": ref("TxpoolInspect"),
    "debug_getRawBlock": BYTES,
    "debug_getRawHeader": BYTES,
    "debug_getRawReceipts": array(BYTES),
    "debug_getRawTransaction": BYTES,
    "debug_traceBlockByHash": ref("BlockTrace"),
    "debug_traceBlockByNumber": ref("BlockTrace"),
    "trace_block": nullable(array(ref("FlatTrace"))),
    "trace_call": ref("Replay"),
    "trace_callMany": array(ref("Replay")),
    "trace_filter": array(ref("FlatTrace")),
    "trace_get": nullable(ref("FlatTrace")),
    "trace_rawTransaction": ref("Replay"),
    "trace_replayBlockTransactions": nullable(array(ref("Replay"))),
    "trace_replayTransaction": nullable(ref("Replay")),
    "trace_transaction": nullable(array(ref("FlatTrace"))),
    "openledger_sendTransaction": HASH,
}
"""Results by method. A method that is not here is described by its annotation."""
