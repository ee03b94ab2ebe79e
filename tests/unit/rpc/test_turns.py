"""However much one client asks for, others have their turn."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from openledger.rpc import logs
from openledger.rpc.backend import RpcSettings
from openledger.rpc.errors import RpcError
from openledger.rpc.turns import REMEMBERED_SECONDS, Turns
from openledger.rpc.work import Workers
from tests.waiting import until


def test_clients_take_turns_each_in_its_own_order() -> None:
    turns: Turns[str] = Turns(9, 100)
    for thing in ("a1", "a2", "a3", "b1", "c1", "b2"):
        turns.push(thing[0], thing)
    assert [turns.pop() for _ in range(7)] == ["a1", "b1", "c1", "a2", "b2", "a3", None]


def test_while_others_are_about_no_client_has_all_places() -> None:
    now = [0.0]
    turns: Turns[str] = Turns(2, 100, lambda: now[0])
    for thing in ("a1", "a2", "a3"):
        turns.push("a", thing)
    assert [turns.pop(), turns.pop()] == ["a1", "a2"]  # alone it has both
    turns.push("b", "b1")
    turns.done("a")
    assert [turns.pop(), turns.pop()] == ["b1", None]
    turns.done("b")
    assert turns.pop() is None  # the place stays free for whoever comes
    turns.done("a")
    assert turns.pop() == "a3"
    now[0] = REMEMBERED_SECONDS + 1
    turns.push("a", "a4")
    assert turns.pop() == "a4"  # nobody else was here for a minute


def test_what_waits_is_bounded_for_each_and_for_all() -> None:
    turns: Turns[int] = Turns(1, 8)
    for number in range(2):
        turns.push("a", number)
    with pytest.raises(RpcError, match="too many calls are waiting"):
        turns.push("a", 2)
    assert turns.remove("a", 1)
    assert not turns.remove("a", 1)
    turns.push("a", 3)
    for who in ("b", "c", "d"):
        for number in range(2):
            turns.push(who, number)
    with pytest.raises(RpcError, match="too many calls are waiting"):
        turns.push("e", 1)
    assert len(turns) == len(list(turns)) == 8


class TestThreads:
    @pytest.fixture
    def settings(self) -> RpcSettings:
        return RpcSettings(call_threads=2, call_seconds=60.0, proxies=("127.0.0.0/8",))

    async def test_long_searches_of_one_client_do_not_hold_up_anothers(
        self, chain: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate, begun, find = threading.Event(), list[str](), logs.find_logs

        def slow(backend: Any, query: Any) -> Any:
            begun.append((query.topics[0] and "slow") or "quick")
            if query.topics[0]:
                gate.wait(60)
            return find(backend, query)

        monkeypatch.setattr("openledger.rpc.eth_filters.find_logs", slow)

        async def ask(client: str, topics: list[Any]) -> Any:
            body = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [{"topics": topics}]}
            return (await chain.post(body, headers={"X-Forwarded-For": client}))["result"]

        assert await ask("203.0.113.2", [None]) == []
        flood = [asyncio.create_task(ask("203.0.113.1", ["0x" + "ab" * 32])) for _ in range(6)]
        await until(lambda: "slow" in begun)
        assert await ask("203.0.113.2", [None]) == []
        assert begun == ["quick", "slow", "quick"]
        gate.set()
        assert await asyncio.gather(*flood) == [[]] * 6

    async def test_who_leaves_while_he_waits_or_works_gives_his_place_back(self, chain: Any) -> None:
        workers: Workers = chain.server._workers
        gate = threading.Event()
        tasks = [asyncio.create_task(workers.run(gate.wait, 60)) for _ in range(4)]
        await until(lambda: workers._gate.waiting == 2)
        for task in tasks[1:]:
            task.cancel()
        await asyncio.wait(tasks[1:])
        assert not workers._gate.waiting
        gate.set()
        await tasks[0]
        assert await asyncio.gather(*(workers.run(sum, [n]) for n in range(9))) == list(range(9))
        await until(lambda: workers._gate.is_free)
