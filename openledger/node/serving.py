"""The model server of an operator: the HTTP application in a thread of its own; it asks a node about sessions."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from openledger.attribution_oracle.factory import Served, Serving
from openledger.primitives.errors import NotFound, PortTaken
from openledger.rpc.client import AsyncClient

_START_SECONDS = 60


class NodeChain:
    """What serving must know of the chain, asked at a node (``attribution_oracle.ports.ChainReader``)."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def session(self, number: int, /) -> Mapping[str, Any] | None:
        """The session's record, or None."""
        return await self._ask("openledger_getSession", number)

    async def model(self, number: int, /) -> Mapping[str, Any] | None:
        """The model's record with ``status``, or None."""
        record = await self._ask("openledger_getModel", number)
        return None if record is None else {**record, "status": "retired" if record["retired"] else "active"}

    async def _ask(self, method: str, number: int) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await self._client.call(method, number)
        except NotFound:
            return None
        return found


class ModelServer:
    """Serves published models until ``stop``; may be used as ``with``. Receipts and vouchers are kept in ``folder``."""

    def __init__(self, models: Sequence[Served], node_url: str, folder: Path, chain_id: int) -> None:
        self._models, self._node, self._folder, self._chain_id = models, node_url, folder, chain_id
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="serving", daemon=True)
        self._client: AsyncClient | None = None
        self._serving: Serving | None = None

    def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen; the base URL. Raises PortTaken."""
        self._thread.start()
        work = asyncio.run_coroutine_threadsafe(self._start(host, port), self._loop)
        try:
            return work.result(_START_SECONDS)
        except OSError as err:
            raise PortTaken(
                f"cannot listen on {host} port {port}: {err.strerror or err}", "choose another --port"
            ) from None

    async def _start(self, host: str, port: int) -> str:
        self._client = AsyncClient(self._node)
        self._serving = Serving(self._models, NodeChain(self._client), self._folder, self._chain_id)
        return await self._serving.start(host, port)

    @property
    def serving(self) -> Serving:
        """Vouchers and answers so far."""
        if self._serving is None:
            raise PortTaken("the model server has not been started")
        return self._serving

    def stop(self) -> None:
        """Stop listening, close the receipts' file, end the thread."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(_START_SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        if self._serving is not None:
            await self._serving.stop()
        if self._client is not None:
            await self._client.close()

    def __enter__(self) -> ModelServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
