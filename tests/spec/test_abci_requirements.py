"""The numbered requirements of CometBFT's ``abci++_app_requirements.md``, one test (or more) by number.

Requirement 1 (timeliness) is a bound on time; here it is the size of a full block of transfers against TimeoutPropose.
"""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openledger.abci_app.protocol import messages as m
from openledger.node.engines.home import CometSettings
from openledger.state.memory import MemoryStore

TXS = st.lists(
    st.one_of(
        st.tuples(st.just("transfer"), st.integers(0, 3), st.integers(0, 4), st.integers(0, 10**22)),
        st.tuples(st.just("native"), st.integers(0, 3), st.integers(0, 4), st.just(0)),
        st.tuples(st.just("junk"), st.integers(0, 255), st.integers(0, 40), st.just(0)),
    ),
    max_size=10,
)
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def make(world, wanted):
    made = []
    for kind, sender, nonce, value in wanted:
        if kind == "transfer":
            made.append(world.transfer(sender, nonce, value))
        elif kind == "native":
            made.append(world.native(sender, nonce))
        else:
            made.append(bytes([sender]) * nonce)
    return made


def test_requirement_1_a_block_of_200_transfers_is_prepared_within_the_propose_timeout(world, app):
    txs = [world.transfer(sender, nonce) for sender in range(10) for nonce in range(20)]
    began = time.monotonic()
    block = world.prepare(app, txs)
    assert len(block.txs) == 200
    assert CometSettings().timeout_propose == "1s"
    assert time.monotonic() - began < 10  # the budget is a second; a busy machine gets ten


@FEW
@given(TXS, st.integers(0, 2000))
def test_requirement_2_a_proposal_keeps_to_the_byte_limit(world, wanted, limit):
    block = world.prepare(world.app(), make(world, wanted), limit=limit)
    assert sum(map(len, block.txs)) <= limit


@FEW
@given(TXS, st.integers(200, 3000))
def test_requirement_3_what_one_process_proposes_another_accepts(world, wanted, limit):
    block = world.prepare(world.app(), make(world, wanted), limit=limit)
    assert world.app().process_proposal(block).status == m.ACCEPT


@FEW
@given(TXS)
def test_requirements_4_and_5_judging_a_block_depends_on_state_and_block_only(world, wanted):
    fresh, used = world.app(), world.app()
    for raw in make(world, wanted):
        used.check_tx(m.RequestCheckTx(raw))
    world.prepare(used, make(world, wanted)[:2])
    commit, at = m.CommitInfo(), (bytes(32), world.address)
    raw = tuple(make(world, wanted))
    block = m.RequestProcessProposal(raw, commit, (), bytes(32), 1, world.genesis.time_ns + 10**9, *at)
    first = fresh.process_proposal(block)
    assert used.process_proposal(block) == first == fresh.process_proposal(block)


class Speaks:
    """A verdict source that says what it is told to."""

    def __init__(self, said):
        self.said = said

    def extension(self, state, height, validator):
        return self.said


@FEW
@given(st.binary(max_size=5000))
def test_requirement_6_what_a_process_extends_others_accept_whatever_its_oracle_says(world, said):
    app, other = world.app(verdicts=Speaks(said)), world.app()
    block = world.prepare(app, [])
    extension = app.extend_vote(world.vote(block)).vote_extension
    check = m.RequestVerifyVoteExtension(block.hash, world.address, 1, extension)
    assert other.verify_vote_extension(check).status == m.ACCEPT


@FEW
@given(st.binary(max_size=5000))
def test_requirements_7_and_8_judging_an_extension_depends_on_state_and_extension_only(world, said):
    fresh, used = world.app(), world.app(verdicts=Speaks(b"\x01"))
    used.check_tx(m.RequestCheckTx(world.transfer(0, 0)))
    check = m.RequestVerifyVoteExtension(bytes(32), world.address, 1, said)
    assert fresh.verify_vote_extension(check) == used.verify_vote_extension(check)


def test_requirement_9_voting_on_a_block_changes_nothing(world):
    kv = MemoryStore()
    app = world.app(kv)
    before = list(kv.iterate(b"", None))
    block = world.prepare(app, [world.transfer(0, 0), world.native(1, 0)])
    app.process_proposal(block)
    extension = app.extend_vote(world.vote(block)).vote_extension
    app.verify_vote_extension(m.RequestVerifyVoteExtension(block.hash, world.address, 1, extension))
    app.finalize_block(world.decided(block))
    assert list(kv.iterate(b"", None)) == before
    app.commit()
    assert list(kv.iterate(b"", None)) != before


def test_requirement_10_extensions_of_a_height_do_not_touch_its_own_block(world):
    silent, loud = world.app(), world.app(verdicts=Speaks(b"\x90"))
    block = world.prepare(silent, [world.transfer(0, 0)])
    for extension in (b"", b"\x90", b"\xff" * 100):
        loud.verify_vote_extension(m.RequestVerifyVoteExtension(block.hash, world.address, 1, extension))
    assert loud.finalize_block(world.decided(block)) == silent.finalize_block(world.decided(block))


@FEW
@given(st.lists(TXS, min_size=1, max_size=3))
def test_requirements_11_and_12_state_and_results_depend_on_state_and_block_only(world, blocks):
    proposer, follower, late = world.app(), world.app(), world.app()
    for number, wanted in enumerate(blocks):
        moment = world.genesis.time_ns + (number + 1) * 10**9
        block = world.prepare(proposer, make(world, wanted), time=moment)
        world.prepare(follower, [world.transfer(7, number)], time=moment)  # a round that was lost
        follower.process_proposal(block)
        answers = []
        for app in (proposer, follower, late):  # late: as in a replay, FinalizeBlock and Commit only
            answers.append(app.finalize_block(world.decided(block)))
            app.commit()
        assert answers[0] == answers[1] == answers[2]


def test_requirements_11_and_12_hold_for_blocks_that_no_honest_process_proposes(world):
    raw = (b"", b"\x52garbage", world.transfer(0, 5), b"\xff" * 50, world.transfer(1, 0), world.transfer(1, 0))
    at = (1, world.genesis.time_ns + 1, bytes(32), world.address)
    block = m.RequestFinalizeBlock(raw, m.CommitInfo(), (), bytes(32), *at)
    one, other = world.app(), world.app()
    assert one.finalize_block(block) == other.finalize_block(block)
    assert len(one.finalize_block(block).tx_results) == len(raw)


def test_requirement_13_check_tx_settles(world, app):
    good, poor = world.transfer(0, 0), world.transfer(1, 0, value=10**30)
    assert app.check_tx(m.RequestCheckTx(good)).code == 0
    codes = {app.check_tx(m.RequestCheckTx(poor)).code for _ in range(5)}
    assert len(codes) == 1
    assert codes != {0}
    assert {app.check_tx(m.RequestCheckTx(good, m.RECHECK)).code for _ in range(5)} == {0}
    block = world.prepare(app, [good])
    app.finalize_block(world.decided(block))
    app.commit()
    assert {app.check_tx(m.RequestCheckTx(good, m.RECHECK)).code for _ in range(5)} == {3}


# --- what the rest of the document asks: replay, crash, handshake --------------------------------------------------


def test_a_block_judged_twice_and_finalized_twice_has_one_hash(world, app):
    block = world.prepare(app, [world.transfer(0, 0), world.native(1, 0)])
    app.process_proposal(block)
    app.process_proposal(block)
    first = app.finalize_block(world.decided(block))
    assert app.finalize_block(world.decided(block)) == first
    app.commit()
    assert app.info(m.RequestInfo()).last_block_app_hash == first.app_hash


def test_updates_of_the_validator_set_belong_to_the_block_whenever_it_is_finalized(world):
    kv = MemoryStore()
    app = world.app(kv)
    block = world.prepare(app, [world.join(1, 0)])
    first = app.finalize_block(world.decided(block))
    assert [update.power for update in first.validator_updates] == [40]
    assert app.finalize_block(world.decided(block)) == first
    back = world.app(kv)  # the process died before Commit; CometBFT sends the block again
    assert back.finalize_block(world.decided(block)) == first
    back.commit()
    empty = world.decided(world.prepare(back, [], time=block.time + 1))
    assert back.finalize_block(empty).validator_updates == ()


def test_after_a_crash_before_commit_info_tells_the_block_before(world):
    kv = MemoryStore()
    app = world.app(kv)
    one = world.prepare(app, [world.transfer(0, 0)])
    kept = app.finalize_block(world.decided(one))
    app.commit()
    two = world.prepare(app, [world.transfer(0, 1)], time=one.time + 1)
    expected = app.finalize_block(world.decided(two))
    back = world.app(kv)  # the process died here, its memory with it
    info = back.info(m.RequestInfo())
    assert (info.last_block_height, info.last_block_app_hash) == (1, kept.app_hash)
    assert back.finalize_block(world.decided(two)) == expected
    back.commit()
    assert back.info(m.RequestInfo()).last_block_height == 2


async def test_a_new_process_replays_the_chain_to_the_same_hashes(world):
    requests, hashes, app = [], [], world.app()
    finalize = app.finalize_block

    def record(request):
        response = finalize(request)
        requests.append(request)
        hashes.append(response.app_hash)
        return response

    app.finalize_block = record
    engine = world.solo(app)
    await engine.start()
    for number in range(4):
        await engine.submit(world.transfer(0, number))
        await engine.submit(world.native(1, number, f"set {number}"))
        await engine.mine()
    await engine.stop()
    assert app.head().number == 4
    assert await world.solo(world.app()).replay(requests) == hashes


async def test_the_application_accepts_its_own_blocks_through_the_engine(world, app):
    engine = world.solo(app)
    await engine.start()
    sent = [await engine.submit(world.transfer(sender, 0)) for sender in range(5)]
    assert await engine.mine() == 1
    assert [app.store.transaction(tx_hash) for tx_hash in sent] == [(1, index) for index in range(5)]
    await engine.stop()


@pytest.mark.parametrize("height", [0, 2, 7])
def test_a_block_of_a_wrong_height_is_a_fault(world, app, height):
    from openledger.primitives.errors import ConsensusFault

    block = m.RequestFinalizeBlock((), m.CommitInfo(), (), bytes(32), height, 10**18, bytes(32), world.address)
    with pytest.raises(ConsensusFault):
        app.finalize_block(block)
