"""The error tree. Every expected refusal has a class with a stable number.

The number is the ABCI ``code`` of a refused transaction and stands in ``error.data.code`` of a JSON-RPC
answer. ``rpc_code`` is the JSON-RPC error code that Ethereum clients expect. An error that is not in this
tree is a fault of the program: it stops the node loudly and never becomes a transaction result.

Numbers never change meaning; ranges: 1-99 transactions, 100-199 native actions, 200-299 decoding,
300-399 genesis and configuration, 400-499 storage, 500-599 protocol, 600-699 blobs and oracle.
"""

from __future__ import annotations

from typing import ClassVar


class OpenLedgerError(Exception):
    """Root of all expected failures: one sentence, and a hint what to do about it."""

    code: ClassVar[int] = 1
    rpc_code: ClassVar[int] = -32000

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


# --- transactions (1-99): refused at admission, never in a block --------------------------------------


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


# --- native actions (100-199): become a failed receipt when they fail in a block -----------------------


class ActionRefused(InvalidTransaction):
    """A well-formed native action that the state machine refuses."""

    code = 100


class UnknownAction(ActionRefused):
    code = 101


class MalformedAction(ActionRefused):
    """A field of an action has the wrong form, range or length."""

    code = 102


class NotFound(ActionRefused):
    """The record that an action names does not exist."""

    code = 103


class NotAllowed(ActionRefused):
    """The sender may not do this."""

    code = 104


class AlreadyExists(ActionRefused):
    code = 105


class WrongPhase(ActionRefused):
    """Right action, wrong time: closed session, ended vote, open epoch."""

    code = 106


class AmountOutOfRange(ActionRefused):
    code = 107


class VoucherInvalid(ActionRefused):
    code = 108


class SharesInvalid(ActionRefused):
    """Shares that do not add up to exactly 1,000,000, or name an unknown contributor."""

    code = 109


class BudgetExceeded(ActionRefused):
    """The epoch's verification budget is used up."""

    code = 110


# --- decoding (200-299) ---------------------------------------------------------------------------------


class DecodingError(InvalidTransaction):
    """Bytes that do not have the form they claim."""

    code = 200


class InvalidHex(DecodingError):
    code = 201
    rpc_code = -32602


class InvalidRlp(DecodingError):
    code = 202


class InvalidMsgpack(DecodingError):
    code = 203


class InvalidProtobuf(DecodingError):
    code = 204


class InvalidJson(DecodingError):
    code = 205
    rpc_code = -32700


class InvalidAddress(DecodingError):
    code = 206
    rpc_code = -32602


class InvalidAmount(DecodingError):
    code = 207
    rpc_code = -32602


# --- genesis and configuration (300-399) ------------------------------------------------------------------


class ConfigError(OpenLedgerError):
    code = 300


class InvalidGenesis(ConfigError):
    code = 301


class InvalidConfig(ConfigError):
    code = 302


class WrongDataFolder(ConfigError):
    """The data folder belongs to another chain or another version."""

    code = 303


class PortTaken(ConfigError):
    code = 304


class MissingProgram(ConfigError):
    """A program such as CometBFT is missing or has the wrong version."""

    code = 305


class MissingExtra(ConfigError):
    """An optional part of the installation (torch, plyvel) is missing."""

    code = 306


class KeystoreError(ConfigError):
    code = 307


class NodeUnreachable(ConfigError):
    code = 308


# --- storage (400-499) ------------------------------------------------------------------------------------


class StorageError(OpenLedgerError):
    code = 400


class DatabaseLocked(StorageError):
    code = 401


class CorruptDatabase(StorageError):
    code = 402


class StatePruned(StorageError):
    """The asked height is older than the oldest state kept; the message names that height."""

    code = 403


class UnknownBlock(StorageError):
    code = 404


class InvalidExport(StorageError):
    """A state export is damaged, or is not the state that it says."""

    code = 405


# --- protocol (500-599): between CometBFT and the application -------------------------------------------


class ProtocolError(OpenLedgerError):
    code = 500


class FrameTooLarge(ProtocolError):
    code = 501


class MissingField(ProtocolError):
    """A message from the consensus engine lacks a field that must be there; named in the message."""

    code = 502


class UnexpectedMessage(ProtocolError):
    code = 503


class ConsensusFault(ProtocolError):
    """The consensus engine and the application disagree; the node stops."""

    code = 504


# --- blobs and oracle (600-699) ---------------------------------------------------------------------------


class BlobError(OpenLedgerError):
    code = 600


class BlobNotFound(BlobError):
    code = 601


class BlobCorrupt(BlobError):
    """The bytes do not have the hash they are named by."""

    code = 602


class BlobTooLarge(BlobError):
    code = 603


class OracleError(OpenLedgerError):
    code = 610


class InvalidModel(OracleError):
    """Weights, index or receipt that cannot be read, or do not belong together."""

    code = 611


class PaymentRequired(OracleError):
    code = 612


def error_table() -> dict[int, type[OpenLedgerError]]:
    """All error classes by number (for the reference page and its test)."""
    table: dict[int, type[OpenLedgerError]] = {}

    def visit(cls: type[OpenLedgerError]) -> None:
        table[cls.code] = cls
        for child in cls.__subclasses__():
            visit(child)

    visit(OpenLedgerError)
    return dict(sorted(table.items()))
