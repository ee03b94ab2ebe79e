"""The ABCI socket: CometBFT connects four times (consensus, mempool, query, snapshot) and asks; the application
answers.

All connections share one event loop and one application, so calls never overlap. Answers leave in the order of their
requests; a burst that arrived together is answered with one write. Long bursts yield to other connections after a few
milliseconds.

Bytes that are not ABCI close their connection with a line in the log, and the node lives on. An exception in the
application that is not an expected refusal is a fault: CometBFT gets an exception response, the node stops.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

from openledger.abci_app.protocol import messages as m
from openledger.abci_app.protocol.codec import decode_request, encode_response
from openledger.abci_app.protocol.framing import MAX_FRAME, FrameReader, frame
from openledger.primitives.errors import (
    DecodingError,
    InvalidConfig,
    OpenLedgerError,
    PortTaken,
    ProtocolError,
)

log = logging.getLogger(__name__)

_SLICE_SECONDS = 0.005
_HIGH_WATER = 4 * 1024 * 1024

Observer = Callable[[Any, Any], None]
Fault = Callable[[BaseException], None]


class AbciApplication(Protocol):
    """The calls of ABCI 2.0 as methods; ``openledger.abci_app.application.Application`` is the real one."""

    def info(self, request: m.RequestInfo) -> m.ResponseInfo: ...
    def init_chain(self, request: m.RequestInitChain) -> m.ResponseInitChain: ...
    def query(self, request: m.RequestQuery) -> m.ResponseQuery: ...
    def check_tx(self, request: m.RequestCheckTx) -> m.ResponseCheckTx: ...
    def insert_tx(self, request: m.RequestInsertTx) -> m.ResponseInsertTx: ...
    def reap_txs(self, request: m.RequestReapTxs) -> m.ResponseReapTxs: ...
    def prepare_proposal(self, request: m.RequestPrepareProposal) -> m.ResponsePrepareProposal: ...
    def process_proposal(self, request: m.RequestProcessProposal) -> m.ResponseProcessProposal: ...
    def extend_vote(self, request: m.RequestExtendVote) -> m.ResponseExtendVote: ...
    def verify_vote_extension(self, request: m.RequestVerifyVoteExtension) -> m.ResponseVerifyVoteExtension: ...
    def finalize_block(self, request: m.RequestFinalizeBlock) -> m.ResponseFinalizeBlock: ...
    def commit(self) -> m.ResponseCommit: ...
    def list_snapshots(self) -> m.ResponseListSnapshots: ...
    def offer_snapshot(self, request: m.RequestOfferSnapshot) -> m.ResponseOfferSnapshot: ...
    def load_snapshot_chunk(self, request: m.RequestLoadSnapshotChunk) -> m.ResponseLoadSnapshotChunk: ...
    def apply_snapshot_chunk(self, request: m.RequestApplySnapshotChunk) -> m.ResponseApplySnapshotChunk: ...


def _handlers(app: AbciApplication) -> dict[type, Callable[[Any], Any]]:
    return {
        m.RequestEcho: lambda request: m.ResponseEcho(request.message),
        m.RequestFlush: lambda request: m.ResponseFlush(),
        m.RequestInfo: app.info,
        m.RequestInitChain: app.init_chain,
        m.RequestQuery: app.query,
        m.RequestCheckTx: app.check_tx,
        m.RequestInsertTx: app.insert_tx,
        m.RequestReapTxs: app.reap_txs,
        m.RequestPrepareProposal: app.prepare_proposal,
        m.RequestProcessProposal: app.process_proposal,
        m.RequestExtendVote: app.extend_vote,
        m.RequestVerifyVoteExtension: app.verify_vote_extension,
        m.RequestFinalizeBlock: app.finalize_block,
        m.RequestCommit: lambda request: app.commit(),
        m.RequestListSnapshots: lambda request: app.list_snapshots(),
        m.RequestOfferSnapshot: app.offer_snapshot,
        m.RequestLoadSnapshotChunk: app.load_snapshot_chunk,
        m.RequestApplySnapshotChunk: app.apply_snapshot_chunk,
    }


class _Connection(asyncio.Protocol):
    """One of CometBFT's connections."""

    def __init__(self, server: AbciServer) -> None:
        self._server = server
        self._frames = FrameReader(server.max_frame)
        self._transport: asyncio.Transport | None = None
        self._scheduled = False
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._frames.feed(data)
        if not self._scheduled:
            self._pump()

    def pause_writing(self) -> None:
        self._paused = True
        self._throttle()

    def resume_writing(self) -> None:
        self._paused = False
        self._pump()

    def close(self) -> None:
        """Send what is written, then hang up."""
        if self._transport is not None:
            self._transport.close()

    def _pump(self) -> None:
        """Answer the frames that are there, for a few milliseconds; then let others have their turn."""
        self._scheduled = False
        answers: list[bytes] = []
        deadline = time.monotonic() + _SLICE_SECONDS
        while self._transport is not None and not self._paused and not self._transport.is_closing():
            try:
                raw = self._frames.next()
                if raw is None:
                    break
                request = decode_request(raw)
            except (DecodingError, ProtocolError) as err:
                log.error("closing an ABCI connection: %s", err)
                answers.append(_answer(m.ResponseException(str(err))))
                self._send(answers)
                self.close()
                return
            answer = self._server.handle(request)
            answers.append(_answer(answer))
            if isinstance(answer, m.ResponseException):
                self._send(answers)
                self.close()
                return
            if time.monotonic() > deadline:
                self._scheduled = True
                asyncio.get_running_loop().call_soon(self._pump)
                break
        self._send(answers)
        self._throttle()

    def _send(self, answers: list[bytes]) -> None:
        if answers and self._transport is not None:
            self._transport.write(b"".join(answers))

    def _throttle(self) -> None:
        """Stop reading while the other side does not read, or has sent too far ahead."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._paused or (self._scheduled and self._frames.pending > _HIGH_WATER):
            self._transport.pause_reading()
        elif not self._transport.is_reading():
            self._transport.resume_reading()


def _answer(response: object) -> bytes:
    return frame(encode_response(response))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= 65_535


class AbciServer:
    """Serves an application on ``unix:///path`` or ``tcp://host:port`` (port 0: the system chooses; see ``address``).

    ``on_fault`` is called once, with the exception, when the application failed: the node must stop. ``observer``
    sees each request with its response after the call and before the answer is sent.
    """

    def __init__(
        self,
        app: AbciApplication,
        address: str,
        *,
        on_fault: Fault,
        observer: Observer | None = None,
        max_frame: int = MAX_FRAME,
    ) -> None:
        self.address = address
        self.max_frame = max_frame
        self.connections: set[_Connection] = set()
        self._handlers = _handlers(app)
        self._on_fault = on_fault
        self._observer = observer
        self._faulted = False
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises InvalidConfig for a wrong address, PortTaken when another process has it."""
        loop = asyncio.get_running_loop()
        kind, _, rest = self.address.partition("://")
        try:
            if kind == "unix" and rest:
                remove_stale_socket(Path(rest))
                self._server = await loop.create_unix_server(lambda: _Connection(self), rest)
                os.chmod(rest, stat.S_IRUSR | stat.S_IWUSR)
            elif kind == "tcp" and _is_port(rest.rpartition(":")[2]):
                host, _, port = rest.rpartition(":")
                self._server = await loop.create_server(lambda: _Connection(self), host.strip("[]"), int(port))
                self.address = f"tcp://{host}:{self._server.sockets[0].getsockname()[1]}"
            else:
                raise InvalidConfig(
                    f"not an ABCI address: {self.address!r}", "write unix:///path or tcp://127.0.0.1:26658"
                )
        except OSError as err:
            raise PortTaken(f"cannot listen on {self.address}: {err.strerror or err}") from None

    async def stop(self) -> None:
        """Stop listening and close the connections."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self.connections):
            connection.close()
        await self._server.wait_closed()
        self._server = None
        kind, _, rest = self.address.partition("://")
        if kind == "unix":
            remove_stale_socket(Path(rest))

    def handle(self, request: Any) -> Any:
        """The answer to one request. A fault becomes a ResponseException, after ``on_fault`` has been told."""
        if self._faulted:
            return m.ResponseException("the application has stopped")
        try:
            return self._call(request)
        except Exception as err:  # the border of the process: whatever it is, the node stops and says so
            self._faulted = True
            known = isinstance(err, OpenLedgerError)  # its sentence says all
            what = type(request).__name__
            log.critical("%s failed in the application: %r; the node stops", what, err, exc_info=None if known else err)
            self._on_fault(err)
            return m.ResponseException(f"{type(request).__name__}: {err!r}")

    def _call(self, request: Any) -> Any:
        handler = self._handlers[type(request)]
        try:
            response = handler(request)
        except OpenLedgerError as err:
            if isinstance(request, m.RequestCheckTx):
                response = m.ResponseCheckTx(code=err.code, log=err.message)
            elif isinstance(request, m.RequestInsertTx):
                response = m.ResponseInsertTx(m.RETRY + err.code)
            elif isinstance(request, m.RequestQuery):
                response = m.ResponseQuery(code=err.code, log=err.message)
            else:
                raise
        if self._observer is not None:
            self._observer(request, response)
        return response


def remove_stale_socket(path: Path) -> None:
    """A socket file left by a killed process; nothing else is removed."""
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        path.unlink()
