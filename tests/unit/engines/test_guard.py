"""The guard against signing twice: what a validator looks at before it lets CometBFT sign."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from openledger.abci_app.protocol import messages as m
from openledger.node.engines.guard import SignGuard
from openledger.node.processes import KeyLock
from openledger.primitives.errors import DoubleSignRisk
from tests.endless import endless
from tests.waiting import PATIENCE

OWN = b"\x0a" * 20
NOW = 1_800_000_000 * 10**9


def history(tmp_path: Path, height: int) -> Path:
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"height": str(height), "round": 0, "step": 3}), encoding="utf-8")
    return path


def asking(guard: SignGuard) -> None:
    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            await guard.ask(session)

    asyncio.run(ask())


def block(height: int, *, signed: bool, at: int = NOW) -> m.RequestFinalizeBlock:
    flag = m.FLAG_COMMIT if signed else m.FLAG_ABSENT
    commit = m.CommitInfo(round=0, votes=(m.VoteInfo(validator=m.Validator(address=OWN, power=1), block_id_flag=flag),))
    return m.RequestFinalizeBlock((), commit, (), b"", height, at, b"", b"")


def proposal(height: int) -> m.RequestProcessProposal:
    return m.RequestProcessProposal((), m.CommitInfo(round=0, votes=()), (), b"", height, NOW, b"", b"")


# --- on this machine --------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that the kernel takes back")
def test_two_nodes_of_a_machine_do_not_sign_with_one_key(tmp_path: Path) -> None:
    one, copy = (SignGuard(history(tmp_path, 5), OWN, 100, time.time_ns) for _ in range(2))
    asking(one)
    asking(one)
    with pytest.raises(DoubleSignRisk, match="another node on this machine signs with the key of this home"):
        asking(copy)
    other = SignGuard(history(tmp_path, 5), b"\x0b" * 20, 100, time.time_ns)
    asking(other)
    other.close()
    one.close()
    one.close()
    asking(copy)
    copy.close()


def test_where_the_checks_are_off_or_a_signer_has_the_key_nothing_is_held(tmp_path: Path) -> None:
    asking(SignGuard(history(tmp_path, 5), OWN, 0, time.time_ns))
    asking(SignGuard(None, OWN, 100, time.time_ns))
    lock = KeyLock(OWN)
    assert lock.take()
    lock.release()


# --- other nodes ------------------------------------------------------------------------------------------------


async def _at(answers: Callable[[int], dict[str, Any] | str], then: Callable[[str], Awaitable[None]]) -> None:
    """A node that answers ``commit`` of a height (0: the newest)."""

    async def commit(request: web.Request) -> web.Response:
        params = (await request.json())["params"]
        found = answers(int(params.get("height", 0)))
        if isinstance(found, str):
            return web.Response(text=found)
        return web.json_response({"result": {"signed_header": {"commit": found}}})

    app = web.Application()
    app.router.add_post("/cometbft", commit)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        await then(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(("known", "refused"), [(11, True), (12, False)])
def test_a_signature_above_the_own_history_is_anothers(tmp_path: Path, known: int, refused: bool) -> None:
    def commit(height: int) -> dict[str, Any]:
        number = height or 14  # signed at 12, absent since
        vote = {"validator_address": OWN.hex().upper(), "block_id_flag": m.FLAG_COMMIT if number <= 12 else 1}
        return {"height": str(number), "signatures": [{"validator_address": "", "block_id_flag": 1}, vote]}

    async def ask(url: str) -> None:
        guard = SignGuard(history(tmp_path, known), OWN, 100, lambda: NOW, ["http://127.0.0.1:9", url])
        async with aiohttp.ClientSession() as session:
            try:
                await guard.ask(session)
            finally:
                guard.close()

    if refused:
        with pytest.raises(DoubleSignRisk, match=r"has signed height 12.*another node signs with it"):
            asyncio.run(_at(commit, ask))
    else:
        asyncio.run(_at(commit, ask))


def test_a_node_whose_answer_is_nested_without_end_has_signed_nothing(tmp_path: Path) -> None:
    """It would end the process that asks: a parser's stack is not the interpreter's."""

    async def ask(url: str) -> None:
        guard = SignGuard(history(tmp_path, 5), OWN, 100, lambda: NOW, [url])
        async with aiohttp.ClientSession() as session:
            await guard.ask(session)
        guard.close()

    asyncio.run(_at(lambda height: "[" * 100_000, ask))


def test_a_node_whose_answer_never_ends_has_signed_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fill the memory of who asks, in the second that it has."""
    monkeypatch.setattr("openledger.node.engines.guard._MAX_COMMIT", 10_000)
    monkeypatch.setattr("openledger.node.engines.guard._ASK_SECONDS", 600)

    async def ask() -> None:
        app = web.Application()
        app.router.add_post("/cometbft", endless)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        guard = SignGuard(history(tmp_path, 5), OWN, 100, lambda: NOW, [f"http://127.0.0.1:{runner.addresses[0][1]}"])
        async with aiohttp.ClientSession() as session:
            await asyncio.wait_for(guard.ask(session), PATIENCE)
        guard.close()
        await runner.cleanup()

    asyncio.run(ask())


# --- blocks that arrive -----------------------------------------------------------------------------------------


def test_a_young_block_with_an_unknown_signature_stops_the_node(tmp_path: Path) -> None:
    guard = SignGuard(history(tmp_path, 8), OWN, 100, lambda: NOW)
    guard.see(block(9, signed=True))
    guard.see(block(10, signed=False))
    with pytest.raises(DoubleSignRisk, match="has signed height 9"):
        guard.see(block(10, signed=True))


def test_an_old_one_keeps_it_from_voting_until_it_is_far_behind(tmp_path: Path) -> None:
    guard = SignGuard(history(tmp_path, 8), OWN, 100, lambda: NOW)
    guard.see(block(10, signed=True, at=NOW - 3600 * 10**9))
    with pytest.raises(DoubleSignRisk):
        guard.see(proposal(11))
    guard.see(proposal(111))
