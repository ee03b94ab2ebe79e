"""geth's ``prestateTracer``: the accounts and slots that a transaction reads or writes, as they were before it; with
``diffMode`` only what it changes, before (``pre``) and after (``post``).

Options: ``diffMode``, ``disableCode``, ``disableStorage``, ``includeEmpty``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import rlp

from openledger.evm.tracing.opcodes import (
    BALANCE,
    CALLS,
    CREATE,
    CREATE2,
    EXTCODECOPY,
    EXTCODEHASH,
    EXTCODESIZE,
    SELFDESTRUCT,
    SLOAD,
    SSTORE,
)
from openledger.evm.tracing.tracer import (
    Budget,
    Json,
    Scope,
    Start,
    Step,
    Tracer,
    View,
    hash_hex,
    word_address,
    word_hex,
)
from openledger.evm.validate import is_delegation
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Address, to_hex

_LOOKS_AT_ACCOUNT = frozenset((BALANCE, EXTCODESIZE, EXTCODECOPY, EXTCODEHASH, SELFDESTRUCT))


@dataclass(frozen=True, slots=True)
class PrestateOptions:
    """See the module."""

    diff: bool = False
    code: bool = True
    storage: bool = True
    empty: bool = False


@dataclass(slots=True)
class Seen:
    """An account when it was first looked at. Balance in wei."""

    balance: int
    nonce: int
    code: bytes
    slots: dict[int, int] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (self.balance or self.nonce or self.code)


class PrestateTracer(Tracer):
    """See the module."""

    sees_steps = True

    def __init__(self, budget: Budget, options: PrestateOptions) -> None:
        self._budget = budget
        self._options = options
        self._seen: dict[Address, Seen] = {}
        self._created: set[Address] = set()
        self._deleted: set[Address] = set()
        self._post: Json = {}
        self._pre: Json = {}

    def start(self, view: View, start: Start) -> None:
        target = start.to if start.to is not None else start.created
        if start.created is not None:
            self._created.add(start.created)
        if target is not None:
            self._look(view, target)
            self._look_delegate(view, target)
        for address in (start.sender, start.coinbase, *start.authorities):
            self._look(view, address)

    def touch(self, view: View, address: Address, slots: Sequence[int]) -> None:
        self._look(view, address)
        for slot in slots:
            self._look_slot(view, address, slot)

    def step(self, view: View, step: Step, scope: Scope) -> None:
        op, size = step.op, scope.stack_size()
        if op in (SLOAD, SSTORE) and size >= 1:
            self._look_slot(view, scope.address, scope.word(0), step)
        elif op in _LOOKS_AT_ACCOUNT and size >= 1:
            self._look(view, word_address(scope.word(0)), step)
            if op == SELFDESTRUCT and scope.address in self._created:
                self._deleted.add(scope.address)
        elif op in CALLS and size >= 5:
            address = word_address(scope.word(1))
            self._look(view, address, step)
            self._look_delegate(view, address, step)
        elif op == CREATE or (op == CREATE2 and size >= 4):
            address = _created_address(view, scope, op)
            self._look(view, address, step)
            self._created.add(address)

    def stepped(self, step: Step, cost: int, error: str) -> None:
        """What an opcode that could not be paid for named was not looked at."""
        if error and step.note is not None:
            for address, slot in step.note:
                if slot is None:
                    self._seen.pop(address, None)
                else:
                    self._seen[address].slots.pop(slot, None)

    def end(self, view: View, gas_used: int) -> None:
        if self._options.diff:
            for address, seen in self._seen.items():
                self._compare(view, address, seen)
        else:
            self._pre = {
                to_hex(address): self._account(seen)
                for address, seen in self._seen.items()
                if self._options.empty or not seen.is_empty
            }

    def result(self) -> Json:
        return {"post": self._post, "pre": self._pre} if self._options.diff else self._pre

    # --- looking ------------------------------------------------------------------------------------------

    def _look(self, view: View, address: Address, step: Step | None = None) -> None:
        if address in self._seen:
            return
        seen = Seen(view.get_balance(address), view.get_nonce(address), view.get_code(address))
        self._seen[address] = seen
        self._budget.grow(200 + (2 * len(seen.code) if self._options.code else 0))
        _note(step, (address, None))

    def _look_delegate(self, view: View, address: Address, step: Step | None = None) -> None:
        code = view.get_code(address)
        if is_delegation(code):
            self._look(view, code[3:], step)

    def _look_slot(self, view: View, address: Address, slot: int, step: Step | None = None) -> None:
        if not self._options.storage:
            return
        slots = self._seen[address].slots
        if slot not in slots:
            slots[slot] = view.get_storage(address, slot)
            self._budget.grow(140)
            _note(step, (address, slot))

    # --- telling ------------------------------------------------------------------------------------------

    def _account(self, seen: Seen) -> Json:
        account: Json = {"balance": hex(seen.balance)}
        if seen.code:
            if self._options.code:
                account["code"] = to_hex(seen.code)
            account["codeHash"] = hash_hex(keccak256(seen.code))
        if seen.nonce:
            account["nonce"] = seen.nonce
        if seen.slots:
            account["storage"] = {word_hex(slot): word_hex(value) for slot, value in seen.slots.items()}
        return account

    def _compare(self, view: View, address: Address, seen: Seen) -> None:
        name = to_hex(address)
        if address in self._deleted:
            if not seen.is_empty:
                self._pre[name] = self._account(seen)
            return
        code = view.get_code(address)
        post: Json = {}
        if view.get_balance(address) != seen.balance:
            post["balance"] = hex(view.get_balance(address))
        if view.get_nonce(address) != seen.nonce:
            post["nonce"] = view.get_nonce(address)
        if code != seen.code:
            if self._options.code:
                post["code"] = to_hex(code)
            post["codeHash"] = hash_hex(keccak256(code))
        after = {slot: view.get_storage(address, slot) for slot in seen.slots}
        changed = {slot: value for slot, value in after.items() if value != seen.slots[slot]}
        if not post and not changed:
            return
        written = {word_hex(slot): word_hex(value) for slot, value in changed.items() if value}
        if written:
            post["storage"] = written
        self._post[name] = post
        if not seen.is_empty:
            seen.slots = {slot: seen.slots[slot] for slot in changed if seen.slots[slot]}
            self._pre[name] = self._account(seen)


def _note(step: Step | None, what: tuple[Address, int | None]) -> None:
    if step is not None:
        step.note = [*(step.note or ()), what]


def _created_address(view: View, scope: Scope, op: int) -> Address:
    if op == CREATE:
        return keccak256(rlp.encode([scope.address, view.get_nonce(scope.address)]))[12:]
    start, size, salt = scope.word(1), scope.word(2), scope.word(3)
    init = scope.memory()[start : start + size] if size < 1 << 32 else b""
    init = init.ljust(size, b"\0") if size <= 1 << 20 else init
    return keccak256(b"\xff" + scope.address + salt.to_bytes(32, "big") + keccak256(init))[12:]
