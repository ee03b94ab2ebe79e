"""``anvil_reorg``: another branch in the place of the newest blocks, and what clients hear of it."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from openledger.primitives.types import to_hex

OPEN = 10**18
STRANGER = "0x" + "5a" * 20


async def height(chain: Any) -> int:
    return int(await chain.call("eth_blockNumber"), 16)


async def block(chain: Any, number: int | str = "latest") -> dict[str, Any]:
    name = hex(number) if isinstance(number, int) else number
    found: dict[str, Any] = await chain.call("eth_getBlockByNumber", name, False)
    return found


def again(chain: Any) -> None:
    """The chain replays, and the trie is that of the tables."""
    for at in range(1, chain.app.head().number + 1):
        list(chain.app.replay(at))
    chain.app.store.verify()


async def test_the_newest_blocks_are_others_of_the_same_number(chain: Any) -> None:
    receipts = [await chain.send(nonce=nonce, value=1) for nonce in range(3)]
    before = [await block(chain, number) for number in range(4)]
    assert await chain.call("anvil_reorg", 2, []) is None
    after = [await block(chain, number) for number in range(4)]
    assert [one["hash"] == two["hash"] for one, two in zip(before, after, strict=True)] == [True, True, False, False]
    assert after[2]["parentHash"] == before[1]["hash"]
    assert after[3]["parentHash"] == after[2]["hash"]
    assert [one["transactions"] for one in after[2:]] == [[], []]
    found = [await chain.call("eth_getTransactionReceipt", receipt["transactionHash"]) for receipt in receipts]
    assert [one is None for one in found] == [False, True, True]
    assert await chain.call("eth_getTransactionCount", to_hex(chain.addresses[0]), "latest") == "0x1"
    assert await chain.call("eth_getBlockByHash", before[3]["hash"], False) is None
    again(chain)


async def test_empty_blocks_of_one_second_become_others_too(chain: Any) -> None:
    await chain.call("anvil_setBlockTimestampInterval", 0)
    await chain.call("anvil_mine", 2)
    before = await block(chain)
    await chain.call("anvil_reorg", 1, [])
    after = await block(chain)
    assert (after["number"], after["parentHash"]) == (before["number"], before["parentHash"])
    assert after["hash"] != before["hash"]
    assert int(after["timestamp"], 16) > int(before["timestamp"], 16)


async def test_transactions_are_in_the_blocks_they_were_asked_for(chain: Any) -> None:
    """Raw ones, objects of the node's accounts with nonces that follow, impersonated ones."""
    for nonce in range(3):
        await chain.send(nonce=nonce)
    second, raw = to_hex(chain.addresses[1]), to_hex(chain.signed(nonce=1, value=7, to=bytes.fromhex(STRANGER[2:])))
    await chain.call("anvil_impersonateAccount", STRANGER)
    await chain.call("anvil_setBalance", STRANGER, hex(OPEN))
    pairs = [
        [{"from": second, "to": STRANGER, "value": "0x5"}, 1],
        [raw, 0],
        [{"from": second, "to": STRANGER, "value": "0x3"}, 0],
        [{"from": STRANGER, "to": second, "value": "0x1", "gas": "0x5208"}, 1],
    ]
    await chain.call("anvil_reorg", 2, pairs)
    blocks = [await chain.call("eth_getBlockByNumber", hex(number), True) for number in (2, 3)]
    told = [{(tx["from"], tx["nonce"], tx["value"]) for tx in one["transactions"]} for one in blocks]
    first = to_hex(chain.addresses[0])
    assert told == [{(first, "0x1", "0x7"), (second, "0x0", "0x3")}, {(second, "0x1", "0x5"), (STRANGER, "0x0", "0x1")}]
    again(chain)


async def test_what_waits_in_the_mempool_waits_on(chain: Any) -> None:
    await chain.send(value=1)
    await chain.call("evm_setAutomine", False)
    waits = await chain.call("eth_sendRawTransaction", to_hex(chain.signed(account=1, nonce=0)))
    await chain.call("anvil_reorg", 1, [])
    assert (await block(chain))["transactions"] == []
    await chain.call("evm_mine")
    assert (await block(chain))["transactions"] == [waits]


async def test_subscribers_and_filters_hear_of_the_new_branch(chain: Any, counter: Any) -> None:
    contract = (await chain.send(to=None, data=counter.init, gas=200_000))["contractAddress"]
    logs, blocks = await chain.call("eth_newFilter", {}), await chain.call("eth_newBlockFilter")
    async with aiohttp.ClientSession() as http, http.ws_connect(chain.url) as socket:
        kinds = {}
        for kind in ("logs", "newHeads"):
            params = [kind, {}] if kind == "logs" else [kind]
            await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": params})
            kinds[(await socket.receive_json())["result"]] = kind

        async def told(count: int) -> list[tuple[str, Any]]:
            found = []
            for _ in range(count):
                said = (await socket.receive_json(timeout=5))["params"]
                what = said["result"]
                found.append((kinds[said["subscription"]], what.get("removed", what.get("number"))))
            return found

        bump = {"to": bytes.fromhex(contract[2:]), "data": b"\1", "gas": 100_000}
        old = await chain.send(nonce=1, **bump)
        await chain.call("evm_mine")
        assert sorted(await told(3)) == [("logs", False), ("newHeads", "0x2"), ("newHeads", "0x3")]
        assert [log["removed"] for log in await chain.call("eth_getFilterChanges", logs)] == [False]
        assert len(await chain.call("eth_getFilterChanges", blocks)) == 2
        await chain.call("anvil_reorg", 2, [[to_hex(chain.signed(nonce=1, **bump)), 1]])
        first, *rest = await told(4)
        assert first == ("logs", True)
        assert sorted(rest) == [("logs", False), ("newHeads", "0x2"), ("newHeads", "0x3")]
    removed, new = await chain.call("eth_getFilterChanges", logs)
    assert (removed["removed"], removed["blockHash"]) == (True, old["blockHash"])
    assert (new["removed"], new["blockNumber"]) == (False, "0x3")
    changed = await chain.call("eth_getFilterChanges", blocks)
    assert changed == [(await block(chain, 2))["hash"], (await block(chain, 3))["hash"]]


async def test_native_records_are_those_of_the_new_branch(chain: Any) -> None:
    fields, sender = {"name": "songs", "licence": "CC0-1.0"}, to_hex(chain.addresses[0])
    built = await chain.call("openledger_buildTransaction", "datanet.create", fields, {"from": sender})
    signature = await chain.call("eth_signTypedData_v4", sender, built["typedData"])
    raw = (await chain.call("openledger_buildTransaction", "datanet.create", fields, built["options"], signature))[
        "raw"
    ]
    await chain.call("openledger_sendTransaction", raw)
    assert (await chain.call("openledger_getDatanet", 1))["name"] == "songs"
    await chain.call("anvil_reorg", 1, [])
    assert await chain.call("openledger_listDatanets", 1, 10) == []
    await chain.call("anvil_reorg", 1, [[raw, 0]])
    assert (await chain.call("openledger_getDatanet", 1))["name"] == "songs"
    again(chain)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((9, []), "Reorg depth must not exceed current chain height: current height 2, depth 9"),
        ((1, [[{"to": STRANGER}, 1]]), "Block number 1 must not exceed (depth-1) 0"),
        ((1, [["0x02", 0]]), "rlp: an item is missing"),
        ((1, [[{"to": STRANGER, "value": hex(10**30)}, 0]]), "insufficient funds"),
        ((1, [[{"from": STRANGER, "to": STRANGER, "gas": "0x5208"}, 0]]), "unknown account"),
        ((1, ["0x"]), "a list of pairs"),
    ],
)
async def test_a_reorg_that_cannot_be_is_refused_whole(chain: Any, arguments: Any, said: str) -> None:
    await chain.send()
    await chain.send(nonce=1)
    before = await block(chain)
    assert said in (await chain.error("anvil_reorg", *arguments))["message"]
    assert await block(chain) == before


async def test_a_transaction_that_cannot_run_there_is_left_out(chain: Any, caplog: pytest.LogCaptureFixture) -> None:
    await chain.send()
    await chain.send(nonce=1)
    await chain.call("anvil_reorg", 1, [[to_hex(chain.signed(nonce=0, value=1)), 0]])
    assert (await block(chain))["transactions"] == []
    assert "a transaction of the reorg is in no block: nonce too low" in caplog.text


async def test_snapshots_below_the_branch_stay_good(chain: Any) -> None:
    await chain.send()
    good = await chain.call("evm_snapshot")
    await chain.send(nonce=1)
    gone = await chain.call("evm_snapshot")
    await chain.call("anvil_reorg", 1, [])
    assert await chain.call("evm_revert", gone) is False
    assert await chain.call("evm_revert", good) is True
    assert await height(chain) == 1
    again(chain)
