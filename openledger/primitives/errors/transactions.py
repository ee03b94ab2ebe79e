"""Transactions (1-99): refused at admission, never in a block; 90 and above are those that failed in one."""

from __future__ import annotations

from openledger.primitives.errors.base import OpenLedgerError


class InvalidTransaction(OpenLedgerError):
    """A transaction that this chain refuses; becomes an ABCI code and a JSON-RPC error."""

    code = 2


class NonceTooLow(InvalidTransaction):
    code = 3


class NonceTooHigh(InvalidTransaction):
    code = 4


class InsufficientFunds(InvalidTransaction):
    code = 5


class IntrinsicGasTooLow(InvalidTransaction):
    code = 6


class GasLimitExceeded(InvalidTransaction):
    """The gas limit of the transaction is above the block's, or above what is left in this block."""

    code = 7


class FeeCapTooLow(InvalidTransaction):
    """maxFeePerGas is below the base fee."""

    code = 8


class TipAboveFeeCap(InvalidTransaction):
    code = 9


class SenderNotEOA(InvalidTransaction):
    """EIP-3607: the sender has code that is not a delegation."""

    code = 10


class InitCodeTooLarge(InvalidTransaction):
    """EIP-3860."""

    code = 11


class WrongChainId(InvalidTransaction):
    code = 12


class UnprotectedTransaction(InvalidTransaction):
    """A legacy transaction without EIP-155 replay protection."""

    code = 13


class InvalidSignature(InvalidTransaction):
    code = 14


class UnsupportedTransactionType(InvalidTransaction):
    code = 15


class TransactionTooLarge(InvalidTransaction):
    code = 16


class EmptyAuthorizationList(InvalidTransaction):
    """EIP-7702."""

    code = 17


class AlreadyKnown(InvalidTransaction):
    code = 18


class ReplacementUnderpriced(InvalidTransaction):
    code = 19


class MempoolFull(InvalidTransaction):
    code = 20


class NonceOverflow(InvalidTransaction):
    """EIP-2681."""

    code = 21


class ReservedTransaction(InvalidTransaction):
    """System transactions and slot 0 cannot be submitted from outside."""

    code = 22


class ExecutionReverted(InvalidTransaction):
    """A transaction that is in a block with status 0."""

    code = 90
    rpc_code = 3


class CallFailed(OpenLedgerError):
    """A call or an estimate outside any transaction that does not succeed, for another reason than a revert."""

    code = 91


class CallReverted(CallFailed):
    """A call or an estimate that reverts; ``data`` is what it reverted with."""

    code = 92
    rpc_code = 3

    def __init__(self, message: str, data: bytes = b"", hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.data = data
