"""Undoable writes over flat state, in the form that py-evm asks of an account database.

Nothing here knows of tries or files: reads fall through to a ``StateReader``, writes stay in dictionaries, every
write leaves its undo entry on one list, and a checkpoint is the length of that list. So a frame costs nothing to open
and nothing to keep. What a block changed is read off at the end with ``diff()``.

Rules that live here: EIP-2929 warm sets and EIP-1153 transient storage are undone with their frame and forgotten with
their transaction; the value that EIP-2200 calls original is the one at the start of the transaction.
"""

from __future__ import annotations

from typing import Any, Final

from openledger.primitives.hashing import KECCAK_EMPTY, keccak256
from openledger.primitives.types import Account, Address, Hash32
from openledger.state.ports import Diff, StateReader

_ABSENT: Final = object()
_EMPTY_ACCOUNT: Final = Account()
MAX_BALANCE: Final = (1 << 256) - 1


class Journal:
    """py-evm's ``AccountDatabaseAPI`` (the part a state machine calls) over a ``StateReader``; never writes to it."""

    def __init__(self, state: StateReader) -> None:
        self.beneath = state
        self._base: dict[Address, Account | None] = {}
        self._accounts: dict[Address, Account | None] = {}
        self._base_storage: dict[Address, dict[int, int]] = {}
        self._storage: dict[Address, dict[int, int]] = {}
        self._wiped: dict[Address, bool] = {}
        self._codes: dict[Hash32, bytes] = {}
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []
        # of the running transaction only:
        self._warm: dict[object, bool] = {}
        self._transient: dict[tuple[Address, int], bytes] = {}
        self._original: dict[tuple[Address, int], int] = {}
        self._before: dict[Address, Account | None] = {}

    # --- undo ---------------------------------------------------------------------------------------------

    def _put(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        self._undo.append((table, key, table.get(key, _ABSENT)))
        table[key] = value

    def record(self) -> int:
        """Open a checkpoint."""
        return len(self._undo)

    def discard(self, checkpoint: int) -> None:
        """Undo everything since ``checkpoint``."""
        undo = self._undo
        while len(undo) > checkpoint:
            table, key, old = undo.pop()
            if old is _ABSENT:
                del table[key]
            else:
                table[key] = old

    def commit(self, checkpoint: int) -> None:
        """Keep what was written since ``checkpoint``; the enclosing checkpoint can still undo it."""

    def lock_changes(self) -> None:
        """Start a transaction: what was written stays, and all that lives for one transaction is forgotten."""
        self._undo.clear()
        self._warm.clear()
        self._transient.clear()
        self._original.clear()
        self._before.clear()

    # --- accounts -----------------------------------------------------------------------------------------

    def account(self, address: Address) -> Account | None:
        """The account as it is now, or None."""
        found = self._accounts.get(address, _ABSENT)
        if found is _ABSENT:
            found = self._base.get(address, _ABSENT)
            if found is _ABSENT:
                found = self._base[address] = self.beneath.account(address)
        return found  # type: ignore[return-value]

    def _set_account(self, address: Address, account: Account | None) -> None:
        accounts = self._accounts
        old = accounts.get(address, _ABSENT)
        self._undo.append((accounts, address, old))
        if address not in self._before:
            self._before[address] = self._base[address] if old is _ABSENT else old  # type: ignore[assignment]
        accounts[address] = account

    def account_exists(self, address: Address) -> bool:
        """True for every account that is there, also for an empty one."""
        return self.account(address) is not None

    def account_is_empty(self, address: Address) -> bool:
        """EIP-161; an account that is not there counts as empty."""
        account = self.account(address)
        return account is None or account.is_empty

    def account_has_code_or_nonce(self, address: Address) -> bool:
        """True when a contract cannot be created here; storage counts too (EIP-7610)."""
        account = self.account(address)
        if account is not None and (account.nonce or account.code_hash != KECCAK_EMPTY):
            return True
        return self.has_storage(address)

    def touch_account(self, address: Address) -> None:
        """Make sure that the account is there."""
        if self.account(address) is None:
            self._set_account(address, _EMPTY_ACCOUNT)

    def delete_account(self, address: Address) -> None:
        """Remove the account with its storage."""
        self.delete_storage(address)
        if self.account(address) is not None:
            self._set_account(address, None)

    def get_balance(self, address: Address) -> int:
        account = self.account(address)
        return 0 if account is None else account.balance

    def set_balance(self, address: Address, balance: int) -> None:
        """What a tip or a self-destruct would add above 256 bits is burned, as in revm (only a devnet's edits make such
        balances)."""
        old = self.account(address) or _EMPTY_ACCOUNT
        if balance < 0:
            raise OverflowError(f"balance {balance} of {address.hex()} is below zero")
        self._set_account(address, Account(old.nonce, min(balance, MAX_BALANCE), old.code_hash))

    def get_nonce(self, address: Address) -> int:
        account = self.account(address)
        return 0 if account is None else account.nonce

    def set_nonce(self, address: Address, nonce: int) -> None:
        old = self.account(address) or _EMPTY_ACCOUNT
        self._set_account(address, Account(nonce, old.balance, old.code_hash))

    def increment_nonce(self, address: Address) -> None:
        self.set_nonce(address, self.get_nonce(address) + 1)

    # --- code ---------------------------------------------------------------------------------------------

    def code(self, code_hash: Hash32) -> bytes:
        """Code by its hash."""
        if code_hash == KECCAK_EMPTY:
            return b""
        found = self._codes.get(code_hash)
        return self.beneath.code(code_hash) if found is None else found

    def get_code(self, address: Address) -> bytes:
        account = self.account(address)
        return b"" if account is None else self.code(account.code_hash)

    def get_code_hash(self, address: Address) -> Hash32:
        account = self.account(address)
        return KECCAK_EMPTY if account is None else account.code_hash

    def set_code(self, address: Address, code: bytes) -> None:
        old = self.account(address) or _EMPTY_ACCOUNT
        code_hash = keccak256(code)
        self._codes[code_hash] = code  # named by its hash, so an undone frame may leave it; diff() drops unused ones
        self._set_account(address, Account(old.nonce, old.balance, code_hash))

    def delete_code(self, address: Address) -> None:
        """Code becomes empty (EIP-7702: delegation to the zero address)."""
        old = self.account(address) or _EMPTY_ACCOUNT
        self._set_account(address, Account(old.nonce, old.balance, KECCAK_EMPTY))

    # --- storage ------------------------------------------------------------------------------------------

    def get_storage(self, address: Address, slot: int, from_journal: bool = True) -> int:
        """Value of a slot; with ``from_journal`` False the one at the start of the transaction."""
        if not from_journal:
            original = self._original.get((address, slot))
            if original is not None:
                return original
        slots = self._storage.get(address)
        if slots is not None:
            value = slots.get(slot)
            if value is not None:
                return value
        return 0 if address in self._wiped else self._load_slot(address, slot)

    def _load_slot(self, address: Address, slot: int) -> int:
        slots = self._base_storage.get(address)
        if slots is None:
            slots = self._base_storage[address] = {}
        value = slots.get(slot)
        if value is None:
            value = slots[slot] = self.beneath.storage(address, slot)
        return value

    def set_storage(self, address: Address, slot: int, value: int) -> None:
        old = self.get_storage(address, slot)
        self._original.setdefault((address, slot), old)
        slots = self._storage.get(address)
        if slots is None:
            slots = self._storage[address] = {}
        self._put(slots, slot, value)

    def delete_storage(self, address: Address) -> None:
        """Every slot of the account reads 0 from here on."""
        if self._storage.get(address):
            self._put(self._storage, address, {})
        if address not in self._wiped and self.beneath.has_storage(address):
            self._put(self._wiped, address, True)

    def has_storage(self, address: Address) -> bool:
        """True when any slot may be non-zero."""
        if any(self._storage.get(address, {}).values()):
            return True
        return address not in self._wiped and self.beneath.has_storage(address)

    # --- of one transaction -------------------------------------------------------------------------------

    def is_address_warm(self, address: Address) -> bool:
        return address in self._warm

    def mark_address_warm(self, address: Address) -> None:
        if address not in self._warm:
            self._put(self._warm, address, True)

    def is_storage_warm(self, address: Address, slot: int) -> bool:
        return (address, slot) in self._warm

    def mark_storage_warm(self, address: Address, slot: int) -> None:
        if (address, slot) not in self._warm:
            self._put(self._warm, (address, slot), True)

    def get_transient(self, address: Address, slot: int) -> bytes:
        """EIP-1153: bytes last stored in this transaction, empty when none."""
        return self._transient.get((address, slot), b"")

    def set_transient(self, address: Address, slot: int, value: bytes) -> None:
        self._put(self._transient, (address, slot), value)

    def balance_change(self) -> int:
        """Sum of all balances now, less what it was at the start of the transaction (wei; negative: destroyed)."""
        change = 0
        for address, before in self._before.items():
            change += self.get_balance(address) - (0 if before is None else before.balance)
        return change

    # --- result -------------------------------------------------------------------------------------------

    def diff(self) -> Diff:
        """Net difference against the state underneath: unchanged values dropped, deleted accounts as None."""
        out = Diff()
        for address, account in self._accounts.items():
            if account == self._base[address] and address not in self._wiped:
                continue
            out.accounts[address] = account
            if account is not None and account.code_hash in self._codes:
                out.codes[account.code_hash] = self._codes[account.code_hash]
        for address, slots in self._storage.items():
            if address in self._accounts and self._accounts[address] is None:
                continue
            wiped = address in self._wiped
            for slot, value in slots.items():
                if value != (0 if wiped else self._load_slot(address, slot)):
                    out.storage[address, slot] = value
        out.wiped.update(a for a in self._wiped if self.account(a) is not None)
        return out
