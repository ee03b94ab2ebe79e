"""What contracts may ask the modules: typed read functions behind the precompile addresses (Solidity's ABI).

A module lists its functions in ``reads.py``; ``Reads`` puts them behind one address. Call data is read by the few types
that the interfaces use, each strictly: a value outside its type, an offset outside the data or text that is not UTF-8
reverts. Every record is paid for before it is decoded, so no call does more work than its gas buys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from eth_abi.abi import encode

from openledger.evm.precompiles import NativeAnswer, PrecompileReverted
from openledger.evm.reasons import ERROR_SELECTOR
from openledger.primitives.errors import NotFound
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Account, Address, Hash32
from openledger.state.ports import StateReader

GAS_CALL = 2_500
GAS_PER_INPUT_BYTE = 4
GAS_RECORD = 1_500
GAS_PER_RECORD_BYTE = 16
GAS_PER_OUTPUT_BYTE = 4

MAX_PAGE = 100
"""Most records that one page lists."""

Value = int | bytes | str | list[bytes]
T = TypeVar("T")


class _OutOfGas(Exception):
    """More gas is needed than there is."""


class Meter:
    """Gas of one call. ``charge`` raises as soon as more is used than was given."""

    def __init__(self, gas: int) -> None:
        self._gas = gas
        self.used = 0

    def charge(self, amount: int) -> None:
        self.used += amount
        if self.used > self._gas:
            raise _OutOfGas


class MeteredState:
    """The records of a state, each paid for by its size. Accounts, code and storage pass through unpaid: the functions
    of the modules read records only."""

    def __init__(self, state: StateReader, meter: Meter) -> None:
        self._state = state
        self._meter = meter

    def account(self, address: Address) -> Account | None:
        return self._state.account(address)

    def storage(self, address: Address, slot: int) -> int:
        return self._state.storage(address, slot)

    def has_storage(self, address: Address) -> bool:
        return self._state.has_storage(address)

    def code(self, code_hash: Hash32) -> bytes:
        return self._state.code(code_hash)

    def record(self, module: Address, key: bytes) -> bytes | None:
        self._meter.charge(GAS_RECORD)
        found = self._state.record(module, key)
        self._meter.charge(GAS_PER_RECORD_BYTE * len(found or b""))
        return found

    def records(self, module: Address, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key, value in self._state.records(module, prefix, start):
            self._meter.charge(GAS_RECORD + GAS_PER_RECORD_BYTE * len(value))
            yield key, value


@dataclass(frozen=True, slots=True)
class Read:
    """One function: its Solidity signature, the ABI types it returns, and what answers it: the values, one for each
    returned type. ``answer`` raises NotFound for a record that is not there; the call reverts with its text."""

    signature: str
    returns: tuple[str, ...]
    answer: Callable[..., tuple[Any, ...]]

    @property
    def selector(self) -> bytes:
        return keccak256(self.signature.encode())[:4]

    @property
    def arguments(self) -> tuple[str, ...]:
        inside = self.signature.partition("(")[2][:-1]
        return tuple(inside.split(",")) if inside else ()


class Reads:
    """``NativePrecompile`` out of read functions."""

    def __init__(self, address: Address, *functions: Read) -> None:
        self.address = address
        self.functions = functions
        self._by_selector = {f.selector: (f, f.arguments) for f in functions}
        if len(self._by_selector) != len(functions):
            raise ValueError("two functions have the same selector")

    def answer(self, state: StateReader, data: bytes, gas: int) -> NativeAnswer:
        """Answer one call; gas by input, records read and output. An unknown selector or malformed arguments revert
        without a reason, a missing record with Error(string)."""
        meter = Meter(gas)
        try:
            meter.charge(GAS_CALL + GAS_PER_INPUT_BYTE * len(data))
            output = self._run(MeteredState(state, meter), data)
            meter.charge(GAS_PER_OUTPUT_BYTE * len(output))
        except _OutOfGas:
            return NativeAnswer(False, meter.used, b"")
        except PrecompileReverted as reverted:
            return NativeAnswer(False, meter.used, reverted.data)
        except NotFound as missing:
            return NativeAnswer(False, meter.used, error_data(missing.message))
        return NativeAnswer(True, meter.used, output)

    def _run(self, state: StateReader, data: bytes) -> bytes:
        found = self._by_selector.get(data[:4])
        if found is None:
            raise PrecompileReverted
        function, types = found
        values = decode_arguments(types, data[4:])
        encoded: bytes = encode(function.returns, function.answer(state, *values))
        return encoded


def page(found: Iterator[T], limit: int) -> tuple[list[T], T | None]:
    """The first ``limit`` of what is found (one at least, ``MAX_PAGE`` at most), and the one that begins the next page,
    None after the last."""
    return list(islice(found, max(1, min(limit, MAX_PAGE)))), next(found, None)


def error_data(text: str) -> bytes:
    """Revert data of Solidity's ``Error(string)``."""
    encoded: bytes = ERROR_SELECTOR + encode(["string"], [text])
    return encoded


# --- call data --------------------------------------------------------------------------------------------


def decode_arguments(types: tuple[str, ...], data: bytes) -> list[Value]:
    """Values of ABI-encoded arguments. Bytes beyond them are ignored, as Solidity does. Raises PrecompileReverted."""
    return [_argument(kind, data, 32 * i) for i, kind in enumerate(types)]


def _word(data: bytes, at: int) -> bytes:
    if at + 32 > len(data):
        raise PrecompileReverted
    return data[at : at + 32]


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(_word(data, at), "big")


def _argument(kind: str, data: bytes, at: int) -> Value:
    if kind == "bytes32":
        return _word(data, at)
    if kind == "address":
        word = _word(data, at)
        if any(word[:12]):
            raise PrecompileReverted
        return word[12:]
    if kind == "uint64":
        number = _number(data, at)
        if number >> 64:
            raise PrecompileReverted
        return number
    start = _number(data, at)
    length = _number(data, start)
    if kind == "bytes32[]":
        if start + 32 + 32 * length > len(data):
            raise PrecompileReverted
        return [_word(data, start + 32 + 32 * i) for i in range(length)]
    if kind != "string":
        raise ValueError(f"no read function takes a {kind}")
    if start + 32 + length > len(data):
        raise PrecompileReverted
    try:
        return data[start + 32 : start + 32 + length].decode()
    except UnicodeDecodeError:
        raise PrecompileReverted from None
