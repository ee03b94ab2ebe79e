"""The database of a node: LevelDB through plyvel, one atomic synced batch a write.

Only one process can open a folder. plyvel is imported when a database is opened, so that the client installs
without it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from openledger.primitives.errors import CorruptDatabase, DatabaseLocked, MissingExtra, StorageError

BLOCK_CACHE_BYTES = 64 * 1024 * 1024
WRITE_BUFFER_BYTES = 64 * 1024 * 1024
OPEN_FILES = 256


class _Reads:
    """What the store and its views have in common: reading, and telling damage from other failures."""

    def __init__(self, path: Path, source: Any, corruption: type[Exception], failure: type[Exception]) -> None:
        self.path = path
        self._source = source
        self._corruption = corruption
        self._failure = failure

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._source.get(key)
        except self._corruption as err:
            raise _corrupt(self.path, err) from None
        except self._failure as err:
            raise StorageError(f"reading {self.path} failed: {err}") from None
        return value

    def iterate(self, start: bytes, stop: bytes | None, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop, in key order (or reverse); a snapshot, taken at the first step."""
        if stop is not None and start >= stop:
            return
        try:
            with self._source.iterator(start=start, stop=stop, reverse=reverse) as pairs:
                yield from pairs
        except self._corruption as err:
            raise _corrupt(self.path, err) from None
        except self._failure as err:
            raise StorageError(f"reading {self.path} failed: {err}") from None

    def close(self) -> None:
        """Release it. May be called twice."""
        self._source.close()


class LevelDbStore(_Reads):
    """Implements ``KeyValue`` over a LevelDB folder.

    Memory is bounded by ``cache_bytes`` (blocks read), twice ``write_buffer_bytes`` (batches not yet in a table), and
    ``open_files`` tables with their indexes and filters, about 50 KB each.

    Raises MissingExtra without plyvel, DatabaseLocked when another process holds the folder, CorruptDatabase when
    LevelDB finds damage, StorageError for other failures of the disk.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        cache_bytes: int = BLOCK_CACHE_BYTES,
        write_buffer_bytes: int = WRITE_BUFFER_BYTES,
        open_files: int = OPEN_FILES,
    ) -> None:
        try:
            import plyvel
        except ImportError:
            raise MissingExtra(
                "the database library plyvel is not installed",
                "pip install 'openledger-node[node]'",
            ) from None
        folder = Path(path)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            _begun_or_new(folder)
            self._db: Any = plyvel.DB(
                os.fsencode(folder),
                create_if_missing=True,
                lru_cache_size=cache_bytes,
                write_buffer_size=write_buffer_bytes,
                max_open_files=open_files,
                bloom_filter_bits=10,
            )
        except plyvel.CorruptionError as err:
            raise _corrupt(folder, err) from None
        except (plyvel.Error, OSError) as err:
            raise _open_error(folder, err) from None
        super().__init__(folder, self._db, plyvel.CorruptionError, plyvel.Error)

    def view(self) -> _Reads:
        """Everything as it is now; later writes are not seen, and what it holds is not compacted away."""
        return _Reads(self.path, self._db.snapshot(), self._corruption, self._failure)

    def write(self, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[bytes] = (), *, sync: bool = True) -> None:
        """One atomic batch; with ``sync`` it is on the disk when this returns."""
        try:
            with self._db.write_batch(transaction=True, sync=sync) as batch:
                for key, value in puts:
                    batch.put(key, value)
                for key in deletes:
                    batch.delete(key)
        except self._corruption as err:
            raise _corrupt(self.path, err) from None
        except self._failure as err:
            raise StorageError(f"writing {self.path} failed: {err}", "is the disk full?") from None

    def compact(self) -> None:
        """Give the room of deleted and overwritten entries back to the disk. Reads and writes everything once."""
        try:
            self._db.compact_range()
        except self._failure as err:
            raise StorageError(f"compacting {self.path} failed: {err}", "is the disk full?") from None


def _begun_or_new(folder: Path) -> None:
    """Refuse tables and logs whose CURRENT is gone: LevelDB would begin a new database there, and delete them.

    A first opening that was cut off has written neither.
    """
    if not (folder / "CURRENT").exists() and any(
        found.suffix in (".ldb", ".sst", ".log") for found in (folder.iterdir() if folder.is_dir() else ())
    ):
        raise CorruptDatabase(
            f"the database {folder} has lost its file CURRENT",
            "put the file back from a copy, restore a snapshot, or sync again from the network",
        )


def _corrupt(path: Path, err: Exception) -> CorruptDatabase:
    return CorruptDatabase(
        f"the database {path} is damaged: {_words(err)}", "restore a snapshot, or sync again from the network"
    )


def _open_error(path: Path, err: Exception) -> StorageError:
    text = str(err).lower()
    if "lock" in text and ("unavailable" in text or "already held" in text):
        return DatabaseLocked(f"another process uses the database {path}", "stop the other node, or use another --home")
    if "corrupt" in text or "missing files" in text or "does not exist" in text:
        return _corrupt(path, err)
    hint = (
        "make room on its disk" if "no space" in text else "may this user write there, and is the disk not read-only?"
    )
    return StorageError(f"the database {path} cannot be opened: {_words(err)}", hint)


def _words(err: Exception) -> str:
    """What LevelDB says; plyvel hands its bytes on."""
    said = err.args[0] if err.args else ""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(err)
