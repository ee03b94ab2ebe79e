"""What passes between the node and a worker.

A frame is four bytes of length, one of kind, and a body. A job is a pickled function with its arguments, in which the
objects that only the node has (state readers, store, application, backend, engine) are names. What comes back is
unpickled by a reader that makes objects of this program only: a worker runs strangers' code, though inside an EVM.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any

from openledger.abci_app.chain_reads import ChainReads
from openledger.evm.engines import ENGINE_NAMES
from openledger.primitives.errors import OpenLedgerError
from openledger.rpc.backend import Backend
from openledger.rpc.errors import RpcError
from openledger.state.reader import HeightReader
from openledger.state.store import StateStore

HELLO, JOB, VALUE, TROUBLE = 0, 1, 2, 3
"""From the node: the first words; a job; the answer to a read; an error instead of it."""
READY, READ, DONE, FAILED = 4, 5, 6, 7
"""From a worker."""

HEAD = struct.Struct("!IB")
MAX_FRAME = 256 * 1024 * 1024
"""Bytes of a message that the node takes from a worker."""
PLAIN = frozenset((int, str, bytes, bool, float, tuple, list, dict, set, frozenset, type(None)))


def frame(kind: int, body: bytes = b"") -> bytes:
    """One message."""
    return HEAD.pack(len(body), kind) + body


class _Packer(pickle.Pickler):
    """Writes live objects as names; state readers are numbered in ``readers``."""

    def __init__(self, file: io.BytesIO, readers: list[HeightReader]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._readers = readers

    def persistent_id(self, obj: Any) -> tuple[Any, ...] | None:
        """The name of a live object; None for one that travels by value."""
        kind = type(obj)
        if kind in PLAIN:
            return None
        if issubclass(kind, HeightReader):
            self._readers.append(obj)
            return ("state", len(self._readers) - 1, obj.height, obj.anchor())
        if issubclass(kind, Backend):
            return ("backend",)
        if issubclass(kind, StateStore):
            return ("store",)
        if issubclass(kind, ChainReads):
            return ("app",)
        if getattr(kind, "name", None) in ENGINE_NAMES and hasattr(kind, "execute"):
            return ("engine", kind.name)
        return None


def pack(job: tuple[Callable[..., Any], tuple[Any, ...]], readers: list[HeightReader]) -> bytes:
    """A job; the state readers in it are appended to ``readers``."""
    file = io.BytesIO()
    _Packer(file, readers).dump(job)
    return file.getvalue()


class _Unpacker(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, find: Callable[..., Any]) -> None:
        super().__init__(file)
        self._find = find

    def persistent_load(self, pid: Any) -> Any:
        return self._find(*pid)


def unpack(raw: bytes, find: Callable[..., Any]) -> Any:
    """A job on the worker's side; ``find(*name)`` gives the object of a name."""
    return _Unpacker(io.BytesIO(raw), find).load()


class _Careful(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name) if module.startswith("openledger.") and "." not in name else None
        if not isinstance(found, type) or found.__module__ != module:  # not what a module has imported from elsewhere
            raise pickle.UnpicklingError(f"a worker sent {module}.{name}")
        return found


def value_from_worker(raw: bytes) -> Any:
    """A result. Raises UnpicklingError for objects of any other program."""
    return _Careful(io.BytesIO(raw)).load()


def pack_error(err: Exception) -> bytes:
    """An error with all that it says; anything but an expected one becomes text for the log."""
    if isinstance(err, RpcError | OpenLedgerError):
        return pickle.dumps((type(err), str(err), vars(err)), pickle.HIGHEST_PROTOCOL)
    return pickle.dumps((None, f"{type(err).__name__}: {err}", {}), pickle.HIGHEST_PROTOCOL)


class WorkerFault(Exception):
    """A job met a fault of the program; the text says which."""


def error_of(found: tuple[type[Exception] | None, str, dict[str, Any]]) -> Exception:
    """The error that ``pack_error`` packed."""
    kind, text, facts = found
    if kind is None or not issubclass(kind, RpcError | OpenLedgerError):
        return WorkerFault(text)
    err = kind.__new__(kind, text)
    Exception.__init__(err, text)
    vars(err).update(facts)
    return err
