"""Hands bundles to CometBFT's flood mempool over its RPC, one after another: what was admitted while one is on its way
shares the next. When CometBFT is away, or full, they wait and are handed again."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from openledger.primitives.errors import ConsensusFault, NodeUnreachable

log = logging.getLogger(__name__)

_PAUSES = (0.02, 1.0)
"""Seconds: the first, and the longest, before a bundle is handed again."""
_SPACING = 0.005
"""Seconds between bundles: one transaction alone leaves at once, a stream of them in fewer and larger bundles."""
_LATER = ("mempool is full", "still rechecking", "mempool is currently rechecking")
_NOT_NEEDED = ("already exists in cache",)

Call = Callable[..., Awaitable[dict[str, Any]]]


class Telling(Protocol):
    """``abci_app.gossip.Gossip`` as it is needed here."""

    def next_bundle(self) -> bytes | None: ...
    def returned(self, bundle: bytes, /) -> None: ...


class Handing:
    """``call`` makes a call to CometBFT's RPC, and raises NodeUnreachable."""

    def __init__(self, gossip: Telling, call: Call) -> None:
        self._gossip = gossip
        self._call = call
        self._wake = asyncio.Event()
        self._pause = _PAUSES[0]

    def wake(self) -> None:
        """There may be something to hand on."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled, or until no more blocks will come."""
        with contextlib.suppress(ConsensusFault):
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._hand_all()

    async def _hand_all(self) -> None:
        while (bundle := self._gossip.next_bundle()) is not None:
            if await self._hand(bundle):
                self._pause = _PAUSES[0]
                await asyncio.sleep(_SPACING)
                continue
            self._gossip.returned(bundle)
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, _PAUSES[1])

    async def _hand(self, bundle: bytes) -> bool:
        """False when it has to be handed again."""
        try:
            answer = await self._call("broadcast_tx_sync", tx=base64.b64encode(bundle).decode())
        except NodeUnreachable:
            return False
        if "error" not in answer:
            return True
        detail = str(answer["error"].get("data") or answer["error"].get("message"))
        if any(text in detail for text in _NOT_NEEDED):
            return True
        if any(text in detail for text in _LATER):
            return False
        log.warning("CometBFT did not take a bundle of transactions, which are told again later: %s", detail)
        return True
