"""The interface of the read-only precompiles at the module addresses, the same for every engine.

A precompile reads native records as they were before the batch (native state is never written inside an EVM frame, so
they are those of this moment), takes no value, and answers to CALL and STATICCALL only. DELEGATECALL, CALLCODE and
value revert without using gas; an account that is delegated to a module address (EIP-7702) runs the module's code,
0xfe, and fails. The addresses are warm from the start, as Ethereum's own precompiles are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from openledger.primitives.types import Address
from openledger.state.ports import StateReader


class NativeAnswer(NamedTuple):
    """Outcome of a call: return data when ``ok``, else revert data. ``gas_used`` above the gas given means that the
    call ran out of gas: the frame fails, uses up all it had and has no output."""

    ok: bool
    gas_used: int
    output: bytes


class PrecompileReverted(Exception):
    """The call reverts with ``data``. The outcome of a call, not a fault, so it is no part of the error tree."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(data.hex())
        self.data = data


class NativePrecompile(Protocol):
    """A pure function of native records and call data."""

    def answer(self, state: StateReader, data: bytes, gas: int) -> NativeAnswer:
        """Answer one call that has ``gas`` left. Does no work that ``gas`` does not pay for, and raises nothing."""
        ...


PRECOMPILES: Mapping[Address, NativePrecompile] = {}
"""Address -> precompile, where nobody hands over a table: none, so a call to a module account meets its code, INVALID.
The chain's own table is ``openledger.abci_app.registry.PRECOMPILES``."""
