"""ABCI 2.0 messages as plain values; names are CometBFT's in snake case. ``time`` is integer nanoseconds since 1970.

One class per message; the four snapshot messages are at the end. Enumerations are the
wire's integers, named below.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# CheckTxType
NEW, RECHECK = 0, 1
# ProcessProposal and VerifyVoteExtension answers
ACCEPT, REJECT = 1, 2
# BlockIDFlag
FLAG_ABSENT, FLAG_COMMIT, FLAG_NIL = 1, 2, 3
# InsertTx codes from here on make CometBFT forget the transaction, so that it may come again
RETRY = 32_000
# MisbehaviorType
DUPLICATE_VOTE, LIGHT_CLIENT_ATTACK = 1, 2
# OfferSnapshot and ApplySnapshotChunk answers
OFFER_ACCEPT, OFFER_ABORT, OFFER_REJECT, OFFER_REJECT_FORMAT, OFFER_REJECT_SENDER = 1, 2, 3, 4, 5
CHUNK_ACCEPT, CHUNK_ABORT, CHUNK_RETRY, CHUNK_RETRY_SNAPSHOT, CHUNK_REJECT_SNAPSHOT = 1, 2, 3, 4, 5


@dataclass(frozen=True, slots=True)
class Validator:
    """Address (20 bytes, of the ed25519 key) and voting power."""

    address: bytes
    power: int


@dataclass(frozen=True, slots=True)
class ValidatorUpdate:
    """ed25519 public key (32 bytes) and new power; 0 removes."""

    pub_key: bytes
    power: int


@dataclass(frozen=True, slots=True)
class VoteInfo:
    validator: Validator
    block_id_flag: int


@dataclass(frozen=True, slots=True)
class CommitInfo:
    round: int = 0
    votes: tuple[VoteInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class ExtendedVoteInfo:
    validator: Validator
    vote_extension: bytes
    extension_signature: bytes
    block_id_flag: int


@dataclass(frozen=True, slots=True)
class ExtendedCommitInfo:
    round: int = 0
    votes: tuple[ExtendedVoteInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class Misbehavior:
    type: int
    validator: Validator
    height: int
    time: int
    total_voting_power: int


@dataclass(frozen=True, slots=True)
class ConsensusParams:
    """The part of CometBFT's consensus parameters that we set. None leaves a value unchanged."""

    block_max_bytes: int | None = None
    block_max_gas: int | None = None
    vote_extensions_enable_height: int | None = None
    evidence_max_age_num_blocks: int | None = None
    evidence_max_age_duration: int | None = None
    evidence_max_bytes: int | None = None
    pub_key_types: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An ABCI event: type and indexed (key, value) attributes."""

    type: str
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ExecTxResult:
    code: int = 0
    data: bytes = b""
    log: str = ""
    info: str = ""
    gas_wanted: int = 0
    gas_used: int = 0
    events: tuple[Event, ...] = ()
    codespace: str = ""


@dataclass(frozen=True, slots=True)
class RequestEcho:
    message: str = ""


@dataclass(frozen=True, slots=True)
class ResponseEcho:
    message: str = ""


@dataclass(frozen=True, slots=True)
class RequestFlush:
    """Asks for all answers that are due; CometBFT sends it after each call that it waits for."""


@dataclass(frozen=True, slots=True)
class ResponseFlush:
    """All answers before this one have been sent."""


@dataclass(frozen=True, slots=True)
class ResponseException:
    """The application cannot go on; CometBFT stops when it reads this."""

    error: str = ""


@dataclass(frozen=True, slots=True)
class RequestInfo:
    version: str = ""
    block_version: int = 0
    p2p_version: int = 0
    abci_version: str = ""


@dataclass(frozen=True, slots=True)
class ResponseInfo:
    data: str = ""
    version: str = ""
    app_version: int = 0
    last_block_height: int = 0
    last_block_app_hash: bytes = b""


@dataclass(frozen=True, slots=True)
class RequestInitChain:
    time: int
    chain_id: str
    consensus_params: ConsensusParams
    validators: tuple[ValidatorUpdate, ...]
    app_state_bytes: bytes
    initial_height: int


@dataclass(frozen=True, slots=True)
class ResponseInitChain:
    consensus_params: ConsensusParams | None = None
    validators: tuple[ValidatorUpdate, ...] = ()
    app_hash: bytes = b""


@dataclass(frozen=True, slots=True)
class RequestQuery:
    data: bytes = b""
    path: str = ""
    height: int = 0
    prove: bool = False


@dataclass(frozen=True, slots=True)
class ResponseQuery:
    code: int = 0
    log: str = ""
    info: str = ""
    index: int = 0
    key: bytes = b""
    value: bytes = b""
    height: int = 0
    codespace: str = ""


@dataclass(frozen=True, slots=True)
class RequestCheckTx:
    tx: bytes
    type: int = NEW


@dataclass(frozen=True, slots=True)
class ResponseCheckTx:
    code: int = 0
    data: bytes = b""
    log: str = ""
    info: str = ""
    gas_wanted: int = 0
    gas_used: int = 0
    codespace: str = ""


@dataclass(frozen=True, slots=True)
class RequestInsertTx:
    """CometBFT 0.40 with the *app* mempool: a transaction that a peer sent."""

    tx: bytes


@dataclass(frozen=True, slots=True)
class ResponseInsertTx:
    code: int = 0


@dataclass(frozen=True, slots=True)
class RequestReapTxs:
    """CometBFT 0.40 with the *app* mempool: transactions to send to peers."""

    max_bytes: int = 0
    max_gas: int = 0


@dataclass(frozen=True, slots=True)
class ResponseReapTxs:
    txs: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestPrepareProposal:
    max_tx_bytes: int
    txs: tuple[bytes, ...]
    local_last_commit: ExtendedCommitInfo
    misbehavior: tuple[Misbehavior, ...]
    height: int
    time: int
    next_validators_hash: bytes
    proposer_address: bytes


@dataclass(frozen=True, slots=True)
class ResponsePrepareProposal:
    txs: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestProcessProposal:
    txs: tuple[bytes, ...]
    proposed_last_commit: CommitInfo
    misbehavior: tuple[Misbehavior, ...]
    hash: bytes
    height: int
    time: int
    next_validators_hash: bytes
    proposer_address: bytes


@dataclass(frozen=True, slots=True)
class ResponseProcessProposal:
    status: int


@dataclass(frozen=True, slots=True)
class RequestExtendVote:
    hash: bytes
    height: int
    time: int
    txs: tuple[bytes, ...]
    proposed_last_commit: CommitInfo
    misbehavior: tuple[Misbehavior, ...]
    next_validators_hash: bytes
    proposer_address: bytes


@dataclass(frozen=True, slots=True)
class ResponseExtendVote:
    vote_extension: bytes = b""


@dataclass(frozen=True, slots=True)
class RequestVerifyVoteExtension:
    hash: bytes
    validator_address: bytes
    height: int
    vote_extension: bytes


@dataclass(frozen=True, slots=True)
class ResponseVerifyVoteExtension:
    status: int


@dataclass(frozen=True, slots=True)
class RequestFinalizeBlock:
    txs: tuple[bytes, ...]
    decided_last_commit: CommitInfo
    misbehavior: tuple[Misbehavior, ...]
    hash: bytes
    height: int
    time: int
    next_validators_hash: bytes
    proposer_address: bytes


@dataclass(frozen=True, slots=True)
class ResponseFinalizeBlock:
    tx_results: tuple[ExecTxResult, ...] = ()
    validator_updates: tuple[ValidatorUpdate, ...] = ()
    consensus_param_updates: ConsensusParams | None = None
    app_hash: bytes = b""
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestCommit:
    """Persist what FinalizeBlock computed."""


@dataclass(frozen=True, slots=True)
class ResponseCommit:
    retain_height: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    height: int
    format: int
    chunks: int
    hash: bytes
    metadata: bytes = b""


@dataclass(frozen=True, slots=True)
class RequestListSnapshots:
    """Which snapshots are there?"""


@dataclass(frozen=True, slots=True)
class ResponseListSnapshots:
    snapshots: tuple[Snapshot, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class RequestOfferSnapshot:
    snapshot: Snapshot
    app_hash: bytes


@dataclass(frozen=True, slots=True)
class ResponseOfferSnapshot:
    """result: 1 accept, 2 abort, 3 reject, 4 reject format, 5 reject sender."""

    result: int


@dataclass(frozen=True, slots=True)
class RequestLoadSnapshotChunk:
    height: int
    format: int
    chunk: int


@dataclass(frozen=True, slots=True)
class ResponseLoadSnapshotChunk:
    chunk: bytes = b""


@dataclass(frozen=True, slots=True)
class RequestApplySnapshotChunk:
    index: int
    chunk: bytes
    sender: str


@dataclass(frozen=True, slots=True)
class ResponseApplySnapshotChunk:
    """result: 1 accept, 2 abort, 3 retry, 4 retry snapshot, 5 reject snapshot."""

    result: int
    refetch_chunks: tuple[int, ...] = ()
    reject_senders: tuple[str, ...] = ()
