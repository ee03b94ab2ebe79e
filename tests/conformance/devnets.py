"""Group ``devnet``: what anvil's and Hardhat's tools ask of a node. Everything is put back by a snapshot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from conformance.node import must, same
from conformance.shapes import STRANGER
from conformance.world import ETHER, GWEI, World, add, check, topic, topics
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data

Body = Callable[[World], Awaitable[None]]


def undone(claim: str) -> Callable[[Body], Body]:
    """A check whose effects are taken back afterwards."""

    def put(body: Body) -> Body:
        async def run(w: World) -> None:
            before, number = w.nonce, await w.node.call("evm_snapshot")
            try:
                await body(w)
            finally:
                await w.node.call("evm_setAutomine", True)
                await w.node.call("evm_revert", number)
                w.nonce = before

        return check("devnet", claim)(run) and body

    return put


def edited(prefix: str) -> None:
    """The edits of accounts under one prefix."""

    @undone(f"{prefix}_setBalance")
    async def _balance(w: World) -> None:
        await w.node.call(f"{prefix}_setBalance", STRANGER, hex(7 * ETHER))
        same(await w.node.call("eth_getBalance", STRANGER, "latest"), hex(7 * ETHER), "balance")

    @undone(f"{prefix}_setCode")
    async def _code(w: World) -> None:
        code = await w.node.call("eth_getCode", w.environment, "latest")
        await w.node.call(f"{prefix}_setCode", STRANGER, code)
        same(await w.node.call("eth_getCode", STRANGER, "latest"), code, "code")
        found = await w.node.call("eth_call", {"to": STRANGER}, "latest")
        same(int(found[2 + 64 * 4 : 2 + 64 * 5], 16), w.chain_id, "what the code sees")

    @undone(f"{prefix}_setNonce")
    async def _nonce(w: World) -> None:
        await w.node.call(f"{prefix}_setNonce", STRANGER, "0x15")
        same(await w.node.call("eth_getTransactionCount", STRANGER, "latest"), "0x15", "nonce")

    @undone(f"{prefix}_setStorageAt")
    async def _storage(w: World) -> None:
        await w.node.call(f"{prefix}_setStorageAt", w.logger, "0x0", "0x" + "00" * 31 + "63")
        same(int(await w.node.call("eth_call", {"to": w.logger}, "latest"), 16), 100, "count")

    @undone(f"{prefix}_impersonateAccount: a contract sends")
    async def _impersonate(w: World) -> None:
        await w.node.call(f"{prefix}_setBalance", w.logger, hex(ETHER))
        await w.node.call(f"{prefix}_impersonateAccount", w.logger)
        digest = await w.node.call("eth_sendTransaction", {"from": w.logger, "to": STRANGER, "value": "0x1"})
        found = await w.receipt(digest)
        same((found["status"], found["from"].lower()), ("0x1", w.logger.lower()), "receipt")
        await w.node.call(f"{prefix}_stopImpersonatingAccount", w.logger)
        await w.node.refusal("eth_sendTransaction", {"from": w.logger, "to": STRANGER})

    @undone(f"{prefix}_mine: many blocks")
    async def _mine(w: World) -> None:
        before = int(await w.node.call("eth_blockNumber"), 16)
        await w.node.call(f"{prefix}_mine", "0xa", "0x3c")
        same(int(await w.node.call("eth_blockNumber"), 16), before + 10, "height")
        first, last = [await w.node.call("eth_getBlockByNumber", hex(before + at), False) for at in (1, 10)]
        must(int(last["timestamp"], 16) - int(first["timestamp"], 16) >= 9 * 60, "time between them")

    @undone(f"{prefix}_setNextBlockBaseFeePerGas")
    async def _fee(w: World) -> None:
        await w.node.call(f"{prefix}_setNextBlockBaseFeePerGas", hex(33 * GWEI))
        done = await w.done(to=STRANGER, value=1, gas=21_000)
        block = await w.node.call("eth_getBlockByHash", done["blockHash"], False)
        same(block["baseFeePerGas"], hex(33 * GWEI), "base fee")

    @undone(f"{prefix}_setCoinbase")
    async def _coinbase(w: World) -> None:
        someone = Account.create().address
        await w.node.call(f"{prefix}_setCoinbase", someone)
        await w.done(to=STRANGER, value=1, gas=21_000)
        block = await w.node.call("eth_getBlockByNumber", "latest", False)
        same(block["miner"].lower(), someone.lower(), "coinbase")

    @undone(f"{prefix}_dropTransaction")
    async def _drop(w: World) -> None:
        await w.node.call("evm_setAutomine", False)
        digest = await w.send(to=STRANGER, value=1, gas=21_000)
        must(await w.node.call(f"{prefix}_dropTransaction", digest), "it was not there")
        same(await w.node.call("eth_getTransactionByHash", digest), None, "afterwards")


for _prefix in ("anvil", "hardhat"):
    edited(_prefix)


@undone("evm_snapshot and evm_revert take blocks, state and pool back")
async def _snapshot(w: World) -> None:
    height, nonce = await w.node.call("eth_blockNumber"), w.nonce
    number = await w.node.call("evm_snapshot")
    await w.done(to=STRANGER, value=ETHER, gas=21_000)
    same(await w.node.call("evm_revert", number), True, "revert")
    same(await w.node.call("eth_blockNumber"), height, "height")
    same(int(await w.node.call("eth_getTransactionCount", w.me.address, "latest"), 16), nonce, "nonce")
    same(await w.node.call("evm_revert", number), False, "a second time")


@undone("evm_mine makes one block")
async def _mine(w: World) -> None:
    before = int(await w.node.call("eth_blockNumber"), 16)
    await w.node.call("evm_mine")
    same(int(await w.node.call("eth_blockNumber"), 16), before + 1, "height")


@undone("evm_setAutomine: nothing is mined until it is asked for")
async def _automine(w: World) -> None:
    await w.node.call("evm_setAutomine", False)
    hashes = [await w.send(to=STRANGER, value=1, gas=21_000) for _ in range(3)]
    same(await w.node.call("eth_getTransactionReceipt", hashes[0]), None, "receipt")
    same(int((await w.node.call("txpool_status"))["pending"], 16), 3, "waiting")
    await w.node.call("evm_mine")
    receipts = [await w.receipt(digest) for digest in hashes]
    same(len({r["blockHash"] for r in receipts}), 1, "blocks")
    gas = [int(r["cumulativeGasUsed"], 16) for r in receipts]
    same(gas, [21_000, 42_000, 63_000], "cumulative gas")


@undone("evm_increaseTime moves the next block")
async def _increase(w: World) -> None:
    before = int((await w.node.call("eth_getBlockByNumber", "latest", False))["timestamp"], 16)
    await w.node.call("evm_increaseTime", 86_400)
    await w.node.call("evm_mine")
    after = int((await w.node.call("eth_getBlockByNumber", "latest", False))["timestamp"], 16)
    must(after - before >= 86_400, f"{after - before} s")


@undone("evm_setNextBlockTimestamp is exact")
async def _timestamp(w: World) -> None:
    wanted = int((await w.node.call("eth_getBlockByNumber", "latest", False))["timestamp"], 16) + 1_000
    await w.node.call("evm_setNextBlockTimestamp", wanted)
    await w.node.call("evm_mine")
    same((await w.node.call("eth_getBlockByNumber", "latest", False))["timestamp"], hex(wanted), "time")


@undone("evm_setNextBlockTimestamp into the past is refused")
async def _past(w: World) -> None:
    await w.node.refusal("evm_setNextBlockTimestamp", 1)


@undone("evm_setBlockGasLimit")
async def _limit(w: World) -> None:
    await w.node.call("evm_setBlockGasLimit", hex(20_000_000))
    await w.node.call("evm_mine")
    same((await w.node.call("eth_getBlockByNumber", "latest", False))["gasLimit"], hex(20_000_000), "limit")


@undone("evm_setIntervalMining makes blocks by the clock")
async def _interval(w: World) -> None:
    before = int(await w.node.call("eth_blockNumber"), 16)
    await w.node.call("evm_setIntervalMining", 1)

    async def higher() -> bool:
        return int(await w.node.call("eth_blockNumber"), 16) > before

    await w.node.until(higher, 5)
    await w.node.call("evm_setIntervalMining", 0)


@undone("a revert takes logs back, and a subscriber hears of it")
async def _removed(w: World) -> None:
    socket = await w.node.socket()
    listening = await socket.call("eth_subscribe", "logs", {"address": w.logger})
    number = await w.node.call("evm_snapshot")
    done = await w.done(to=w.logger, data=topics(80))
    same(await socket.next(listening), done["logs"][0], "log")
    await w.node.call("evm_revert", number)
    same(await socket.next(listening), done["logs"][0] | {"removed": True}, "log that was taken back")
    same(await w.node.call("eth_getTransactionReceipt", done["transactionHash"]), None, "receipt")
    query = {"address": w.logger, "fromBlock": "0x0", "topics": [topic(80, 0)]}
    same(await w.node.call("eth_getLogs", query), [], "logs")
    await socket.ws.close()


@undone("eth_sendTransaction of an account of the node")
async def _send(w: World) -> None:
    holder = (await w.node.call("eth_accounts"))[0]
    digest = await w.node.call("eth_sendTransaction", {"from": holder, "to": STRANGER, "value": "0x1"})
    same((await w.receipt(digest))["status"], "0x1", "status")


@undone("eth_sendTransaction with data and input equal")
async def _send_both(w: World) -> None:
    holder = (await w.node.call("eth_accounts"))[0]
    fields = {"from": holder, "to": w.logger, "data": topics(3), "input": topics(3), "gas": hex(200_000)}
    same((await w.receipt(await w.node.call("eth_sendTransaction", fields)))["status"], "0x1", "status")


@undone("eth_accounts are the ten of the phrase")
async def _accounts(w: World) -> None:
    found = await w.node.call("eth_accounts")
    must(len(found) >= 10, f"{len(found)} accounts")
    same(found[0].lower(), "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266", "first")


@undone("personal_sign and eth_sign: the signer recovers")
async def _signed(w: World) -> None:
    holder = (await w.node.call("eth_accounts"))[0]
    for call in (("personal_sign", "0x68656c6c6f", holder), ("eth_sign", holder, "0x68656c6c6f")):
        signature = await w.node.call(*call)
        same(Account.recover_message(encode_defunct(b"hello"), signature=signature).lower(), holder.lower(), call[0])


@undone("eth_signTypedData_v4: the signer recovers")
async def _typed(w: World) -> None:
    data: dict[str, Any] = {
        "types": {"EIP712Domain": [{"name": "name", "type": "string"}],
                  "Mail": [{"name": "to", "type": "address"}, {"name": "text", "type": "string"}]},
        "primaryType": "Mail", "domain": {"name": "Post"}, "message": {"to": STRANGER, "text": "hello"},
    }  # fmt: skip
    holder = (await w.node.call("eth_accounts"))[0]
    signature = await w.node.call("eth_signTypedData_v4", holder, data)
    same(
        Account.recover_message(encode_typed_data(full_message=data), signature=signature).lower(),
        holder.lower(),
        "signer",
    )


@undone("anvil_autoImpersonateAccount")
async def _auto(w: World) -> None:
    await w.node.call("anvil_setBalance", STRANGER, hex(ETHER))
    await w.node.call("anvil_autoImpersonateAccount", True)
    try:
        digest = await w.node.call("eth_sendTransaction", {"from": STRANGER, "to": w.me.address, "value": "0x1"})
        same((await w.receipt(digest))["status"], "0x1", "status")
    finally:
        await w.node.call("anvil_autoImpersonateAccount", False)


@undone("anvil_dumpState and anvil_loadState")
async def _dump(w: World) -> None:
    dump = await w.node.call("anvil_dumpState")
    must(isinstance(dump, str) and dump.startswith("0x"), str(dump)[:80])
    await w.node.call("anvil_setBalance", w.me.address, "0x1234567")
    same(await w.node.call("anvil_loadState", dump), True, "load")
    must(await w.node.call("eth_getBalance", w.me.address, "latest") != "0x1234567", "the balance stayed")


def answers(method: str, form: str) -> None:
    """A method that must answer an object with these members (by a space)."""

    async def run(w: World) -> None:
        found = await w.node.call(method)
        missing = [name for name in form.split() if name not in found]
        same(missing, [], "missing members")

    add("devnet", f"{method} has {form}", run)


answers(
    "anvil_nodeInfo",
    "currentBlockNumber currentBlockTimestamp currentBlockHash hardFork transactionOrder environment forkConfig",
)
answers("hardhat_metadata", "clientVersion chainId instanceId latestBlockNumber latestBlockHash")
