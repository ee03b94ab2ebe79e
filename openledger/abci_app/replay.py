"""A stored block once more, transaction by transaction, on the state of its parent: what traces stand on.

A stored block has its Ethereum-visible transactions. What else went into it, the consensus engine's part, is its note:
the time, the proposer, slot 0 and the round of the last commit (both decide what the system work hears), who was absent
from that commit, proven misbehaviour, and whether there were transactions besides (an idle epoch ends only with one).
Transactions that were refused in the block changed
nothing and are not repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from openledger.abci_app.block import BlockInput, Chain, Run, begin
from openledger.abci_app.decoder import decode_signed
from openledger.abci_app.protocol.messages import FLAG_ABSENT, CommitInfo, Misbehavior, Validator, VoteInfo
from openledger.evm.engine import BlockEnv
from openledger.primitives.blocks import Receipt, SealedBlock
from openledger.primitives.codec import Value, decode, encode
from openledger.primitives.errors import CorruptDatabase, InvalidMsgpack, UnknownBlock
from openledger.primitives.transactions import NATIVE
from openledger.primitives.types import Address, Hash32
from openledger.state.overlay import Overlay
from openledger.state.ports import Diff, StateReader
from openledger.state.store import StateStore


@dataclass(frozen=True, slots=True)
class Note:
    """What is kept beside a block (``SealedBlock.consensus``). ``time`` in nanoseconds; ``block_id`` is the consensus
    engine's hash; ``slot0`` is empty where there was none; ``others``: the block had transactions besides slot 0 and
    ``edits`` (a solo devnet's, empty where there were none); ``absent`` are consensus addresses."""

    time: int
    block_id: Hash32
    proposer: Address
    slot0: bytes
    round: int
    others: bool
    absent: tuple[Address, ...] = ()
    misbehavior: tuple[Misbehavior, ...] = ()
    edits: bytes = b""

    @classmethod
    def of(cls, block: BlockInput, block_id: Hash32) -> Note:
        slot0, edits = block.slot0, block.edits
        others = len(block.txs) > len([part for part in (slot0, edits) if part])
        return cls(
            block.time, block_id, block.proposer, slot0, block.commit.round, others, tuple(block.absent),
            block.misbehavior, edits,
        )  # fmt: skip

    def encode(self) -> bytes:
        proven: list[Value] = [
            [m.type, m.validator.address, m.validator.power, m.height, m.time, m.total_voting_power]
            for m in self.misbehavior
        ]
        said: list[Value] = [self.time, self.block_id, self.proposer, self.slot0, self.round, int(self.others)]
        return encode([*said, [*self.absent], proven, self.edits])

    @classmethod
    def decode(cls, raw: bytes) -> Note:
        """Raises CorruptDatabase."""
        try:
            parts = decode(raw)
        except InvalidMsgpack as err:
            raise CorruptDatabase(f"the note of a block cannot be read: {err}") from None
        if not isinstance(parts, list) or len(parts) != 9:
            raise CorruptDatabase("this block was stored without what is needed to repeat it", "sync again")
        time, block_id, proposer, slot0, commit_round, others, absent, proven, edits = parts
        misbehavior = tuple(Misbehavior(kind, Validator(who, power), *rest) for kind, who, power, *rest in proven)
        return cls(time, block_id, proposer, slot0, commit_round, bool(others), tuple(absent), misbehavior, edits)

    def input(self, number: int) -> BlockInput:
        """The block as the system work sees it: it asks of other transactions only whether there are any."""
        txs = tuple(part for part in (self.slot0, self.edits) if part) + ((b"",) if self.others else ())
        votes = tuple(VoteInfo(Validator(who, 0), FLAG_ABSENT) for who in self.absent)
        return BlockInput(number, self.time, self.proposer, txs, CommitInfo(self.round, votes), self.misbehavior)


@dataclass(frozen=True, slots=True)
class Moment:
    """Just before transaction ``index`` of a stored block. ``state`` is valid until the next moment is asked for.

    ``effects`` is what a native or the system transaction will change; None for an EVM transaction, which an engine
    may run on ``state`` in any way it likes. ``first_log`` is the number of logs in the block so far.
    """

    index: int
    raw: bytes
    sender: Address
    receipt: Receipt
    env: BlockEnv
    state: StateReader
    effects: Diff | None
    first_log: int


def replay(chain: Chain, store: StateStore, number: int) -> Iterator[Moment]:
    """The moments of block ``number``, in order. Leaves nothing anywhere.

    Raises UnknownBlock (also for genesis, which nothing made), StatePruned where the parent's state is gone, and
    CorruptDatabase when the block does not give the receipts that are stored.
    """
    block, parent = store.block(number), store.header(number - 1) if number else None
    if block is None or parent is None:
        raise UnknownBlock(f"block {number} cannot be repeated" if block else f"there is no block {number}")
    before = store.reader(number - 1)
    past = replace(chain, block_hash=store.recent_hashes(number), decode=partial(decode_signed, solo=chain.solo))
    given = Note.decode(block.consensus).input(number)
    run = begin(past, before, parent, given)
    effects = _apart(run, lambda: run.system_work(given))
    first_log = 0
    if run.output.transactions:
        yield _moment(run, block, 0, effects, first_log)
    run.state.apply(effects)
    for index in range(len(run.output.transactions), len(block.transactions)):
        first_log = sum(len(r.logs) for r in block.receipts[:index])
        raw = block.transactions[index]
        if raw[0] == NATIVE:
            effects = _apart(run, lambda raw=raw: run.take(raw))  # type: ignore[misc]
            yield _moment(run, block, index, effects, first_log)
            run.state.apply(effects)
        else:
            yield _moment(run, block, index, None, first_log)
            run.take(raw)
            run.flush()
        if run.output.receipts[index:] != [block.receipts[index]]:
            raise CorruptDatabase(f"transaction {index} of block {number} does not give its stored receipt")


def _apart(run: Run, work: Callable[[], None]) -> Diff:
    """What ``work`` changes, while the run's own state stays."""
    base = run.state
    run.state = Overlay(base)
    try:
        work()
        return run.state.diff()
    finally:
        run.state = base


def _moment(run: Run, block: SealedBlock, index: int, effects: Diff | None, first_log: int) -> Moment:
    return Moment(
        index, block.transactions[index], block.senders[index], block.receipts[index], run.env, run.state, effects,
        first_log,
    )  # fmt: skip
