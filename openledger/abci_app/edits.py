"""What the user of a solo devnet asks of the next block besides its transactions: changed accounts, a base fee, ...

The edits of a block are a part of the block: ``0x54 || msgpack`` before its transactions, executed before anything
else in it, kept in its note. So a chain with edits replays, its roots hold, and the supply knows what edits made.
Between an edit and the next block the head's state is read with the edit on top (``Pending``). Only a chain whose
genesis says ``solo`` takes such bytes; everywhere else they are refused as a transaction type that is not supported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from openledger.abci_app.modules.fees.records import count_edited
from openledger.abci_app.modules.governance.records import params, set_params
from openledger.evm.engine import BlockEnv
from openledger.primitives.errors import EditRefused
from openledger.primitives.fields import U64, U256, AddressField, Bytes, Bytes32, pack_struct, unpack_struct
from openledger.primitives.hashing import KECCAK_EMPTY
from openledger.primitives.transactions import EDITS
from openledger.primitives.types import MODULE_ADDRESSES, OUTBOX_ADDRESS, SYSTEM_ADDRESS, Account, Address, to_hex
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader
from openledger.state.store import StateStore

_META = "edits"
KEPT = frozenset((*MODULE_ADDRESSES, OUTBOX_ADDRESS, SYSTEM_ADDRESS))
"""Accounts of the chain itself."""


@dataclass(frozen=True)
class AccountEdit:
    """New values of an account; a tuple has one entry, or none where the value stays. Balance in wei."""

    address: AddressField
    balance: tuple[U256, ...] = ()
    nonce: tuple[U64, ...] = ()
    code: tuple[Bytes, ...] = ()


@dataclass(frozen=True)
class SlotEdit:
    """A new value of a storage slot."""

    address: AddressField
    slot: U256
    value: U256


@dataclass(frozen=True)
class Edits:
    """All edits of a block, in order. ``coinbase``, ``base_fee`` (wei per gas) and ``prevrandao`` are of this block
    only; ``gas_limit`` is the chain's from here on."""

    accounts: tuple[AccountEdit, ...] = ()
    slots: tuple[SlotEdit, ...] = ()
    coinbase: tuple[AddressField, ...] = ()
    base_fee: tuple[U256, ...] = ()
    prevrandao: tuple[Bytes32, ...] = ()
    gas_limit: tuple[U64, ...] = ()

    @property
    def is_empty(self) -> bool:
        return self == Edits()

    def encode(self) -> bytes:
        """As it stands in a block; empty for no edits."""
        return b"" if self.is_empty else bytes([EDITS]) + pack_struct(self)

    @classmethod
    def decode(cls, raw: bytes) -> Edits:
        """Raises InvalidMsgpack."""
        return unpack_struct(cls, raw[1:]) if raw else cls()

    def environment(self, env: BlockEnv) -> BlockEnv:
        """The environment of the block that has these edits."""
        return replace(
            env,
            coinbase=self.coinbase[-1] if self.coinbase else env.coinbase,
            base_fee=self.base_fee[-1] if self.base_fee else env.base_fee,
            prevrandao=self.prevrandao[-1] if self.prevrandao else env.prevrandao,
        )

    def apply(self, state: Overlay) -> None:
        """Change ``state``."""
        for edit in self.accounts:
            _edit_account(state, edit)
        for slot in self.slots:
            if slot.value or state.account(slot.address) is not None:
                state.set_account(slot.address, state.account(slot.address) or Account())
                state.set_storage(slot.address, slot.slot, slot.value)
        if self.gas_limit:
            set_params(state, replace(params(state), block_gas_limit=self.gas_limit[-1]))


def _edit_account(state: Overlay, edit: AccountEdit) -> None:
    before = state.account(edit.address) or Account()
    after = before
    for balance in edit.balance:
        count_edited(state, balance - before.balance)
        after = replace(after, balance=balance)
    for nonce in edit.nonce:
        after = replace(after, nonce=nonce)
    for code in edit.code:
        after = replace(after, code_hash=state.set_code(code) if code else KECCAK_EMPTY)
    gone = after.is_empty and not state.has_storage(edit.address)
    state.set_account(edit.address, None if gone else after)


def is_edits(raw: bytes) -> bool:
    """True for bytes that can only be the edits of a block."""
    return raw[:1] == bytes([EDITS])


def check_edits(edits: Edits) -> None:
    """Raise EditRefused for what must not be edited: code, nonce and storage of accounts that hold native records."""
    touched = [a.address for a in edits.accounts if a.nonce or a.code] + [s.address for s in edits.slots]
    for address in touched:
        if address in KEPT:
            raise EditRefused(
                f"{to_hex(address)} belongs to the chain itself: only its balance can be edited",
                "native records change by native transactions",
            )
    if edits.gas_limit and not 21_000 <= edits.gas_limit[-1] < 1 << 63:
        raise EditRefused("a block gas limit is at least 21,000 and below 2^63")


class Pending:
    """The edits that the next block will have, kept in the database so that a restart forgets none."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self.edits = Edits.decode(store.meta(_META) or b"")
        self._state: tuple[int, Overlay] | None = None

    def state(self) -> StateReader:
        """The head's state with the edits on top."""
        head = self._store.reader()
        if self.edits.is_empty:
            return head
        known = self._state
        if known is None or known[0] != self._store.generation:
            known = self._state = (self._store.generation, _on_top(head, self.edits))
        return known[1]

    def set(self, edits: Edits) -> list[Address]:
        """Take these instead; the accounts whose balance or nonce may now be another. Raises EditRefused."""
        check_edits(edits)
        touched = {a.address: None for a in (*self.edits.accounts, *edits.accounts)}
        self._store.note(_META, edits.encode())
        self.edits, self._state = edits, None
        return list(touched)

    def done(self) -> dict[str, bytes]:
        """What a commit writes beside its block when it has taken the edits."""
        return {} if self.edits.is_empty else {_META: b""}

    def forget(self) -> None:
        """The block that has the edits is committed."""
        self.edits, self._state = Edits(), None


def _on_top(head: StateReader, edits: Edits) -> Overlay:
    state = Overlay(head)
    edits.apply(state)
    return state
