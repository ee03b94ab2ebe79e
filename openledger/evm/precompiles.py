"""The interface of the read-only precompiles at the module addresses, the same for every engine.

A precompile reads native state as it was before the batch (native state is never written inside an EVM frame), takes
no value, and answers to CALL and STATICCALL only; DELEGATECALL, CALLCODE and value revert.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from openledger.primitives.types import Address
from openledger.state.ports import StateReader


class PrecompileReverted(Exception):
    """The call reverts with ``data``. The outcome of a call, not a fault, so it is no part of the error tree."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(data.hex())
        self.data = data


class NativePrecompile(Protocol):
    """A pure function of native state and call data."""

    def gas(self, data: bytes) -> int:
        """Gas of this call; charged before it runs."""
        ...

    def run(self, state: StateReader, data: bytes) -> bytes:
        """Return data (ABI-encoded). Raises PrecompileReverted."""
        ...


PRECOMPILES: Mapping[Address, NativePrecompile] = {}
"""Address -> precompile. None yet: a call to a module account meets its code, INVALID."""
