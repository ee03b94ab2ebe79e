"""A validator cannot choose the rows that it has to show: its seeds are promised before the claim is known."""

from __future__ import annotations

import dataclasses
import random

import pytest
from harness import Harness

from openledger.abci_app.modules.attribution.draws import LEAD, counted, promised
from openledger.abci_app.modules.attribution.messages import (
    MAX_PROOF,
    Commitment,
    Message,
    Reveal,
    ShownBlock,
    decode_extension,
    encode_extension,
    own_bytes,
    scores_of,
)
from openledger.abci_app.modules.attribution.records import CLAIMS
from openledger.abci_app.votes import AIM_BYTES
from openledger.genesis.params import Params
from openledger.node.oracle_seeds import Seeds
from openledger.primitives.attribution import (
    SEED_BATCH,
    block_rows,
    count_blocks,
    drawn_blocks,
    drawn_rows,
    score_leaf,
    seed_leaf,
)
from openledger.primitives.errors import MalformedAction
from openledger.primitives.hashing import keccak256, merkle_proof, merkle_root, merkle_verify
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
        monkeypatch.setattr(cheat, "_own", lambda state, claim: [(0, own_bytes(10**7 * n for n in range(1, 9)))])
    monkeypatch.setattr(cheat, "_message", message)
    assert chain.run_claim(number) == "accepted"
    assert said(chain, number, 0) == ("yes" if grind == "rows" and _draws_first(chain, number) else "void")


def _draws_first(chain: Harness, number: int) -> bool:
    address = chain.addresses[0]
    claim, seed = CLAIMS.must(chain.state, number), chain.oracles[0].seeds.seed(address, number)
    return drawn_blocks(number, address, seed, claim.scores_root, claim.rows, 2) == [0]


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
    """The longest reveal of two blocks of rows of a model of 2^depth rows, in a chain of a million claims."""
    shown = tuple(ShownBlock(2**depth // 8 - i, b"\xff" * 32, b"\xff" * 64, bytes(32 * (depth - 3))) for i in (2, 1))
    return encode_extension([Reveal(10**6, 2**32 - 1, True, "", bytes(16), bytes(32), shown)])


def test_a_reveal_stays_within_one_kilobyte_up_to_sixteen_thousand_rows_and_fits_with_any() -> None:
    assert len(reveal(14)) <= AIM_BYTES < len(reveal(15))
    assert len(reveal(20)) <= 1_450
    assert len(reveal(MAX_PROOF + 3)) < Params().max_extension_bytes


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
    shown = ShownBlock(0, bytes(4), bytes(8), proof)
    for message in (Reveal(1, 0, True, "", bytes(16), bytes(32), (shown,)), Commitment(1, 0, bytes(32), b"", proof)):
        with pytest.raises(MalformedAction, match="proof"):
            decode_extension(encode_extension([message]))


# --- blocks of rows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [*range(1, 34), 63, 64, 65, 1_000])
def test_each_block_is_one_node_of_the_tree_of_scores(rows: int) -> None:
    leaves = [score_leaf(row, 3 * row) for row in range(rows)]
    blocks = [block_rows(block, rows) for block in range(count_blocks(rows))]
    assert [row for block in blocks for row in block] == list(range(rows))
    nodes = [merkle_root([leaves[row] for row in block]) for block in blocks]
    assert merkle_root(nodes) == merkle_root(leaves)
    for block in {0, len(blocks) // 2, len(blocks) - 1}:
        assert merkle_verify(merkle_root(leaves), nodes[block], block, len(nodes), merkle_proof(nodes, block))


def test_who_says_that_all_rows_score_zero_is_found_out_although_most_do() -> None:
    """Measured on claims over real text: six rows of ten score exactly zero, so two single rows let a third of such
    verdicts pass."""
    chance, rows = random.Random(7), 240
    single, blocked = 0, 0
    for number in range(2_000):
        scores = [0 if chance.random() < 0.6 else 10**6 for _ in range(rows)]
        at = (number, bytes(20), chance.randbytes(32), bytes(32), rows, 2)
        single += not any(scores[row] for row in drawn_rows(*at))
        blocked += not any(scores[row] for block in drawn_blocks(*at) for row in block_rows(block, rows))
    assert single > 600
    assert blocked <= 10, "two rows fall into the same block now and then"


@pytest.mark.parametrize("change", ["one", "zero", "short", "long"])
def test_a_yes_with_one_other_score_in_its_blocks_or_other_rows_is_void(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Harness(powers=(10, 10, 10, 10))
    number = opened(chain)
    cheat = chain.oracles[0]
    truth = cheat._own

    def own(state: StateReader, claim: int) -> list[tuple[int, bytes]]:
        (block, raw), *rest = truth(state, claim)
        changed = {"one": raw[:-4] + bytes(4), "zero": bytes(len(raw)), "short": raw[4:], "long": raw}
        return [(block, changed[change]), *rest]

    def message(state: StateReader, claim: int) -> Message | None:
        made = said_before(state, claim)
        if isinstance(made, Reveal) and change in ("short", "long"):
            first, *rest = made.shown
            kept = len(first.own) // 4 if change == "short" else len(first.claimed) // 8 - 1
            first = dataclasses.replace(first, own=first.own[: 4 * kept], claimed=first.claimed[: 8 * kept])
            return dataclasses.replace(made, shown=(first, *rest))
        return made

    said_before = cheat._message
    monkeypatch.setattr(cheat, "_own", own)
    monkeypatch.setattr(cheat, "_message", message)
    assert chain.run_claim(number) == "accepted"
    assert [said(chain, number, i) for i in range(4)] == ["void", "yes", "yes", "yes"]


def test_an_own_score_that_no_claim_can_have_becomes_the_nearest_that_a_message_can() -> None:
    assert scores_of(own_bytes([2**40, -(2**40), 5]), 4) == [2**31 - 1, -(2**31), 5]


@pytest.mark.parametrize(("own", "claimed"), [(0, 0), (3, 8), (4, 16), (36, 72)])
def test_a_block_with_other_than_one_to_eight_pairs_of_scores_is_no_message(own: int, claimed: int) -> None:
    shown = ShownBlock(0, bytes(own), bytes(claimed), b"")
    with pytest.raises(MalformedAction, match="scores"):
        decode_extension(encode_extension([Reveal(1, 0, True, "", bytes(16), bytes(32), (shown,))]))
