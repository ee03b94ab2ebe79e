"""What both engines share: listeners, and the life of an engine that may fail."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from openledger.abci_app.protocol.messages import ConsensusParams, RequestInitChain, ValidatorUpdate
from openledger.genesis.genesis import Genesis
from openledger.primitives.errors import ConsensusFault

log = logging.getLogger(__name__)
T = TypeVar("T")


class Listeners(Generic[T]):
    """Functions to call with a value. A listener that fails is a fault of its own, and is logged, never of the
    block."""

    def __init__(self) -> None:
        self._functions: dict[int, Callable[[T], None]] = {}
        self._next = 0

    def add(self, listener: Callable[[T], None]) -> Callable[[], None]:
        """Register; returns the function that unsubscribes (calling it twice is harmless)."""
        number, self._next = self._next, self._next + 1
        self._functions[number] = listener
        return lambda: (self._functions.pop(number, None), None)[1]

    def call(self, value: T) -> None:
        """Call all, in the order of registration."""
        for function in list(self._functions.values()):
            try:
                function(value)
            except Exception:  # the border to the RPC: its failure must not stop consensus
                log.exception("a listener failed")


def release(waiters: list[asyncio.Future[None]]) -> None:
    """Let everybody go on who waits on one of these."""
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


def init_chain_request(genesis: Genesis) -> RequestInitChain:
    """What CometBFT sends for ``genesis.to_json()``."""
    document = genesis.document()["consensus_params"]
    return RequestInitChain(
        time=genesis.time_ns,
        chain_id=genesis.chain_id,
        consensus_params=ConsensusParams(
            block_max_bytes=int(document["block"]["max_bytes"]),
            block_max_gas=int(document["block"]["max_gas"]),
            vote_extensions_enable_height=int(document["abci"]["vote_extensions_enable_height"]),
            evidence_max_age_num_blocks=int(document["evidence"]["max_age_num_blocks"]),
            evidence_max_age_duration=int(document["evidence"]["max_age_duration"]),
            evidence_max_bytes=int(document["evidence"]["max_bytes"]),
            pub_key_types=tuple(document["validator"]["pub_key_types"]),
        ),
        validators=tuple(ValidatorUpdate(v.pub_key, v.power) for v in genesis.validators),
        app_state_bytes=genesis.app_state_bytes(),
        initial_height=genesis.initial_height,
    )


class Life:
    """Running, stopped, or failed: and whoever waits hears it."""

    def __init__(self) -> None:
        self._over = asyncio.Event()
        self.fault: BaseException | None = None

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def end(self, fault: BaseException | None = None) -> None:
        """The engine has stopped; the first fault is kept."""
        if self.fault is None:
            self.fault = fault
        self._over.set()

    async def wait(self) -> None:
        """Return when the engine has stopped; raise the fault that stopped it."""
        await self._over.wait()
        if self.fault is not None:
            raise self.fault

    async def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)

    def check(self) -> None:
        """Raise ConsensusFault (its cause attached) when no more blocks will come."""
        if self.fault is not None:
            raise ConsensusFault(f"the node has stopped: {self.fault}") from self.fault
        if self.over:
            raise ConsensusFault("the node is stopping")
