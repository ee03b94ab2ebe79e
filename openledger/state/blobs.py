"""Blobs: bytes off the chain, named by their sha256 (64 hex digits), in a folder or any store that fsspec knows.

A blob appears under its name only when it is complete, and what is read is hashed again: nobody gets other bytes
than those the chain names. Layout: ``<first two digits>/<name>``; unfinished and damaged ones under
``unfinished/``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from fsspec.core import url_to_fs

from openledger.primitives.errors import BlobCorrupt, BlobError, BlobNotFound, BlobTooLarge

DEFAULT_MAX_BYTES = 256 * 1024 * 1024
_NAME = re.compile(r"[0-9a-f]{64}")
_FOLDER = re.compile(r"[0-9a-f]{2}")
_UNFINISHED = re.compile(r"[0-9a-f]{32}")
_CHUNK = 1024 * 1024


class BlobStore:
    """Content-addressed blobs under ``url``: a local folder, or for example ``s3://bucket/folder``, ``memory://x``.

    ``max_bytes`` bounds every blob, written or read. Methods raise BlobNotFound, BlobCorrupt, BlobTooLarge, and
    BlobError for a malformed name or a failing store.
    """

    def __init__(self, url: str, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.url = url
        self.max_bytes = max_bytes
        self.written = 0
        """Bytes of the blobs that came in through this object."""
        try:
            self._fs, root = url_to_fs(url)
            self._root = str(root).rstrip("/")
            self._fs.makedirs(self._root, exist_ok=True)
        except (ImportError, ValueError, OSError) as err:
            raise BlobError(f"the blob store {url} cannot be opened: {err}") from None
        protocol = self._fs.protocol
        self._local = "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    def _path(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise BlobError(
                f"not the name of a blob: {name[:80]!r}", "a name is the sha256 as 64 lower-case hex digits"
            )
        return f"{self._root}/{name[:2]}/{name}"

    def has(self, name: str) -> bool:
        """True when the blob is here (its bytes are checked when they are read)."""
        path = self._path(name)
        try:
            return bool(self._fs.exists(path))
        except OSError as err:
            raise _failing(name, err) from None

    def size(self, name: str) -> int:
        """Bytes of a blob. Raises BlobNotFound."""
        try:
            return int(self._fs.size(self._path(name)))
        except FileNotFoundError:
            raise _not_found(name) from None
        except OSError as err:
            raise _failing(name, err) from None

    def get(self, name: str) -> bytes:
        """The bytes of a blob, checked against their name."""
        if self.size(name) > self.max_bytes:
            raise BlobTooLarge(f"blob {name} is larger than {self.max_bytes} bytes")
        try:
            raw: bytes = self._fs.cat_file(self._path(name))
        except FileNotFoundError:
            raise _not_found(name) from None
        except OSError as err:
            raise _failing(name, err) from None
        if hashlib.sha256(raw).hexdigest() != name:
            self._put_aside(name)
            raise _damaged(name)
        return raw

    def open(self, name: str) -> BinaryIO:
        """A blob as a file at its start, for who passes it on: it was read once, piece by piece, and checked against
        its name. Raises what ``get`` raises."""
        if self.size(name) > self.max_bytes:
            raise BlobTooLarge(f"blob {name} is larger than {self.max_bytes} bytes")
        digest = hashlib.sha256()
        try:
            source: BinaryIO = self._fs.open(self._path(name), "rb")
        except FileNotFoundError:
            raise _not_found(name) from None
        except OSError as err:
            raise _failing(name, err) from None
        try:
            while piece := source.read(_CHUNK):
                digest.update(piece)
            source.seek(0)
        except OSError as err:
            source.close()
            raise _failing(name, err) from None
        if digest.hexdigest() != name:
            source.close()
            self._put_aside(name)
            raise _damaged(name)
        return source

    def total(self) -> int:
        """Bytes of all complete blobs; looks through the whole store. Raises BlobError."""
        try:
            if self._local:
                folders = [entry.path for entry in os.scandir(self._root) if _FOLDER.fullmatch(entry.name)]
                return sum(_folder_bytes(folder) for folder in folders)
            found = self._fs.find(self._root, detail=True)
            return sum(int(facts["size"]) for path, facts in found.items() if _NAME.fullmatch(path.rsplit("/", 1)[-1]))
        except OSError as err:
            raise BlobError(f"the blob store {self.url} cannot be read: {err}") from None

    def free(self) -> int | None:
        """Bytes free on the disk of a local folder; None elsewhere, and where nobody can tell."""
        with contextlib.suppress(OSError):
            return shutil.disk_usage(self._root).free if self._local else None
        return None

    def tidy(self, before: float) -> int:
        """Remove what a process that was killed has left half written, last touched ``before`` (Unix seconds); how many
        files. Only in a local folder."""
        if not self._local:
            return 0
        removed = 0
        for path in Path(self._root, "unfinished").glob("[0-9a-f]*"):
            with contextlib.suppress(OSError):
                if _UNFINISHED.fullmatch(path.name) and path.stat().st_mtime < before:
                    path.unlink()
                    removed += 1
        return removed

    def _put_aside(self, name: str) -> None:
        """A blob that the disk has spoilt stands in the way of a sound one: who looks for it finds that it is gone."""
        if self._local:
            with contextlib.suppress(OSError):
                self._fs.makedirs(f"{self._root}/unfinished", exist_ok=True)
                os.replace(self._path(name), f"{self._root}/unfinished/damaged-{name}")

    def put(self, data: bytes) -> str:
        """Keep bytes; their name. Keeping them twice is free."""
        with self.writer() as writer:
            writer.write(data)
            return writer.commit()

    def put_stream(self, chunks: Iterable[bytes], expected: str | None = None) -> str:
        """Keep what comes in chunks; its name. Raises BlobCorrupt when that is not ``expected``."""
        with self.writer() as writer:
            for chunk in chunks:
                writer.write(chunk)
            return writer.commit(expected)

    def writer(self) -> BlobWriter:
        """A blob to be written piece by piece; a context manager that throws away what was not committed."""
        return BlobWriter(self)

    def delete(self, name: str) -> None:
        """Remove a blob; nothing happens when it is not here."""
        try:
            self._fs.rm_file(self._path(name))
        except FileNotFoundError:
            return

    def list(self) -> Iterator[str]:
        """Names of all complete blobs, in order."""
        names = (str(path).rsplit("/", 1)[-1] for path in self._fs.find(self._root))
        yield from sorted(name for name in names if _NAME.fullmatch(name))


class BlobWriter:
    """One blob being written. ``write`` raises BlobTooLarge as soon as the limit is passed."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._digest = hashlib.sha256()
        self._size = 0
        self._temp = f"{store._root}/unfinished/{secrets.token_hex(16)}"
        try:
            store._fs.makedirs(f"{store._root}/unfinished", exist_ok=True)
            self._file: Any = store._fs.open(self._temp, "wb")
        except OSError as err:
            raise BlobError(f"the blob store {store.url} cannot be written: {err}") from None
        self._open = True

    def write(self, chunk: bytes) -> None:
        """Add bytes."""
        self._size += len(chunk)
        if self._size > self._store.max_bytes:
            self.abort()
            raise BlobTooLarge(f"a blob may have at most {self._store.max_bytes} bytes", "split it into several blobs")
        self._digest.update(chunk)
        try:
            self._file.write(chunk)
        except OSError as err:
            self.abort()
            raise BlobError(f"writing a blob failed: {err}", "is the disk full?") from None

    def commit(self, expected: str | None = None) -> str:
        """Give the bytes their name; it. Raises BlobCorrupt (and keeps nothing) when that is not ``expected``."""
        name = self._digest.hexdigest()
        if expected is not None and name != expected:
            self.abort()
            raise BlobCorrupt(f"these bytes have the hash {name}, not {expected}")
        store = self._store
        target = store._path(name)
        try:
            if store._local:
                self._file.flush()
                os.fsync(self._file.fileno())
            self._file.close()
            store._fs.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
            new = not store._fs.exists(target)
            if store._local:
                os.replace(self._temp, target)
            else:
                store._fs.mv(self._temp, target)
        except OSError as err:
            self.abort()
            raise BlobError(f"writing a blob failed: {err}", "is the disk full?") from None
        self._open = False
        store.written += self._size if new else 0
        return name

    def abort(self) -> None:
        """Throw away what was written so far."""
        if not self._open:
            return
        self._open = False
        with contextlib.suppress(OSError):  # on a full disk: it writes what it still holds
            self._file.close()
        with contextlib.suppress(OSError):
            if self._store._fs.exists(self._temp):
                self._store._fs.rm_file(self._temp)

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.abort()


def _folder_bytes(folder: str) -> int:
    total = 0
    for entry in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            total += entry.stat().st_size
    return total


def _not_found(name: str) -> BlobNotFound:
    return BlobNotFound(f"blob {name} is not here", "fetch it from a peer, or ask who published it")


def _damaged(name: str) -> BlobCorrupt:
    return BlobCorrupt(f"blob {name} does not have the bytes it is named by", "put it, or fetch it, once more")


def _failing(name: str, err: OSError) -> BlobError:
    return BlobError(f"blob {name} cannot be read: {err}", "look at the disk, or the store, of [blobs] in config.toml")


__all__ = ["DEFAULT_MAX_BYTES", "BlobStore", "BlobWriter"]
