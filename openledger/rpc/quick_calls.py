"""Short calls in the node's own process, under a small gas budget; longer ones are for the workers.

A call is first run with little gas B. Its outcome is the true one when more gas could not have changed it: nothing ran
out of gas, not even somewhere inside where that is forgiven, and no contract on the way looks at the gas that is left,
other than to hand it on. The second is read off the contracts' code, the first off the gas used, U. A frame d calls
deep has at least (B - U)(63/64)^d, and to get there took 100 d at least; if it had run out, U would be the sum of both,
and that is never below 6,349 (1 + ln((B - U) / 6,349)): above 20,000 for B = 100,000, above 14,000 for B = 40,000.
Otherwise the outcome is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from openledger.evm.engine import BlockEnv, CallMessage, CallResult, EvmEngine
from openledger.evm.validate import floor_gas, intrinsic_gas
from openledger.primitives.hashing import KECCAK_EMPTY
from openledger.primitives.types import Account, Address, Hash32
from openledger.state.ports import StateReader
from openledger.state.reader import HeightReader

BUDGETS = {"revm": (100_000, 20_000), "py-evm": (40_000, 14_000)}
"""Gas, beside what a message costs in itself, that a short call gets, and what it may use of it. At the worst, on
precompiles, an engine spends that in a few milliseconds."""
_GAS, _PUSH1, _PUSH32 = 0x5A, 0x60, 0x7F
_HANDED_ON = frozenset((b"\xf1", b"\xf2", b"\xf4", b"\xfa"))
_MAX_KNOWN = 20_000


def looks_at_gas(code: bytes) -> bool:
    """True when an instruction GAS stands there that is not followed by a call, which it is then for. The compiler's
    metadata at the end is not looked at."""
    at, end = 0, _without_metadata(code)
    while at < end:
        opcode = code[at]
        if opcode == _GAS and code[at + 1 : at + 2] not in _HANDED_ON:
            return True
        at += opcode - _PUSH1 + 2 if _PUSH1 <= opcode <= _PUSH32 else 1
    return False


def _without_metadata(code: bytes) -> int:
    """Where solc's CBOR map begins, or the end of the code."""
    length = int.from_bytes(code[-2:], "big") + 2
    start = len(code) - length
    return start if 2 < length <= len(code) and code[start] in (0xA1, 0xA2, 0xA3) else len(code)


def runs_nothing(message: CallMessage, state: StateReader) -> bool:
    """True for a plain transfer: no code and no precompile has anything to do."""
    if message.to is None or message.data or message.access_list or message.authorizations:
        return False
    account = state.account(message.to)
    return (account is None or account.code_hash == KECCAK_EMPTY) and message.to[:18] != bytes(18)


class _Noting:
    """A reader that notes whose code may have run. ``known`` are accounts of the same state."""

    __slots__ = ("_known", "_parent", "codes")

    def __init__(self, parent: StateReader, known: dict[Address, Account | None]) -> None:
        self._parent = parent
        self._known = known
        self.codes: set[Hash32] = set()

    def account(self, address: Address) -> Account | None:
        known = self._known
        if address in known:
            found = known[address]
        else:
            found = known[address] = self._parent.account(address)
        if found is not None and found.code_hash != KECCAK_EMPTY:
            self.codes.add(found.code_hash)
        return found

    def storage(self, address: Address, slot: int) -> int:
        return self._parent.storage(address, slot)

    def has_storage(self, address: Address) -> bool:
        return self._parent.has_storage(address)

    def code(self, code_hash: Hash32) -> bytes:
        return self._parent.code(code_hash)

    def record(self, module: Address, key: bytes) -> bytes | None:
        return self._parent.record(module, key)

    def records(self, module: Address, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        return self._parent.records(module, prefix, start)


class QuickCalls:
    """Of one server."""

    def __init__(self, find_engine: Callable[[], EvmEngine]) -> None:
        self._find_engine = find_engine
        self._known: dict[Hash32, bool] = {}
        self._accounts: dict[Address, Account | None] = {}
        self._head: tuple[object, int] | None = None

    def call(self, env: BlockEnv, message: CallMessage, state: StateReader) -> CallResult | None:
        """What ``EvmEngine.call`` gives, or None for a call that has to be run elsewhere. Raises what it raises."""
        if message.to is None or message.gas_price or message.authorizations:
            return None  # a price makes the gas limit a question of funds
        if max(env.gas_limit, env.base_fee) >> 64:
            return None  # the native engine would call for the reference, whose first import takes a second
        engine = self._find_engine()
        budget, most = BUDGETS.get(engine.name, (0, 0))
        needed = intrinsic_gas(message.data, create=False, access_list=message.access_list)
        little = needed + budget
        if floor_gas(message.data) > little:
            return None  # so much data has to bring gas that it does not cost: enough to compute for seconds with
        if message.gas <= little:
            return engine.call(env, message, state)
        noting = _Noting(state, self._accounts_of(state))
        short = CallMessage(message.sender, message.to, message.value, message.data, little, 0, message.access_list)
        result = engine.call(env, short, noting)
        used = result.gas_used * 5 // 4 - needed  # refunds give back a fifth at most
        if used > most or any(self._looks(code_hash, state) for code_hash in noting.codes):
            return None
        return result

    def _accounts_of(self, state: StateReader) -> dict[Address, Account | None]:
        """What is known of this state's accounts: the head's are remembered for as long as it is the head."""
        head = state.head() if isinstance(state, HeightReader) else None
        if head is None:
            return {}
        if head != self._head or len(self._accounts) > _MAX_KNOWN:
            self._head, self._accounts = head, {}
        return self._accounts

    def _looks(self, code_hash: Hash32, state: StateReader) -> bool:
        found = self._known.get(code_hash)
        if found is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            found = self._known[code_hash] = looks_at_gas(state.code(code_hash))
        return found
