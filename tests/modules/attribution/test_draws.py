"""A validator cannot choose the rows that it has to show: its seeds are promised before the claim is known."""

from __future__ import annotations

import dataclasses

import pytest
from harness import Harness

from openledger.abci_app.modules.attribution.draws import LEAD, counted, promised
from openledger.abci_app.modules.attribution.messages import (
    MAX_PROOF,
    Commitment,
    Message,
    Reveal,
    ShownRow,
    decode_extension,
    encode_extension,
)
from openledger.abci_app.modules.attribution.records import CLAIMS
from openledger.abci_app.votes import AIM_BYTES
from openledger.genesis.params import Params
from openledger.node.oracle_seeds import Seeds
from openledger.primitives.attribution import SEED_BATCH, drawn_rows, seed_leaf
from openledger.primitives.errors import MalformedAction
from openledger.primitives.hashing import keccak256, merkle_verify
from openledger.state.ports import StateReader

SHARES = {1: 400_000, 2: 300_000, 3: 300_000}


def opened(chain: Harness) -> int:
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    return chain.claim(epoch, SHARES)


def verdicts(chain: Harness, number: int) -> dict[str, str]:
    return {v["validator"].lower(): v["verdict"] for v in chain.query("get_verdicts", number)}


def said(chain: Harness, number: int, index: int) -> str:
    return verdicts(chain, number)["0x" + chain.addresses[index].hex()]


def test_every_validator_promises_seeds_for_this_batch_of_claims_and_the_next_once() -> None:
    chain = Harness(powers=(10, 10, 10, 10))
    chain.publish()
    for oracle in chain.oracles:
        for batch in (0, 1):
            assert promised(chain.state, oracle.address, batch) == oracle.seeds.root(oracle.address, batch)
        assert oracle.extension(chain.state, 9, oracle.address) == b""


def test_a_promise_of_the_seed_counts_for_claims_that_open_some_blocks_later_only() -> None:
    chain = Harness()
    chain.publish()
    address = chain.addresses[0]
    at = 2  # block 1 was the first with an extension
    assert counted(chain.state, address, 1, at + LEAD) is None
    assert counted(chain.state, address, 1, at + LEAD + 1) == chain.oracles[0].seeds.root(address, 0)
    assert counted(chain.state, address, 2 * SEED_BATCH, 100) is None


def test_a_yes_without_a_promise_is_void_and_a_no_counts() -> None:
    chain = Harness(powers=(10, 10, 30, 30))
    for oracle in chain.oracles[:2]:
        oracle.promises = False
    chain.oracles[1].mode = "no"
    number = opened(chain)
    assert chain.run_claim(number) == "accepted"
    assert [said(chain, number, i) for i in range(4)] == ["void", "no", "yes", "yes"]


def test_a_promise_made_after_the_claim_is_known_counts_from_the_next_claims_on() -> None:
    chain = Harness(powers=(10, 10, 10, 10))
    chain.oracles[0].promises = False
    number = opened(chain)
    chain.oracles[0].promises = True
    assert chain.run_claim(number) == "accepted"
    assert said(chain, number, 0) == "void"
    epoch = chain.settle()
    chain.close_epoch()
    following = chain.claim(epoch, SHARES)
    assert chain.run_claim(following) == "accepted"
    assert said(chain, following, 0) == "yes"


@pytest.mark.parametrize("grind", ["seed", "leaf", "path", "rows"])
def test_a_seed_that_was_not_promised_makes_the_yes_void(grind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One who has ground a seed until it draws a row whose score he knows."""
    chain = Harness(powers=(10, 10, 10, 10))
    number = opened(chain)
    cheat = chain.oracles[0]
    truth = cheat._message

    def message(state: StateReader, claim: int) -> Message | None:
        made = truth(state, claim)
        if isinstance(made, Commitment) and grind == "path":
            return dataclasses.replace(made, path=made.path[32:])
        if isinstance(made, Commitment) and grind == "leaf":
            seed = Seeds(b"ground").seed(cheat.address, claim)
            return dataclasses.replace(made, leaf=seed_leaf(claim, seed))
        if not isinstance(made, Reveal):
            return made
        return (
            dataclasses.replace(made, seed=Seeds(b"ground").seed(cheat.address, claim))
            if grind in ("seed", "leaf")
            else made
        )

    if grind == "rows":
        monkeypatch.setattr(cheat, "_own", lambda state, claim: [(0, 10**7), (1, 2 * 10**7)])
    monkeypatch.setattr(cheat, "_message", message)
    assert chain.run_claim(number) == "accepted"
    assert said(chain, number, 0) == ("yes" if grind == "rows" and _draws_first(chain, number) else "void")


def _draws_first(chain: Harness, number: int) -> bool:
    address = chain.addresses[0]
    claim, seed = CLAIMS.must(chain.state, number), chain.oracles[0].seeds.seed(address, number)
    return drawn_rows(number, address, seed, claim.scores_root, claim.rows, 2) == [0, 1]


def test_seeds_that_were_ground_for_the_easy_rows_of_earlier_claims_draw_like_any_others() -> None:
    """A validator that knows which rows of a popular model score nothing can choose all seeds of its batch for them;
    the next claim's scores, whose root nobody knows when it promises, draw other rows."""
    validator, rows, easy = b"v" * 20, 100, set(range(50))
    old, found = keccak256(b"the last claim's scores"), list[bytes]()
    for claim in range(1, 201):
        seeds = (keccak256(bytes([claim, n])) for n in range(256))
        found.append(next(s for s in seeds if set(drawn_rows(claim, validator, s, old, rows, 2)) <= easy))
    new = keccak256(b"the next claim's scores")
    hits = sum(set(drawn_rows(i + 1, validator, seed, new, rows, 2)) <= easy for i, seed in enumerate(found))
    assert 30 <= hits <= 70  # a quarter of 200 by chance


def test_every_seed_of_a_batch_stands_under_its_root() -> None:
    seeds, validator = Seeds(b"secret"), b"v" * 20
    for claim in (SEED_BATCH, SEED_BATCH + 77, 2 * SEED_BATCH - 1):
        leaf = seed_leaf(claim, seeds.seed(validator, claim))
        path = seeds.path(validator, claim)
        assert merkle_verify(seeds.root(validator, 1), leaf, claim % SEED_BATCH, SEED_BATCH, path)
        assert not merkle_verify(seeds.root(validator, 0), leaf, claim % SEED_BATCH, SEED_BATCH, path)


# --- how large it is ------------------------------------------------------------------------------------------------


def reveal(depth: int) -> bytes:
    """The longest reveal of two rows of a model of 2^depth rows, in a chain of a million claims."""
    shown = tuple(ShownRow(2**depth - i, b"\xff" * 8, b"\xff" * 8, bytes(32 * depth)) for i in (2, 1))
    return encode_extension([Reveal(10**6, 250, True, "", bytes(16), bytes(32), shown)])


def test_a_reveal_stays_within_one_kilobyte_up_to_sixteen_thousand_rows_and_fits_with_any() -> None:
    assert len(reveal(14)) <= AIM_BYTES < len(reveal(15))
    assert len(reveal(20)) <= 1_450
    assert len(reveal(MAX_PROOF)) < Params().max_extension_bytes


def test_a_commitment_says_nothing_about_its_verdict_by_its_size() -> None:
    chain = Harness(powers=(10, 10, 10, 10))
    chain.oracles[1].mode = "no"
    number = opened(chain)
    chain.block()
    chain.block()
    assert chain.query("get_claim", number)["status"] == "voting"
    said = [decode_extension(o.extension(chain.state, 9, o.address)) for o in chain.oracles[:2]]
    sizes = [len(encode_extension(messages)) for messages in said]
    assert all(isinstance(messages[0], Commitment) for messages in said)
    assert sizes[0] == sizes[1] < 360


@pytest.mark.parametrize("proof", [bytes(31), bytes(33), bytes(32 * (MAX_PROOF + 1))])
def test_a_proof_that_is_not_whole_hashes_or_too_long_is_no_message(proof: bytes) -> None:
    shown = ShownRow(0, bytes(8), bytes(8), proof)
    for message in (Reveal(1, 0, True, "", bytes(16), bytes(32), (shown,)), Commitment(1, 0, bytes(32), b"", proof)):
        with pytest.raises(MalformedAction, match="proof"):
            decode_extension(encode_extension([message]))
