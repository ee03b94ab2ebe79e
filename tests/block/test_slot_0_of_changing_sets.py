"""Slot 0 while validators come and go, of a full set, and before extensions begin: what the proposer builds fits and
everybody takes it; what others than the signers of that height have signed counts for nothing."""

from __future__ import annotations

import dataclasses

import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app import votes
from openledger.abci_app.modules.attribution.messages import (
    Hold,
    Reveal,
    ShownBlock,
    decode_extension,
    encode_extension,
    own_bytes,
    score_bytes,
)
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.abci_app.protocol import messages as abci
from openledger.abci_app.protocol.canonical import extension_sign_bytes
from openledger.primitives.amounts import OPEN
from openledger.primitives.codec import decode, encode
from openledger.primitives.keys import consensus_address, ed25519_public, ed25519_sign
from openledger.primitives.types import Address

SEED = b"\x77" * 32
NEW = consensus_address(ed25519_public(SEED))
HOLD = encode_extension([Hold(1, 0)])


def signed(chain: Harness, address: Address, extension: bytes, height: int, round: int = 0) -> abci.ExtendedVoteInfo:
    """The precommit of a validator with an extension."""
    raw = extension_sign_bytes(chain.genesis.chain_id, height, round, extension)
    return abci.ExtendedVoteInfo(abci.Validator(address, 1), extension, ed25519_sign(chain.seed_of[address], raw), 2)


def speaks(chain: Harness, address: Address) -> bool:
    """Does everybody take a slot 0 in which this validator speaks about the newest block? And does an honest proposer
    put it there?"""
    vote = signed(chain, address, HOLD, chain.app.head().number)
    slot0 = b"\x52" + encode([[address, vote.vote_extension, vote.extension_signature]])
    taken = chain.judge((slot0,)) == abci.ACCEPT
    before, chain.commit = chain.commit, abci.ExtendedCommitInfo(0, (vote,))
    assert (chain.propose() == (slot0,)) == taken
    chain.commit = before
    return taken


def test_a_new_validator_speaks_from_the_first_block_on_that_it_has_signed(chain: Harness) -> None:
    chain.join(1, 100 * OPEN, SEED)
    spoke = []
    for _ in range(4):
        spoke.append((NEW in {v.validator.address for v in chain.commit.votes}, speaks(chain, NEW)))
        chain.block()
    assert spoke == [(False, False), (False, False), (True, True), (True, True)]


def test_a_validator_that_leaves_speaks_up_to_the_last_block_that_it_has_signed(chain: Harness) -> None:
    chain.join(1, 100 * OPEN, SEED)
    chain.block()
    chain.block()
    chain.act(1, StakeUndelegate(ACCOUNTS[1][0]))
    spoke = []
    for _ in range(4):
        spoke.append((NEW in {v.validator.address for v in chain.commit.votes}, speaks(chain, NEW)))
        chain.block()
    assert spoke == [(True, True), (True, True), (False, False), (False, False)]


def test_a_jailed_validator_still_speaks_about_the_blocks_it_has_signed() -> None:
    chain = Harness()
    chain.join(1, 100 * OPEN, SEED)
    chain.block()
    chain.block()
    chain.prove_double_sign(NEW, chain.app.head().number)
    chain.block()
    assert chain.query("get_validator", ACCOUNTS[1][0])["jailed"]
    assert speaks(chain, NEW)


def test_power_in_the_commit_is_not_believed() -> None:
    """cosmos-sdk#19550: whatever power a proposer writes, a stranger has none and a validator has its own."""
    chain = Harness(powers=(10, 10))
    for oracle in chain.oracles:
        oracle.promises = False
    chain.block()
    stranger = consensus_address(ed25519_public(b"\x55" * 32))
    chain.seed_of[stranger] = b"\x55" * 32
    vote = dataclasses.replace(
        signed(chain, stranger, HOLD, chain.app.head().number), validator=abci.Validator(stranger, 2**40)
    )
    chain.commit = abci.ExtendedCommitInfo(0, (*chain.commit.votes, vote))
    assert chain.propose() == ()
    assert not speaks(chain, stranger)


@pytest.mark.parametrize("flag", [abci.FLAG_ABSENT, abci.FLAG_NIL])
def test_extensions_of_votes_that_are_not_for_the_block_are_left_out(chain: Harness, flag: int) -> None:
    chain.block()
    vote = signed(chain, chain.addresses[0], HOLD, chain.app.head().number)
    chain.commit = abci.ExtendedCommitInfo(0, (dataclasses.replace(vote, block_id_flag=flag),))
    assert chain.propose() == ()


def test_the_same_validator_twice_in_a_commit_speaks_once(chain: Harness) -> None:
    chain.block()
    vote = signed(chain, chain.addresses[0], HOLD, chain.app.head().number)
    chain.commit = abci.ExtendedCommitInfo(0, (vote, vote))
    txs = chain.propose()
    assert len(decode(txs[0][1:])) == 1  # type: ignore[arg-type]
    assert chain.judge(txs) == abci.ACCEPT


# --- a full set -------------------------------------------------------------------------------------------------------


def reveal(number: int, bytes_wanted: int) -> bytes:
    """A well-formed extension of about this size."""
    proof = b"".join(bytes([number, level]) * 16 for level in range(40))
    rows = max(1, (bytes_wanted - 60) // 480)
    shown = tuple(ShownBlock(i, own_bytes([1]), score_bytes(2), proof[: 14 * 32]) for i in range(rows))
    extension = encode_extension([Reveal(1, 0, True, "", bytes(32), b"", shown)])
    assert decode_extension(extension)
    assert bytes_wanted - 480 < len(extension) <= bytes_wanted
    return extension


@pytest.fixture(scope="module")
def full() -> Harness:
    """150 validators with one block behind them."""
    chain = Harness(powers=(1,) * 150)
    chain.block()
    return chain


def speak(chain: Harness, sizes: dict[int, int], usual: int) -> None:
    height = chain.app.head().number
    chain.commit = abci.ExtendedCommitInfo(
        0,
        tuple(
            signed(chain, address, reveal(i, sizes.get(i, usual)), height) for i, address in enumerate(chain.addresses)
        ),
    )


def heard(txs: tuple[bytes, ...]) -> set[Address]:
    return {entry[0] for entry in decode(txs[0][1:])}  # type: ignore[union-attr, index, misc]


def test_150_validators_with_a_kilobyte_each_fit_in_170_kilobytes_and_all_are_heard(full: Harness) -> None:
    speak(full, {}, 1_024)
    txs = full.propose()
    assert len(txs[0]) <= full.genesis.params.max_slot0_bytes == 170_000
    assert heard(txs) == set(full.addresses)
    assert full.judge(txs) == abci.ACCEPT


def test_when_all_say_as_much_as_they_may_some_wait_and_each_has_its_turn(full: Harness) -> None:
    speak(full, {}, 4_096)
    of = votes.Precommits(full.app._chain, full.app.head().number, 0)
    txs = full.propose()
    assert 0 < len(txs[0]) <= 170_000
    assert full.judge(txs) == abci.ACCEPT
    turns: set[Address] = set()
    entries = [(v.validator.address, v.vote_extension, v.extension_signature) for v in full.commit.votes]
    for height in range(60):
        chosen = votes._fitting(entries, dataclasses.replace(of, height=height).height, 170_000)
        assert len(chosen) >= 40
        turns |= {entry[0] for entry in chosen}
    assert turns == set(full.addresses)


def test_who_keeps_to_the_aim_is_heard_whatever_the_others_say(full: Harness) -> None:
    small = set(range(0, 150, 2))
    speak(full, dict.fromkeys(small, 1_024), 4_096)
    txs = full.propose()
    assert {full.addresses[i] for i in small} <= heard(txs)
    assert len(txs[0]) <= 170_000
    assert full.judge(txs) == abci.ACCEPT


@pytest.mark.parametrize("limit", [0, 7, 100, 1_000, 1_200, 5_000, 40_000])
def test_slot_0_never_exceeds_the_byte_limit_of_the_block(full: Harness, limit: int) -> None:
    speak(full, {}, 1_024)
    request = abci.RequestPrepareProposal(
        limit, (), full.commit, (), full.app.head().number + 1, (full.time + 1) * 10**9, b"", full.addresses[0]
    )
    txs = full.app.prepare_proposal(request).txs
    assert sum(len(tx) + 8 for tx in txs) <= limit
    assert bool(txs) == (limit > 1_000)
    assert full.judge(txs) == abci.ACCEPT


def test_a_slot_0_larger_than_the_bound_is_refused_though_every_signature_holds() -> None:
    chain = Harness(powers=(1,) * 10, max_slot0_bytes=8_192)
    chain.block()
    speak(chain, {}, 1_024)
    entries = sorted([v.validator.address, v.vote_extension, v.extension_signature] for v in chain.commit.votes)
    assert chain.judge((b"\x52" + encode(entries),)) == abci.REJECT
    assert chain.judge((b"\x52" + encode(entries[:7]),)) == abci.ACCEPT


# --- where extensions begin -------------------------------------------------------------------------------------------


def test_before_the_height_where_extensions_begin_nothing_is_said_and_nothing_heard() -> None:
    chain = Harness()
    chain.genesis = dataclasses.replace(chain.genesis, vote_extensions_enable_height=3)
    chain.restart()
    taken = []
    for _ in range(5):
        chain.block()
        taken.append((chain.app.head().number, speaks(chain, chain.addresses[0])))
    assert taken == [(1, False), (2, False), (3, True), (4, True), (5, True)]
