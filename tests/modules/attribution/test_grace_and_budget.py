"""The epochs in which only a model's owner may claim: one without room for the claim is none of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from claim_money import COIN, Money, someone
from harness import DEVNET_PARAMS

from openledger.abci_app.modules.attribution.records import REFUSED
from openledger.primitives.errors import BudgetExceeded, NotAllowed

OWNER, THIEF = someone("owner"), someone("thief")
GRACE, ROWS, FILLING_ROWS = 2, 4, 100
PRICE = 1_000 * COIN


def a_sale() -> tuple[Money, int, int]:
    """The thief has bought ten answers of the owner's model; the world, the model, the epoch, which is closed."""
    params = replace(DEVNET_PARAMS, work_per_epoch=4 * FILLING_ROWS, claim_grace_epochs=GRACE)
    world = Money(params, base_fee=0)
    world.seat([("validator", 10, True)])
    world.fund([OWNER, THIEF])
    model = world.publish(OWNER, PRICE, [OWNER], rows=ROWS)
    number = world.buy("thief", model, 10)
    return world, model, number


def test_nobody_can_wait_until_an_owners_time_is_over_by_filling_the_budgets_of_epochs() -> None:
    """The thief is the first to claim in each epoch, over answers of a model of its own that cost next to nothing. Its
    false claim over what it has paid the owner would be refused, and bring it the fee back less a fifth."""
    world, model, number = a_sale()
    filling = world.publish(THIEF, 1, [THIEF], rows=FILLING_ROWS)
    filled = [world.buy("thief", filling, 4) for _ in range(2 * GRACE)]
    assert set(filled) == {number}
    world.close()
    for _ in range(2 * GRACE):
        world.claim(THIEF, filling, number, {})
        with pytest.raises(BudgetExceeded):
            world.claim(OWNER, model, number, {OWNER: 1_000_000})
        world.close()
    with pytest.raises(NotAllowed, match="2 epochs"):
        world.claim(THIEF, model, number, {})
    world.claim(OWNER, model, number, {OWNER: 1_000_000})


def test_what_an_owner_leaves_is_anybodys_after_as_many_epochs_with_room() -> None:
    """Of three epochs one was full."""
    world, model, number = a_sale()
    filling = world.publish(THIEF, 1, [THIEF], rows=FILLING_ROWS)
    world.buy("thief", filling, 4)
    world.close()
    world.close()
    world.claim(THIEF, filling, number, {})
    world.close()
    with pytest.raises(NotAllowed):
        world.claim(THIEF, model, number, {})
    world.close()
    before = world.wealth([THIEF], with_pool=False)
    world.end(world.claim(THIEF, model, number, {}), REFUSED)
    assert world.wealth([THIEF], with_pool=False) > before + 7 * PRICE  # what the first test is about
