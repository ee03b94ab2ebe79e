"""Changes of a genesis file before its chain begins: accounts and validators come and go.

The genesis of a home stands there twice, for us and for CometBFT; both are written. Once the chain has begun the file
is what everybody agreed on, so it is refused then.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from openledger.genesis.genesis import Genesis, GenesisAccount, GenesisValidator
from openledger.node.wiring import read_genesis
from openledger.primitives.errors import InvalidGenesis, WrongDataFolder
from openledger.primitives.types import Address, to_checksum


class GenesisFile:
    """A genesis file that may still be changed. Raises InvalidGenesis, WrongDataFolder when its chain has begun."""

    def __init__(self, path: Path) -> None:
        self._copies = [path]
        self.genesis: Genesis = read_genesis(path)
        home = path.parent
        comet = home / "cometbft"
        if (comet / "config").is_dir():
            if (home / "state").is_dir() or any((comet / "data").glob("*.db")):
                raise WrongDataFolder(
                    f"the chain of {home} has begun, and its genesis stays what it was",
                    "change the genesis before the first start, or make a new home",
                )
            self._copies.append(comet / "config" / "genesis.json")

    def add_account(self, address: Address, balance: int) -> None:
        """Give an account a balance (wei). Raises InvalidGenesis when it is there already."""
        if address in self.genesis.accounts:
            raise InvalidGenesis(
                f"{to_checksum(address)} is in the genesis already", "genesis remove-account, then add it"
            )
        self._take(replace(self.genesis, accounts=self.genesis.accounts | {address: GenesisAccount(balance)}))

    def remove_account(self, address: Address) -> None:
        """Raises InvalidGenesis when it is not there."""
        if address not in self.genesis.accounts:
            raise InvalidGenesis(f"{to_checksum(address)} is not in the genesis")
        rest = {known: account for known, account in self.genesis.accounts.items() if known != address}
        self._take(replace(self.genesis, accounts=rest))

    def add_validator(self, validator: GenesisValidator) -> None:
        """Raises InvalidGenesis for a key or an operator that is there already."""
        self._take(replace(self.genesis, validators=(*self.genesis.validators, validator)))

    def _take(self, genesis: Genesis) -> None:
        genesis.validate()
        self.genesis = genesis

    def write(self) -> None:
        """All copies, each at once."""
        text = self.genesis.to_json()
        for path in self._copies:
            temporary = path.with_suffix(".new")
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
