"""The reference engine: py-evm's opcodes over a flat journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eth.abc import ComputationAPI

from openledger.evm.engine import BlockEnv, CallMessage, CallResult, ExecutionOutput, TxResult
from openledger.evm.journal import Journal
from openledger.evm.machine import Outcome, Work, build_machine, run_message
from openledger.evm.precompiles import PRECOMPILES, NativePrecompile
from openledger.evm.reasons import describe
from openledger.evm.validate import MAX_INITCODE_BYTES, Fork, floor_gas, intrinsic_gas, validate_tx
from openledger.primitives.errors import (
    FeeCapTooLow,
    InitCodeTooLarge,
    InsufficientFunds,
    IntrinsicGasTooLow,
    InvalidTransaction,
)
from openledger.primitives.transactions import EthTransaction
from openledger.primitives.types import OUTBOX_ADDRESS, Address, to_checksum
from openledger.state.ports import StateReader


class PyEvmEngine:
    """``EvmEngine`` on py-evm 0.12.1b1. Holds no state between calls, so an abandoned run leaves nothing.

    ``precompiles`` come on top of Ethereum's; ``fork`` is Prague on the chain.
    """

    name = "py-evm"

    def __init__(
        self, *, fork: Fork = Fork.PRAGUE, precompiles: Mapping[Address, NativePrecompile] = PRECOMPILES
    ) -> None:
        self.fork = fork
        self._machine: Any = build_machine(fork, precompiles)

    def execute(
        self, env: BlockEnv, txs: Sequence[EthTransaction], state: StateReader, gas_available: int
    ) -> ExecutionOutput:
        """Run transactions in order on top of ``state``; see ``EvmEngine.execute``."""
        journal = Journal(state)
        vm = self._machine(env, journal)
        out = ExecutionOutput()
        for tx in txs:
            result = self._execute_one(env, vm, tx, gas_available)
            gas_available -= result.gas_used
            out.results.append(result)
            if any(log.address == OUTBOX_ADDRESS for log in result.logs):
                break
        out.stopped_at = len(out.results)
        out.diff = journal.diff()
        return out

    def _execute_one(self, env: BlockEnv, vm: Any, tx: EthTransaction, gas_available: int) -> TxResult:
        journal: Journal = vm.journal
        journal.lock_changes()
        try:
            validate_tx(env, tx, journal, gas_available, fork=self.fork)
        except InvalidTransaction as refusal:
            return TxResult(refused=refusal)
        price = tx.effective_gas_price(env.base_fee)
        outcome = run_message(
            vm,
            Work(
                tx.sender, tx.nonce, tx.to, tx.value, tx.data, tx.gas, price, price - env.base_fee,
                tx.access_list, tx.authorizations,
            ),
        )  # fmt: skip
        computation = outcome.computation
        return TxResult(
            status=int(computation.is_success),
            gas_used=outcome.gas_used,
            logs=outcome.logs,
            output=computation.output,
            contract_address=outcome.created,
            error=_error(computation),
            burned=-journal.balance_change() - outcome.gas_used * env.base_fee,
        )

    def call(self, env: BlockEnv, message: CallMessage, state: StateReader) -> CallResult:
        """Run one message; nothing is kept. Raises InsufficientFunds, IntrinsicGasTooLow, FeeCapTooLow or
        InitCodeTooLarge when the message cannot run at all; whatever happens inside is in the result."""
        journal = Journal(state)
        journal.lock_changes()
        _check_call(env, message, journal)
        outcome = self._run_call(env, message, journal)
        computation = outcome.computation
        return CallResult(
            status=int(computation.is_success),
            gas_used=outcome.gas_used,
            output=computation.output,
            logs=outcome.logs,
            error=_error(computation),
        )

    def _run_call(self, env: BlockEnv, message: CallMessage, journal: Journal) -> Outcome:
        price = message.gas_price
        work = Work(
            message.sender, journal.get_nonce(message.sender), message.to, message.value, message.data, message.gas,
            price, max(price - env.base_fee, 0), message.access_list, message.authorizations,
        )  # fmt: skip
        return run_message(self._machine(env, journal), work)


def _check_call(env: BlockEnv, message: CallMessage, journal: Journal) -> None:
    who = to_checksum(message.sender)
    if message.gas_price and message.gas_price < env.base_fee:
        raise FeeCapTooLow(
            f"max fee per gas less than block base fee: address {who}, "
            f"maxFeePerGas: {message.gas_price}, baseFee: {env.base_fee}"
        )
    have, want = journal.get_balance(message.sender), message.value + message.gas * message.gas_price
    if have < want:
        raise InsufficientFunds(f"insufficient funds for gas * price + value: address {who} have {have} want {want}")
    if message.to is None and len(message.data) > MAX_INITCODE_BYTES:
        raise InitCodeTooLarge(f"max initcode size exceeded: code size {len(message.data)} limit {MAX_INITCODE_BYTES}")
    needed = intrinsic_gas(
        message.data,
        create=message.to is None,
        access_list=message.access_list,
        authorizations=message.authorizations,
    )
    if message.gas < needed:
        raise IntrinsicGasTooLow(f"intrinsic gas too low: have {message.gas}, want {needed}")
    if message.gas < (floor := floor_gas(message.data)):
        raise IntrinsicGasTooLow(f"insufficient gas for floor data gas cost: have {message.gas}, want {floor}")


def _error(computation: ComputationAPI) -> str:
    if computation.is_success:
        return ""
    code, counter = computation.msg.code, computation.code.program_counter
    opcode = code[counter - 1] if 0 < counter <= len(code) else None
    return describe(computation.error, opcode, computation.output)
