"""From raw bytes to a decoded transaction with its sender, remembered for a while.

Decoding is a pure function of the bytes, so remembering it cannot change any outcome; it saves recovering a signature
at CheckTx, at each proposal and in the block.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import openledger.abci_app.registry  # noqa: F401  (makes all kinds known)
from openledger.abci_app.action import Action, decode_action, signing_digest
from openledger.evm.decoding import decode_transactions
from openledger.primitives.errors import InvalidTransaction
from openledger.primitives.keys import recover_signature
from openledger.primitives.transactions import (
    IMPERSONATED,
    EthTransaction,
    NativeTransaction,
    Transaction,
    decode_impersonated,
    decode_transaction,
)
from openledger.primitives.types import Address, Hash32


@dataclass(frozen=True, slots=True)
class Decoded:
    """A transaction that is well formed and signed by ``sender``. ``action`` is None for an EVM transaction."""

    tx: EthTransaction | NativeTransaction
    sender: Address
    action: Action | None
    value: int

    @property
    def raw(self) -> bytes:
        return self.tx.raw

    @property
    def hash(self) -> Hash32:
        return self.tx.hash

    @property
    def type(self) -> int:
        return self.tx.type

    @property
    def nonce(self) -> int:
        return self.tx.nonce

    @property
    def gas(self) -> int:
        return self.tx.gas

    @property
    def max_fee(self) -> int:
        return self.tx.max_fee

    @property
    def max_priority_fee(self) -> int:
        return self.tx.max_priority_fee

    @property
    def impersonated(self) -> bool:
        """True for a transaction without a signature (solo devnets only)."""
        return isinstance(self.tx, EthTransaction) and self.tx.impersonated

    @property
    def cost(self) -> int:
        """The most that this transaction can take from its sender, in wei."""
        return self.gas * self.max_fee + self.value

    def tip(self, base_fee: int) -> int:
        """Wei per gas that the proposer earns at this base fee; negative when the cap is below it."""
        return min(self.max_priority_fee, self.max_fee - base_fee)


def decode_signed(raw: bytes, solo: bool = False) -> Decoded:
    """Decode and recover; ``solo`` chains take impersonated transactions too. Raises a leaf of InvalidTransaction."""
    if solo and raw[:1] == bytes([IMPERSONATED]):
        return _with_sender(decode_impersonated(raw))
    return _with_sender(decode_transaction(raw))


def decode_if_impersonated(raw: bytes) -> Transaction | InvalidTransaction | None:
    """An impersonated transaction, or why it is not one; None for bytes of another type."""
    try:
        return decode_impersonated(raw) if raw[:1] == bytes([IMPERSONATED]) else None
    except InvalidTransaction as refusal:
        return refusal


def _with_sender(tx: Transaction) -> Decoded:
    if isinstance(tx, EthTransaction):
        return Decoded(tx, tx.sender, None, tx.value)
    action = decode_action(tx.kind, tx.payload)
    digest = signing_digest(tx.chain_id, tx.nonce, tx.max_priority_fee, tx.max_fee, tx.gas, action)
    return Decoded(tx, recover_signature(digest, tx.signature), action, 0)


class Decoder:
    """``decode_signed`` with a memory of what succeeded, bounded in number and in bytes: anybody can sign anything."""

    def __init__(self, size: int = 32_000, max_bytes: int = 64 * 1024 * 1024, *, solo: bool = False) -> None:
        self._solo = solo
        self._size = size
        self._max_bytes = max_bytes
        self._bytes = 0
        self._known: OrderedDict[bytes, Decoded] = OrderedDict()

    def __call__(self, raw: bytes) -> Decoded:
        """Raises a leaf of InvalidTransaction."""
        found = self._known.get(raw)
        return found if found is not None else self._remember(decode_signed(raw, self._solo))

    def many(self, raws: Sequence[bytes]) -> list[Decoded | InvalidTransaction]:
        """For each what a call returns, or the refusal that it raises. What is not known yet is decoded at once, on
        all cores where the native extension is there."""
        known = {raw: self._known.get(raw) for raw in raws}
        new = [raw for raw, decoded in known.items() if decoded is None]
        fresh = dict(zip(new, map(self._outcome, self._decode(new)), strict=True))
        return [known[raw] or fresh[raw] for raw in raws]

    def _decode(self, raws: Sequence[bytes]) -> list[Transaction | InvalidTransaction]:
        if not self._solo:
            return decode_transactions(raws)
        unsigned = [decode_if_impersonated(raw) for raw in raws]
        signed = decode_transactions([raw for raw, tx in zip(raws, unsigned, strict=True) if tx is None])
        rest = iter(signed)
        return [next(rest) if tx is None else tx for tx in unsigned]

    def _outcome(self, tx: Transaction | InvalidTransaction) -> Decoded | InvalidTransaction:
        if isinstance(tx, InvalidTransaction):
            return tx
        try:
            return self._remember(_with_sender(tx))
        except InvalidTransaction as refusal:
            return refusal

    def _remember(self, decoded: Decoded) -> Decoded:
        self._known[decoded.raw] = decoded
        self._bytes += len(decoded.raw)
        while len(self._known) > self._size or self._bytes > self._max_bytes:
            self._bytes -= len(self._known.popitem(last=False)[0])
        return decoded
