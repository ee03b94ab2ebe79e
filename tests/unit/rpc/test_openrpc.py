"""The OpenRPC document is complete and valid, and what the server answers on a busy chain is what it says.

The forms are those of execution-apis: exact members, quantities without leading zeros, ``blockTimestamp`` in
transactions and logs, nothing more in a receipt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import rlp
from json_schema import faults

from openledger.abci_app.action import build_native
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import sign_digest
from openledger.primitives.transactions import system_transaction
from openledger.primitives.types import SYSTEM_ADDRESS
from openledger.rpc.formats import transaction_json

GWEI = 10**9
UNKNOWN = "0x" + "ee" * 32
OF_DEVNETS = {"eth_" + name for name in (
    "requestAccounts", "sendTransaction", "sendTransactionSync", "sendUnsignedTransaction", "sign", "signTransaction",
    "signTypedData", "signTypedData_v3", "signTypedData_v4",
)}  # fmt: skip
"""Asked in test_devnet.py."""
NOT_WALKED = {"eth_subscribe", "eth_unsubscribe"}
"""Over a WebSocket only; tests of subscriptions have them."""


def hexed(raw: bytes) -> str:
    return "0x" + raw.hex()


def refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for item in value.values():
            yield from refs(item)
    elif isinstance(value, list):
        for item in value:
            yield from refs(item)


async def test_the_document_describes_every_method_and_nothing_else(chain: Any) -> None:
    document = await chain.call("rpc.discover")
    async with chain.http.get(chain.url + "/openrpc.json") as response:
        assert response.content_type == "application/json"
        assert await response.json() == document
    names = [method["name"] for method in document["methods"]]
    assert names == sorted(chain.server.dispatcher.methods)
    assert re.fullmatch(r"1\.\d+\.\d+", document["openrpc"])
    assert document["info"]["version"]
    components = document["components"]["schemas"]
    assert {r.rpartition("/")[2] for r in refs(document)} <= components.keys()
    for method in document["methods"]:
        assert method["summary"] != method["name"], f"{method['name']} has no docstring"
        if method["name"].startswith(("eth_", "net_", "web3_", "txpool_", "trace_")):
            assert method["result"]["schema"] != {}, method["name"]
        required = [param["required"] for param in method["params"]]
        assert required == sorted(required, reverse=True), "optional parameters come last"
        assert len({param["name"] for param in method["params"]}) == len(required)


async def test_parameters_have_the_names_of_execution_apis(chain: Any) -> None:
    methods = {method["name"]: method for method in (await chain.call("rpc.discover"))["methods"]}
    for name, wanted in {
        "eth_getBalance": ["Address", "Block"],
        "eth_getProof": ["Address", "StorageKeys", "Block"],
        "eth_getStorageAt": ["Address", "Storage slot", "Block"],
        "eth_getStorageValues": ["Requests", "Block"],
        "eth_getBlockByHash": ["Block hash", "Hydrated transactions"],
        "eth_getBlockByNumber": ["Block", "Hydrated transactions"],
        "eth_getTransactionByBlockHashAndIndex": ["Block hash", "Transaction index"],
        "eth_getTransactionReceipt": ["Transaction hash"],
        "eth_feeHistory": ["blockCount", "newestBlock", "rewardPercentiles"],
        "eth_simulateV1": ["Payload", "Block tag"],
        "eth_sendRawTransaction": ["Transaction"],
        "eth_newFilter": ["Filter"],
        "eth_uninstallFilter": ["Filter identifier"],
        "debug_traceBlockByHash": ["Block hash", "TraceConfig"],
        "txpool_contentFrom": ["address"],
    }.items():
        assert [param["name"] for param in methods[name]["params"]] == wanted
    assert methods["eth_call"]["params"][0]["schema"] == {"$ref": "#/components/schemas/GenericTransaction"}


# --- all answers --------------------------------------------------------------------------------------------------


def minimal(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def sign(secret: bytes, kind: int, chain_id: int, nonce: int, to: bytes, data: bytes, extra: list[Any]) -> bytes:
    """A signed transaction of type 0, 1 or 4, worth 1 wei."""
    numbers = [minimal(nonce), minimal(5 * GWEI), minimal(200_000), to, b"\1", data]
    if kind == 0:
        r, s, parity = sign_digest(secret, keccak256(rlp.encode([*numbers, minimal(chain_id), b"", b""])))
        return rlp.encode([*numbers, minimal(chain_id * 2 + 35 + parity), minimal(r), minimal(s)])
    tip = [] if kind == 1 else [minimal(GWEI)]
    body = [minimal(chain_id), numbers[0], *tip, *numbers[1:], [[to, [bytes(32)]]], *extra]
    r, s, parity = sign_digest(secret, keccak256(bytes([kind]) + rlp.encode(body)))
    return bytes([kind]) + rlp.encode([*body, minimal(parity), minimal(r), minimal(s)])


def authorization(secret: bytes, chain_id: int, target: bytes, nonce: int) -> list[bytes]:
    body = [minimal(chain_id), target, minimal(nonce)]
    r, s, parity = sign_digest(secret, keccak256(b"\x05" + rlp.encode(body)))
    return [*body, minimal(parity), minimal(r), minimal(s)]


class Walk:
    """A busy chain, and what was asked of it."""

    def __init__(self, chain: Any, document: dict[str, Any]) -> None:
        self.chain = chain
        self.results = {method["name"]: method["result"]["schema"] for method in document["methods"]}
        self.components = document["components"]["schemas"]
        self.asked: set[str] = set()
        self.faults: list[str] = []

    async def ask(self, method: str, *params: Any) -> Any:
        result = await self.chain.call(method, *params)
        self.asked.add(method)
        found = list(faults(result, self.results[method], self.components))
        self.faults += [f"{method}{params}: {fault}" for fault in found[:5]]
        return result


async def fill(walk: Walk, counter: Any) -> dict[str, str]:
    """Every kind of transaction; a name for each hash. One of each waits at the end."""
    chain = walk.chain
    chain_id, secrets, addresses = chain.app.genesis.evm_chain_id, chain.secrets, chain.addresses
    deploy = await walk.ask("eth_sendRawTransactionSync", hexed(chain.signed(to=None, data=counter.init, gas=300_000)))
    contract = bytes.fromhex(deploy["contractAddress"][2:])
    raws = {
        "legacy": sign(secrets[1], 0, chain_id, 0, contract, b"", []),  # the counter takes no coins, nor no data
        "list": sign(secrets[1], 1, chain_id, 1, addresses[2], b"", []),
        "delegating": sign(
            secrets[1], 4, chain_id, 2, addresses[3], b"", [[authorization(secrets[3], chain_id, contract, 0)]]
        ),
        "call": chain.signed(account=2, to=contract, data=b"\1", gas=100_000),
        "native": build_native(
            secrets[4], chain_id=chain_id, nonce=0, max_fee=5 * GWEI, max_priority_fee=0, action=DatanetCreate("x")
        ),
    }
    found = {"deploy": deploy["transactionHash"], "contract": deploy["contractAddress"]}
    for name, raw in raws.items():
        found[name] = await walk.ask("eth_sendRawTransaction", hexed(raw))
        await chain.engine.mine()
    for nonce in (1, 3):
        raw = sign(secrets[2], 1, chain_id, nonce, addresses[1], b"", [])
        found["waiting" if nonce == 1 else "gapped"] = await walk.ask("eth_sendRawTransaction", hexed(raw))
    return found


async def walk_blocks(walk: Walk) -> None:
    head = int(await walk.ask("eth_blockNumber"), 16)
    for number in [*map(hex, range(head + 1)), "latest", "safe", "finalized", "earliest", "pending", "0x9999"]:
        for full in (False, True):
            block = await walk.ask("eth_getBlockByNumber", number, full)
        for method in (
            "eth_getHeaderByNumber", "eth_getBlockReceipts", "eth_getBlockTransactionCountByNumber",
            "eth_getUncleCountByBlockNumber",
        ):  # fmt: skip
            await walk.ask(method, number)
        for index in ("0x0", "0x5"):
            await walk.ask("eth_getTransactionByBlockNumberAndIndex", number, index)
            await walk.ask("eth_getRawTransactionByBlockNumberAndIndex", number, index)
        await walk.ask("eth_getUncleByBlockNumberAndIndex", number, "0x0")
        digest = (block or {}).get("hash") or UNKNOWN
        for full in (False, True):
            await walk.ask("eth_getBlockByHash", digest, full)
        await walk.ask("eth_getBlockReceipts", digest)
        for method in (
            "eth_getHeaderByHash", "eth_getBlockTransactionCountByHash", "eth_getUncleCountByBlockHash",
            "erigon_getHeaderByHash", "ots_getBlockDetailsByHash",
        ):  # fmt: skip
            await walk.ask(method, digest)
        await walk.ask("eth_getUncleByBlockHashAndIndex", digest, "0x0")
        await walk.ask("eth_getTransactionByBlockHashAndIndex", digest, "0x0")
        await walk.ask("eth_getRawTransactionByBlockHashAndIndex", digest, "0x0")
        if number.startswith("0x") and number not in ("0x0", "0x9999"):
            await walk.ask("debug_traceBlockByNumber", number)
            await walk.ask("debug_traceBlockByHash", digest, {"tracer": "callTracer"})
            for method in ("debug_getRawBlock", "debug_getRawHeader", "debug_getRawReceipts", "trace_block"):
                await walk.ask(method, number)
            await walk.ask("trace_replayBlockTransactions", number, ["stateDiff"])
            await walk.ask("ots_getBlockDetails", number)
            await walk.ask("ots_getBlockTransactions", number, 0, 10)
            await walk.ask("erigon_getHeaderByNumber", number)


async def walk_transactions(walk: Walk, hashes: list[str]) -> None:
    for digest in [*hashes, UNKNOWN]:
        await walk.ask("eth_getTransactionByHash", digest)
        await walk.ask("eth_getRawTransactionByHash", digest)
        await walk.ask("debug_getRawTransaction", digest)
        receipt = await walk.ask("eth_getTransactionReceipt", digest)
        for method in (
            "trace_transaction", "ots_getTransactionError", "ots_traceTransaction", "ots_getInternalOperations",
            "openledger_getTransactionError",
        ):  # fmt: skip
            await walk.ask(method, digest)
        await walk.ask("trace_get", digest, [])
        await walk.ask("trace_replayTransaction", digest, ["trace", "stateDiff", "vmTrace"])
        if receipt is not None:
            await walk.ask("debug_traceTransaction", digest, {"tracer": "prestateTracer"})


async def walk_accounts(walk: Walk, contract: str) -> None:
    for address in [contract, *map(hexed, walk.chain.addresses[:5]), "0x" + "00" * 18 + "0800", "0x" + "77" * 20]:
        for block in ("latest", "pending", "0x1", {"blockNumber": "0x2"}):
            for method in (
                "eth_getBalance", "eth_getCode", "eth_getTransactionCount", "eth_getAccountInfo",
            ):  # fmt: skip
                await walk.ask(method, address, block)
            await walk.ask("eth_getStorageAt", address, "0x0", block)
            await walk.ask("eth_getStorageValues", {address: ["0x0", "0x" + "00" * 31 + "01"]}, block)
        for block in ("latest", "0x2"):
            await walk.ask("eth_getProof", address, ["0x0", "0x" + "00" * 32], block)
            await walk.ask("eth_getAccount", address, block)
        await walk.ask("ots_hasCode", address)
        await walk.ask("ots_getContractCreator", address)
        await walk.ask("ots_searchTransactionsBefore", address, 0, 10)
        await walk.ask("ots_searchTransactionsAfter", address, 0, 10)
        await walk.ask("ots_getTransactionBySenderAndNonce", address, 0)
        await walk.ask("eth_getTransactionBySenderAndNonce", address, "0x0")
        await walk.ask("txpool_contentFrom", address)


async def walk_calls(walk: Walk, contract: str) -> None:
    me = hexed(walk.chain.addresses[5])
    wish = {"from": me, "to": contract, "input": "0x01", "data": "0x01"}
    await walk.ask("eth_call", wish, "latest")
    await walk.ask("eth_estimateGas", wish)
    for asked in (wish, {"from": me, "to": contract}):
        await walk.ask("eth_createAccessList", asked, "latest")
        await walk.ask("debug_traceCall", asked, "latest", {"tracer": "callTracer"})
    for fees in ({}, {"gasPrice": hex(5 * GWEI)}, {"maxFeePerGas": hex(5 * GWEI)}, {"accessList": []}):
        await walk.ask("eth_fillTransaction", wish | fees)
    blocks = [{"calls": [wish, {"from": me, "to": contract}]}, {"blockOverrides": {"number": hex(99)}}]
    for full in (False, True):
        options = {"traceTransfers": True, "returnFullTransactions": full}
        await walk.ask("eth_simulateV1", {"blockStateCalls": blocks} | options, "latest")
    call = {"to": contract, "data": "0x01"}
    await walk.ask("trace_call", call, ["trace", "stateDiff", "vmTrace"], "latest")
    await walk.ask("trace_callMany", [[call, ["trace"]], [call, ["stateDiff"]]])
    raw = walk.chain.signed(9, 0, to=bytes.fromhex(contract[2:]), data=b"\1", gas=100_000)
    await walk.ask("trace_rawTransaction", hexed(raw), ["trace", "stateDiff", "vmTrace"])


async def walk_rest(walk: Walk, contract: str, counter: Any) -> None:
    for query in ({}, {"address": contract}, {"topics": [[counter.topic, None]]}, {"topics": [None, []]}):
        await walk.ask("eth_getLogs", {"fromBlock": "0x0"} | query)
    block = await walk.chain.call("eth_getBlockByNumber", "latest", False)
    await walk.ask("eth_getLogs", {"blockHash": block["hash"]})
    filters = [
        await walk.ask("eth_newFilter", {"fromBlock": "0x0"}),
        await walk.ask("eth_newBlockFilter"),
        await walk.ask("eth_newPendingTransactionFilter"),
    ]
    await walk.ask("eth_getFilterLogs", filters[0])
    await walk.chain.engine.mine()
    for ident in filters:
        await walk.ask("eth_getFilterChanges", ident)
        await walk.ask("eth_uninstallFilter", ident)
    for percentiles in ([], [0, 50.5, 100]):
        for newest in ("latest", "pending", "0x3"):
            await walk.ask("eth_feeHistory", "0x5", newest, percentiles)
    await walk.ask("trace_filter", {"fromBlock": "0x0"})
    for method, parsers in ((n, m.required) for n, m in sorted(walk.chain.server.dispatcher.methods.items())):
        if method.startswith(("anvil_", "hardhat_", "evm_", "tenderly_")):
            continue  # they change the chain under the walk
        if not parsers and method not in walk.asked and method not in NOT_WALKED:
            await walk.ask(method)


async def test_every_answer_on_a_busy_chain_has_the_form_that_the_document_says(idle_chain: Any, counter: Any) -> None:
    walk = Walk(idle_chain, await idle_chain.call("rpc.discover"))
    stop = mining(idle_chain)
    found = await fill(walk, counter)
    stop.cancel()
    receipts = {name: await walk.ask("eth_getTransactionReceipt", h) for name, h in found.items() if name != "contract"}
    assert [receipts[n]["type"] for n in ("legacy", "list", "deploy", "delegating", "native")] == [
        "0x0", "0x1", "0x2", "0x4", "0x50"
    ]  # fmt: skip
    assert receipts["legacy"]["status"] == "0x0"
    assert receipts["call"]["logs"]
    await walk_blocks(walk)
    await walk_transactions(walk, [h for name, h in found.items() if name != "contract"])
    await walk_accounts(walk, found["contract"])
    await walk_calls(walk, found["contract"])
    await walk.ask("web3_sha3", "0x01")
    await walk_rest(walk, found["contract"], counter)
    assert walk.faults == []
    ours = ("eth_", "net_", "web3_", "txpool_", "debug_", "trace_", "ots_", "erigon_", "rpc")
    missed = {m for m in walk.results if m.startswith(ours)} - walk.asked - NOT_WALKED - OF_DEVNETS
    assert missed == set()


def mining(chain: Any) -> Any:
    """Blocks until the first transaction's receipt is there: the chain makes none of itself."""
    import asyncio

    async def run() -> None:
        while True:
            await asyncio.sleep(0.05)
            if chain.app.mempool.reap():
                await chain.engine.mine()
                return

    return asyncio.get_running_loop().create_task(run())


async def test_the_system_transaction_has_its_form(chain: Any) -> None:
    components = (await chain.call("rpc.discover"))["components"]["schemas"]
    header = chain.app.head()
    shown = transaction_json(system_transaction(7, bytes(32)), SYSTEM_ADDRESS, 1, header, header.hash, 0)
    assert list(faults(shown, {"$ref": "#/components/schemas/TransactionInfo"}, components)) == []


@pytest.mark.parametrize(
    ("value", "schema", "words"),
    [
        ("0x01", {"$ref": "uint"}, "is not"),
        (5, {"type": "string"}, "int, not string"),
        (True, {"type": "integer"}, "bool, not integer"),
        ({"a": 1}, {"type": "object", "properties": {}, "additionalProperties": False}, "unknown"),
        ({}, {"type": "object", "required": ["a"]}, "lacks a"),
        ("x", {"oneOf": [{"type": "string"}, {"enum": ["x"]}]}, "2 of oneOf"),
        ([1, "a"], {"items": {"type": "integer"}}, "[1]"),
        (2, {"type": "number", "maximum": 1}, "out of bounds"),
        ({"a": 1}, {"not": {"required": ["a"]}}, "must not be"),
    ],
)
def test_the_checker_finds_faults(value: Any, schema: Any, words: str) -> None:
    assert words in " ".join(faults(value, schema, {"uint": {"type": "string", "pattern": "^0x(0|[1-9a-f]+)$"}}))
