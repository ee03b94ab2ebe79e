"""One validator in the process: the engine of ``openledger devnet`` and of the tests.

It calls the application exactly as CometBFT does: CheckTx, then for each block PrepareProposal, ProcessProposal,
ExtendVote, VerifyVoteExtension, FinalizeBlock and Commit, with vote extensions signed by a real key and handed to the
next proposal. A block is made

- right after a transaction was admitted; what is waiting then becomes one block (or every ``block_time_ms``, where
set); - when the application says that something is due (asked a few times per second); - when the last vote extension
says something that no block carries yet.

The set of validators follows the chain, as with CometBFT, but there is one process: it makes every block whatever its
own power, and a validator that joins is absent from each commit until the chain jails it.

An exception while a block is made stops the engine; whoever awaits it gets the exception.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from openledger.abci_app.protocol import messages as m
from openledger.abci_app.protocol.canonical import extension_sign_bytes
from openledger.abci_app.protocol.codec import encode_request
from openledger.abci_app.protocol.server import AbciApplication
from openledger.genesis.genesis import Genesis
from openledger.node.engines.common import Life, Listeners, init_chain_request
from openledger.node.engines.submission import OwnPool, Submission
from openledger.node.pool_journal import PoolJournal
from openledger.primitives.blocks import Header
from openledger.primitives.errors import ConsensusFault, InvalidTransaction, UnexpectedMessage
from openledger.primitives.keys import consensus_address, ed25519_public, ed25519_sign
from openledger.primitives.types import Hash32
from openledger.rpc.ports import ConsensusStatus

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.2
_GATHER_SECONDS = 0.02
_RETRY_SECONDS = (1.0, 60.0)
"""First and longest pause before another block is tried for transactions that the last one could not take."""
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


class SoloEngine:
    """Implements ``rpc.ports.ConsensusClient``. ``seed`` is the validator's ed25519 seed (32 bytes), ``clock`` gives
    nanoseconds since 1970, ``block_time_ms`` makes blocks at intervals instead of on demand, ``on_fault`` is told of
    the exception that stopped the engine, ``journal`` keeps what was acknowledged and is in no block yet."""

    def __init__(
        self,
        app: SoloApplication,
        *,
        seed: bytes,
        clock: Callable[[], int] = time.time_ns,
        block_time_ms: int | None = None,
        tick_seconds: float = _TICK_SECONDS,
        journal: PoolJournal | None = None,
        on_fault: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._app = app
        self._seed = seed
        self._clock = clock
        self._block_time = None if block_time_ms is None else block_time_ms / 1000
        self._tick = tick_seconds
        self._on_fault = on_fault
        self._key = ed25519_public(seed)
        self._address = consensus_address(self._key)
        self._height = 0
        self._time = 0
        self._hash = b""
        self._commit = m.ExtendedCommitInfo()
        self._fresh = False
        self._said = b""
        self._arrivals = 0
        self._unmined: tuple[bytes, ...] = ()
        self._retry_at = 0.0
        self._retry_after = _RETRY_SECONDS[0]
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        self._life = Life()
        self._task: asyncio.Task[None] | None = None
        self._committed: Listeners[int] = Listeners()
        self._pending: Listeners[bytes] = Listeners()
        self._submission = Submission(app, journal, admitted=self._admitted, on_fault=self._fail)

    # --- rpc.ports.ConsensusClient --------------------------------------------------------------------------------

    async def submit(self, raw: bytes) -> Hash32:
        """Admit a raw transaction; a block follows at once. Raises an InvalidTransaction leaf, NotStored, or
        ConsensusFault after the engine has stopped."""
        self._life.check()
        return await self._submission.submit(raw)

    def _admitted(self, raws: Sequence[bytes]) -> None:
        self._arrivals += len(raws)
        for raw in raws:
            self._pending.call(raw)
        self._wake.set()

    async def status(self) -> ConsensusStatus:
        """Never catching up; no peers."""
        return ConsensusStatus("solo", False, 0, self._address.hex())

    def on_commit(self, listener: Callable[[int], None]) -> Callable[[], None]:
        """Call ``listener(height)`` after each commit; returns the function that unsubscribes."""
        return self._committed.add(listener)

    def on_pending(self, listener: Callable[[bytes], None]) -> Callable[[], None]:
        """Call ``listener(raw)`` for each admitted transaction; returns the function that unsubscribes."""
        return self._pending.add(listener)

    # --- life ------------------------------------------------------------------------------------------------------

    @property
    def height(self) -> int:
        """The last committed height."""
        return self._height

    async def start(self) -> None:
        """Begin at the application's last block; InitChain when it has none. Raises ConsensusFault for a genesis
        without this validator."""
        self._handshake()
        self._submission.restore()
        self._task = asyncio.create_task(self._run(), name="solo")

    async def stop(self) -> None:
        """Finish the block in work, then stop."""
        async with self._lock:
            self._life.end()
        self._wake.set()
        if self._task is not None:
            await self._task
            self._task = None
        await self._submission.close()

    async def wait(self) -> None:
        """Return when the engine was stopped; raise what stopped it otherwise."""
        await self._life.wait()

    async def mine(self, n: int = 1) -> int:
        """Make ``n`` blocks now, empty ones included; the new height. Raises what block production raises."""
        for _ in range(n):
            async with self._lock:
                await self._guarded_block()
        return self._height

    async def replay(self, requests: Iterable[m.RequestFinalizeBlock]) -> list[bytes]:
        """Finalize and commit recorded blocks above the application's height; their app hashes. No voting."""
        self._handshake()
        hashes = []
        for request in requests:
            if request.height <= self._height:
                continue
            if request.height != self._height + 1:
                raise UnexpectedMessage(f"block {request.height} follows block {self._height} in the recording")
            response = self._app.finalize_block(request)
            self._app.commit()
            hashes.append(response.app_hash)
            self._height, self._time = request.height, request.time
            await asyncio.sleep(0)
        return hashes

    def _handshake(self) -> None:
        genesis = self._app.genesis
        if self._key not in {v.pub_key for v in genesis.validators}:
            raise ConsensusFault(
                f"the validator key {self._key.hex()[:16]}… is not in the genesis of {genesis.chain_id}",
                "use the key that made this chain, or start a new one",
            )
        info = self._app.info(m.RequestInfo(version="solo", abci_version="2.0.0"))
        self._height = info.last_block_height
        if self._height == 0:
            self._app.init_chain(init_chain_request(genesis))
            self._height = genesis.initial_height - 1
            self._time = genesis.time_ns
            return
        head = self._app.head()
        self._time = max(genesis.time_ns, 0 if head is None else head.timestamp * 10**9)
        self._commit = self._sign_commit(self._height, b"")

    # --- blocks ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._life.over:
            await self._pause()
            try:
                async with self._lock:
                    if not self._life.over and self._wants_block():
                        await self._guarded_block()
            except Exception as err:  # noqa: BLE001  (the border of the task: whoever awaits the engine gets it)
                self._fail(err)

    async def _pause(self) -> None:
        """Until there may be work: the block time, or a transaction, or the next tick."""
        if self._block_time is not None:
            await self._life.sleep(self._block_time)
        elif self._fresh:
            await asyncio.sleep(0)
        else:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._tick)
                await self._gather()
                self._wake.clear()

    async def _gather(self) -> None:
        """Let a burst of submissions arrive: until none came in a turn of the event loop."""
        deadline = time.monotonic() + _GATHER_SECONDS
        seen = -1
        while seen != self._arrivals and time.monotonic() < deadline:
            seen = self._arrivals
            await asyncio.sleep(0)

    def _wants_block(self) -> bool:
        if self._block_time is not None or self._fresh:
            return True
        waiting = tuple(self._app.mempool.reap())
        if waiting and (waiting != self._unmined or time.monotonic() >= self._retry_at):
            return True
        return self._app.due(self._clock() // 10**9) or self._has_news()

    def _has_news(self) -> bool:
        """Would this validator say something in the next block that no block has carried yet?"""
        request = m.RequestExtendVote(
            hash=bytes(32),
            height=self._height + 1,
            time=self._time + 1,
            txs=(),
            proposed_last_commit=m.CommitInfo(),
            misbehavior=(),
            next_validators_hash=bytes(32),
            proposer_address=self._address,
        )
        genesis = self._app.genesis
        if self._height + 1 < genesis.vote_extensions_enable_height or not self._has_seat():
            return False
        extension = self._app.extend_vote(request).vote_extension
        return bool(extension) and extension != self._said

    def _has_seat(self) -> bool:
        return any(signer.address == self._address for signer in self._app.signers())

    async def _guarded_block(self) -> None:
        """A block, or the end of the engine."""
        self._life.check()
        try:
            await self._make_block()
        except Exception as err:
            self._fail(err)
            raise

    def _fail(self, err: BaseException) -> None:
        first = not self._life.over
        self._life.end(err)
        self._wake.set()
        if first:
            log.critical("block %d failed: %r; the node stops", self._height + 1, err, exc_info=err)
            if self._on_fault is not None:
                self._on_fault(err)

    async def _make_block(self) -> None:
        """One height: propose, judge, extend, verify, finalize, commit. Yields to the event loop between the calls."""
        height, now = self._height + 1, max(self._clock(), self._time + 1)
        offered = tuple(self._app.mempool.reap())
        proposal = self._propose(height, now, offered)
        await asyncio.sleep(0)
        if self._app.process_proposal(proposal).status != m.ACCEPT:
            raise ConsensusFault(f"the application refused its own proposal at height {height}")
        await asyncio.sleep(0)
        extension = self._extend(proposal)
        self._app.finalize_block(
            m.RequestFinalizeBlock(
                txs=proposal.txs,
                decided_last_commit=proposal.proposed_last_commit,
                misbehavior=(),
                hash=proposal.hash,
                height=height,
                time=now,
                next_validators_hash=proposal.next_validators_hash,
                proposer_address=self._address,
            )
        )
        await asyncio.sleep(0)
        self._app.commit()
        self._said = b"".join(vote.vote_extension for vote in self._commit.votes)
        self._commit = self._sign_commit(height, extension)
        self._fresh = bool(extension) and extension != self._said and self._has_seat()
        self._height, self._time = height, now
        self._note_unmined(offered, frozenset(proposal.txs))
        self._submission.committed()
        self._committed.call(height)

    def _note_unmined(self, offered: tuple[bytes, ...], taken: frozenset[bytes]) -> None:
        """What a block was offered and took nothing of is tried again after a pause, each time a longer one."""
        first, longest = _RETRY_SECONDS
        if not offered or not taken.isdisjoint(offered):
            self._unmined, self._retry_after = (), first
            return
        self._retry_after = min(2 * self._retry_after, longest) if offered == self._unmined else first
        self._unmined = offered
        self._retry_at = time.monotonic() + self._retry_after

    def _propose(self, height: int, now: int, waiting: tuple[bytes, ...]) -> m.RequestProcessProposal:
        """The proposal of the application, as the block that is then judged."""
        limit = self._app.genesis.params.max_block_bytes - _BLOCK_OVERHEAD
        signers = ((v.validator.address, v.validator.power) for v in self._commit.votes)
        validators = hashlib.sha256(b"".join(address + power.to_bytes(8, "big") for address, power in signers)).digest()
        prepared = self._app.prepare_proposal(
            m.RequestPrepareProposal(
                max_tx_bytes=limit,
                txs=waiting,
                local_last_commit=self._commit,
                misbehavior=(),
                height=height,
                time=now,
                next_validators_hash=validators,
                proposer_address=self._address,
            )
        )
        if sum(map(len, prepared.txs)) > limit:
            raise ConsensusFault(f"the proposal at height {height} is larger than {limit} bytes")
        votes = tuple(m.VoteInfo(v.validator, v.block_id_flag) for v in self._commit.votes)
        draft = m.RequestProcessProposal(
            txs=prepared.txs,
            proposed_last_commit=m.CommitInfo(self._commit.round, votes),
            misbehavior=(),
            hash=self._hash,
            height=height,
            time=now,
            next_validators_hash=validators,
            proposer_address=self._address,
        )
        self._hash = hashlib.sha256(encode_request(draft)).digest()
        return dataclasses.replace(draft, hash=self._hash)

    def _extend(self, block: m.RequestProcessProposal) -> bytes:
        """The vote extension for this block, checked by the application as a peer would; none before extensions
        begin."""
        if block.height < self._app.genesis.vote_extensions_enable_height:
            return b""
        request = m.RequestExtendVote(**{field.name: getattr(block, field.name) for field in dataclasses.fields(block)})
        extension = self._app.extend_vote(request).vote_extension
        check = m.RequestVerifyVoteExtension(block.hash, self._address, block.height, extension)
        if self._app.verify_vote_extension(check).status != m.ACCEPT:
            raise ConsensusFault(f"the application refused its own vote extension at height {block.height}")
        return extension

    def _sign_commit(self, height: int, extension: bytes) -> m.ExtendedCommitInfo:
        """The commit of the newest block, ``height``: this validator's signature, and nobody else's."""
        genesis, signature = self._app.genesis, b""
        if height >= genesis.vote_extensions_enable_height:
            signature = ed25519_sign(self._seed, extension_sign_bytes(genesis.chain_id, height, 0, extension))
        return m.ExtendedCommitInfo(
            0,
            tuple(
                m.ExtendedVoteInfo(signer, extension, signature, m.FLAG_COMMIT)
                if signer.address == self._address
                else m.ExtendedVoteInfo(signer, b"", b"", m.FLAG_ABSENT)
                for signer in self._app.signers()
            ),
        )
