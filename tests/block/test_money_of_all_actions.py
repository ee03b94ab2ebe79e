"""Random blocks of all kinds of actions, by accounts, by contracts through the Outbox, and by accounts that run a
contract's code: after each block every account of a module holds what its records owe, and all balances are the supply.

Most actions are such as would be done, so that each kind really is; what is refused stays in. Governance changes the
parameters of money while all this goes on, validators vote as they like, are absent, and sign twice.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from escrows import escrows
from random_people import World

from openledger.abci_app.opening import genesis_from_state
from openledger.abci_app.registry import ACTIONS
from openledger.primitives.types import (
    ATTRIBUTION_ADDRESS,
    MODELS_ADDRESS,
    STAKING_ADDRESS,
)
from openledger.state.export import export_header, read_export, state_entries, write_export


def live(seed: int, blocks: int) -> World:
    world = World(seed)
    world.begin()
    for _ in range(blocks):
        world.step()
    return world


def test_every_account_holds_what_it_owes_whatever_is_done_and_by_whom() -> None:
    done: Counter[tuple[str, str]] = Counter()
    for seed in range(4):
        world = live(seed, 110)
        done += world.done
        world.rest()
    kinds = {cls.KIND for cls in ACTIONS}
    assert {kind for (kind, way), count in done.items() if count and way == "native"} == kinds
    assert len({kind for (kind, way), count in done.items() if count and way == "contract"}) > 8


def test_accounts_go_on_holding_what_they_owe_on_a_chain_that_begins_with_the_state_of_another(tmp_path: Path) -> None:
    world = live(7, 60)
    before = escrows(world.state)
    write_export(
        tmp_path / "state",
        export_header(world.app.head(), world.genesis.chain_id, world.genesis.evm_chain_id),
        (line for _, line in state_entries(world.app.store.reader())),
    )
    world.go_on(genesis_from_state(read_export(tmp_path / "state"), "openledger_161237-2"))
    assert escrows(world.state) == before
    assert all(before[account] for account in (MODELS_ADDRESS, ATTRIBUTION_ADDRESS, STAKING_ADDRESS))
    for _ in range(60):
        world.step()
    world.rest()


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 140))
def test_every_account_holds_what_it_owes_for_long(seed: int) -> None:
    live(seed, 300).rest()
