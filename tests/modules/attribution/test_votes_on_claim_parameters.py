"""``max_settlements``, ``work_per_epoch`` and ``drawn_rows`` change by a vote while claims are under way: an open claim
stays as it was made, one on its way is refused rather than changed, and the next one follows the new value."""

from __future__ import annotations

import dataclasses

import pytest
from claim_money import Money, someone
from harness import ACCOUNTS, PRICE, Harness

from openledger.abci_app.modules.attribution.claim import AttributionClaim
from openledger.abci_app.modules.attribution.messages import Reveal, ShownBlock, encode_extension
from openledger.abci_app.modules.attribution.records import CLAIMS, REVEAL, Claim, Share
from openledger.abci_app.modules.governance.propose import GovPropose
from openledger.abci_app.modules.governance.records import PASSED, Argument, must_proposal, params, set_params
from openledger.abci_app.modules.governance.vote import GovVote
from openledger.genesis.params import MAX_DRAWN, Params
from openledger.genesis.presets import DEVNET_PARAMS
from openledger.primitives.amounts import OPEN
from openledger.primitives.errors import BudgetExceeded, InvalidGenesis

SHARES = {1: 400_000, 2: 300_000, 3: 200_000}


def change(chain: Harness, **values: int) -> None:
    """A proposal for other values, and its vote."""
    arguments = tuple(Argument(name, str(value)) for name, value in values.items())
    assert chain.act(1, GovPropose("t", "s", "params", arguments, 10 * OPEN)).status == 1
    number = 1
    while must_proposal(chain.state, number).status == PASSED:
        number += 1
    assert chain.act(9, GovVote(number, "yes")).status == 1
    chain.block(max(1, must_proposal(chain.state, number).deadline - chain.time))
    assert must_proposal(chain.state, number).status == PASSED, must_proposal(chain.state, number).failure
    assert all(getattr(params(chain.state), name) == value for name, value in values.items())


def prepared(settlements: int, **settings: int) -> tuple[Harness, int]:
    """One validator whose oracle is silent, and a closed epoch with so many settlements of one answer each."""
    chain = Harness(epoch_seconds=100, hold_seconds=10_000, vote_seconds=10_000, **settings)
    chain.publish()
    epochs = {chain.settle(answers=1) for _ in range(settlements)}
    assert len(epochs) == 1
    chain.close_epoch()
    chain.oracles[0].mode = "silent"
    return chain, epochs.pop()


def record(chain: Harness, number: int) -> Claim:
    return CLAIMS.must(chain.state, number)


def test_an_open_claim_covers_what_it_was_made_for_and_the_next_one_follows_the_vote() -> None:
    chain, epoch = prepared(20, max_settlements=18)
    on_its_way = AttributionClaim(
        1, epoch, 0, 18, (Share(ACCOUNTS[1][0], 1_000_000),), 0, bytes(32), bytes(32), bytes(32)
    )
    first = chain.claim(epoch, SHARES, 100_000)
    before = record(chain, first)
    assert (before.first, before.last, before.fee) == (0, 18, 18 * PRICE)
    chain.settle(answers=1)
    change(chain, max_settlements=16)
    assert record(chain, first) == before
    chain.oracles[0].mode = "yes"
    assert chain.run_claim(first) == "accepted"
    chain.settle(answers=1)
    chain.close_epoch()
    for _ in range(17):
        after = chain.settle(answers=1)
    chain.close_epoch()
    count = chain.query("get_settlements", 1, after)["count"]
    assert count >= 17
    late = dataclasses.replace(on_its_way, epoch=after, last=min(18, count))
    assert f"ends at 16, this one at {late.last}" in chain.refusal(4, late)
    assert record(chain, chain.claim(after, SHARES, 100_000)).last == 16


def test_more_drawn_rows_alter_no_open_claim_and_count_for_the_next() -> None:
    """The vote passes while all have committed to what two drawn rows show: their reveals still count."""
    chain, epoch = prepared(1, reveal_seconds=10_000)
    first = chain.claim(epoch, SHARES, 100_000)
    chain.oracles[0].mode = "yes"
    for _ in range(10):
        if record(chain, first).status == REVEAL:
            break
        chain.block()
    assert record(chain, first).status == REVEAL
    chain.oracles[0].mode = "silent"
    change(chain, drawn_rows=4)
    assert record(chain, first).drawn == 2
    chain.oracles[0].mode = "yes"
    assert chain.run_claim(first) == "accepted"
    assert chain.query("get_verdicts", first)[0]["verdict"] == "yes"
    epoch = chain.settle(answers=1)
    chain.close_epoch()
    second = chain.claim(epoch, SHARES, 100_000)
    assert record(chain, second).drawn == 4
    assert chain.run_claim(second) == "accepted"


def test_with_less_work_an_epoch_what_was_settled_before_can_still_be_claimed_alone() -> None:
    """Two models of 10^8 rows with five answers each, settled within the old budget and beyond the new one: a claim in
    each epoch, and none that is stuck."""
    world = Money(dataclasses.replace(DEVNET_PARAMS, work_per_epoch=10**9, work_price=0))
    world.seat([("v0", 10, True)])
    world.fund([someone(name) for name in ("owner", "consumer")])
    models = [world.publish(someone("owner"), PRICE, [someone("author")], rows=10**8) for _ in range(2)]
    epochs = {world.buy("consumer", model, 5) for model in models}
    world.close()
    world.params = dataclasses.replace(world.params, work_per_epoch=10**8)
    set_params(world.state, world.params)
    (epoch,) = epochs
    shares = {someone("author"): 1_000_000}
    assert CLAIMS.must(world.state, world.claim(someone("owner"), models[0], epoch, shares)).fee == 5 * PRICE
    with pytest.raises(BudgetExceeded):
        world.claim(someone("owner"), models[1], epoch, shares)
    world.close()
    assert CLAIMS.must(world.state, world.claim(someone("owner"), models[1], epoch, shares)).fee == 5 * PRICE


@pytest.mark.parametrize("drawn", range(1, MAX_DRAWN + 1))
def test_a_reveal_of_the_most_drawn_rows_fits_the_least_extension_of_the_joint_bound(drawn: int) -> None:
    """Of a model with a million rows."""
    least = 200 + 700 * drawn
    size = max(least, 1_000)
    dataclasses.replace(Params(), drawn_rows=drawn, max_extension_bytes=size).validate()
    if least > 1_000:
        with pytest.raises(InvalidGenesis, match="holds a reveal"):
            dataclasses.replace(Params(), drawn_rows=drawn, max_extension_bytes=least - 1).validate()
    shown = tuple(ShownBlock(2**17 - 1 - i, b"\xff" * 32, b"\xff" * 64, bytes(32 * 17)) for i in range(drawn))
    assert len(encode_extension([Reveal(10**6, 2**32 - 1, True, "", bytes(32), bytes(32), shown)])) <= size
