"""The workers: ``python -m openledger.rpc.workers.process FD`` is the nursery, in which everything is loaded once. For
every socket that the node sends it makes a worker by fork, in milliseconds and with shared memory, so a worker that had
to be killed costs little. A worker does one job after the other. All end with the node.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import pickle
import resource
import signal
import socket
import sys
import threading
from typing import Any, cast

from openledger.abci_app.chain_reads import ChainReads
from openledger.abci_app.registry import PRECOMPILES
from openledger.evm.engine import EvmEngine
from openledger.evm.engines import load_engine
from openledger.genesis.genesis import Genesis
from openledger.primitives.blocks import Header
from openledger.rpc.backend import Backend
from openledger.rpc.workers import wire
from openledger.rpc.workers.remote import Greeting, Link, Memory, RemoteState, RemoteStore

STACK_BYTES = 64 * 1024 * 1024
"""Room for 1,024 nested calls of the reference EVM."""
NICE = 5
ENGINE_CACHE = 1024 * 1024
PR_SET_PDEATHSIG = 1


class _Job:
    """One job's view of the chain."""

    def __init__(self, worker: Worker, head: Header) -> None:
        self._worker = worker
        self._head = head
        self._made: Backend | None = None

    def find(self, kind: str, *facts: Any) -> Any:
        """The object of a name; see ``wire``."""
        worker = self._worker
        if kind == "state":
            index, height, anchor = facts
            return RemoteState(worker.link, worker.memory, index, height, anchor)
        if kind == "engine":
            return worker.engine(facts[0])
        backend = self._backend()
        return {"backend": backend, "app": backend.app, "store": backend.app.store}[kind]

    def _backend(self) -> Backend:
        if self._made is None:
            worker = self._worker
            store = RemoteStore(worker.link, worker.memory, self._head)
            app = ChainReads(worker.genesis, store, worker.engine(worker.greeting.engine))
            nothing = cast("Any", None)  # neither mempool nor consensus nor blobs are here
            self._made = Backend(
                cast("Any", app), nothing, nothing, worker.greeting.client_version, dict, worker.greeting.settings
            )
        return self._made


class Worker:
    """One worker's whole life. ``engines`` by name; one that is missing is made when it is first asked for."""

    def __init__(self, link: Link, greeting: Greeting, genesis: Genesis, engines: dict[str, EvmEngine]) -> None:
        self.link = link
        self.greeting = greeting
        self.genesis = genesis
        self.memory = Memory()
        self._engines = engines

    def engine(self, name: str) -> EvmEngine:
        """The engine of a name."""
        if name not in self._engines:
            self._engines[name] = _engine(name)
        return self._engines[name]

    def serve(self) -> None:
        """Until the node is gone."""
        _bound_memory(self.greeting.memory)
        self.link.send(wire.READY, os.getpid().to_bytes(4, "big"))
        while True:
            _, body = self.link.receive()
            self.link.send(*self._do(body))

    def _do(self, body: bytes) -> tuple[int, bytes]:
        size = int.from_bytes(body[:4], "big")
        job = _Job(self, Header.decode(body[4 : 4 + size]))
        try:
            work, args = wire.unpack(body[4 + size :], job.find)
            return wire.DONE, pickle.dumps(work(*args), pickle.HIGHEST_PROTOCOL)
        except (EOFError, ConnectionError):
            raise
        except MemoryError:
            return wire.FAILED, wire.pack_error(MemoryError("out of memory"))
        except Exception as err:  # noqa: BLE001 (the node's dispatcher decides what it is)
            return wire.FAILED, wire.pack_error(err)


def _bound_memory(limit: int) -> None:
    """A last resort above the node's own watch: memory that is mapped, not used, counts here too."""
    with contextlib.suppress(ValueError, OSError):
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: SIM115
        resource.setrlimit(resource.RLIMIT_AS, (used + 2 * limit, used + 2 * limit))


def _engine(name: str) -> EvmEngine:
    return load_engine(name, precompiles=dict(PRECOMPILES), cache_bytes=ENGINE_CACHE)


def _end_with_the_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _exactly(sock: socket.socket, count: int) -> bytes:
    """So many bytes and no more: what comes next may carry a socket."""
    found = b""
    while len(found) < count:
        part = sock.recv(count - len(found))
        if not part:
            raise EOFError
        found += part
    return found


def _work(sock: socket.socket, greeting: Greeting, genesis: Genesis, engines: dict[str, EvmEngine]) -> None:
    """A worker's process, in a thread with room for deep calls."""

    def live() -> None:
        with contextlib.suppress(EOFError, ConnectionError):
            Worker(Link(sock), greeting, genesis, engines).serve()

    threading.stack_size(STACK_BYTES)
    thread = threading.Thread(target=live)
    thread.start()
    thread.join()


def nursery(control: socket.socket) -> None:
    """Make a worker for every socket that comes. Raises EOFError when the node is gone."""
    size, _ = wire.HEAD.unpack(_exactly(control, wire.HEAD.size))
    greeting: Greeting = pickle.loads(_exactly(control, size))  # noqa: S301 (from the node itself)
    genesis = Genesis.from_json(greeting.genesis)
    engines = {greeting.engine: _engine(greeting.engine)}
    gc.freeze()  # what is loaded stays, and stays shared
    while True:
        said, files, _, _ = socket.recv_fds(control, 1, 1)
        if not said:
            raise EOFError
        sock = socket.socket(fileno=files[0])
        if os.fork() == 0:
            _end_with_the_parent()
            control.close()
            _work(sock, greeting, genesis, engines)
            os._exit(0)
        sock.close()


def main() -> None:
    """The nursery, on the socket whose file number is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the node, which then ends us
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a worker that has ended
    _end_with_the_parent()
    os.nice(NICE)  # blocks come first
    with contextlib.suppress(EOFError, ConnectionError):
        nursery(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
