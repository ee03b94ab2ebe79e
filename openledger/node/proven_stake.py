"""What an account's stake has earned, from single records that a block's hash proves, without walking any list.

A node can leave out a validator with which the account has stake, so what is proved is the least. It cannot add any.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from openledger.abci_app.modules.staking.delegations import delegation, earned_since
from openledger.abci_app.modules.staking.earning import earned, pool, rate_of, round_key
from openledger.primitives.types import STAKING_ADDRESS, Address
from openledger.state.ports import StateReader


class Provable(StateReader, Protocol):
    """A reader that can be told in advance which records will be asked for."""

    def prove(self, module: Address, keys: Sequence[bytes]) -> None: ...


def proven_stake(state: Provable, who: Address, validators: Iterable[Address]) -> int:
    """Wei that the stake of ``who`` with these validators (consensus addresses) has earned, and all that was booked for
    it before. Raises ProofInvalid."""
    total = earned(state, who).total
    for address in sorted(set(validators)):
        found, early = delegation(state, who, address), 0
        if found.fresh:
            numbers = range(found.first, found.round + 1)
            state.prove(STAKING_ADDRESS, [round_key(address, number) for number in numbers])
            early = sum(rate_of(state, address, number) for number in numbers)
        total += earned_since(found, pool(state, address).acc, early)
    return total
