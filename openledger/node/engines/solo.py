"""One validator in the process: the engine of ``openledger devnet`` and of the tests.

It calls the application exactly as CometBFT does: CheckTx, then for each block PrepareProposal, ProcessProposal,
ExtendVote, VerifyVoteExtension, FinalizeBlock and Commit, with vote extensions signed by a real key and handed to the
next proposal. A block is made

- right after a transaction was admitted; what is waiting then becomes one block, and whoever sent it is answered
  when that block can be read;
- when the application says that something is due (asked a few times per second);
- when the last vote extension says something that no block carries yet;
- every ``block_time_ms`` instead, where that is set; only by ``mine``, with ``automine`` off.

The set of validators follows the chain, as with CometBFT, but there is one process: it makes every block whatever its
own power, and a validator that joins is absent from each commit until the chain jails it.

An exception while a block is made stops the engine; whoever awaits it gets the exception.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence

from openledger.abci_app.protocol import messages as m
from openledger.node.engines.clock import SoloClock
from openledger.node.engines.common import Life, Listeners, init_chain_request, release
from openledger.node.engines.maker import BlockMaker, SoloApplication
from openledger.node.engines.standing import Patience, Standing
from openledger.node.engines.submission import Submission
from openledger.node.pool_journal import PoolJournal
from openledger.primitives.errors import ConsensusFault, ForkError, OpenLedgerError, UnexpectedMessage
from openledger.primitives.types import Hash32
from openledger.rpc.ports import ConsensusStatus

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.2
_GATHER_SECONDS = 0.02


class SoloEngine:
    """Implements ``rpc.ports.ConsensusClient``. ``seed`` is the validator's ed25519 seed (32 bytes), ``clock`` gives
    nanoseconds since 1970, ``block_time_ms`` makes blocks at intervals instead of on demand, ``automine`` False none
    by itself, ``on_fault`` is told of the exception that stopped the engine, ``journal`` keeps what was acknowledged
    and is in no block yet."""

    def __init__(
        self,
        app: SoloApplication,
        *,
        seed: bytes,
        clock: Callable[[], int] = time.time_ns,
        block_time_ms: int | None = None,
        automine: bool = True,
        tick_seconds: float = _TICK_SECONDS,
        journal: PoolJournal | None = None,
        on_fault: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._app = app
        self._maker = BlockMaker(app, seed)
        self.clock = SoloClock(clock)
        self.interval = None if block_time_ms is None else block_time_ms / 1000
        self.automine = automine and block_time_ms is None
        self._tick = tick_seconds
        self._on_fault = on_fault
        self.standing = Standing(0, 0)
        self._arrivals = 0
        self._patience = Patience()
        self._waiters: list[asyncio.Future[None]] = []
        self._changed = asyncio.Event()
        self._wake = asyncio.Event()
        self.lock = asyncio.Lock()
        self._life = Life()
        self._task: asyncio.Task[None] | None = None
        self._committed: Listeners[int] = Listeners()
        self._pending: Listeners[bytes] = Listeners()
        self._submission = Submission(app, journal, admitted=self._admitted, on_fault=self._fail)

    # --- rpc.ports.ConsensusClient --------------------------------------------------------------------------------

    async def submit(self, raw: bytes) -> Hash32:
        """Admit a raw transaction. With automine the block that takes it has been made when this returns. Raises an
        InvalidTransaction leaf, NotStored, or ConsensusFault after the engine has stopped."""
        self._life.check()
        self._submission.relaxed = self.automine
        digest = await self._submission.submit(raw)
        if self.automine:
            await self._next_block()
            if self._app.mempool.knows(digest):  # it waits for another nonce: the journal has to keep it
                await self._submission.flush(digest)
        return digest

    def _admitted(self, raws: Sequence[bytes]) -> None:
        self._arrivals += len(raws)
        for raw in raws:
            self._pending.call(raw)
        self._wake.set()

    async def _next_block(self) -> None:
        """Wake the engine, and wait until it has dealt with what is in the mempool now."""
        self._waiters.append(asyncio.get_running_loop().create_future())
        self._wake.set()
        await self._waiters[-1]

    async def status(self) -> ConsensusStatus:
        """Never catching up; no peers."""
        return ConsensusStatus("solo", False, 0, self._maker.address.hex())

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
        return self.standing.height

    async def start(self) -> None:
        """Begin at the application's last block; InitChain when it has none. Raises ConsensusFault for a genesis
        without this validator."""
        self._handshake()
        self._submission.restore()
        self._task = asyncio.create_task(self._run(), name="solo")

    async def stop(self) -> None:
        """Finish the block in work, then stop."""
        async with self.lock:
            self._life.end()
        self._look_again()
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
            async with self.lock:
                await self.make_block()
        return self.height

    def mine_by(self, *, automine: bool, interval: float | None = None) -> None:
        """From now on: a block for what arrives, one every ``interval`` seconds, or none by itself."""
        self.automine, self.interval = automine, interval
        self._look_again()

    def _look_again(self) -> None:
        self._changed.set()
        self._wake.set()

    async def replay(self, requests: Iterable[m.RequestFinalizeBlock]) -> list[bytes]:
        """Finalize and commit recorded blocks above the application's height; their app hashes. No voting."""
        self._handshake()
        hashes = []
        for request in requests:
            if request.height <= self.height:
                continue
            if request.height != self.height + 1:
                raise UnexpectedMessage(f"block {request.height} follows block {self.height} in the recording")
            response = self._app.finalize_block(request)
            self._app.commit()
            hashes.append(response.app_hash)
            self.standing = Standing(request.height, request.time)
            await asyncio.sleep(0)
        return hashes

    def _handshake(self) -> None:
        genesis = self._app.genesis
        if self._maker.key not in {v.pub_key for v in genesis.validators}:
            raise ConsensusFault(
                f"the validator key {self._maker.key.hex()[:16]}… is not in the genesis of {genesis.chain_id}",
                "use the key that made this chain, or start a new one",
            )
        info = self._app.info(m.RequestInfo(version="solo", abci_version="2.0.0"))
        height = info.last_block_height
        if height == 0:
            self._app.init_chain(init_chain_request(genesis))
            self.standing = self.first_standing()
        else:
            self.standing = self.standing_at(height)
        self.clock.catch_up(self.standing.time)

    def standing_at(self, height: int) -> Standing:
        """Behind the newest block, ``height``, of which no more is known than what is stored."""
        head, first = self._app.head(), self.first_standing()
        if height == first.height:
            return first
        time = max(first.time, 0 if head is None else head.timestamp * 10**9)
        return Standing(height, time, commit=self._maker.sign_commit(height, b""))

    def first_standing(self) -> Standing:
        """Before the first block."""
        return Standing(self._app.genesis.initial_height - 1, self._app.genesis.time_ns)

    # --- blocks ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._life.over:
            elapsed = await self._pause()
            waiters: list[asyncio.Future[None]] = []
            try:
                async with self.lock:
                    waiters, self._waiters = self._waiters, waiters
                    if not self._life.over and (elapsed or self._wants_block()):
                        await self.make_block()
            except ForkError as err:
                log.warning("no block: %s", err.message)
            except Exception as err:  # noqa: BLE001  (the border of the task: whoever awaits the engine gets it)
                self._fail(err)
            release(waiters)
        release(self._waiters)

    async def _pause(self) -> bool:
        """Until there may be work: a transaction, the next tick, or the interval; True when that has passed."""
        if self.interval is not None:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self.interval)
                return False
            return self.interval is not None
        if self.standing.fresh and self.automine:
            await asyncio.sleep(0)
            return False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), self._tick)
            await self._gather()
            self._wake.clear()
        return False

    async def _gather(self) -> None:
        """Let a burst of submissions arrive: until none came in a turn of the event loop."""
        deadline = time.monotonic() + _GATHER_SECONDS
        seen = -1
        while seen != self._arrivals and time.monotonic() < deadline:
            seen = self._arrivals
            await asyncio.sleep(0)

    def _wants_block(self) -> bool:
        if not self.automine:
            return False
        if self.standing.fresh:
            return True
        waiting = tuple(self._app.mempool.reap())
        if waiting and self._patience.over(waiting):
            return True
        return self._app.due(self.clock.now() // 10**9) or self._maker.has_news(self.standing)

    async def make_block(self) -> None:
        """A block, or the end of the engine. Whoever calls holds ``lock``. Raises ForkError, and nothing has happened,
        when the chain that this devnet was forked from had to be asked and was away."""
        self._life.check()
        try:
            await self._make_block()
        except ForkError:
            self._patience.note(tuple(self._app.mempool.reap()), frozenset())
            raise
        except Exception as err:
            self._fail(err)
            raise

    def _fail(self, err: BaseException) -> None:
        first = not self._life.over
        self._life.end(err)
        self._look_again()
        if first:
            known = isinstance(err, OpenLedgerError)  # its sentence says all
            log.critical("block %d failed: %r; the node stops", self.height + 1, err, exc_info=None if known else err)
            if self._on_fault is not None:
                self._on_fault(err)

    async def _make_block(self) -> None:
        """One height: propose, judge, extend, verify, finalize, commit. Yields to the event loop between the calls."""
        before = self.standing
        height, now = before.height + 1, self.clock.block_time(before.time)
        offered = tuple(self._app.mempool.reap())
        proposal = self._maker.propose(before, now, offered)
        await asyncio.sleep(0)
        if self._app.process_proposal(proposal).status != m.ACCEPT:
            raise ConsensusFault(f"the application refused its own proposal at height {height}")
        await asyncio.sleep(0)
        extension = self._maker.extend(proposal)
        self._app.finalize_block(
            m.RequestFinalizeBlock(
                txs=proposal.txs,
                decided_last_commit=proposal.proposed_last_commit,
                misbehavior=(),
                hash=proposal.hash,
                height=height,
                time=now,
                next_validators_hash=proposal.next_validators_hash,
                proposer_address=self._maker.address,
            )
        )
        await asyncio.sleep(0)
        self._app.commit()
        said = b"".join(vote.vote_extension for vote in before.commit.votes)
        commit = self._maker.sign_commit(height, extension)
        fresh = bool(extension) and extension != said and self._maker.has_seat()
        self.standing = Standing(height, now, proposal.hash, commit, fresh, said)
        self.clock.made(now)
        self._patience.note(offered, frozenset(proposal.txs))
        self._submission.committed()
        self._committed.call(height)
