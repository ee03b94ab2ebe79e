"""The error tree. Every expected refusal has a class with a stable number.

The number is the ABCI ``code`` of a refused transaction and stands in ``error.data.code`` of a JSON-RPC
answer. ``rpc_code`` is the JSON-RPC error code that Ethereum clients expect. An error that is not in this
tree is a fault of the program: it stops the node loudly and never becomes a transaction result.

Numbers never change meaning; ranges: 1-99 transactions, 100-199 native actions, 200-299 decoding,
300-399 genesis and configuration, 400-499 storage, 500-599 protocol, 600-699 blobs and oracle.
"""

from __future__ import annotations

from openledger.primitives.errors.actions import (
    ActionRefused,
    AlreadyExists,
    AmountOutOfRange,
    BudgetExceeded,
    KeyProofInvalid,
    LastValidator,
    MalformedAction,
    NotAllowed,
    NotChallengeable,
    NotFound,
    NotJailed,
    SharesInvalid,
    StillJailed,
    TooManyUnbondings,
    UnknownAction,
    ValidatorTombstoned,
    VoucherInvalid,
    WrongPhase,
)
from openledger.primitives.errors.base import (
    OpenLedgerError,
)
from openledger.primitives.errors.blobs import (
    BlobCorrupt,
    BlobError,
    BlobNotFound,
    BlobTooLarge,
    InvalidModel,
    OracleError,
    PaymentRequired,
)
from openledger.primitives.errors.config import (
    ConfigError,
    DiskFull,
    DoubleSignRisk,
    HomeNotWritable,
    InvalidConfig,
    InvalidGenesis,
    KeystoreError,
    MissingExtra,
    MissingProgram,
    NodeUnreachable,
    PortTaken,
    SignerFault,
    UnsupportedCometBft,
    WrongDataFolder,
)
from openledger.primitives.errors.decoding import (
    DecodingError,
    InvalidAddress,
    InvalidAmount,
    InvalidHex,
    InvalidJson,
    InvalidMsgpack,
    InvalidProtobuf,
    InvalidRlp,
)
from openledger.primitives.errors.devnet import (
    DevnetError,
    EditRefused,
    FaucetRefused,
    ForkError,
    ForkUnsupported,
    TimeRefused,
    UnknownAccount,
)
from openledger.primitives.errors.protocol import (
    ConsensusFault,
    FrameTooLarge,
    MissingField,
    ProtocolError,
    UnexpectedMessage,
)
from openledger.primitives.errors.storage import (
    CorruptDatabase,
    DatabaseLocked,
    InvalidExport,
    InvalidSnapshot,
    NotStored,
    StatePruned,
    StateRestoring,
    StorageError,
    UnknownBlock,
)
from openledger.primitives.errors.transactions import (
    AlreadyKnown,
    CallFailed,
    CallReverted,
    EmptyAuthorizationList,
    ExecutionReverted,
    FeeCapTooLow,
    GasLimitExceeded,
    InitCodeTooLarge,
    InsufficientFunds,
    IntrinsicGasTooLow,
    InvalidSignature,
    InvalidTransaction,
    MempoolFull,
    NonceOverflow,
    NonceTooHigh,
    NonceTooLow,
    ReplacementUnderpriced,
    ReservedTransaction,
    SenderNotEOA,
    TipAboveFeeCap,
    TransactionTooLarge,
    UnprotectedTransaction,
    UnsupportedTransactionType,
    WrongChainId,
)


def error_table() -> dict[int, type[OpenLedgerError]]:
    """All error classes by number (for the reference page and its test)."""
    table: dict[int, type[OpenLedgerError]] = {}

    def visit(cls: type[OpenLedgerError]) -> None:
        table[cls.code] = cls
        for child in cls.__subclasses__():
            visit(child)

    visit(OpenLedgerError)
    return dict(sorted(table.items()))


__all__ = [
    "ActionRefused",
    "AlreadyExists",
    "AlreadyKnown",
    "AmountOutOfRange",
    "BlobCorrupt",
    "BlobError",
    "BlobNotFound",
    "BlobTooLarge",
    "BudgetExceeded",
    "CallFailed",
    "CallReverted",
    "ConfigError",
    "ConsensusFault",
    "CorruptDatabase",
    "DatabaseLocked",
    "DecodingError",
    "DevnetError",
    "DiskFull",
    "DoubleSignRisk",
    "EditRefused",
    "EmptyAuthorizationList",
    "ExecutionReverted",
    "FaucetRefused",
    "FeeCapTooLow",
    "ForkError",
    "ForkUnsupported",
    "FrameTooLarge",
    "GasLimitExceeded",
    "HomeNotWritable",
    "InitCodeTooLarge",
    "InsufficientFunds",
    "IntrinsicGasTooLow",
    "InvalidAddress",
    "InvalidAmount",
    "InvalidConfig",
    "InvalidExport",
    "InvalidGenesis",
    "InvalidHex",
    "InvalidJson",
    "InvalidModel",
    "InvalidMsgpack",
    "InvalidProtobuf",
    "InvalidRlp",
    "InvalidSignature",
    "InvalidSnapshot",
    "InvalidTransaction",
    "KeyProofInvalid",
    "KeystoreError",
    "LastValidator",
    "MalformedAction",
    "MempoolFull",
    "MissingExtra",
    "MissingField",
    "MissingProgram",
    "NodeUnreachable",
    "NonceOverflow",
    "NonceTooHigh",
    "NonceTooLow",
    "NotAllowed",
    "NotChallengeable",
    "NotFound",
    "NotJailed",
    "NotStored",
    "OpenLedgerError",
    "OracleError",
    "PaymentRequired",
    "PortTaken",
    "ProtocolError",
    "ReplacementUnderpriced",
    "ReservedTransaction",
    "SenderNotEOA",
    "SharesInvalid",
    "SignerFault",
    "StatePruned",
    "StateRestoring",
    "StillJailed",
    "StorageError",
    "TimeRefused",
    "TipAboveFeeCap",
    "TooManyUnbondings",
    "TransactionTooLarge",
    "UnexpectedMessage",
    "UnknownAccount",
    "UnknownAction",
    "UnknownBlock",
    "UnprotectedTransaction",
    "UnsupportedCometBft",
    "UnsupportedTransactionType",
    "ValidatorTombstoned",
    "VoucherInvalid",
    "WrongChainId",
    "WrongDataFolder",
    "WrongPhase",
    "error_table",
]
