"""The part of CometBFT that the solo engine plays around one block: proposal, vote and extension, commit.

The set of validators follows the chain; whoever else has a seat is absent from each commit.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Protocol

from openledger.abci_app.edits import is_edits
from openledger.abci_app.protocol import messages as m
from openledger.abci_app.protocol.canonical import extension_sign_bytes
from openledger.abci_app.protocol.codec import encode_request
from openledger.abci_app.protocol.server import AbciApplication
from openledger.genesis.genesis import Genesis
from openledger.genesis.params import Params
from openledger.node.engines.standing import Standing
from openledger.node.engines.submission import OwnPool
from openledger.primitives.blocks import Header
from openledger.primitives.errors import ConsensusFault, InvalidTransaction
from openledger.primitives.keys import consensus_address, ed25519_public, ed25519_sign

_BLOCK_OVERHEAD = 2048
"""Bytes kept free for header, commit and evidence of a block with one validator, as CometBFT does."""


class _Pool(OwnPool, Protocol):
    def reap(self) -> Sequence[bytes]: ...


class SoloApplication(AbciApplication, Protocol):
    """The application as this engine needs it."""

    @property
    def genesis(self) -> Genesis: ...
    @property
    def mempool(self) -> _Pool: ...
    def admit(self, raws: Sequence[bytes], /) -> Sequence[InvalidTransaction | None]: ...
    def head(self) -> Header | None: ...
    def due(self, unix_seconds: int, /) -> bool: ...
    def signers(self) -> Sequence[m.Validator]: ...
    def params(self) -> Params: ...


class BlockMaker:
    """``seed`` is the validator's ed25519 seed (32 bytes)."""

    def __init__(self, app: SoloApplication, seed: bytes) -> None:
        self._app = app
        self._seed = seed
        self.key = ed25519_public(seed)
        self.address = consensus_address(self.key)

    def has_news(self, standing: Standing) -> bool:
        """Would this validator say something in the next block that no block has carried yet?"""
        request = m.RequestExtendVote(
            hash=bytes(32),
            height=standing.height + 1,
            time=standing.time + 1,
            txs=(),
            proposed_last_commit=m.CommitInfo(),
            misbehavior=(),
            next_validators_hash=bytes(32),
            proposer_address=self.address,
        )
        genesis = self._app.genesis
        if standing.height + 1 < genesis.vote_extensions_enable_height or not self.has_seat():
            return False
        extension = self._app.extend_vote(request).vote_extension
        return bool(extension) and extension != standing.said

    def has_seat(self) -> bool:
        """Whether this validator is one of those who sign now."""
        return any(signer.address == self.address for signer in self._app.signers())

    def propose(self, standing: Standing, now: int, waiting: tuple[bytes, ...]) -> m.RequestProcessProposal:
        """The proposal of the application, as the block that is then judged."""
        height, commit = standing.height + 1, standing.commit
        limit = self._app.params().max_block_bytes - _BLOCK_OVERHEAD
        signers = ((v.validator.address, v.validator.power) for v in commit.votes)
        validators = hashlib.sha256(b"".join(address + power.to_bytes(8, "big") for address, power in signers)).digest()
        prepared = self._app.prepare_proposal(
            m.RequestPrepareProposal(
                max_tx_bytes=limit,
                txs=waiting,
                local_last_commit=commit,
                misbehavior=(),
                height=height,
                time=now,
                next_validators_hash=validators,
                proposer_address=self.address,
            )
        )
        if sum(len(raw) for raw in prepared.txs if not is_edits(raw)) > limit:
            raise ConsensusFault(f"the proposal at height {height} is larger than {limit} bytes")
        votes = tuple(m.VoteInfo(v.validator, v.block_id_flag) for v in commit.votes)
        draft = m.RequestProcessProposal(
            txs=prepared.txs,
            proposed_last_commit=m.CommitInfo(commit.round, votes),
            misbehavior=(),
            hash=standing.hash,
            height=height,
            time=now,
            next_validators_hash=validators,
            proposer_address=self.address,
        )
        return dataclasses.replace(draft, hash=hashlib.sha256(encode_request(draft)).digest())

    def extend(self, block: m.RequestProcessProposal) -> bytes:
        """The vote extension for this block, checked by the application as a peer would; none before extensions
        begin."""
        if block.height < self._app.genesis.vote_extensions_enable_height:
            return b""
        request = m.RequestExtendVote(**{field.name: getattr(block, field.name) for field in dataclasses.fields(block)})
        extension = self._app.extend_vote(request).vote_extension
        check = m.RequestVerifyVoteExtension(block.hash, self.address, block.height, extension)
        if self._app.verify_vote_extension(check).status != m.ACCEPT:
            raise ConsensusFault(f"the application refused its own vote extension at height {block.height}")
        return extension

    def sign_commit(self, height: int, extension: bytes) -> m.ExtendedCommitInfo:
        """The commit of the newest block, ``height``: this validator's signature, and nobody else's."""
        genesis, signature = self._app.genesis, b""
        if height >= genesis.vote_extensions_enable_height:
            signature = ed25519_sign(self._seed, extension_sign_bytes(genesis.chain_id, height, 0, extension))
        return m.ExtendedCommitInfo(
            0,
            tuple(
                m.ExtendedVoteInfo(signer, extension, signature, m.FLAG_COMMIT)
                if signer.address == self.address
                else m.ExtendedVoteInfo(signer, b"", b"", m.FLAG_ABSENT)
                for signer in self._app.signers()
            ),
        )
