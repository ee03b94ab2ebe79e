"""The bridge to the oracle process: what a claimant shows cannot hurt it, and it does not grow for ever."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from openledger.abci_app.action import BlockContext
from openledger.abci_app.modules.attribution.accusations import named_rows
from openledger.abci_app.modules.attribution.challenge_index import AttributionChallengeIndex
from openledger.abci_app.modules.attribution.draws import hear_promise
from openledger.abci_app.modules.attribution.index_challenges import must_ballot
from openledger.abci_app.modules.attribution.messages import (
    MAX_MESSAGES,
    Commitment,
    Hold,
    Message,
    Promise,
    Reveal,
    ShownBlock,
    decode_extension,
)
from openledger.abci_app.modules.attribution.records import (
    ACCEPTED,
    CLAIMS,
    ELECTORATES,
    NO,
    OPEN,
    PENDING,
    REFUSED,
    REVEAL,
    VOTES,
    VOTING,
    Claim,
    Electorate,
    Member,
    Vote,
    vote,
)
from openledger.abci_app.modules.attribution.voting import advance, hear
from openledger.abci_app.modules.governance.records import set_params
from openledger.abci_app.modules.models.records import MODELS, Model
from openledger.abci_app.queries import attribution_job
from openledger.abci_app.tables import Number
from openledger.abci_app.votes import AIM_BYTES, check_extension
from openledger.genesis.params import Params
from openledger.node import oracle_bridge
from openledger.node.blob_following import job_blobs
from openledger.node.oracle_bridge import FINDING_BLOCKS, OracleBridge
from openledger.node.oracle_findings import Finding
from openledger.node.oracle_jobs import LOOKED_AT
from openledger.node.oracle_seeds import Seeds
from openledger.primitives.attribution import EVERY_SEGMENT, NAMED_ROW, AttributionJob, Named, Verdict, score_leaf
from openledger.primitives.errors import BlobNotFound
from openledger.primitives.hashing import merkle_root, sha256
from openledger.state.blobs import BlobStore
from openledger.state.memory import MemoryStore
from openledger.state.overlay import Overlay
from openledger.state.store import StateStore
from tests.harness import Harness
from tests.waiting import until

ROWS = 10
SCORES = tuple(range(ROWS))
VALIDATOR = b"v" * 20
CLAIM = Claim(
    model=1, epoch=1, claimant=b"c" * 20, first=0, last=1, fee=1, bond=1, work_fee=0, shares=(), unattributed=10**6,
    evidence=bytes(32), scores_root=bytes(32), scores=bytes(32), rows=ROWS, status=REVEAL, attempt=0, deadline=10**9,
    opened=1, closed=0, minted=0, drawn=2,
)  # fmt: skip


def job() -> AttributionJob:
    """A job for a worker that does not look at it."""
    return AttributionJob(3, 1, "gradient-dot", "", "", "", "", "", (), (), (), (), 0, "", "", ROWS)


def a_model() -> Model:
    """A model that was not refuted."""
    hashes = {name: bytes(32) for name in ("weights", "bundle", "receipt", "index", "index_root")}
    return Model(
        owner=b"o" * 20, name="m", base="b", data=(), rows=ROWS, method="gradient-dot", base_loss=0, held_out_loss=0,
        lds=0, price=1, mints=False, retired=False, height=1, **hashes,
    )  # fmt: skip


def about_claims(extension: bytes) -> list[Message]:
    """Its messages but for promises of seeds."""
    return [message for message in decode_extension(extension) if not isinstance(message, Promise)]


@pytest.fixture
def bridge(tmp_path: Path) -> OracleBridge:
    return OracleBridge(str(tmp_path / "blobs"), tmp_path / "oracle", "chain")


def shown(tmp_path: Path, scores: list[int]) -> Claim:
    """A claim whose scores blob holds these scores under their true root."""
    raw = b"".join(score.to_bytes(8, "big", signed=True) for score in scores)
    BlobStore(str(tmp_path / "blobs")).put(raw)
    root = merkle_root([score_leaf(row, score) for row, score in enumerate(scores)])
    return dataclasses.replace(CLAIM, scores=sha256(raw), scores_root=root)


@pytest.mark.parametrize("count", [0, 1, ROWS - 1, ROWS + 1, ROWS])
async def test_scores_of_fewer_rows_than_the_claim_leave_the_validator_silent_and_alive(
    bridge: OracleBridge, tmp_path: Path, count: int
) -> None:
    claim = shown(tmp_path, list(range(count)))
    finding = Finding(Verdict(1, True, "", SCORES), b"s" * 16)
    await bridge.start()
    try:
        bridge._shown[1, 0] = lambda: bridge._reveal(1, claim, finding, VALIDATOR, Seeds(b"secret"))
        bridge._show_wake.set()
        await until(lambda: not bridge._shown)
        assert bridge._tasks
        assert not any(task.done() for task in bridge._tasks)
        assert ((1, 0) in bridge._reveals) == (count == ROWS)
    finally:
        await bridge.stop()


async def test_blobs_that_were_held_and_are_gone_are_fetched_once_more(tmp_path: Path) -> None:
    """A file that the disk has spoilt after the claim was held kept a validator silent until the claim closed."""
    asked, gone = list[str](), [True]

    async def fetch(name: str) -> bool:
        asked.append(name)
        gone.clear()
        return True

    class Missing:
        """A verifying process that finds a blob damaged as long as nobody fetches it."""

        ended = ""

        async def verify(self, job: AttributionJob, seconds: float) -> Verdict:
            if gone:
                raise BlobNotFound("a blob of claim 3 is damaged here")
            return Verdict(job.claim, True, "", SCORES)

        async def stop(self) -> None:
            """There is no process."""

    bridge = OracleBridge(str(tmp_path / "blobs"), tmp_path / "oracle", "chain", fetch=fetch)
    bridge.worker = Missing()  # type: ignore[assignment]
    await bridge.start()
    try:
        bridge._held.add((3, 0))
        bridge._jobs.add((3, 0), dataclasses.replace(job(), bundle_blob="1" * 64, index_blob="0" * 64,
                                                     evidence_blob="0" * 64))  # fmt: skip
        bridge._wake.set()
        await until(lambda: (3, 0) in bridge._findings)
        assert set(asked) == {"1" * 64}
    finally:
        await bridge.stop()


async def test_a_verdict_that_cannot_be_written_is_found_once_more_and_the_others_go_on(
    bridge: OracleBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full for a moment does not silence a validator until it is restarted."""
    full, save = [True], bridge._store.save

    def failing(key: tuple[int, int], finding: Finding) -> None:
        if full.pop() if full else False:
            raise OSError(28, "No space left on device")
        save(key, finding)

    class Quick:
        """A verifying process that says yes at once."""

        ended = ""

        async def verify(self, job: AttributionJob, seconds: float) -> Verdict:
            return Verdict(job.claim, True, "", SCORES)

        async def stop(self) -> None:
            """There is no process."""

    monkeypatch.setattr(bridge._store, "save", failing)
    bridge.worker = Quick()  # type: ignore[assignment]
    await bridge.start()
    try:
        for claim in (3, 4):
            bridge._jobs.add((claim, 0), dataclasses.replace(job(), claim=claim))
        bridge._wake.set()
        await until(lambda: set(bridge._findings) == {(3, 0), (4, 0)})
        assert not any(task.done() for task in bridge._tasks)
    finally:
        await bridge.stop()


async def test_findings_of_closed_claims_are_forgotten_after_some_blocks(bridge: OracleBridge, tmp_path: Path) -> None:
    state = Overlay(StateStore(MemoryStore()).reader())
    set_params(state, Params())
    finding = Finding(Verdict(1, True, "", SCORES), b"s" * 16)
    await bridge.start()
    try:
        for attempt in (0, 1):
            bridge._store.save((1, attempt), finding)
            bridge._findings[1, attempt] = finding
        CLAIMS.put(state, dataclasses.replace(CLAIM, status=ACCEPTED, attempt=1, closed=10), 1)
        bridge.extension(state, 10 + FINDING_BLOCKS, VALIDATOR)
        assert len(bridge._findings) == len(list((tmp_path / "oracle" / "chain").glob("*.json"))) == 2
        bridge.extension(state, 11 + FINDING_BLOCKS, VALIDATOR)
        assert not bridge._findings
        assert not list((tmp_path / "oracle" / "chain").glob("*.json"))
    finally:
        await bridge.stop()


async def test_a_validator_says_that_it_holds_the_blobs_before_it_has_verified_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openledger.node.oracle_bridge.RETRY_SECONDS", 0.02)
    chain = Harness()
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    number = chain.claim(epoch, {1: 400_000, 2: 300_000, 3: 300_000})
    asked: list[str] = []
    arrived = False

    async def fetch(name: str) -> bool:
        asked.append(name)
        return arrived

    class Slow:
        """A verifying process that never comes to an end."""

        async def verify(self, job: object, seconds: float) -> Verdict:
            await asyncio.sleep(1000)
            raise AssertionError

        async def stop(self) -> None:
            """There is no process."""

    bridge = OracleBridge(str(tmp_path / "blobs"), tmp_path / "oracle", "chain", fetch=fetch)
    bridge.worker = Slow()  # type: ignore[assignment]
    await bridge.start()
    try:
        assert about_claims(bridge.extension(chain.state, 9, chain.addresses[0])) == []
        await until(lambda: set(asked) == set(job_blobs(attribution_job(chain.state, number))))
        assert about_claims(bridge.extension(chain.state, 9, chain.addresses[0])) == []
        arrived = True
        await until(lambda: bridge._held)
        assert about_claims(bridge.extension(chain.state, 9, chain.addresses[0])) == [Hold(number, 0)]
    finally:
        await bridge.stop()


@pytest.mark.parametrize(("valid", "status"), [(True, "accepted"), (False, "refused")])
async def test_a_challenge_of_an_index_is_looked_at_and_voted_on_like_a_claim(
    tmp_path: Path, valid: bool, status: str
) -> None:
    chain = Harness()
    chain.publish()
    seen: list[AttributionJob] = []

    class Looks:
        """A verifying process that has looked at the named row."""

        async def verify(self, job: AttributionJob, seconds: float) -> Verdict:
            seen.append(job)
            return Verdict(job.claim, valid, "recomputed" if valid else "index row 7 is wrong", (), named)

        async def stop(self) -> None:
            """There is no process."""

    async def fetch(name: str) -> bool:
        return True

    named = None if valid else Named(NAMED_ROW, 7)
    bridge = OracleBridge(str(tmp_path / "blobs"), tmp_path / "oracle", "chain", fetch=fetch)
    bridge.worker = Looks()  # type: ignore[assignment]
    await bridge.start()
    chain.oracles[0].extension = bridge.extension  # type: ignore[method-assign]
    try:
        assert chain.act(8, AttributionChallengeIndex(1, 7)).status == 1
        for _ in range(20):
            if chain.query("get_index_challenge", 1)["status"] == status:
                break
            chain.block()
            await until(lambda: not (bridge.waiting or bridge._awaited or bridge._shown))
        assert chain.query("get_index_challenge", 1)["status"] == status
        assert [(job.again, job.named) for job in seen] == [(True, ((7, EVERY_SEGMENT),))]
        assert chain.query("get_verdicts", 1)[0]["reason"] == ("" if valid else "index row 7 is wrong")
        assert not bridge._jobs
    finally:
        await bridge.stop()


async def test_with_many_claims_open_as_many_messages_are_said_as_an_extension_may_have(bridge: OracleBridge) -> None:
    state = Overlay(StateStore(MemoryStore()).reader())
    set_params(state, Params())
    for number in range(1, 31):
        CLAIMS.put(state, dataclasses.replace(CLAIM, status=PENDING), number)
        OPEN.put(state, Number(1), number)
        ELECTORATES.put(state, Electorate((Member(VALIDATOR, VALIDATOR, 1),)), number)
    await bridge.start()
    for number in range(1, 31):
        bridge._findings[number, 0] = Finding(Verdict(number, True, "", SCORES), b"s" * 16)
    try:
        extension = bridge.extension(state, 5, VALIDATOR)
    finally:
        await bridge.stop()
    promises, holds = decode_extension(extension)[:2], decode_extension(extension)[2:]
    assert all(isinstance(message, Promise) for message in promises)
    assert [message.claim for message in holds] == list(range(1, MAX_MESSAGES - 1))  # type: ignore[union-attr]
    check_extension(extension, VALIDATOR, state, Params().max_extension_bytes)


async def test_a_vote_looks_at_some_of_the_claims_that_are_open_and_each_has_its_turn(
    bridge: OracleBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 3 * LOOKED_AT + 5
    state = Overlay(StateStore(MemoryStore()).reader())
    set_params(state, Params())
    for number in range(1, many + 1):
        CLAIMS.put(state, dataclasses.replace(CLAIM, status=PENDING), number)
        OPEN.put(state, Number(1), number)
        ELECTORATES.put(state, Electorate((Member(VALIDATOR, VALIDATOR, 1),)), number)
    read: list[int] = []
    monkeypatch.setattr(
        oracle_bridge, "must_ballot", lambda state, number: read.append(number) or must_ballot(state, number)
    )
    await bridge.start()
    said = set()
    try:
        for number in range(1, many + 1):
            bridge._findings[number, 0] = Finding(Verdict(number, True, "", SCORES), b"s" * 16)
        for height in range(5, 9):
            read.clear()
            messages = about_claims(bridge.extension(state, height, VALIDATOR))
            said |= {message.claim for message in messages if isinstance(message, Hold)}
            assert len(read) == LOOKED_AT
        assert len({number // LOOKED_AT for number in said}) >= 3, "each part of them"
        assert len(bridge._findings) == many
        OPEN.delete(state, many)
        CLAIMS.put(state, dataclasses.replace(CLAIM, status=ACCEPTED, closed=5), many)
        bridge.extension(state, 5 + FINDING_BLOCKS + 1, VALIDATOR)
        assert (many, 0) not in bridge._findings, "also one that is not looked at is forgotten when it is over"
    finally:
        await bridge.stop()


@pytest.mark.parametrize(("height", "valid", "speaks"), [(0, True, True), (7, True, False), (7, False, True)])
async def test_a_yes_whose_seed_was_promised_too_late_is_not_said_and_a_no_is(
    bridge: OracleBridge, height: int, valid: bool, speaks: bool
) -> None:
    state, params = Overlay(StateStore(MemoryStore()).reader()), Params()
    set_params(state, params)
    await bridge.start()
    try:
        assert bridge._seeds is not None
        promise = Promise(0, bridge._seeds.root(VALIDATOR, 0))
        list(hear_promise(state, BlockContext(height, 0, VALIDATOR, 1, params), VALIDATOR, promise))
        CLAIMS.put(state, dataclasses.replace(CLAIM, status=VOTING, opened=9), 1)
        OPEN.put(state, Number(9), 1)
        ELECTORATES.put(state, Electorate((Member(VALIDATOR, VALIDATOR, 1),)), 1)
        bridge._findings[1, 0] = Finding(Verdict(1, valid, "", SCORES if valid else ()), b"s" * 16)
        said = about_claims(bridge.extension(state, 10, VALIDATOR))
        assert [type(message) for message in said] == [Commitment] * speaks
    finally:
        await bridge.stop()


async def test_a_restart_promises_the_same_seeds_and_a_spoilt_secret_others(tmp_path: Path) -> None:
    folder = tmp_path / "oracle" / "chain"
    roots = []
    for _ in range(2):
        bridge = OracleBridge(str(tmp_path / "blobs"), tmp_path / "oracle", "chain")
        await bridge.start()
        assert bridge._seeds is not None
        roots.append(bridge._seeds.root(VALIDATOR, 3))
        await bridge.stop()
    assert roots[0] == roots[1]
    secret = folder / "seeds.secret"
    assert secret.stat().st_mode & 0o077 == 0
    secret.write_text("spoilt")
    assert Seeds.in_folder(folder).root(VALIDATOR, 3) != roots[0]


async def test_when_a_devnet_goes_back_claims_above_are_forgotten_and_a_running_job_finds_nothing(
    bridge: OracleBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = Finding(Verdict(1, True, "", SCORES), b"s" * 16)
    started, go_on = asyncio.Event(), asyncio.Event()

    async def verify(_job: object, _seconds: float) -> Verdict:
        started.set()
        await go_on.wait()
        return finding.verdict

    monkeypatch.setattr(bridge.worker, "verify", verify)
    await bridge.start()
    try:
        for key in ((1, 0), (2, 0)):
            bridge._store.save(key, finding)
            bridge._findings[key] = finding
        bridge._jobs.add((3, 0), job())
        bridge._wake.set()
        await started.wait()
        bridge.forget_after(1)
        go_on.set()
        await until(lambda: bridge.record.seconds)  # the turn has ended
        await asyncio.sleep(0.05)
        assert list(bridge._findings) == [(1, 0)]
        assert [path.stem for path in bridge._store.folder.glob("*.json")] == ["1-0"]
    finally:
        await bridge.stop()


async def test_what_is_too_large_to_be_said_keeps_nothing_else_from_being_said(bridge: OracleBridge) -> None:
    """Two claims in reveal, the first with proofs that do not fit where governance has lowered the bound; and a third
    that is pending."""
    state = Overlay(StateStore(MemoryStore()).reader())
    set_params(state, dataclasses.replace(Params(), max_extension_bytes=1_000))
    depths = {1: 16, 2: 10}
    for number in (1, 2, 3):
        CLAIMS.put(state, dataclasses.replace(CLAIM, status=PENDING if number == 3 else REVEAL), number)
        OPEN.put(state, Number(1), number)
        ELECTORATES.put(state, Electorate((Member(VALIDATOR, VALIDATOR, 1),)), number)
        VOTES.put(state, Vote(1, bytes(32)), number, VALIDATOR)
        bridge._findings[number, 0] = Finding(Verdict(number, True, "", SCORES), b"s" * 16)
    VOTES.delete(state, 3, VALIDATOR)
    for number, depth in depths.items():
        row = ShownBlock(0, bytes(4), bytes(8), bytes(32 * depth))
        bridge._reveals[number, 0] = Reveal(number, 0, True, "", b"s" * 16, bytes(32), (row, row))
    bridge._seeds = Seeds(b"secret")
    for batch in (0, 1):
        promise = Promise(batch, bridge._seeds.root(VALIDATOR, batch))
        list(hear_promise(state, BlockContext(1, 0, VALIDATOR, 1, Params()), VALIDATOR, promise))
    extension = bridge.extension(state, 5, VALIDATOR)
    assert [(type(m), m.claim) for m in decode_extension(extension)] == [(Reveal, 2), (Hold, 3)]  # type: ignore[union-attr]
    check_extension(extension, VALIDATOR, state, 1_000)


async def test_what_does_not_fit_the_aim_is_said_once_the_rest_is_in_state(bridge: OracleBridge) -> None:
    """Twelve claims in their vote: about three commitments a block, oldest first, until all are heard."""
    state, params = Overlay(StateStore(MemoryStore()).reader()), Params()
    set_params(state, params)
    bridge._seeds = Seeds(b"secret")
    for batch in (0, 1):
        promise = Promise(batch, bridge._seeds.root(VALIDATOR, batch))
        list(hear_promise(state, BlockContext(0, 0, VALIDATOR, 1, params), VALIDATOR, promise))
    for number in range(1, 13):
        CLAIMS.put(state, dataclasses.replace(CLAIM, status=VOTING, opened=9), number)
        OPEN.put(state, Number(1), number)
        ELECTORATES.put(state, Electorate((Member(VALIDATOR, VALIDATOR, 1),)), number)
        bridge._findings[number, 0] = Finding(Verdict(number, True, "", SCORES), b"s" * 16)
    rounds = []
    while extension := bridge.extension(state, 10, VALIDATOR):
        assert len(extension) <= AIM_BYTES
        messages = decode_extension(extension)
        rounds.append([message.claim for message in messages])  # type: ignore[union-attr]
        hear(state, BlockContext(10, 0, VALIDATOR, 1, params), [(VALIDATOR, message) for message in messages])
    assert rounds == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]]


class Looking:
    """A verifying process that finds row 7 wrong when it is told to look at it, and says yes to the rest."""

    def __init__(self, draws: bool) -> None:
        self.draws = draws
        self.jobs: list[AttributionJob] = []

    async def verify(self, job: AttributionJob, seconds: float) -> Verdict:
        self.jobs.append(job)
        if self.draws or (7, 3) in job.named:
            return Verdict(job.claim, False, "index row 7 is wrong", (), Named(NAMED_ROW, 7, segment=3))
        return Verdict(job.claim, True, "", () if job.again else tuple(range(job.rows)))

    async def stop(self) -> None:
        """There is no process."""


async def at_rest(bridge: OracleBridge) -> None:
    await until(lambda: not bridge.waiting)


async def at_hand(_name: str) -> bool:
    return True


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_one_bridge_names_the_other_one_looks_at_before_it_commits_anew(
    tmp_path: Path, restarted: bool
) -> None:
    """Two validators, the first has drawn the wrong row. A restart between the looks changes nothing."""
    state, params = Overlay(StateStore(MemoryStore()).reader()), Params()
    set_params(state, params)
    names = (b"a" * 20, b"b" * 20)
    hashes = {9: b"\x77" * 32}
    bridges = [
        OracleBridge(str(tmp_path / "blobs"), tmp_path / f"oracle{i}", "chain", fetch=at_hand, block_hash=hashes.get)
        for i in (0, 1)
    ]
    workers = [Looking(draws=True), Looking(draws=False)]
    blank = job()
    CLAIMS.put(state, dataclasses.replace(CLAIM, status=VOTING, opened=9), 1)
    MODELS.put(state, a_model(), 1)
    OPEN.put(state, Number(9), 1)
    ELECTORATES.put(state, Electorate((Member(names[0], names[0], 1), Member(names[1], names[1], 9))), 1)

    def context(height: int) -> BlockContext:
        return BlockContext(height, height, VALIDATOR, 1, params)

    def block(height: int) -> None:
        said = [
            (name, m)
            for b, name in zip(bridges, names, strict=True)
            for m in decode_extension(b.extension(state, 9, name))
        ]
        hear(state, context(height), said)
        advance(state, context(height))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "openledger.node.oracle_bridge.attribution_job",
            lambda state, number: dataclasses.replace(blank, claim=number, named=named_rows(state, number)),
        )
        for bridge, worker, name in zip(bridges, workers, names, strict=True):
            bridge.worker = worker  # type: ignore[assignment]
            await bridge.start()
            for batch in (0, 1):
                assert bridge._seeds is not None
                list(hear_promise(state, context(1), name, Promise(batch, bridge._seeds.root(name, batch))))
        try:
            block(10)  # the jobs are noted
            for bridge in bridges:
                await at_rest(bridge)
            block(11)
            first = [vote(state, 1, name).digest for name in names]
            assert CLAIMS.must(state, 1).look == 1
            assert first == [b"", b""]
            if restarted:
                await bridges[1].stop()
                bridges[1] = OracleBridge(str(tmp_path / "blobs"), tmp_path / "oracle1", "chain", fetch=at_hand)
                bridges[1].worker = workers[1]  # type: ignore[assignment]
                await bridges[1].start()
            block(12)
            assert vote(state, 1, names[0]).digest
            assert not vote(state, 1, names[1]).digest, "it has not looked yet"
            await at_rest(bridges[1])
            assert [j.again for j in workers[1].jobs] == [False, True]
            dealt = [(w.jobs[0].place, w.jobs[0].lot) for w in workers]
            assert dealt == [(0, "77" * 32), (1, "77" * 32)], "each knows which part is dealt to it"
            assert workers[1].jobs[1].named == ((7, 3),)
            block(13)
            assert CLAIMS.must(state, 1).status == REVEAL
            finding = bridges[1]._findings[1, 0]
            assert (finding.verdict.valid, finding.rows) == (False, ((7, 3),))
            assert finding == bridges[1]._store.load()[1, 0]
            assert finding.salt_of(0) != finding.salt_of(1)
            block(14)  # the reveals are noted
            await until(lambda: all((1, 0) in bridge._reveals for bridge in bridges))
            block(15)
            assert [vote(state, 1, name).verdict for name in names] == [NO, NO]
            assert CLAIMS.must(state, 1).status == REFUSED
        finally:
            for bridge in bridges:
                await bridge.stop()
