"""py-evm's opcodes and precompiles over our journal: the state and computation classes, and one message's execution.

py-evm's Chain, headers, database and transaction classes are not used. What is changed against py-evm 0.12.1b1,
each because it would give another result than the specification:

- a frame is the outermost one by its depth, not by ``sender == origin`` (an EIP-7702 account that calls itself would
  forget which contracts the transaction created, and pay for its initcode twice);
- initcode words are part of the intrinsic gas of a creation, checked before the transaction runs;
- MODEXP of an empty base gives 0^e mod m, which is 1 for e = 0;
- a CALL that cannot pay its base price runs out of gas before anybody asks whether it may send value (the same gas is
  gone either way, and only a trace tells);
- BLOCKHASH asks the block environment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType, MappingProxyType
from typing import Any

from eth.abc import ComputationAPI, MessageAPI
from eth.constants import CREATE_CONTRACT_ADDRESS
from eth.exceptions import ContractCreationCollision, Revert, VMError
from eth.vm import mnemonics
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.berlin.constants import WARM_STORAGE_READ_COST
from eth.vm.forks.cancun.computation import CANCUN_PRECOMPILES, CancunComputation
from eth.vm.forks.cancun.state import CancunState
from eth.vm.forks.cancun.transaction_context import CancunTransactionContext
from eth.vm.forks.prague.computation import PRAGUE_PRECOMPILES, PragueComputation
from eth.vm.forks.prague.state import PragueState
from eth.vm.message import Message
from eth.vm.opcode_values import CALL

from openledger.evm.addresses import authority_of, create_address
from openledger.evm.engine import BlockEnv
from openledger.evm.ethereum_precompiles import MODEXP_ADDRESS, POINT_EVALUATION_ADDRESS, modexp, point_evaluation
from openledger.evm.failures import describe
from openledger.evm.journal import MAX_BALANCE, Journal
from openledger.evm.precompiles import NativePrecompile
from openledger.evm.validate import (
    DELEGATION_PREFIX,
    GAS_AUTHORIZATION,
    MAX_NONCE,
    Fork,
    floor_gas,
    intrinsic_gas,
    is_delegation,
)
from openledger.primitives.errors import InvalidSignature
from openledger.primitives.transactions import Authorization
from openledger.primitives.types import ZERO_ADDRESS, AccessTuple, Address, Log

AUTHORIZATION_REFUND = GAS_AUTHORIZATION - 12_500
REFUND_QUOTIENT = 5
_RIPEMD_ADDRESS = bytes(19) + b"\x03"


@dataclass(frozen=True, slots=True)
class Work:
    """One message to run as the outermost frame, already judged valid. Prices in wei per gas; ``price`` includes
    ``tip``; ``nonce`` is the sender's nonce before it runs."""

    sender: Address
    nonce: int
    to: Address | None
    value: int
    data: bytes
    gas: int
    price: int
    tip: int
    access_list: tuple[AccessTuple, ...] = ()
    authorizations: tuple[Authorization, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one ``Work`` did: py-evm's outermost frame, gas used after refunds and floor, logs, the address created."""

    computation: ComputationAPI
    gas_used: int
    logs: tuple[Log, ...]
    created: Address | None


@dataclass(slots=True)
class _Harvest:
    """What the frames of a transaction leave for its end, gathered in one walk over them.

    py-evm asks each frame for its whole subtree, which is quadratic in the number of frames, and goes through C for
    each, which Python 3.12 bounds (``_called``).
    """

    logs: list[tuple[int, Address, tuple[int, ...], bytes]]
    destroyed: set[Address]
    touched: set[Address]
    refund: int


def _harvest(root: Any) -> _Harvest:
    """Logs, destroyed and touched accounts (EIP-161) and gas refunds of all frames that were not undone, and the
    message's own refund. RIPEMD's account stays touched when its frame fails, as on Ethereum (EIPs issue 716)."""
    out = _Harvest([], set(), set(), root.msg.refund)
    frames = [(root, False)]
    while frames:
        frame, undone = frames.pop()
        undone_here = undone or frame.is_error
        if not undone_here:
            out.logs += frame._log_entries
            out.destroyed.update(frame.accounts_to_delete)
            out.touched.update(frame.beneficiaries)
            out.touched.add(frame.msg.to)
            out.refund += frame._gas_meter.gas_refunded
        elif frame.msg.to == _RIPEMD_ADDRESS or (not frame.is_error and _RIPEMD_ADDRESS in frame.beneficiaries):
            out.touched.add(_RIPEMD_ADDRESS)
        frames += [(child, undone_here) for child in frame.children]
    out.touched.discard(CREATE_CONTRACT_ADDRESS)
    out.logs.sort()
    return out


class _FlatState:
    """The calls of py-evm's state that reach its database, answered by a ``Journal``."""

    _account_db: Journal
    _block_hash: Callable[[int], bytes | None]
    fork: Fork

    def __init__(self, env: BlockEnv, journal: Journal) -> None:
        self._db = None
        self._account_db = journal
        self._block_hash = env.block_hash
        self.journal = journal
        self.execution_context = ExecutionContext(
            coinbase=env.coinbase,  # type: ignore[arg-type]
            timestamp=env.timestamp,
            block_number=env.number,  # type: ignore[arg-type]
            difficulty=0,
            mix_hash=env.prevrandao,  # type: ignore[arg-type]
            gas_limit=env.gas_limit,
            prev_hashes=(),
            chain_id=env.chain_id,
            base_fee_per_gas=env.base_fee,
            excess_blob_gas=env.excess_blob_gas,
        )

    def snapshot(self) -> int:
        return self._account_db.record()

    def revert(self, snapshot: int) -> None:
        self._account_db.discard(snapshot)

    def commit(self, snapshot: int) -> None:
        self._account_db.commit(snapshot)

    def get_transient_storage(self, address: Address, slot: int) -> bytes:
        return self._account_db.get_transient(address, slot)

    def set_transient_storage(self, address: Address, slot: int, value: bytes) -> None:
        self._account_db.set_transient(address, slot, value)

    def get_ancestor_hash(self, block_number: int) -> bytes:
        number = self.execution_context.block_number
        if not max(0, number - 256) <= block_number < number:
            return b""
        return self._block_hash(block_number) or b""


class _FlatComputation:
    """The corrections of frames named at the top of this file."""

    msg: MessageAPI
    _precompiles: Mapping[Address, Any]
    ethereum_precompiles: Mapping[Address, Any]

    @property
    def is_origin_computation(self) -> bool:
        return self.msg.depth == 0

    @property
    def precompiles(self) -> Mapping[Address, Any]:
        """A delegated account (EIP-7702) reaches no native precompile, but the code at its address, INVALID."""
        return self.ethereum_precompiles if self.msg.is_delegation else self._precompiles

    @classmethod
    def apply_message(
        cls, state: Any, message: MessageAPI, transaction_context: Any, parent_computation: Any = None
    ) -> ComputationAPI:
        """A transfer that would lift a balance above 256 bits fails with all its gas, as in revm. All OPEN there can be
        is far less; only the edits of a devnet make such balances."""
        moves = message.should_transfer_value and message.value and message.sender != message.storage_address
        if moves and state.get_balance(message.storage_address) + message.value > MAX_BALANCE:
            failed: Any = cls(state, message, transaction_context)  # type: ignore[call-arg]
            failed.error = VMError("a balance above 256 bits")
            return failed  # type: ignore[no-any-return]
        found: ComputationAPI = super().apply_message(state, message, transaction_context, parent_computation)  # type: ignore[misc]
        return found

    @classmethod
    def consume_initcode_gas_cost(cls, computation: ComputationAPI) -> None:
        """Nothing: intrinsic gas has it."""


def _native(precompile: NativePrecompile) -> Callable[[ComputationAPI], Any]:
    """``precompile`` in py-evm's form. The frame's code is another account's under DELEGATECALL and CALLCODE."""

    def run(computation: Any) -> Any:
        message = computation.msg
        if message.value or message.code_address != message.storage_address:
            raise Revert(b"")
        left = computation.get_gas_remaining()
        answer = precompile.answer(computation.state.journal.beneath, message.data_as_bytes, left)
        computation.consume_gas(answer.gas_used, reason="native precompile")
        computation.output = answer.output
        if not answer.ok:
            raise Revert(answer.output)
        return computation

    return run


def build_machine(
    fork: Fork,
    precompiles: Mapping[Address, NativePrecompile],
    moved: Mapping[Address, Address | None] = MappingProxyType({}),
) -> type[_FlatState]:
    """A state class of ``fork``, whose precompile table has ``precompiles`` besides Ethereum's own. Those in ``moved``
    are at another address, or (None) nowhere; no chain has any, a caller's overrides may."""
    prague = fork is Fork.PRAGUE
    ethereum = {
        **(PRAGUE_PRECOMPILES if prague else CANCUN_PRECOMPILES),
        MODEXP_ADDRESS: modexp,
        POINT_EVALUATION_ADDRESS: point_evaluation,
    }
    table = ethereum | {address: _native(precompile) for address, precompile in precompiles.items()}
    known = dict(table)
    gone = {address: (table.pop(address), address in ethereum) for address in moved if address in table}
    ethereum = {address: run for address, run in ethereum.items() if address not in gone}
    for address, (run, is_ethereums) in gone.items():
        target = moved[address]
        if target is not None:
            table[target] = run
            ethereum |= {target: run} if is_ethereums else {}
    theirs: Any = PragueComputation if prague else CancunComputation
    opcodes = {number: _called(opcode) for number, opcode in theirs.opcodes.items()}
    opcodes[CALL] = _base_price_first(opcodes[CALL])
    computation = type(
        "FlatComputation",
        (_FlatComputation, theirs),
        {
            "_precompiles": table,
            "ethereum_precompiles": ethereum,
            "opcodes": opcodes,
            "get_precompiles": lambda: known,  # what is warm from the start, whatever is moved
        },
    )
    state = PragueState if prague else CancunState
    return type("FlatMachine", (_FlatState, state), {"computation_class": computation, "fork": fork})


def _called(opcode: Any) -> Any:
    """The opcode as what is called in the end. An object with ``__call__`` goes through C each time, and Python 3.12
    bounds that by itself, whatever the recursion limit: 500 frames deep in 3.12.1, where 1,024 are the EVM's."""
    return opcode if isinstance(opcode, FunctionType) else opcode.__call__


def _base_price_first(call: Callable[..., Any]) -> Callable[..., Any]:
    """The CALL opcode, whose base price (EIP-2929) is looked at before its rights, as in geth and revm."""

    def run(computation: Any) -> Any:
        if computation.get_gas_remaining() < WARM_STORAGE_READ_COST:
            computation.consume_gas(WARM_STORAGE_READ_COST, reason=mnemonics.CALL)  # raises
        return call(computation)

    return run


def run_message(vm: Any, work: Work) -> Outcome:
    """Run one message to its end: buy gas, execute, refund, pay the tip, clear what died (EIP-161, 6780, 7623).

    The journal holds the result; ``lock_changes`` was called before. Never raises for anything that the message does.
    """
    journal: Journal = vm.journal
    journal.set_balance(work.sender, journal.get_balance(work.sender) - work.gas * work.price)
    journal.increment_nonce(work.sender)
    refund = sum(_authorize(vm, item) for item in work.authorizations)
    message = _message(journal, work, refund)
    _warm_up(journal, work, message.storage_address)
    context = CancunTransactionContext(gas_price=work.price, origin=work.sender)  # type: ignore[arg-type]
    if not message.is_create:
        computation = vm.computation_class.apply_message(vm, message, context)
    elif journal.account_has_code_or_nonce(message.storage_address):
        computation = vm.get_computation(message, context)
        computation.error = ContractCreationCollision("contract address collision")
    else:
        computation = vm.computation_class.apply_create_message(vm, message, context)
    harvest = _harvest(computation)
    used = _settle(vm, work, computation, harvest)
    logs = tuple(Log(at, tuple(t.to_bytes(32, "big") for t in topics), data) for _, at, topics, data in harvest.logs)
    return Outcome(computation, used, logs, message.storage_address if message.is_create else None)


def failure_text(computation: ComputationAPI) -> str:
    """Why a frame failed, in geth's words; empty when it did not."""
    if computation.is_success:
        return ""
    code, counter = computation.msg.code, computation.code.program_counter
    opcode = code[counter - 1] if 0 < counter <= len(code) else None
    return describe(computation.error, opcode, computation.output)


def _message(journal: Journal, work: Work, refund: int) -> Message:
    gas = work.gas - intrinsic_gas(
        work.data, create=work.to is None, access_list=work.access_list, authorizations=work.authorizations
    )
    common: dict[str, Any] = {"gas": gas, "sender": work.sender, "value": work.value, "refund": refund}
    if work.to is None:
        created = create_address(work.sender, work.nonce)
        return Message(to=CREATE_CONTRACT_ADDRESS, data=b"", code=work.data, create_address=created, **common)  # type: ignore[arg-type]
    code = journal.get_code(work.to)
    delegated = is_delegation(code)
    if delegated:
        journal.mark_address_warm(code[3:])
        code = journal.get_code(code[3:])
    return Message(to=work.to, data=work.data, code=code, is_delegation=delegated, **common)  # type: ignore[arg-type]


def _warm_up(journal: Journal, work: Work, target: Address) -> None:
    """EIP-2929 and 2930; the coinbase (EIP-3651) is warmed by each frame, precompiles by the table."""
    journal.mark_address_warm(work.sender)
    journal.mark_address_warm(target)
    for entry in work.access_list:
        journal.mark_address_warm(entry.address)
        for key in entry.storage_keys:
            journal.mark_storage_warm(entry.address, int.from_bytes(key, "big"))


def _authorize(vm: Any, item: Authorization) -> int:
    """One EIP-7702 authorization; an invalid one is passed over. Returns the gas refund it earns."""
    journal: Journal = vm.journal
    if item.chain_id not in (0, vm.execution_context.chain_id) or item.nonce >= MAX_NONCE:
        return 0
    try:
        authority = authority_of(item)
    except InvalidSignature:
        return 0
    journal.mark_address_warm(authority)
    code = journal.get_code(authority)
    if (code and not is_delegation(code)) or journal.get_nonce(authority) != item.nonce:
        return 0
    refund = AUTHORIZATION_REFUND if journal.account_exists(authority) else 0
    if item.address == ZERO_ADDRESS:
        journal.delete_code(authority)
    else:
        journal.set_code(authority, DELEGATION_PREFIX + item.address)
    journal.increment_nonce(authority)
    return refund


def _settle(vm: Any, work: Work, computation: ComputationAPI, harvest: _Harvest) -> int:
    journal: Journal = vm.journal
    used = work.gas - computation.get_gas_remaining()
    used -= min(harvest.refund, used // REFUND_QUOTIENT)
    if vm.fork is Fork.PRAGUE:
        used = max(used, floor_gas(work.data))
    journal.set_balance(work.sender, journal.get_balance(work.sender) + (work.gas - used) * work.price)
    coinbase: Address = vm.coinbase
    journal.set_balance(coinbase, journal.get_balance(coinbase) + used * work.tip)
    for address in sorted(harvest.destroyed):
        journal.delete_account(address)
    for address in sorted({coinbase, *harvest.touched}):
        if journal.account_exists(address) and journal.account_is_empty(address):
            journal.delete_account(address)
    return used
