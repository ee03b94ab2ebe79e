"""Snapshots on disk: a folder for each height, named by it, with the manifest and one file a chunk.

    snapshots/1000/manifest    snapshots/1000/0 1 2 ...    snapshots/2000.partial/ (being written, or cut off)

A folder gets its name when it is complete and on the disk. Equal states give equal manifests; see snapshot_format.py.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from openledger.primitives.errors import InvalidSnapshot, StorageError
from openledger.state import layout
from openledger.state.disk import sync_folder
from openledger.state.ports import ReadView
from openledger.state.snapshot_format import FORMAT, Manifest, chunks, compress, entries, expand, head_of, pack_chunk

MANIFEST = "manifest"
_NAME = re.compile(r"[1-9][0-9]{0,17}")
_PAGE = 256
_TABLES = (b"a", b"b", b"c", b"r", b"s")

Pause = Callable[[], None]
"""Called between pages of entries; may wait, or raise to give up."""


class SnapshotShelf:
    """The snapshots of one node. Read from any thread; ``create`` and ``delete`` from one at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[int, Manifest] = {}
        for height in self._heights():
            try:
                self._known[height] = self._read_manifest(height)
            except InvalidSnapshot:
                continue  # of another format, or damaged: it is not offered, and not touched

    def _heights(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if _NAME.fullmatch(path.name))

    def list(self) -> list[Manifest]:
        """Complete snapshots, the newest first."""
        return sorted(self._known.values(), key=lambda manifest: manifest.height, reverse=True)

    def get(self, height: int) -> Manifest | None:
        """The snapshot of a height, or None."""
        return self._known.get(height)

    def chunk(self, height: int, index: int) -> bytes:
        """A chunk as it travels; empty when it is not here, or cannot be read: who asks for it is a stranger."""
        manifest = self._known.get(height)
        if manifest is None or not 0 <= index < len(manifest.chunks):
            return b""
        try:
            return (self.folder / str(height) / str(index)).read_bytes()
        except OSError:
            return b""

    def raw_chunks(self, height: int) -> Iterator[bytes]:
        """The chunks of a snapshot as they were hashed. Raises InvalidSnapshot for a damaged one."""
        manifest = self._known.get(height)
        if manifest is None:
            raise InvalidSnapshot(f"there is no snapshot of block {height} in {self.folder}")
        for index, expected in enumerate(manifest.chunks):
            yield expand(self.chunk(height, index), expected)

    def size(self, height: int) -> int:
        """Bytes on the disk."""
        return sum(path.stat().st_size for path in (self.folder / str(height)).iterdir())

    def _read_manifest(self, height: int) -> Manifest:
        try:
            manifest = Manifest.decode((self.folder / str(height) / MANIFEST).read_bytes())
        except OSError as err:
            raise InvalidSnapshot(f"the snapshot of block {height} cannot be read: {err.strerror}") from None
        if manifest.height != height:
            raise InvalidSnapshot(f"the snapshot in folder {height} is of block {manifest.height}")
        return manifest

    # --- writing --------------------------------------------------------------------------------------------------

    def create(self, view: ReadView, pause: Pause = lambda: None) -> Manifest:
        """Write the newest height of a view, which stays open. Raises StorageError when the disk fails or is full, and
        whatever ``pause`` raises; nothing stays behind then."""
        head = head_of(view)
        if head.number == 0:
            raise StorageError("there is no block after genesis to take a snapshot of", "wait for the first block")
        part_folder = self.folder / f"{head.number}.partial"
        try:
            shutil.rmtree(part_folder, ignore_errors=True)
            part_folder.mkdir(parents=True)
            counts = dict.fromkeys(_TABLES, 0)
            size, hashes = 0, []
            for index, batch in enumerate(chunks(_paced(entries(view, head), pause))):
                raw = pack_chunk(batch)
                hashes.append(hashlib.sha256(raw).digest())
                _write(part_folder / str(index), compress(raw))
                for key, value in batch:
                    size += len(key) + len(value)
                    if key[:1] in counts:
                        counts[key[:1]] += 1
            chain_id, genesis = ((view.get(layout.META + name) or b"") for name in (b"chain_id", b"genesis"))
            manifest = Manifest(
                chain_id.decode(),
                genesis,
                head.number,
                head.state_root,
                counts[b"a"],
                counts[b"b"],
                counts[b"c"],
                counts[b"r"],
                counts[b"s"],
                size,
                tuple(hashes),
            )
            _write(part_folder / MANIFEST, manifest.encode())
            self.delete(head.number)  # of before a rollback, perhaps
            part_folder.rename(self.folder / str(head.number))
            sync_folder(self.folder)
        except OSError as err:
            raise StorageError(f"the snapshot cannot be written: {err.strerror or err}", "is the disk full?") from None
        finally:
            shutil.rmtree(part_folder, ignore_errors=True)
        self._known[head.number] = manifest
        return manifest

    def delete(self, height: int) -> None:
        """Remove a snapshot."""
        self._known.pop(height, None)
        shutil.rmtree(self.folder / str(height), ignore_errors=True)

    def keep(self, count: int, newest: int) -> None:
        """Remove all but the newest ``count`` up to height ``newest``. Those above are of before a rollback, or of a
        chain that is replayed: they are made anew when the chain is there."""
        for manifest in [found for found in self.list() if found.height <= newest][count:]:
            self.delete(manifest.height)

    def clean(self) -> None:
        """Remove what was cut off."""
        if self.folder.is_dir():
            for path in self.folder.glob("*.partial"):
                shutil.rmtree(path, ignore_errors=True)


def _paced(found: Iterator[tuple[bytes, bytes]], pause: Pause) -> Iterator[tuple[bytes, bytes]]:
    for number, entry in enumerate(found):
        if number % _PAGE == 0:
            pause()
        yield entry


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


__all__ = ["FORMAT", "SnapshotShelf"]
