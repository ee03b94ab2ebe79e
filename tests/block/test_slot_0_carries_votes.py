"""Slot 0: what a proposer puts there, what everybody refuses, and what a lie in it can do (nothing)."""

from __future__ import annotations

import dataclasses

import pytest
from harness import Harness

from openledger.abci_app.modules.attribution.messages import (
    Commitment,
    Hold,
    Reveal,
    decode_extension,
    encode_extension,
)
from openledger.abci_app.protocol import messages as abci
from openledger.abci_app.protocol.canonical import extension_sign_bytes
from openledger.primitives.codec import decode, encode
from openledger.primitives.keys import ed25519_sign
from openledger.primitives.types import Address
from openledger.state.ports import StateReader


def with_open_claim(powers: tuple[int, ...] = (10, 10, 10)) -> tuple[Harness, int]:
    chain = Harness(powers=powers)
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    return chain, chain.claim(epoch, {1: 1_000_000})


def test_signed_extensions_of_the_last_block_stand_first_in_the_next() -> None:
    chain, _ = with_open_claim()
    chain.block()
    txs = chain.propose()
    entries = decode(txs[0][1:])
    assert txs[0][0] == 0x52
    assert isinstance(entries, list)
    assert [entry[0] for entry in entries] == sorted(chain.addresses)


def test_the_proposer_leaves_out_what_is_not_signed_by_the_validator_or_malformed() -> None:
    chain, _ = with_open_claim()
    chain.block()
    good, forged, garbage = chain.commit.votes
    forged = dataclasses.replace(forged, extension_signature=good.extension_signature)
    signature = ed25519_sign(
        chain.seeds[2], extension_sign_bytes(chain.genesis.chain_id, chain.app.head().number, 0, b"\xff\xff")
    )
    garbage = dataclasses.replace(garbage, vote_extension=b"\xff\xff", extension_signature=signature)
    chain.commit = abci.ExtendedCommitInfo(0, (good, forged, garbage))
    txs = chain.propose()
    entries = decode(txs[0][1:])
    assert isinstance(entries, list)
    assert [entry[0] for entry in entries] == [good.validator.address]
    assert chain.judge(txs) == abci.ACCEPT


def test_a_forged_slot_0_is_rejected_and_counts_as_empty_when_it_is_decided_all_the_same() -> None:
    chain, number = with_open_claim()
    chain.block()
    honest = chain.propose()[0]
    entries = decode(honest[1:])
    assert isinstance(entries, list)
    swapped = [[entries[0][0], entries[1][1], entries[1][2]], *entries[1:]]
    for forged in (
        b"\x52" + encode(swapped),
        b"\x52" + encode(entries[::-1]),
        b"\x52" + encode([*entries, entries[-1]]),
        b"\x52" + encode([]),
        b"\x52\xc1",
        honest + b"\x00",
    ):
        assert chain.judge((forged,)) == abci.REJECT
    assert chain.judge((honest, honest)) == abci.REJECT
    result = chain.finalize((b"\x52\xc1",)).tx_results
    assert [r.info for r in result] == ["refused"]
    assert not any(v["held"] for v in chain.query("get_verdicts", number))


def test_an_extension_signed_for_another_round_or_height_does_not_count() -> None:
    chain, number = with_open_claim()
    chain.block()
    chain.commit = dataclasses.replace(chain.commit, round=1)
    assert chain.propose() == ()
    chain.block()
    stale = chain.commit
    chain.block()
    chain.commit = stale
    assert chain.propose() == ()
    assert chain.query("get_claim", number)["status"] in ("pending", "voting")


def test_an_extension_is_verified_by_size_form_and_open_claims_only() -> None:
    chain, _ = with_open_claim()
    good = chain.oracles[0].extension(chain.state, chain.app.head().number + 1, chain.addresses[0])

    def verdict(extension: bytes, sender: bytes = chain.addresses[0]) -> int:
        height = chain.app.head().number + 1
        return chain.app.verify_vote_extension(abci.RequestVerifyVoteExtension(b"", sender, height, extension)).status

    assert good
    assert verdict(good) == abci.ACCEPT
    assert verdict(b"") == abci.ACCEPT
    assert verdict(good + b"\x00") == abci.REJECT
    assert verdict(b"\x90") == abci.REJECT
    assert verdict(good, bytes(20)) == abci.REJECT
    assert verdict(encode([[1, [99, 0]]])) == abci.REJECT
    assert verdict(encode([[1, [1, 0]]] * 17)) == abci.REJECT
    assert verdict(encode([[1, [1, 0]], [3, [1, 0, False, "x" * 4090, bytes(16), []]]])) == abci.REJECT


def test_what_this_node_extends_it_accepts_itself_and_garbage_becomes_silence() -> None:
    chain, _ = with_open_claim()

    class Garbage:
        def extension(self, state: object, height: int, validator: bytes) -> bytes:
            return b"\xff" * 5000

    height = chain.app.head().number + 1
    request = abci.RequestExtendVote(b"", height, 0, (), abci.CommitInfo(), (), b"", b"")
    mine = chain.app.extend_vote(request).vote_extension
    verify = abci.RequestVerifyVoteExtension(b"", chain.addresses[0], height, mine)
    assert mine
    assert chain.app.verify_vote_extension(verify).status == abci.ACCEPT
    chain.app._verdicts = Garbage()
    assert chain.app.extend_vote(request).vote_extension == b""


def test_a_message_twice_or_in_the_wrong_phase_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """When its own first word of a phase is heard, one validator says a word of every phase behind it; the records stay
    those of a chain where it does not."""
    (quiet, number), (chain, same) = with_open_claim(), with_open_claim()
    assert number == same
    truth, said = chain.oracles[0].extension, set[type]()

    def extension(state: StateReader, height: int, validator: Address) -> bytes:
        more = (
            Hold(number, 0),
            Commitment(number, 0, b"\x07" * 32),
            Reveal(number, 0, False, "no", b"\x07" * 16, b"", ()),
        )
        usual = decode_extension(truth(state, height, validator))
        new = {type(message) for message in usual} & {Hold, Commitment, Reveal} - said
        said.update(new)
        return encode_extension([*usual, *(more if new else ())])

    monkeypatch.setattr(chain.oracles[0], "extension", extension)
    phases = []
    while (status := quiet.query("get_claim", number)["status"]) != "accepted":
        phases.append(status)
        for one in (quiet, chain):
            one.block()
        told = [one.query("get_verdicts", number) for one in (quiet, chain)]
        assert told[0] == told[1]
        assert len(told[0]) == 3
    assert ({"pending", "voting", "reveal"}, said) == (set(phases), {Hold, Commitment, Reveal})
    assert chain.query("get_claim", number) == quiet.query("get_claim", number)
