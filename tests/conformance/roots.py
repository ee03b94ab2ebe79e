"""Groups ``roots`` and ``logs``: what a hash commits to recomputes from the JSON alone; logs are found, once."""

from __future__ import annotations

import itertools
from typing import Any

import rlp
from conformance.forms import LOG, faults
from conformance.node import must, same
from conformance.shapes import STRANGER, UNKNOWN_HASH
from conformance.world import World, add, check, topic, topics
from eth_account import Account
from eth_utils import keccak
from trie import HexaryTrie

NAMES = ("creation", "log0", "log1", "transfer", "legacy", "listed", "reverted", "delegated")


def raw(value: str) -> bytes:
    """Bytes of hex data."""
    return bytes.fromhex(value[2:])


def num(value: str) -> bytes:
    """Big-endian bytes of a quantity, as RLP wants them."""
    number = int(value, 16)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def header_rlp(block: dict[str, Any]) -> bytes:
    """The header from its JSON."""
    data = ("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom")
    fields = [raw(block[name]) for name in data]
    fields += [num(block[name]) for name in ("difficulty", "number", "gasLimit", "gasUsed", "timestamp")]
    fields += [raw(block[name]) for name in ("extraData", "mixHash", "nonce")]
    late = (("baseFeePerGas", num), ("withdrawalsRoot", raw), ("blobGasUsed", num), ("excessBlobGas", num),
            ("parentBeaconBlockRoot", raw), ("requestsHash", raw))  # fmt: skip
    fields += [read(block[name]) for name, read in late if name in block]
    found: bytes = rlp.encode(fields)
    return found


def receipt_raw(receipt: dict[str, Any]) -> bytes:
    """The consensus form of a receipt from its JSON."""
    logs = [[raw(log["address"]), [raw(t) for t in log["topics"]], raw(log["data"])] for log in receipt["logs"]]
    body = rlp.encode([num(receipt["status"]), num(receipt["cumulativeGasUsed"]), raw(receipt["logsBloom"]), logs])
    kind = int(receipt["type"], 16)
    found: bytes = (bytes([kind]) if kind else b"") + body
    return found


def trie_root(items: list[bytes]) -> str:
    """Root of the list trie."""
    trie = HexaryTrie({})
    for at, item in enumerate(items):
        trie[rlp.encode(at)] = item
    return "0x" + trie.root_hash.hex()


def bloom_of(receipts: list[dict[str, Any]]) -> int:
    """2,048 bits of all addresses and topics."""
    bits = 0
    for log in (log for receipt in receipts for log in receipt["logs"]):
        for item in [log["address"], *log["topics"]]:
            digest = keccak(raw(item))
            for at in (0, 2, 4):
                bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return bits


async def block_of(w: World, name: str, full: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = await w.node.call("eth_getBlockByHash", w.sent[name]["blockHash"], full)
    return found


def _hash(name: str) -> Any:
    async def run(w: World) -> None:
        block = await block_of(w, name)
        same("0x" + keccak(header_rlp(block)).hex(), block["hash"], "hash")

    return run


def _transactions(name: str) -> Any:
    async def run(w: World) -> None:
        block = await block_of(w, name)
        raws = [raw(await w.node.call("eth_getRawTransactionByHash", tx)) for tx in block["transactions"]]
        same(["0x" + keccak(item).hex() for item in raws], block["transactions"], "hashes")
        same(trie_root(raws), block["transactionsRoot"], "root")

    return run


def _receipts(name: str) -> Any:
    async def run(w: World) -> None:
        block = await block_of(w, name)
        receipts = await w.node.call("eth_getBlockReceipts", block["number"])
        same(trie_root([receipt_raw(r) for r in receipts]), block["receiptsRoot"], "root")
        same(bloom_of(receipts), int(block["logsBloom"], 16), "bloom")
        same(receipts[-1]["cumulativeGasUsed"] if receipts else "0x0", block["gasUsed"], "gas used")

    return run


def _agree(name: str) -> Any:
    async def run(w: World) -> None:
        receipts = await w.node.call("eth_getBlockReceipts", w.sent[name]["blockNumber"])
        single = await w.node.call("eth_getTransactionReceipt", w.hashes[name])
        must(single in receipts, "the block's receipts have another one")
        same(bloom_of([single]), int(single["logsBloom"], 16), "bloom")

    return run


def _doors(name: str) -> Any:
    async def run(w: World) -> None:
        receipt = w.sent[name]
        at = receipt["transactionIndex"]
        wanted = await w.node.call("eth_getTransactionByHash", w.hashes[name])
        by_number = await w.node.call("eth_getTransactionByBlockNumberAndIndex", receipt["blockNumber"], at)
        by_hash = await w.node.call("eth_getTransactionByBlockHashAndIndex", receipt["blockHash"], at)
        block = await block_of(w, name, full=True)
        same(by_number, wanted, "by number")
        same(by_hash, wanted, "by hash")
        same(block["transactions"][int(at, 16)], wanted, "in the block")
        same(wanted["hash"], w.hashes[name], "hash")

    return run


for _name in ("creation", "log0", "transfer", "delegated"):
    add("roots", f"the hash of the block of {_name} is that of its header", _hash(_name))
    add("roots", f"the transactions of the block of {_name} give their root", _transactions(_name))
for _name in ("creation", "log0", "reverted", "delegated"):
    add("roots", f"the receipts of the block of {_name} give root, bloom and gas", _receipts(_name))
for _name in NAMES:
    add("roots", f"single and block receipts agree: {_name}", _agree(_name))
    add("roots", f"the transaction is the same through every door: {_name}", _doors(_name))


@check("roots", "block 0: hash of its header")
async def _genesis(w: World) -> None:
    block = await w.node.call("eth_getBlockByNumber", "0x0", False)
    same("0x" + keccak(header_rlp(block)).hex(), block["hash"], "hash")


@check("roots", "every block names its parent")
async def _links(w: World) -> None:
    head = int(await w.node.call("eth_blockNumber"), 16)
    blocks = [await w.node.call("eth_getBlockByNumber", hex(at), False) for at in range(head + 1)]
    for parent, child in itertools.pairwise(blocks):
        same(child["parentHash"], parent["hash"], f"block {child['number']}")
        must(int(child["timestamp"], 16) >= int(parent["timestamp"], 16), "time")


@check("roots", "the raw header and block are those of the JSON")
async def _raw_block(w: World) -> None:
    block = await block_of(w, "log0")
    same(await w.node.call("debug_getRawHeader", block["number"]), "0x" + header_rlp(block).hex(), "header")
    whole = raw(await w.node.call("debug_getRawBlock", block["number"]))
    same(rlp.encode(rlp.decode(whole)[0]), header_rlp(block), "header in the block")
    same(len(whole), int(block["size"], 16), "size")


@check("roots", "raw receipts are those of the JSON")
async def _raw_receipts(w: World) -> None:
    number = w.sent["log0"]["blockNumber"]
    receipts = await w.node.call("eth_getBlockReceipts", number)
    same(await w.node.call("debug_getRawReceipts", number), ["0x" + receipt_raw(r).hex() for r in receipts], "receipts")


@check("roots", "the sender recovers from the signature")
async def _sender(w: World) -> None:
    for name in NAMES:
        bytes_ = await w.node.call("eth_getRawTransactionByHash", w.hashes[name])
        same(Account.recover_transaction(bytes_), w.me.address, name)


def walk(root: bytes, key: bytes, proof: list[str]) -> bytes | None:
    """The value that a proof shows under a key, None where it shows that there is none."""
    nodes = {keccak(raw(n)): raw(n) for n in proof}
    try:
        found: bytes = HexaryTrie.get_from_proof(root, keccak(key), [rlp.decode(n) for n in nodes.values()])
    except KeyError:
        return None
    return found or None


@check("roots", "a proof of an account holds against the state root")
async def _proof(w: World) -> None:
    head = await w.node.call("eth_getBlockByNumber", "latest", False)
    found = await w.node.call("eth_getProof", w.logger, ["0x0"], head["number"])
    account = walk(raw(head["stateRoot"]), raw(w.logger), found["accountProof"])
    wanted = [num(found["nonce"]), num(found["balance"]), raw(found["storageHash"]), raw(found["codeHash"])]
    same(account, rlp.encode(wanted), "account")
    code = await w.node.call("eth_getCode", w.logger, head["number"])
    same("0x" + keccak(raw(code)).hex(), found["codeHash"], "code hash")


@check("roots", "a proof of a slot holds against the storage root")
async def _slot_proof(w: World) -> None:
    head = await w.node.call("eth_getBlockByNumber", "latest", False)
    found = await w.node.call("eth_getProof", w.logger, ["0x0"], head["number"])
    slot = found["storageProof"][0]
    same(walk(raw(found["storageHash"]), bytes(32), slot["proof"]), rlp.encode(num(slot["value"])), "slot")
    must(int(slot["value"], 16) >= 3, slot["value"])


@check("roots", "a proof shows that an account is not there")
async def _absent(w: World) -> None:
    head = await w.node.call("eth_getBlockByNumber", "latest", False)
    nobody = "0x" + "5c" * 20
    found = await w.node.call("eth_getProof", nobody, [], head["number"])
    same(walk(raw(head["stateRoot"]), raw(nobody), found["accountProof"]), None, "account")


@check("roots", "a proof of an older block holds against its root")
async def _old_proof(w: World) -> None:
    head = int(await w.node.call("eth_blockNumber"), 16)
    block = await w.node.call("eth_getBlockByNumber", hex(head - 1), False)
    found = await w.node.call("eth_getProof", w.me.address, [], block["number"])
    account = walk(raw(block["stateRoot"]), raw(w.me.address), found["accountProof"])
    must(account is not None and rlp.decode(account)[1] == num(found["balance"]), "another balance")


# --- logs ---------------------------------------------------------------------------------------------------


def _found(claim: str, query: Any, wanted: Any) -> None:
    async def run(w: World) -> None:
        found = await w.node.call(
            "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "address": w.logger} | query(w)
        )
        same([log["transactionHash"] for log in found], [w.hashes[name] for name in wanted], "transactions")

    add("logs", claim, run)


_three = ("log0", "log1", "log2")
for _place in range(4):
    _found(
        f"topic {_place + 1} alone finds its log", lambda _, p=_place: {"topics": [None] * p + [topic(1, p)]}, ["log1"]
    )
_found("four topics find one log", lambda _: {"topics": [topic(2, p) for p in range(4)]}, ["log2"])
_found(
    "four topics, one of them another's, find none",
    lambda _: {"topics": [topic(2, 0), topic(2, 1), topic(2, 2), topic(1, 3)]},
    [],
)
_found("a list of topics is any of them", lambda _: {"topics": [[topic(at, 0) for at in range(3)]]}, _three)
_found("null is any topic", lambda _: {"topics": [None, None, None, [topic(0, 3), topic(2, 3)]]}, ["log0", "log2"])
_found("lists at two places", lambda _: {"topics": [[topic(0, 0), topic(1, 0)], [topic(1, 1), topic(2, 1)]]}, ["log1"])
_found("an empty list of topics is any", lambda _: {"topics": [[topic(1, 0)], []]}, ["log1"])
_found("several addresses", lambda w: {"address": [w.logger, w.reverter], "topics": [topic(0, 0)]}, ["log0"])
_found(
    "a range of one block",
    lambda w: {"fromBlock": w.sent["log1"]["blockNumber"], "toBlock": w.sent["log1"]["blockNumber"]},
    ["log1"],
)
_found(
    "a range of three blocks",
    lambda w: {"fromBlock": w.sent["log0"]["blockNumber"], "toBlock": w.sent["log2"]["blockNumber"]},
    _three,
)
_found(
    "tags as a range", lambda _: {"fromBlock": "earliest", "toBlock": "finalized", "topics": [topic(1, 0)]}, ["log1"]
)
_found("another address finds none", lambda _: {"address": STRANGER}, [])
_found("another topic finds none", lambda _: {"topics": [UNKNOWN_HASH]}, [])


@check("logs", "by block hash: exactly the block's logs")
async def _by_hash(w: World) -> None:
    found = await w.node.call("eth_getLogs", {"blockHash": w.sent["log0"]["blockHash"]})
    receipts = await w.node.call("eth_getBlockReceipts", w.sent["log0"]["blockNumber"])
    same(found, [log for receipt in receipts for log in receipt["logs"]], "logs")


@check("logs", "each log comes once, in order, as the receipts have them")
async def _once(w: World) -> None:
    found = await w.node.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "address": w.logger})
    places = [(int(log["blockNumber"], 16), int(log["logIndex"], 16)) for log in found]
    same(places, sorted(set(places)), "places")
    must(all(not log["removed"] for log in found), "removed")
    for name in _three:
        must(w.sent[name]["logs"][0] in found, name)


@check("logs", "a log names its block's time")
async def _time(w: World) -> None:
    block = await block_of(w, "log0")
    same(w.sent["log0"]["logs"][0]["blockTimestamp"], block["timestamp"], "time")


@check("logs", "a reverted transaction has none")
async def _none(w: World) -> None:
    same(w.sent["reverted"]["logs"], [], "logs")


@check("logs", "a range that ends in the future ends at the head")
async def _future(w: World) -> None:
    head = int(await w.node.call("eth_blockNumber"), 16)
    same(
        await w.node.call("eth_getLogs", {"fromBlock": hex(head), "toBlock": hex(head), "address": STRANGER}),
        [],
        "logs",
    )


@check("logs", "a filter tells what is new, once")
async def _filter(w: World) -> None:
    number = await w.node.call("eth_newFilter", {"address": w.logger, "topics": [topic(40, 0)]})
    same(await w.node.call("eth_getFilterChanges", number), [], "before")
    done = await w.done(to=w.logger, data=topics(40))
    found = await w.node.call("eth_getFilterChanges", number)
    same(found, done["logs"], "changes")
    must(not list(faults(found, [LOG])), "form")
    same(await w.node.call("eth_getFilterChanges", number), [], "again")
    same(await w.node.call("eth_uninstallFilter", number), True, "uninstall")
    await w.node.refusal("eth_getFilterChanges", number)


@check("logs", "a block filter names every block, once")
async def _block_filter(w: World) -> None:
    number = await w.node.call("eth_newBlockFilter")
    done = [await w.done(to=STRANGER, value=1, gas=21_000) for _ in range(3)]
    found = await w.node.call("eth_getFilterChanges", number)
    same(found, list(dict.fromkeys(d["blockHash"] for d in done)), "blocks")
    same(await w.node.call("eth_getFilterChanges", number), [], "again")


@check("logs", "a filter of transactions names what was sent")
async def _pending_filter(w: World) -> None:
    number = await w.node.call("eth_newPendingTransactionFilter")
    digest = await w.send(to=STRANGER, value=1, gas=21_000)
    found: list[str] = []

    async def ask() -> bool:
        found.extend(await w.node.call("eth_getFilterChanges", number))
        return digest in found

    await w.node.until(ask)
    await w.receipt(digest)
