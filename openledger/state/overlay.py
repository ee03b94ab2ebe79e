"""Undoable writes over a reader: the journal in which a block runs.

Plain dicts and one undo log. A checkpoint is a mark in the log; rolling back restores the noted values in reverse.
Nothing reaches the parent: ``diff()`` says what changed, and whoever owns the parent takes it from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from openledger.primitives.errors import InsufficientFunds
from openledger.primitives.hashing import KECCAK_EMPTY, keccak256
from openledger.primitives.types import Account, Address, Hash32, to_hex
from openledger.state.ordered import OrderedRecords
from openledger.state.ports import Diff, StateReader

_ABSENT: Any = object()
_NO_ACCOUNT = Account()


class Overlay:
    """A ``StateReader`` with writes. The parent must not change while the overlay is in use.

    Checkpoints nest: ``commit(id)`` and ``rollback(id)`` close that checkpoint and all taken after it.
    """

    __slots__ = ("_accounts", "_codes", "_log", "_marks", "_parent", "_records", "_storage", "_wiped")

    def __init__(self, parent: StateReader) -> None:
        self._parent = parent
        self._accounts: dict[Address, Account | None] = {}
        self._storage: dict[Address, dict[int, int]] = {}
        self._codes: dict[Hash32, bytes] = {}
        self._records: dict[Address, OrderedRecords] = {}
        self._wiped: dict[Address, bool] = {}
        self._log: list[tuple[dict[Any, Any], Any, Any]] = []
        self._marks: list[int] = []

    # --- reading ---------------------------------------------------------------------------------------------

    def account(self, address: Address) -> Account | None:
        if address in self._accounts:
            return self._accounts[address]
        return self._parent.account(address)

    def storage(self, address: Address, slot: int) -> int:
        slots = self._storage.get(address)
        if slots is not None:
            value = slots.get(slot)
            if value is not None:
                return value
        if address in self._wiped:
            return 0
        return self._parent.storage(address, slot)

    def has_storage(self, address: Address) -> bool:
        """True when any slot is non-zero. Slots of the parent that were cleared here one by one still count: an
        account that runs code has a nonce, so EIP-7610, the only reader, never depends on it."""
        slots = self._storage.get(address)
        if slots and any(slots.values()):
            return True
        return address not in self._wiped and self._parent.has_storage(address)

    def code(self, code_hash: Hash32) -> bytes:
        if code_hash == KECCAK_EMPTY:
            return b""
        code = self._codes.get(code_hash)
        return self._parent.code(code_hash) if code is None else code

    def record(self, module: Address, key: bytes) -> bytes | None:
        own = self._records.get(module)
        if own is not None and key in own:
            return own[key]
        return self._parent.record(module, key)

    def records(self, module: Address, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Own and parent's records in key order. Writes made while iterating are not seen."""
        own = self._records.get(module)
        changed = own.between(prefix, start) if own else []
        below = self._parent.records(module, prefix, start)
        return _merge(changed, below) if changed else below

    # --- writing ---------------------------------------------------------------------------------------------

    def _put(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        if self._marks:
            self._log.append((table, key, table.get(key, _ABSENT)))
        table[key] = value

    def set_account(self, address: Address, account: Account | None) -> None:
        """Write an account; None deletes it together with its storage (EIP-161 is the caller's business)."""
        self._put(self._accounts, address, account)
        if account is None:
            self._wipe(address)

    def _wipe(self, address: Address) -> None:
        if self._storage.get(address):
            self._put(self._storage, address, {})
        if address not in self._wiped and self._parent.has_storage(address):
            self._put(self._wiped, address, True)

    def set_storage(self, address: Address, slot: int, value: int) -> None:
        """Write a slot of an account that exists (or will, before the diff is committed); 0 clears it."""
        slots = self._storage.get(address)
        if slots is None:
            slots = self._storage[address] = {}
        if self._marks:
            self._log.append((slots, slot, slots.get(slot, _ABSENT)))
        slots[slot] = value

    def set_code(self, code: bytes) -> Hash32:
        """Keep code; its keccak256, to be put into an account."""
        code_hash = keccak256(code)
        if code:
            self._put(self._codes, code_hash, code)
        return code_hash

    def set_record(self, module: Address, key: bytes, value: bytes | None) -> None:
        """Write or (None) delete a native record, and the storage slot that commits to it."""
        self._put_record(module, key, value)
        digest = 0 if value is None else int.from_bytes(keccak256(value), "big")
        self.set_storage(module, int.from_bytes(keccak256(key), "big"), digest)

    def _put_record(self, module: Address, key: bytes, value: bytes | None) -> None:
        """What is deleted and not beneath leaves nothing, so that walks need not pass it."""
        own = self._records.get(module)
        if own is None:
            own = self._records[module] = OrderedRecords()
        if value is not None or self._parent.record(module, key) is not None:
            self._put(own, key, value)
        elif key in own:
            if self._marks:
                self._log.append((own, key, own[key]))
            del own[key]

    def add_balance(self, address: Address, wei: int) -> None:
        """Credit ``wei`` (not negative). Crediting nothing creates no account."""
        if wei < 0:
            raise ValueError(f"negative amount {wei}")
        if wei:
            account = self.account(address) or _NO_ACCOUNT
            self.set_account(address, replace(account, balance=account.balance + wei))

    def sub_balance(self, address: Address, wei: int) -> None:
        """Debit ``wei`` (not negative). An account left empty is deleted (EIP-161). Raises InsufficientFunds."""
        if wei < 0:
            raise ValueError(f"negative amount {wei}")
        account = self.account(address) or _NO_ACCOUNT
        if account.balance < wei:
            raise InsufficientFunds(f"insufficient funds: {to_hex(address)} has {account.balance} wei, needs {wei}")
        if wei:
            left = replace(account, balance=account.balance - wei)
            self.set_account(address, None if left.is_empty and not self.has_storage(address) else left)

    def bump_nonce(self, address: Address) -> None:
        """Nonce plus one; creates the account when it is absent."""
        account = self.account(address) or _NO_ACCOUNT
        self.set_account(address, replace(account, nonce=account.nonce + 1))

    # --- for engines that remember what is beneath ---------------------------------------------------------------

    def beneath(self) -> StateReader:
        """The parent."""
        return self._parent

    def tables(self) -> tuple[dict[Address, Account | None], dict[Address, dict[int, int]], dict[Address, bool]]:
        """Accounts, slots and wiped accounts written here, to be read only and only until the next write."""
        return self._accounts, self._storage, self._wiped

    # --- checkpoints -----------------------------------------------------------------------------------------

    def checkpoint(self) -> int:
        """Open a checkpoint; its id for ``commit`` or ``rollback``."""
        self._marks.append(len(self._log))
        return len(self._marks) - 1

    def rollback(self, checkpoint: int) -> None:
        """Undo every write since the checkpoint. Raises IndexError for one that is not open."""
        mark = self._marks[checkpoint]
        log = self._log
        while len(log) > mark:
            table, key, previous = log.pop()
            if previous is _ABSENT:
                del table[key]
            else:
                table[key] = previous
        del self._marks[checkpoint:]

    def commit(self, checkpoint: int) -> None:
        """Keep the writes since the checkpoint (an outer one can still undo them). Raises IndexError if not open."""
        if checkpoint >= len(self._marks):
            raise IndexError(f"checkpoint {checkpoint} is not open")
        del self._marks[checkpoint:]
        if not self._marks:
            self._log.clear()

    # --- diffs -----------------------------------------------------------------------------------------------

    def diff(self) -> Diff:
        """What differs from the parent now: a function of the two states, not of the order of writes."""
        parent = self._parent
        diff = Diff(codes=dict(self._codes))
        for address, account in self._accounts.items():
            if account != parent.account(address) or address in self._wiped:
                diff.accounts[address] = account
        for address, slots in self._storage.items():
            if address in self._accounts and self._accounts[address] is None:
                continue
            wiped = address in self._wiped
            for slot, value in slots.items():
                if value != (0 if wiped else parent.storage(address, slot)):
                    diff.storage[address, slot] = value
        for module, own in self._records.items():
            for key, record in own.items():
                if record != parent.record(module, key):
                    diff.records[module, key] = record
        diff.wiped.update(a for a in self._wiped if self.account(a) is not None)
        return diff

    def apply(self, diff: Diff) -> None:
        """Take over a diff that was made on top of this overlay."""
        for address in diff.wiped:
            self._wipe(address)
        for address, account in diff.accounts.items():
            self.set_account(address, account)
        for (address, slot), value in diff.storage.items():
            self.set_storage(address, slot, value)
        for code_hash, code in diff.codes.items():
            self._put(self._codes, code_hash, code)
        for (module, key), record in diff.records.items():
            self._put_record(module, key, record)


def _merge(
    changed: list[tuple[bytes, bytes | None]], below: Iterator[tuple[bytes, bytes]]
) -> Iterator[tuple[bytes, bytes]]:
    """Two sorted lists as one; ``changed`` wins where keys are equal, and None hides the key."""
    position = 0
    for key, value in below:
        while position < len(changed) and changed[position][0] < key:
            own_key, own_value = changed[position]
            position += 1
            if own_value is not None:
                yield own_key, own_value
        if position < len(changed) and changed[position][0] == key:
            own_key, own_value = changed[position]
            position += 1
            if own_value is not None:
                yield own_key, own_value
        else:
            yield key, value
    for own_key, own_value in changed[position:]:
        if own_value is not None:
            yield own_key, own_value
