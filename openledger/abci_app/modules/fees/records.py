"""The supply record. Kept under the governance account, whose keys begin with their module's name."""

from __future__ import annotations

from dataclasses import dataclass, replace

from openledger.abci_app.tables import Table
from openledger.genesis.params import Params
from openledger.primitives.errors import ConsensusFault
from openledger.primitives.fields import U256, Bytes
from openledger.primitives.types import GOVERNANCE_ADDRESS, Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class Supply:
    """Wei: at genesis, minted since, burned since; made and taken away by state edits of a solo devnet, where a single
    balance may be as large as 256 bits: those two are big-endian bytes of any length."""

    genesis: U256
    minted: U256
    burned: U256
    made_by_edits: Bytes = b""
    taken_by_edits: Bytes = b""

    @property
    def edited(self) -> int:
        """Wei that state edits have made."""
        return int.from_bytes(self.made_by_edits, "big")

    @property
    def edited_away(self) -> int:
        """Wei that state edits have taken away."""
        return int.from_bytes(self.taken_by_edits, "big")

    @property
    def total(self) -> int:
        """Wei that exist."""
        return self.genesis + self.minted + self.edited - self.edited_away - self.burned


MAX_WEI = (1 << 256) - 1
"""The most that an account holds."""
_SUPPLY = Table(GOVERNANCE_ADDRESS, "fees/supply", Supply)


def supply(state: StateReader) -> Supply:
    """The supply as it stands."""
    return _SUPPLY.must(state)


def set_genesis_supply(state: Overlay, total: int) -> None:
    """Begin counting (block 0 only)."""
    _SUPPLY.put(state, Supply(total, 0, 0))


def count_burned(state: Overlay, amount: int) -> None:
    """Record wei that no account holds any longer. Burned coins never come back. What 256 bits cannot count (only a
    devnet's edits make so much) is counted as taken away by edits."""
    if amount:
        found = supply(state)
        over = max(0, found.burned + amount - MAX_WEI)
        taken = _big(found.edited_away + over) if over else found.taken_by_edits
        _SUPPLY.put(state, replace(found, burned=found.burned + amount - over, taken_by_edits=taken))


def give(state: Overlay, receiver: Address, amount: int) -> None:
    """Add wei, taken elsewhere, to an account. What its 256 bits cannot hold is burned: only a devnet's edits make such
    balances."""
    account = state.account(receiver)
    over = max(0, (account.balance if account else 0) + amount - MAX_WEI)
    state.add_balance(receiver, amount - over)
    count_burned(state, over)


def count_edited(state: Overlay, change: int) -> None:
    """Record that a state edit of a solo devnet has made (or, negative, taken away) so many wei."""
    if change:
        found = supply(state)
        made, taken = found.edited + max(change, 0), found.edited_away + max(-change, 0)
        _SUPPLY.put(state, replace(found, made_by_edits=_big(made), taken_by_edits=_big(taken)))


def _big(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def burn_from(state: Overlay, holder: Address, amount: int) -> None:
    """Destroy wei that ``holder`` has."""
    state.sub_balance(holder, amount)
    count_burned(state, amount)


def mint_to(state: Overlay, receiver: Address, amount: int, params: Params) -> None:
    """Create wei out of the reserve. The caller has asked ``mintable`` first; crossing a bound is a fault."""
    found = supply(state)
    if amount > mintable(state, params):
        raise ConsensusFault(f"minting {amount} wei would cross the reserve or the cap")
    _SUPPLY.put(state, replace(found, minted=found.minted + amount))
    give(state, receiver, amount)


def mintable(state: StateReader, params: Params) -> int:
    """Wei that the reserve and the cap still allow, for ever: burned coins do not count back."""
    found = supply(state)
    return max(0, min(params.reserve - found.minted, params.cap - found.genesis - found.minted))
