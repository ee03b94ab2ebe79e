"""A real CometBFT process behind our ABCI server, with an application that adds numbers up.

The application verifies the signature of every extension that CometBFT hands to PrepareProposal, and fails for a
wrong one.
"""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from openledger.node.engines.cometbft import CometEngine
from openledger.node.engines.recorder import read_recording
from openledger.node.engines.solo import SoloEngine
from openledger.primitives.errors import (
    AlreadyKnown,
    UnsupportedTransactionType,
    WrongDataFolder,
)
from openledger.primitives.keys import consensus_address, ed25519_public
from tests.waiting import PATIENCE

pytestmark = pytest.mark.cometbft


@contextlib.asynccontextmanager
async def running(app, home, binary, **options):
    engine = CometEngine(app, home, program=str(binary.path), **options)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


async def test_twenty_blocks_with_transactions_and_signed_extensions(binary, make_home, counter, until, seed, tmp_path):
    app = counter.CounterApp()
    record = tmp_path / "blocks"
    heights, pending = [], []
    async with running(app, make_home(binary), binary, record=record) as engine:
        engine.on_commit(heights.append)
        engine.on_pending(pending.append)
        for number in range(1, 21):
            await engine.submit(b"add:%d:x" % number)
            await until(lambda n=number: app.state["sum"] == n * (n + 1) // 2)
        await until(lambda: engine.height >= 22)
        status = await engine.status()
        assert status.mode == "cometbft"
        assert not status.catching_up
        assert status.validator == consensus_address(ed25519_public(seed)).hex()
    assert heights == list(range(heights[0], heights[-1] + 1))
    assert len(pending) == 20
    assert app.state["seen"] >= 20  # each height's extension was in slot 0 of the next, its signature verified
    blocks = list(read_recording(record))
    assert [block.height for block in blocks] == list(range(1, app.state["height"] + 1))
    assert b"sum at 1" in blocks[1].txs[0]


async def test_refusals_of_the_application_reach_the_sender(pinned, make_home, counter):
    async with running(counter.CounterApp(), make_home(pinned), pinned) as engine:
        with pytest.raises(UnsupportedTransactionType, match="only additions"):
            await engine.submit(b"nonsense")
        await engine.submit(b"add:1:a")
        with pytest.raises(AlreadyKnown):
            await engine.submit(b"add:1:a")


async def test_cometbft_killed_comes_back_by_itself_and_the_chain_goes_on(binary, make_home, counter, until, tmp_path):
    app, faults = counter.CounterApp(path=tmp_path / "state"), []
    async with running(app, make_home(binary), binary, on_fault=faults.append) as engine:
        assert engine.version == binary.version
        await engine.submit(b"add:5:a")
        await until(lambda: app.state["sum"] == 5)
        first = engine.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: engine.pid not in (0, first))
        assert (await engine.status()).mode == "cometbft"  # an answer and no error, whether it is back or not
        reached = app.state["height"]
        await until(lambda: app.state["height"] >= reached + 2)
        await engine.submit(b"add:7:c")
        await until(lambda: app.state["sum"] == 12)
        os.kill(engine.pid, signal.SIGTERM)  # somebody means it well: it comes back as well
        reached = app.state["height"]
        await until(lambda: app.state["height"] >= reached + 3)
    assert app.calls.count("init_chain") == 1
    assert faults == []


async def test_somebody_elses_cometbft_may_come_go_and_come_back(pinned, make_home, counter, until, settings):
    home, app = make_home(pinned), counter.CounterApp()
    engine = CometEngine(app, home, address="tcp://127.0.0.1:0", external=settings.rpc)
    await engine.start()
    try:
        assert engine.pid == 0
        assert not (await engine.status()).answering
        for stop in (signal.SIGKILL, signal.SIGTERM):
            reached = app.state["height"]
            process = await asyncio.create_subprocess_exec(
                str(pinned.path), "start", "--home", str(home), "--proxy_app", engine.abci_address,
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            await until(lambda n=reached: app.state["height"] >= n + 2)
            assert (await engine.status()).answering
            assert engine.version == pinned.version
            process.send_signal(stop)
            await process.wait()
        assert not (await engine.status()).answering
    finally:
        await engine.stop()


async def test_a_fault_of_the_application_stops_the_engine_with_its_own_exception(pinned, make_home, counter):
    app, faults = counter.CounterApp(), []
    app.fail_at = 3
    engine = CometEngine(app, make_home(pinned), program=str(pinned.path), on_fault=faults.append)
    with contextlib.suppress(RuntimeError):
        await engine.start()
    with pytest.raises(RuntimeError, match="on fire"):
        await asyncio.wait_for(engine.wait(), PATIENCE)
    await engine.stop()
    assert [str(fault) for fault in faults] == ["the disk is on fire"]
    assert app.state["height"] == 2


async def test_an_application_that_lost_everything_gets_all_blocks_again(pinned, make_home, counter, until):
    home, app = make_home(pinned), counter.CounterApp()
    async with running(app, home, pinned) as engine:
        for number in range(5):
            await engine.submit(b"add:%d:x" % number)
            await until(lambda n=number: app.state["sum"] == n * (n + 1) // 2)
    empty = counter.CounterApp()
    async with running(empty, home, pinned) as engine:
        await until(lambda: empty.state["height"] > app.state["height"])
        assert empty.state["sum"] == 10
    assert empty.calls.count("finalize") > empty.calls.count("process")


async def test_what_cometbft_decided_gives_the_same_hashes_in_solo(
    binary, make_home, counter, genesis, seed, until, tmp_path
):
    app, record, hashes = counter.CounterApp(genesis), tmp_path / "blocks", []
    finalize = app.finalize_block

    def remember(request):
        response = finalize(request)
        hashes.append(response.app_hash)
        return response

    app.finalize_block = remember
    async with running(app, make_home(binary), binary, record=record) as engine:
        for number in range(1, 6):
            await engine.submit(b"add:%d:x" % number)
        await until(lambda: app.state["sum"] == 15 and engine.height >= 8)
    solo = SoloEngine(counter.CounterApp(genesis), seed=seed)
    assert await solo.replay(read_recording(record)) == hashes


@pytest.mark.parametrize("victim", ["app", "comet", "both"])
async def test_kill_9_loses_no_block_and_the_handshake_replays(
    pinned, make_home, settings, tmp_path, processes, victim
):
    home, rpc = make_home(pinned), settings.rpc.replace("tcp", "http")
    address = f"unix://{home}/abci.sock"
    command = [str(Path(__file__).with_name("counter.py")), address, str(tmp_path / "state"), "0.005"]
    reached = 0
    for delay in (0.0, 0.011, 0.023):
        async with processes(home, pinned, rpc, command) as pair:
            await pair.reach(reached + 2)
            assert (await pair.call("broadcast_tx_sync", tx="YWRkOjE6" + "YWFh" * (reached + 1)))["code"] == 0
            await asyncio.sleep(delay)
            reached = await pair.height()
            for process in {"app": [pair.app], "comet": [pair.comet], "both": [pair.app, pair.comet]}[victim]:
                process.kill()
            await asyncio.sleep(0.05)
    async with processes(home, pinned, rpc, command) as pair:
        await pair.reach(reached + 2)


async def test_a_home_of_another_validator_or_chain_is_refused(pinned, make_home, genesis, seed, settings):
    import dataclasses

    from openledger.node.engines.home import init_home

    home = make_home(pinned)
    init_home(home, genesis, seed=seed, settings=settings, binary=pinned)  # a second time changes nothing
    with pytest.raises(WrongDataFolder, match="another validator"):
        init_home(home, genesis, seed=bytes(32), settings=settings, binary=pinned)
    other = dataclasses.replace(genesis, chain_id="other-1")
    with pytest.raises(WrongDataFolder, match="another chain"):
        init_home(home, other, seed=seed, settings=settings, binary=pinned)


async def test_a_genesis_that_the_application_refuses_is_a_clear_error(pinned, make_home, counter):
    app = counter.CounterApp()

    def refuse(request):
        raise WrongDataFolder("this folder belongs to another chain")

    app.init_chain = refuse
    engine = CometEngine(app, make_home(pinned), program=str(pinned.path))
    with pytest.raises(WrongDataFolder, match="another chain"):
        await engine.start()
