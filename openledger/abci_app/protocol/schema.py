"""The wire format of ABCI 2.0 as one table, and the protobuf classes built from it at import.

The table is ours; names and numbers are those of package ``tendermint.abci`` (and of the few messages of
``tendermint.types`` and ``tendermint.crypto`` that it uses) as CometBFT 0.38.26 and 0.40.0 speak it. The two differ
only by InsertTx and ReapTxs, which 0.40 added. Protobuf carries no names on the wire, so all messages live in one
package here, in a descriptor pool of their own.

A line is ``Message: field type number; ...``. After a type, ``*`` means repeated and ``!`` means that the field must
be there (a message that is set, bytes or text that are not empty, a number that is not 0). ``Message(group):`` makes
all fields one ``oneof``. Enumerations are int32, which is the same on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_TABLE = """
Timestamp: seconds int64 1; nanos int32 2
Duration: seconds int64 1; nanos int32 2
PublicKey(sum): ed25519 bytes 1; secp256k1 bytes 2; bls12381 bytes 3; mldsa65 bytes 4; secp256k1eth bytes 5
BlockParams: max_bytes int64 1; max_gas int64 2
EvidenceParams: max_age_num_blocks int64 1; max_age_duration Duration 2; max_bytes int64 3
ValidatorParams: pub_key_types string* 1
VersionParams: app uint64 1
ABCIParams: vote_extensions_enable_height int64 1
ConsensusParams: block BlockParams 1; evidence EvidenceParams 2; validator ValidatorParams 3; version VersionParams 4; abci ABCIParams 5
Validator: address bytes! 1; power int64 3
ValidatorUpdate: pub_key PublicKey! 1; power int64 2
VoteInfo: validator Validator! 1; block_id_flag int32! 3
ExtendedVoteInfo: validator Validator! 1; vote_extension bytes 3; extension_signature bytes 4; block_id_flag int32! 5
CommitInfo: round int32 1; votes VoteInfo* 2
ExtendedCommitInfo: round int32 1; votes ExtendedVoteInfo* 2
Misbehavior: type int32! 1; validator Validator! 2; height int64! 3; time Timestamp! 4; total_voting_power int64 5
EventAttribute: key string 1; value string 2; index bool 3
Event: type string 1; attributes EventAttribute* 2
ExecTxResult: code uint32 1; data bytes 2; log string 3; info string 4; gas_wanted int64 5; gas_used int64 6; events Event* 7; codespace string 8
Snapshot: height uint64 1; format uint32 2; chunks uint32 3; hash bytes 4; metadata bytes 5
RequestEcho: message string 1
RequestFlush:
RequestInfo: version string 1; block_version uint64 2; p2p_version uint64 3; abci_version string 4
RequestInitChain: time Timestamp! 1; chain_id string! 2; consensus_params ConsensusParams! 3; validators ValidatorUpdate* 4; app_state_bytes bytes 5; initial_height int64! 6
RequestQuery: data bytes 1; path string 2; height int64 3; prove bool 4
RequestCheckTx: tx bytes 1; type int32 2
RequestInsertTx: tx bytes 1
RequestReapTxs: max_bytes uint64 1; max_gas uint64 2
RequestCommit:
RequestListSnapshots:
RequestOfferSnapshot: snapshot Snapshot! 1; app_hash bytes! 2
RequestLoadSnapshotChunk: height uint64 1; format uint32 2; chunk uint32 3
RequestApplySnapshotChunk: index uint32 1; chunk bytes 2; sender string 3
RequestPrepareProposal: max_tx_bytes int64! 1; txs bytes* 2; local_last_commit ExtendedCommitInfo! 3; misbehavior Misbehavior* 4; height int64! 5; time Timestamp! 6; next_validators_hash bytes! 7; proposer_address bytes! 8
RequestProcessProposal: txs bytes* 1; proposed_last_commit CommitInfo! 2; misbehavior Misbehavior* 3; hash bytes! 4; height int64! 5; time Timestamp! 6; next_validators_hash bytes! 7; proposer_address bytes! 8
RequestExtendVote: hash bytes! 1; height int64! 2; time Timestamp! 3; txs bytes* 4; proposed_last_commit CommitInfo! 5; misbehavior Misbehavior* 6; next_validators_hash bytes! 7; proposer_address bytes! 8
RequestVerifyVoteExtension: hash bytes! 1; validator_address bytes! 2; height int64! 3; vote_extension bytes 4
RequestFinalizeBlock: txs bytes* 1; decided_last_commit CommitInfo! 2; misbehavior Misbehavior* 3; hash bytes! 4; height int64! 5; time Timestamp! 6; next_validators_hash bytes! 7; proposer_address bytes! 8
ResponseException: error string 1
ResponseEcho: message string 1
ResponseFlush:
ResponseInfo: data string 1; version string 2; app_version uint64 3; last_block_height int64 4; last_block_app_hash bytes 5
ResponseInitChain: consensus_params ConsensusParams 1; validators ValidatorUpdate* 2; app_hash bytes 3
ResponseQuery: code uint32 1; log string 3; info string 4; index int64 5; key bytes 6; value bytes 7; height int64 9; codespace string 10
ResponseCheckTx: code uint32 1; data bytes 2; log string 3; info string 4; gas_wanted int64 5; gas_used int64 6; codespace string 8
ResponseInsertTx: code uint32 1
ResponseReapTxs: txs bytes* 1
ResponseCommit: retain_height int64 3
ResponseListSnapshots: snapshots Snapshot* 1
ResponseOfferSnapshot: result int32 1
ResponseLoadSnapshotChunk: chunk bytes 1
ResponseApplySnapshotChunk: result int32 1; refetch_chunks uint32* 2; reject_senders string* 3
ResponsePrepareProposal: txs bytes* 1
ResponseProcessProposal: status int32 1
ResponseExtendVote: vote_extension bytes 1
ResponseVerifyVoteExtension: status int32 1
ResponseFinalizeBlock: events Event* 1; tx_results ExecTxResult* 2; validator_updates ValidatorUpdate* 3; consensus_param_updates ConsensusParams 4; app_hash bytes 5
Request(value): echo RequestEcho 1; flush RequestFlush 2; info RequestInfo 3; init_chain RequestInitChain 5; query RequestQuery 6; check_tx RequestCheckTx 8; commit RequestCommit 11; list_snapshots RequestListSnapshots 12; offer_snapshot RequestOfferSnapshot 13; load_snapshot_chunk RequestLoadSnapshotChunk 14; apply_snapshot_chunk RequestApplySnapshotChunk 15; prepare_proposal RequestPrepareProposal 16; process_proposal RequestProcessProposal 17; extend_vote RequestExtendVote 18; verify_vote_extension RequestVerifyVoteExtension 19; finalize_block RequestFinalizeBlock 20; insert_tx RequestInsertTx 21; reap_txs RequestReapTxs 22
Response(value): exception ResponseException 1; echo ResponseEcho 2; flush ResponseFlush 3; info ResponseInfo 4; init_chain ResponseInitChain 6; query ResponseQuery 7; check_tx ResponseCheckTx 9; commit ResponseCommit 12; list_snapshots ResponseListSnapshots 13; offer_snapshot ResponseOfferSnapshot 14; load_snapshot_chunk ResponseLoadSnapshotChunk 15; apply_snapshot_chunk ResponseApplySnapshotChunk 16; prepare_proposal ResponsePrepareProposal 17; process_proposal ResponseProcessProposal 18; extend_vote ResponseExtendVote 19; verify_vote_extension ResponseVerifyVoteExtension 20; finalize_block ResponseFinalizeBlock 21; insert_tx ResponseInsertTx 22; reap_txs ResponseReapTxs 23
"""  # noqa: E501  (a table reads best with one message on a line)

_SCALARS = {"int64": 3, "uint64": 4, "int32": 5, "bool": 8, "string": 9, "bytes": 12, "uint32": 13}
_MESSAGE, _OPTIONAL, _REPEATED = 11, 1, 3


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of a message: ``type`` is a scalar's or a message's name."""

    name: str
    type: str
    number: int
    repeated: bool
    required: bool

    @property
    def is_message(self) -> bool:
        return self.type not in _SCALARS


@dataclass(frozen=True, slots=True)
class MessageSpec:
    """One message: its fields in the table's order, and the name of its oneof, or an empty name."""

    name: str
    fields: tuple[FieldSpec, ...]
    oneof: str


def _parse_table(table: str) -> dict[str, MessageSpec]:
    messages: dict[str, MessageSpec] = {}
    for line in table.strip().splitlines():
        head, _, body = line.partition(":")
        name, _, group = head.rstrip(")").partition("(")
        fields = []
        for part in body.split(";"):
            if part.strip():
                field_name, kind, number = part.split()
                fields.append(
                    FieldSpec(field_name, kind.rstrip("*!"), int(number), kind.endswith("*"), kind.endswith("!"))
                )
        messages[name] = MessageSpec(name, tuple(fields), group)
    return messages


def _build_classes(messages: dict[str, MessageSpec]) -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="openledger/abci.proto", package="tendermint.abci", syntax="proto3")
    for spec in messages.values():
        message = file.message_type.add(name=spec.name)
        if spec.oneof:
            message.oneof_decl.add(name=spec.oneof)
        for field in spec.fields:
            entry = message.field.add(name=field.name, number=field.number)
            entry.label = _REPEATED if field.repeated else _OPTIONAL  # type: ignore[assignment]
            entry.type = _SCALARS.get(field.type, _MESSAGE)  # type: ignore[assignment]
            if field.is_message:
                entry.type_name = f".tendermint.abci.{field.type}"
            if spec.oneof:
                entry.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tendermint.abci.{name}"))
        for name in messages
    }


MESSAGES: dict[str, MessageSpec] = _parse_table(_TABLE)
CLASSES: dict[str, Any] = _build_classes(MESSAGES)
