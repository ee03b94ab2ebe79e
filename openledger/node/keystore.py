"""Named keys on the disk: one encrypted file per key, in geth's format (web3 secret storage, version 3).

``<home>/keys/<name>.json``, readable by its owner only. The names dev0 to dev9 are the public accounts of the devnet;
they need no file and no password, and must never hold anything of value.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openledger.primitives.errors import KeystoreError, OpenLedgerError
from openledger.primitives.jsonio import read_json
from openledger.primitives.keys import SECP256K1_N, address_of_private_key
from openledger.primitives.types import Address, from_hex, to_checksum

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
WHOSE = "it must belong to the user who runs this: chown, then chmod 600"
_DEV = re.compile(r"dev([0-9])")


@dataclass(frozen=True, slots=True)
class Signer:
    """An unlocked account."""

    name: str
    address: Address
    secret: bytes = field(repr=False)


def parse_secret(text: str) -> bytes:
    """32 bytes of a private key in hex, with or without 0x. Raises KeystoreError."""
    cleaned = text.strip()
    try:
        secret = from_hex(cleaned if cleaned.startswith("0x") else "0x" + cleaned, 32)
    except OpenLedgerError:
        raise KeystoreError("that is not a private key", "a private key is 64 hex digits") from None
    if not 0 < int.from_bytes(secret, "big") < SECP256K1_N:
        raise KeystoreError("that number is not a private key of secp256k1")
    return secret


def dev_signer(name: str) -> Signer | None:
    """The devnet account called ``name`` (dev0 ... dev9), or None."""
    match = _DEV.fullmatch(name)
    if match is None:
        return None
    from openledger.genesis.presets import dev_accounts

    address, secret = dev_accounts()[int(match.group(1))]
    return Signer(name, address, secret)


class Keystore:
    """The keys of one home folder."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "keys"

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise KeystoreError(f"not a key name: {name!r}", "letters, digits, '-', '_' and '.'; at most 64")
        return self.folder / f"{name}.json"

    def names(self) -> list[str]:
        """Names of the stored keys, sorted."""
        return sorted(p.stem for p in self.folder.glob("*.json")) if self.folder.is_dir() else []

    def read(self, name: str) -> dict[str, Any]:
        """The encrypted file of a key. Raises KeystoreError."""
        path = self._path(name)
        try:
            data = read_json(path.read_bytes())
            from_hex("0x" + data["address"].removeprefix("0x"), 20)
        except FileNotFoundError:
            known = ", ".join(self.names()) or "none"
            raise KeystoreError(
                f"there is no key named {name!r}", f"`openledger keys new {name}` makes one; stored: {known}"
            ) from None
        except OSError as err:
            raise KeystoreError(f"the key file of {name!r} cannot be read: {err.strerror}", WHOSE) from None
        except (ValueError, KeyError, TypeError, AttributeError, OpenLedgerError):
            raise KeystoreError(f"the key file of {name!r} is damaged", "import the key again from a backup") from None
        result: dict[str, Any] = data
        return result

    def address(self, name: str) -> Address:
        """Address of a key; needs no password."""
        dev = dev_signer(name)
        return dev.address if dev else from_hex("0x" + self.read(name)["address"].removeprefix("0x"), 20)

    def free(self, name: str) -> Path:
        """Where a new key of this name goes; asked before anybody types a key or a password. Raises KeystoreError."""
        path = self._path(name)
        if dev_signer(name) is not None:
            raise KeystoreError(f"{name!r} is a public account of the devnet", "choose another name")
        if path.exists():
            raise KeystoreError(f"there is a key named {name!r} already", "choose another name, or delete that one")
        return path

    def create(self, name: str, password: str, secret: bytes | None = None) -> Address:
        """Store a new key (random, or ``secret``), encrypted with ``password``. Raises KeystoreError when the name is
        taken."""
        path = self.free(name)
        if not password:
            raise KeystoreError("an empty password protects nothing", "choose another one")
        if secret is None:
            secret = secrets.token_bytes(32)
            while not 0 < int.from_bytes(secret, "big") < SECP256K1_N:
                secret = secrets.token_bytes(32)
        from eth_account import Account

        data = Account.encrypt(secret, password)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.write(path, json.dumps(data, indent=1) + "\n")
        return address_of_private_key(secret)

    @staticmethod
    def write(path: Path, text: str) -> None:
        """A private file that never exists half written and never replaces another."""
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def unlock(self, name: str, password: str) -> Signer:
        """The signer of a key. Raises KeystoreError for a wrong password."""
        dev = dev_signer(name)
        if dev is not None:
            return dev
        data = self.read(name)
        from eth_account import Account

        try:
            secret = bytes(Account.decrypt(data, password))
        except (ValueError, KeyError, TypeError):
            raise KeystoreError(f"wrong password for the key {name!r}") from None
        address = address_of_private_key(secret)
        if address != from_hex("0x" + data["address"].removeprefix("0x"), 20):
            raise KeystoreError(f"the key file of {name!r} names an address that is not its key's")
        return Signer(name, address, secret)

    def delete(self, name: str) -> None:
        """Remove a key file for good."""
        self.read(name)
        self._path(name).unlink()

    def table(self) -> list[tuple[str, str | None]]:
        """(name, EIP-55 address) of every stored key; no address where the file is damaged or has no key's name."""
        found: list[tuple[str, str | None]] = []
        for name in self.names():
            try:
                found.append((name, to_checksum(self.address(name))))
            except KeystoreError:
                found.append((name, None))
        return found
