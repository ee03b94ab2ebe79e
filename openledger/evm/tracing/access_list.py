"""The accounts and slots that a message touches, as an EIP-2930 access list: what eth_createAccessList answers.

As in geth, the sender, the recipient, precompiles and signers of authorizations are not named for their own sake, but
with the slots that are read or written of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from openledger.evm.tracing.opcodes import (
    BALANCE,
    CALLS,
    EXTCODECOPY,
    EXTCODEHASH,
    EXTCODESIZE,
    SELFDESTRUCT,
    SLOAD,
    SSTORE,
)
from openledger.evm.tracing.tracer import Budget, Scope, Start, Step, Tracer, View, word_address
from openledger.primitives.types import AccessTuple, Address

_LOOKS_AT_ACCOUNT = frozenset((BALANCE, EXTCODESIZE, EXTCODECOPY, EXTCODEHASH, SELFDESTRUCT))


class AccessListTracer(Tracer):
    """Begins with the list ``known``, what needs no naming left out; ``access_list`` afterwards is that and what was
    touched, in order."""

    sees_steps = True

    def __init__(self, budget: Budget, known: Iterable[AccessTuple] = ()) -> None:
        self._budget = budget
        self._slots: dict[Address, dict[bytes, None]] = {}
        self._unnamed: set[Address] = set()
        for entry in known:
            self._slots.setdefault(entry.address, {}).update(dict.fromkeys(entry.storage_keys))

    def start(self, view: View, start: Start) -> None:
        target = start.to if start.to is not None else start.created
        self._unnamed = {start.sender, *start.precompiles, *start.authorities} | ({target} if target else set())
        for address in self._unnamed & self._slots.keys():
            del self._slots[address]

    def step(self, view: View, step: Step, scope: Scope) -> None:
        op, size = step.op, scope.stack_size()
        if op in (SLOAD, SSTORE) and size >= 1:
            self._slots.setdefault(scope.address, {})[scope.word(0).to_bytes(32, "big")] = None
            self._budget.grow(140)
        elif op in _LOOKS_AT_ACCOUNT and size >= 1:
            self._touch(word_address(scope.word(0)))
        elif op in CALLS and size >= 5:
            self._touch(word_address(scope.word(1)))

    def _touch(self, address: Address) -> None:
        if address not in self._unnamed and address not in self._slots:
            self._slots[address] = {}
            self._budget.grow(100)

    def access_list(self) -> tuple[AccessTuple, ...]:
        """Everything found so far."""
        return tuple(AccessTuple(address, tuple(slots)) for address, slots in self._slots.items())
