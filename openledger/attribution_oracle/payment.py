"""Paying for answers without a transaction each: signed requests, receipts, vouchers. Needs no torch.

A request names its session and answer number and is signed by the session's consumer (EIP-712 ``InferenceRequest``), so
that a stranger cannot use a session. An answer comes with a receipt; the consumer then signs a ``Voucher`` over all
receipts so far. The next answer is given only when the last is paid. Everything is appended to a file and fsynced
before it is told to anybody, so a restart loses nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from openledger.primitives.amounts import exact_amount
from openledger.primitives.attribution import Voucher, receipt_leaf
from openledger.primitives.errors import CorruptDatabase, DecodingError, OracleError, VoucherInvalid
from openledger.primitives.fields import U32, U64, Bytes32, struct_hash, typed_digest
from openledger.primitives.hashing import keccak256, merkle_root
from openledger.primitives.keys import join_signature, recover_signature, sign_digest
from openledger.primitives.types import Address, from_hex, to_checksum, to_hex

SESSION_HEADER = "X-OpenLedger-Session"
SIGNATURE_HEADER = "X-OpenLedger-Signature"


@dataclass(frozen=True)
class InferenceRequest:
    """What the consumer signs to ask: session, number of the answer wanted (from 0), keccak256 of the request's
    body."""

    session: U64
    answer: U32
    body: Bytes32

    def digest(self, chain_id: int) -> bytes:
        """The EIP-712 digest."""
        return typed_digest(chain_id, struct_hash(self))


def sign_request(secret: bytes, chain_id: int, session: int, answer: int, body: bytes) -> dict[str, str]:
    """The two HTTP headers of a paid request; ``body`` is exactly what is sent."""
    request = InferenceRequest(session, answer, keccak256(body))
    signature = join_signature(*sign_digest(secret, request.digest(chain_id)))
    return {SESSION_HEADER: str(session), SIGNATURE_HEADER: to_hex(signature)}


def sign_voucher(secret: bytes, chain_id: int, voucher: Voucher) -> dict[str, Any]:
    """The JSON body for ``POST /v1/vouchers``."""
    signature = join_signature(*sign_digest(secret, voucher.digest(chain_id)))
    return {**voucher_json(voucher), "signature": to_hex(signature)}


def voucher_json(voucher: Voucher) -> dict[str, Any]:
    """JSON form: the amount as decimal text, the root as 0x-hex."""
    return {
        "session": voucher.session,
        "cumulative": str(voucher.cumulative),
        "answers": voucher.answers,
        "receipts": to_hex(voucher.receipts),
    }


def read_voucher(data: Mapping[str, Any]) -> tuple[Voucher, bytes]:
    """Voucher and signature of JSON. Raises VoucherInvalid."""
    try:
        amount = data["cumulative"]
        if type(data["session"]) is not int or type(data["answers"]) is not int or type(amount) not in (int, str):
            raise TypeError("session and answers are integers, cumulative is decimal text")
        voucher = Voucher(data["session"], int(amount), data["answers"], from_hex(data["receipts"], 32))
        signature = from_hex(data["signature"], 65)
    except (KeyError, TypeError, ValueError, DecodingError) as err:
        raise VoucherInvalid(f"the voucher is malformed: {type(err).__name__} {err}") from None
    if not 0 <= voucher.session < 2**64 or not 0 <= voucher.cumulative < 2**256 or not 0 <= voucher.answers < 2**32:
        raise VoucherInvalid("the voucher holds a number out of range")
    return voucher, signature


@dataclass(frozen=True)
class Receipt:
    """One answer given: ``price`` in wei; ``leaf`` stands in the voucher's tree."""

    id: str
    session: int
    index: int
    model: int
    query: str
    answer: str
    price: int
    created: int

    @property
    def leaf(self) -> bytes:
        return receipt_leaf(self.model, self.query, self.answer, self.price)

    def to_json(self) -> dict[str, Any]:
        """The form the consumer gets."""
        return {**asdict(self), "price": str(self.price), "leaf": to_hex(self.leaf)}


@dataclass
class Book:
    """Receipts of one session, and the last voucher that pays for them."""

    receipts: list[Receipt] = field(default_factory=list)
    voucher: Voucher | None = None
    signature: bytes = b""

    def due(self, session: int) -> Voucher:
        """The voucher that pays for every answer given."""
        total = sum(r.price for r in self.receipts)
        return Voucher(session, total, len(self.receipts), merkle_root([r.leaf for r in self.receipts]))

    @property
    def owed(self) -> int:
        """Wei of answers given and not yet paid by a voucher."""
        return sum(r.price for r in self.receipts) - (self.voucher.cumulative if self.voucher else 0)


class Ledger:
    """All sessions of one server, kept in a file of JSON lines."""

    def __init__(self, path: Path) -> None:
        """Reads what is there; an unfinished last line (a crash while writing) is cut off. Two servers of one file
        would give one number to two answers, and no voucher could pay for both. Raises CorruptDatabase, OracleError."""
        self.path = path
        self.books: dict[int, Book] = {}
        self.by_id: dict[str, Receipt] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read(path)
        except BlockingIOError:
            self._file.close()
            raise OracleError(
                f"a model server writes {path} already", "serve all models with one command, or from another --home"
            ) from None
        except CorruptDatabase:
            self._file.close()
            raise

    def _read(self, path: Path) -> None:
        raw = path.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError, VoucherInvalid) as err:
                raise CorruptDatabase(f"{path.name}, line {number}: {type(err).__name__} {err}") from None
        if len(whole) != len(raw):
            self._file.truncate(len(whole))

    def _apply(self, row: Mapping[str, Any]) -> None:
        if row["type"] == "receipt":
            values = {k: v for k, v in row.items() if k not in ("type", "leaf")}
            receipt = Receipt(**{**values, "price": int(row["price"])})
            self._keep(receipt)
            return
        voucher, signature = read_voucher(row)
        book = self.book(voucher.session)
        book.voucher, book.signature = voucher, signature

    def _keep(self, receipt: Receipt) -> None:
        self.book(receipt.session).receipts.append(receipt)
        self.by_id[receipt.id] = receipt

    def _write(self, row: Mapping[str, Any]) -> None:
        """A line that is on the disk, or not at all. Raises OracleError when the disk does not take it."""
        before = os.fstat(self._file.fileno()).st_size
        left = memoryview(json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n")
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
            os.fsync(self._file.fileno())
        except OSError as err:
            with contextlib.suppress(OSError):  # at the next start an unfinished last line is cut off
                self._file.truncate(before)
            raise OracleError(f"{self.path.name} cannot be written: {err.strerror}", "is the disk full?") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def book(self, session: int) -> Book:
        """The book of a session, empty when nothing happened there yet."""
        return self.books.setdefault(session, Book())

    def add_receipt(self, receipt: Receipt) -> None:
        """Keep a receipt for good."""
        if receipt.index != len(self.book(receipt.session).receipts):
            raise OracleError(f"answer {receipt.index} is not the next of session {receipt.session}")
        self._write({"type": "receipt", **receipt.to_json()})
        self._keep(receipt)

    def add_voucher(self, chain_id: int, consumer: Address, data: Mapping[str, Any]) -> Voucher:
        """Check a voucher against what is owed and keep it for good. Raises VoucherInvalid."""
        voucher, signature = read_voucher(data)
        due = self.book(voucher.session).due(voucher.session)
        if voucher != due:
            raise VoucherInvalid(
                f"this voucher pays {exact_amount(voucher.cumulative)} for {voucher.answers} answers; due are"
                f" {exact_amount(due.cumulative)} for {due.answers}, under the root {to_hex(due.receipts)}"
            )
        if recover_signature(voucher.digest(chain_id), signature) != consumer:
            raise VoucherInvalid(f"the voucher is not signed by the session's consumer {to_checksum(consumer)}")
        if self.book(voucher.session).voucher != voucher:
            self._write({"type": "voucher", **voucher_json(voucher), "signature": to_hex(signature)})
        book = self.book(voucher.session)
        book.voucher, book.signature = voucher, signature
        return voucher

    def vouchers(self) -> list[tuple[Voucher, bytes]]:
        """The last voucher of every session with its signature: what the operator can settle."""
        return [(b.voucher, b.signature) for _, b in sorted(self.books.items()) if b.voucher is not None]


__all__ = [
    "SESSION_HEADER", "SIGNATURE_HEADER", "Book", "InferenceRequest", "Ledger", "Receipt", "read_voucher",
    "sign_request",
    "sign_voucher", "voucher_json",
]  # fmt: skip
