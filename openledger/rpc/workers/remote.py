"""The chain as a worker sees it: the node's own classes, whose reads go over the pipe."""

from __future__ import annotations

import pickle
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from openledger.primitives.blocks import Header
from openledger.primitives.hashing import KECCAK_EMPTY
from openledger.primitives.types import Hash32
from openledger.rpc.workers import wire
from openledger.state.reader import HeightReader
from openledger.state.store import StateStore

MAX_VALUES = 200_000
"""Values remembered of one state."""
MAX_STATES = 4
MAX_CODE_BYTES = 32 * 1024 * 1024


class Link:
    """The worker's end of the pipe. Raises EOFError when the node is gone."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._file = sock.makefile("rb")

    def send(self, kind: int, body: bytes = b"") -> None:
        """One message to the node."""
        self._socket.sendall(wire.frame(kind, body))

    def receive(self) -> tuple[int, bytes]:
        """The next message."""
        head = self._file.read(wire.HEAD.size)
        if len(head) < wire.HEAD.size:
            raise EOFError
        size, kind = wire.HEAD.unpack(head)
        body = self._file.read(size)
        if len(body) < size:
            raise EOFError
        return kind, body

    def ask(self, *question: Any) -> Any:
        """A read. Raises what the node's own read raises."""
        self.send(wire.READ, msgpack.packb(question))
        kind, body = self.receive()
        if kind == wire.TROUBLE:
            raise wire.error_of(pickle.loads(body))  # noqa: S301 (from the node itself)
        return msgpack.unpackb(body)


class Memory:
    """What a worker remembers between jobs: values of the newest states, named by their block's hash, and code."""

    def __init__(self) -> None:
        self._states: OrderedDict[Hash32, dict[bytes, bytes | None]] = OrderedDict()
        self._codes: OrderedDict[Hash32, bytes] = OrderedDict()
        self._code_bytes = 0

    def of(self, anchor: Hash32) -> dict[bytes, bytes | None]:
        """Values known of the state after this block; of no block (empty), for one job only."""
        if not anchor:
            return {}
        found = self._states.setdefault(anchor, {})
        self._states.move_to_end(anchor)
        if len(self._states) > MAX_STATES:
            self._states.popitem(last=False)
        if len(found) > MAX_VALUES:
            found.clear()
        return found

    def code(self, code_hash: Hash32, read: Callable[[], bytes]) -> bytes:
        """Code by its hash."""
        found = self._codes.get(code_hash)
        if found is None:
            found = self._codes[code_hash] = read()
            self._code_bytes += len(found)
            while self._code_bytes > MAX_CODE_BYTES:
                self._code_bytes -= len(self._codes.popitem(last=False)[1])
        return found


class RemoteState(HeightReader):
    """State after one block; number ``index`` among the readers of the job."""

    __slots__ = ("_index", "_known", "_link", "_memory")

    def __init__(self, link: Link, memory: Memory, index: int, height: int, anchor: Hash32) -> None:
        self._generation = -1
        self.height = height
        self._link, self._memory, self._index = link, memory, index
        self._known = memory.of(anchor)

    def head(self) -> None:
        """The engine's own memory is for the node's readers only."""
        return

    def raw(self, key: bytes) -> bytes | None:
        known = self._known
        if key in known:
            return known[key]
        found: bytes | None = self._link.ask("raw", self._index, key)
        known[key] = found
        return found

    def code(self, code_hash: Hash32) -> bytes:
        if code_hash == KECCAK_EMPTY:
            return b""
        return self._memory.code(code_hash, lambda: self._link.ask("code", self._index, code_hash))

    def entries(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        while True:
            page: list[list[bytes]] = self._link.ask("entries", self._index, prefix, start)
            yield from ((key, value) for key, value in page)
            if not page:
                return
            start = page[-1][0] + b"\0"


class RemoteKeys:
    """The key-value store below; read only. Keys that change with the head are read through ``RemoteState``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def get(self, key: bytes) -> bytes | None:
        found: bytes | None = self._link.ask("get", key)
        return found

    def iterate(self, start: bytes, stop: bytes | None, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        while True:
            page: list[list[bytes]] = self._link.ask("iterate", start, stop, reverse)
            yield from ((key, value) for key, value in page)
            if not page:
                return
            start, stop = (start, page[-1][0]) if reverse else (page[-1][0] + b"\0", stop)

    def write(self, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[bytes] = (), *, sync: bool = True) -> None:
        raise PermissionError("a worker writes nothing")

    def view(self) -> RemoteKeys:
        """The keys that are read here never change."""
        return self

    def close(self) -> None:
        """Nothing is open."""


class RemoteStore(StateStore):
    """Blocks, and states by height, as they were when the job was given: ``head`` is the newest block."""

    def __init__(self, link: Link, memory: Memory, head: Header) -> None:
        super().__init__(RemoteKeys(link))
        self._link, self._memory = link, memory
        self._head = head

    def reader(self, height: int | None = None) -> HeightReader:
        number = self.height if height is None else height
        index, anchor = self._link.ask("reader", number)
        return RemoteState(self._link, self._memory, index, number, anchor)


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a worker is told first. ``memory`` in bytes, ``settings`` an RpcSettings."""

    engine: str
    genesis: str
    client_version: str
    settings: Any
    memory: int
