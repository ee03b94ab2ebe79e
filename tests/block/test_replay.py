"""A stored block can be repeated from what is stored: same receipts, same effects, whatever was in it."""

from __future__ import annotations

import dataclasses

import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app.action import outbox_bytes
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.staking.records import JAILED, SLASHED, TOMBSTONED, UNBONDED
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.abci_app.protocol.messages import Misbehavior, Validator
from openledger.abci_app.registry import PRECOMPILES
from openledger.abci_app.replay import Note
from openledger.evm.engines import ENGINE_NAMES, load_engine, native_available
from openledger.evm.outbox import SUBMIT_SELECTOR
from openledger.primitives.amounts import OPEN
from openledger.primitives.errors import UnknownBlock
from openledger.primitives.types import OUTBOX_ADDRESS, Log
from openledger.state.overlay import Overlay


@pytest.fixture(params=ENGINE_NAMES[1:])
def chain(request: pytest.FixtureRequest) -> Harness:
    """A devnet on each engine that is there."""
    if request.param == "revm" and not native_available():
        pytest.skip("the native engine is not built: make native")
    return Harness(engine=load_engine(request.param, precompiles=dict(PRECOMPILES)))


def submit_data(action: bytes) -> bytes:
    padded = action + bytes(-len(action) % 32)
    return SUBMIT_SELECTOR + (32).to_bytes(32, "big") + len(action).to_bytes(32, "big") + padded


def repeat(chain: Harness, number: int) -> int:
    """Repeat one block and compare; the number of its transactions. ``replay`` itself compares the receipts."""
    block = chain.app.store.block(number)
    assert block is not None
    seen, first = 0, 0
    for moment in chain.app.replay(number):
        assert (moment.index, moment.raw, moment.first_log) == (seen, block.transactions[seen], first)
        assert (moment.effects is None) == (moment.raw[0] not in (0x50, 0x51))
        if moment.effects is not None and moment.receipt.status:
            assert not moment.effects.is_empty
        seen, first = seen + 1, first + len(moment.receipt.logs)
    assert seen == len(block.transactions)
    return seen


def test_every_block_of_a_claims_life_repeats(chain: Harness) -> None:
    """Slot 0, tallies, payouts, mint and the close of epochs included."""
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    assert chain.run_claim(chain.claim(epoch, {1: 600_000, 2: 300_000}, 100_000)) == "accepted"
    chain.block(chain.genesis.params.epoch_seconds)
    head = chain.app.head().number
    assert sum(repeat(chain, number) for number in range(1, head + 1)) > head // 2
    types = {raw[0] for n in range(1, head + 1) for raw in chain.app.store.block(n).transactions}  # type: ignore[union-attr]
    assert types == {0x50, 0x51}


def test_a_block_of_transfers_actions_and_outbox_work_repeats(chain: Harness) -> None:
    data = submit_data(outbox_bytes(DatanetCreate("from the outbox")))
    raws = [
        chain.transfer(0, ACCOUNTS[1][0], 5),
        chain.native(1, DatanetCreate("native")),
        chain.transfer(2, OUTBOX_ADDRESS, 0, data=data, gas=300_000),
        chain.transfer(3, ACCOUNTS[1][0], 7),
        b"\x02nonsense",
        chain.transfer(4, ACCOUNTS[1][0], 7, nonce=99),
    ]
    chain.finalize(tuple(raws))
    assert repeat(chain, chain.app.head().number) == 4


def test_the_state_before_a_transaction_has_what_came_before_it_and_nothing_after(chain: Harness) -> None:
    to = b"\x77" * 20
    chain.finalize((chain.transfer(0, to, 5), chain.native(1, DatanetCreate("d")), chain.transfer(2, to, 7)))
    found = []
    for moment in chain.app.replay(chain.app.head().number):
        account = moment.state.account(to)
        after = Overlay(moment.state)
        if moment.effects is not None:
            after.apply(moment.effects)
        found.append((account.balance if account else 0, moment.state.record(bytes(18) + b"\x08\x00", b"count/")))
    assert [balance for balance, _ in found] == [0, 5, 5]
    assert [record is None for _, record in found] == [True, True, False]


def test_a_block_that_only_refused_its_transactions_ends_the_epoch_and_repeats(chain: Harness) -> None:
    chain.act(0, DatanetCreate("d"))
    before = chain.query("get_epoch")["number"]
    chain.finalize((b"\x02nonsense",), seconds=chain.genesis.params.epoch_seconds + 1)
    assert chain.query("get_epoch")["number"] == before + 1
    assert repeat(chain, chain.app.head().number) == 0


def test_genesis_and_the_future_cannot_be_repeated(chain: Harness) -> None:
    for number in (0, 9):
        with pytest.raises(UnknownBlock):
            next(chain.app.replay(number))


def test_a_note_keeps_what_consensus_said() -> None:
    note = Note(1_700_000_000 * 10**9, b"\1" * 32, b"\2" * 20, b"\x52slot", 3, True)
    assert Note.decode(note.encode()) == note
    assert len(note.input(5).txs) == 2
    proven = (Misbehavior(2, Validator(b"\3" * 20, 7), 4, 1_700_000_000 * 10**9, 99),)
    whole = dataclasses.replace(note, absent=(b"\4" * 20, b"\5" * 20), misbehavior=proven)
    assert Note.decode(whole.encode()) == whole
    assert (whole.input(5).absent, whole.input(5).misbehavior) == ([b"\4" * 20, b"\5" * 20], proven)


def test_blocks_with_evidence_misses_jails_and_paid_stake_repeat() -> None:
    chain = Harness(powers=(30, 10, 10), signed_window=10)
    chain.join(1, 100 * OPEN, b"\x77" * 32)
    chain.absent = {chain.addresses[1]}
    for _ in range(9):
        chain.block()
    chain.prove_double_sign(chain.addresses[2], 5)
    chain.act(1, StakeUndelegate(ACCOUNTS[1][0], OPEN))
    for _ in range(4):
        chain.block()
    chain.block(60)
    found = {log.topics[0] for n in range(1, chain.app.head().number + 1) for log in logs(chain, n)}
    assert {event.topic for event in (JAILED, TOMBSTONED, SLASHED, UNBONDED)} <= found
    assert sum(repeat(chain, number) for number in range(1, chain.app.head().number + 1)) >= 5


def logs(chain: Harness, number: int) -> list[Log]:
    block = chain.app.store.block(number)
    return [log for receipt in block.receipts for log in receipt.logs] if block else []
