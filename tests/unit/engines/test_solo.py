"""The solo engine, with an application that adds numbers up."""

import asyncio

import pytest

from openledger.abci_app.protocol import messages as m
from openledger.node.engines.solo import SoloEngine
from openledger.primitives.errors import ConsensusFault, UnsupportedTransactionType
from openledger.primitives.hashing import keccak256
from tests.waiting import until

NOW = 1_700_000_100 * 10**9


@pytest.fixture
async def engine(app, seed):
    engine = SoloEngine(app, seed=seed, clock=lambda: NOW, tick_seconds=0.02)
    await engine.start()
    yield engine
    await engine.stop()


async def test_a_transaction_is_in_a_block_at_once(engine, app):
    app.say = lambda height: b""
    raw = b"add:3:a"
    assert await engine.submit(raw) == keccak256(raw)
    await until(lambda: app.state["sum"] == 3)
    assert engine.height == 1


async def test_the_calls_of_a_block_come_in_the_order_of_cometbft(engine, app):
    app.calls.clear()
    app.say = lambda height: b""
    await engine.mine()
    assert app.calls == ["prepare", "process", "extend", "verify", "finalize", "commit"]


async def test_a_burst_becomes_one_block(engine, app):
    app.say = lambda height: b""
    await asyncio.gather(*(engine.submit(b"add:1:%d" % i) for i in range(100)))
    await until(lambda: app.state["sum"] == 100)
    assert engine.height == 1


async def test_a_refused_transaction_raises_its_leaf(engine):
    with pytest.raises(UnsupportedTransactionType, match="only additions"):
        await engine.submit(b"subtract:3")


async def test_without_work_no_blocks_are_made(engine, app):
    app.say = lambda height: b""
    await asyncio.sleep(0.15)
    assert engine.height == 0


async def test_what_is_due_makes_blocks(engine, app):
    app.due_now = True
    await until(lambda: engine.height >= 3)


async def test_a_fresh_extension_is_carried_by_a_next_block_and_then_rests(engine, app):
    app.say = lambda height: b"sum at 7"
    await engine.mine()
    await until(lambda: app.state["seen"] == 1)
    await asyncio.sleep(0.1)
    assert engine.height == 2


async def test_extensions_reach_the_next_proposal_signed(engine, app):
    await engine.mine(3)  # the application verifies every signature, and raises for a wrong one
    assert app.state["seen"] >= 2


async def test_time_goes_on_by_a_nanosecond_when_the_clock_stands_still(engine, app):
    app.say = lambda height: b""
    await engine.mine()
    assert app.state["time"] == NOW
    await engine.mine(2)
    assert app.state["time"] == NOW + 2


async def test_mine_makes_empty_blocks_and_answers_the_height(engine, app):
    app.say = lambda height: b""
    assert await engine.mine(5) == 5


async def test_listeners_hear_transactions_and_commits_until_they_unsubscribe(engine, app):
    app.say = lambda height: b""
    heights, seen = [], []
    off = engine.on_commit(heights.append)
    engine.on_pending(seen.append)
    await engine.submit(b"add:1:a")
    await until(lambda: heights == [1])
    off()
    off()
    await engine.mine()
    assert heights == [1]
    assert seen == [b"add:1:a"]


async def test_a_listener_that_fails_does_not_stop_the_chain(engine, app):
    def broken(height):
        raise KeyError(height)

    engine.on_commit(broken)
    assert await engine.mine(2) == 2


async def test_a_fault_in_a_block_stops_the_engine_and_reaches_who_waits(engine, app):
    app.fail_at = 1
    await engine.submit(b"add:1:a")
    with pytest.raises(RuntimeError, match="on fire"):
        await asyncio.wait_for(engine.wait(), 5)
    with pytest.raises(ConsensusFault, match="on fire"):
        await engine.submit(b"add:1:b")
    with pytest.raises(ConsensusFault):
        await engine.mine()
    assert app.calls[-1] == "finalize"


async def test_mine_raises_the_fault_itself(engine, app):
    app.fail_at = 1
    with pytest.raises(RuntimeError, match="on fire"):
        await engine.mine()


async def test_a_fault_in_admission_stops_the_engine(engine, app):
    def broken(request):
        raise ZeroDivisionError

    app.admit = broken
    with pytest.raises(ZeroDivisionError):
        await engine.submit(b"add:1:a")
    with pytest.raises(ZeroDivisionError):
        await engine.wait()


async def test_an_own_proposal_that_is_refused_stops_the_engine(engine, app):
    app.process_proposal = lambda request: m.ResponseProcessProposal(m.REJECT)
    with pytest.raises(ConsensusFault, match="own proposal at height 1"):
        await engine.mine()


async def test_an_own_extension_that_is_refused_stops_the_engine(engine, app):
    app.say = lambda height: bytes(5000)
    with pytest.raises(ConsensusFault, match="own vote extension"):
        await engine.mine()


async def test_a_restart_goes_on_at_the_last_block(app, counter, genesis, seed, tmp_path):
    app = counter.CounterApp(genesis, tmp_path / "state")
    first = SoloEngine(app, seed=seed, clock=lambda: NOW, tick_seconds=0.02)
    await first.start()
    await first.mine(3)
    await first.stop()
    again = counter.CounterApp(genesis, tmp_path / "state")
    second = SoloEngine(again, seed=seed, clock=lambda: NOW, tick_seconds=0.02)
    await second.start()
    reached = second.height
    assert await second.mine() == reached + 1
    assert "init_chain" not in again.calls
    await second.stop()


async def test_blocks_come_at_intervals_when_a_block_time_is_set(app, seed):
    engine = SoloEngine(app, seed=seed, clock=lambda: NOW, block_time_ms=20)
    await engine.start()
    await engine.submit(b"add:1:a")
    await until(lambda: engine.height >= 3)
    await engine.stop()
    assert app.state["sum"] == 1


async def test_a_validator_that_genesis_does_not_know_is_refused(app):
    engine = SoloEngine(app, seed=bytes(32))
    with pytest.raises(ConsensusFault, match="not in the genesis"):
        await engine.start()


async def test_replay_of_recorded_blocks_gives_the_same_hashes(engine, app, counter, genesis, seed):
    requests, hashes = [], []
    finalize = app.finalize_block

    def record(request):
        response = finalize(request)
        requests.append(request)
        hashes.append(response.app_hash)
        return response

    app.finalize_block = record
    for i in range(5):
        await engine.submit(b"add:%d:%d" % (i + 1, i))
        await engine.mine()
    other = SoloEngine(counter.CounterApp(genesis), seed=seed)
    assert await other.replay(requests) == hashes


async def test_the_status_names_the_mode_and_the_validator(engine):
    status = await engine.status()
    assert (status.mode, status.catching_up, status.peers, len(status.validator)) == ("solo", False, 0, 40)


async def test_a_transaction_that_no_block_takes_does_not_make_blocks_without_end(engine, app):
    app.say = lambda height: b""
    prepare = app.prepare_proposal
    app.prepare_proposal = lambda request: m.ResponsePrepareProposal(prepare(request).txs[:1])
    await engine.submit(b"add:1:a")
    await until(lambda: engine.height == 1)
    await asyncio.sleep(0.2)
    assert engine.height == 1
    app.prepare_proposal = prepare
    await engine.submit(b"add:1:b")
    await until(lambda: app.state["sum"] == 2)


async def test_news_of_the_validator_makes_the_blocks_that_carry_it(engine, app):
    news = []
    app.say = lambda height: b"" if app.state["seen"] or not news else b"sum at 1"
    await asyncio.sleep(0.1)
    assert engine.height == 0
    news.append(1)
    await until(lambda: app.state["seen"] == 1)
    await asyncio.sleep(0.1)
    assert engine.height == 2


async def test_the_event_loop_stays_responsive_while_blocks_are_made(engine, app):
    app.say = lambda height: b""
    turns = 0

    async def ticker():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(ticker())
    await engine.mine(10)
    task.cancel()
    assert turns >= 20
