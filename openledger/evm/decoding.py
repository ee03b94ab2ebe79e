"""Many raw transactions at once. With the native extension fields, hashes and signers come from all cores; whatever it
does not surely know goes through ``decode_transaction``, which also finds the words for a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

from openledger.evm.engines import native_available
from openledger.primitives.errors import InvalidTransaction
from openledger.primitives.transactions import Authorization, EthTransaction, Transaction, decode_transaction
from openledger.primitives.types import AccessTuple

_CLASSES = SimpleNamespace(transaction=EthTransaction, access=AccessTuple, authorization=Authorization)


def decode_transactions(raws: Sequence[bytes]) -> list[Transaction | InvalidTransaction]:
    """For each raw transaction what ``decode_transaction`` returns, or the refusal that it raises."""
    found: list[EthTransaction | None] = [None] * len(raws)
    if native_available():
        import openledger_native

        found = openledger_native.decode_transactions(list(raws), _CLASSES)
    return [_slowly(raw) if tx is None else tx for raw, tx in zip(raws, found, strict=True)]


def _slowly(raw: bytes) -> Transaction | InvalidTransaction:
    try:
        return decode_transaction(raw)
    except InvalidTransaction as refusal:
        return refusal
