"""What this node has acknowledged and no block holds yet, on disk: a restart after kill -9 or a power cut keeps it.

    folder/00000001.log, 00000002.log, ...      frames: length (4 bytes), crc32 (4 bytes), kind and content

A frame says that a raw transaction came in, or that transactions (their hashes) are done with. ``write`` gives frames
to the operating system and ``sync`` brings them to the disk, so that many senders share one fsync. A frame that was
torn by a crash ends its file. Files are only removed oldest first, so a transaction never outlives the note that it is
done with; what a mostly dead file still holds is written once more at the end before the file goes.

After a sync that failed nobody knows what of the file is on the disk, and the next one would not say: the system
forgets what it could not write. So no sync succeeds until ``anew`` has written what such a file holds into a new one.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from openledger.primitives.errors import NotStored
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Hash32
from openledger.state.disk import sync_folder

log = logging.getLogger(__name__)

SEGMENT_BYTES = 4 * 1024 * 1024
SLACK_BYTES = 16 * 1024 * 1024
"""More than this beyond twice of what is alive is never kept."""
_HEAD = struct.Struct("<II")
_ARRIVED, _DONE = b"+", b"-"
_MAX_FRAME = 1 << 20
_HASHES_A_FRAME = 16_384


@dataclass
class _Segment:
    """One file: its number, its bytes, and how many of its transactions are alive."""

    number: int
    size: int = 0
    alive: int = 0


@dataclass
class _Found:
    """What reading a folder gave: raw transactions in order of arrival, and the files."""

    alive: dict[Hash32, tuple[bytes, int]] = field(default_factory=dict)
    segments: list[_Segment] = field(default_factory=list)


class PoolJournal:
    """The journal in ``folder``, which is made when it is missing. Raises NotStored when it cannot be written."""

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES, slack_bytes: int = SLACK_BYTES) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._slack = slack_bytes
        self._handle = -1
        self._lock = threading.Lock()
        self._doubtful: set[int] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            found = _read_folder(folder)
            self._segments = found.segments
            self._alive = {tx_hash: (number, len(raw)) for tx_hash, (raw, number) in found.alive.items()}
            self._kept = [raw for raw, _ in found.alive.values()]
            self._begin()
        except OSError as err:
            raise _trouble(err) from None
        self._remove_dead()

    def take(self) -> list[bytes]:
        """The transactions that were alive when the journal was opened, in order of arrival; once."""
        kept, self._kept = self._kept, []
        return kept

    def __len__(self) -> int:
        """Transactions alive."""
        return len(self._alive)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(segment.size for segment in self._segments)

    # --- writing ----------------------------------------------------------------------------------------------

    def write(self, raws: Mapping[Hash32, bytes]) -> None:
        """Note that these transactions came in; ``sync`` makes it last. Raises NotStored, and nothing is noted then."""
        new = {tx_hash: raw for tx_hash, raw in raws.items() if tx_hash not in self._alive}
        self._append(b"".join(_frame(_ARRIVED + raw) for raw in new.values()))
        current = self._segments[-1]
        for tx_hash, raw in new.items():
            self._alive[tx_hash] = (current.number, len(raw))
        current.alive += len(new)

    def settle(self, waits: Callable[[Hash32], bool]) -> None:
        """Note which transactions are done with: those for which ``waits`` says no; and remove files that nobody
        needs. Not synced: what is lost of it is found out anew. Raises NotStored."""
        done = [tx_hash for tx_hash in self._alive if not waits(tx_hash)]
        if done:
            parts = [done[i : i + _HASHES_A_FRAME] for i in range(0, len(done), _HASHES_A_FRAME)]
            self._append(b"".join(_frame(_DONE + b"".join(part)) for part in parts))
            alive = {segment.number: segment for segment in self._segments}
            for tx_hash in done:
                alive[self._alive.pop(tx_hash)[0]].alive -= 1
        self._remove_dead()

    def burden(self) -> list[Hash32]:
        """The transactions of the oldest file when the journal is larger than it should be: ``renew`` them, and the
        file can go. Empty otherwise."""
        if len(self._segments) < 2 or self.size <= 2 * sum(n for _, n in self._alive.values()) + self._slack:
            return []
        oldest = self._segments[0].number
        return [tx_hash for tx_hash, (number, _) in self._alive.items() if number == oldest]

    def renew(self, raws: Mapping[Hash32, bytes]) -> None:
        """Write transactions of the oldest file at the end, synced, and remove what is not needed then."""
        oldest = self._segments[0].number
        moved = {tx_hash: raw for tx_hash, raw in raws.items() if self._alive.get(tx_hash, (0, 0))[0] == oldest}
        self._append(b"".join(_frame(_ARRIVED + raw) for raw in moved.values()))
        self.sync()
        self._moved(moved)
        self._remove_dead()

    def anew(self, find: Callable[[Hash32], bytes | None]) -> None:
        """After a failure: begin a new file with what the doubtful ones hold, as far as ``find`` knows it; ``sync``
        makes it last. Raises NotStored."""
        raws = {tx_hash: find(tx_hash) for tx_hash, (number, _) in self._alive.items() if number in self._doubtful}
        found = {tx_hash: raw for tx_hash, raw in raws.items() if raw is not None}
        doubtful = set(self._doubtful)
        try:
            self._begin()
        except OSError as err:
            raise _trouble(err) from None
        self._append(b"".join(_frame(_ARRIVED + raw) for raw in found.values()))
        self._moved(found)
        self._doubtful -= doubtful

    def _moved(self, raws: Mapping[Hash32, bytes]) -> None:
        """These were written once more, into the last file."""
        segments, current = {segment.number: segment for segment in self._segments}, self._segments[-1]
        for tx_hash, raw in raws.items():
            segments[self._alive[tx_hash][0]].alive -= 1
            self._alive[tx_hash] = (current.number, len(raw))
        current.alive += len(raws)

    def lacking(self, waits: Callable[[Hash32], bool]) -> list[bytes]:
        """Those alive for which ``waits`` says no, read from the files."""
        if all(waits(tx_hash) for tx_hash in self._alive):
            return []
        found = _read_folder(self._folder).alive.items()
        return [raw for tx_hash, (raw, _) in found if tx_hash in self._alive and not waits(tx_hash)]

    def sync(self) -> None:
        """Bring everything written to the disk. May be called from another thread. Raises NotStored, and again until
        ``anew``."""
        with self._lock:
            if self._doubtful:
                raise _trouble(OSError(errno.EIO, "an earlier write has failed"))
            try:
                os.fdatasync(self._handle)
            except OSError as err:
                self._doubtful.add(self._segments[-1].number)
                raise _trouble(err) from None

    def close(self) -> None:
        """Sync, and close the file."""
        if self._handle >= 0:
            with contextlib.suppress(OSError):
                os.fdatasync(self._handle)
            os.close(self._handle)
            self._handle = -1

    # --- files ------------------------------------------------------------------------------------------------

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.log"

    def _begin(self) -> None:
        """A new file at the end; the old one is brought to the disk first, since only the last is synced later."""
        number = self._segments[-1].number + 1 if self._segments else 1
        handle = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        with self._lock:
            if self._handle >= 0:
                self._leave()
            self._handle = handle
            self._segments.append(_Segment(number))
        try:
            sync_folder(self._folder)
        except OSError:
            self._doubtful.add(number)
            raise

    def _leave(self) -> None:
        """Bring the last file to the disk, and close it."""
        try:
            os.fdatasync(self._handle)
        except OSError:
            self._doubtful.add(self._segments[-1].number)
        os.close(self._handle)

    def _append(self, frames: bytes) -> None:
        if not frames:
            return
        try:
            if self._segments[-1].size >= self._segment_bytes:
                self._begin()
            self._write_all(frames)
        except OSError as err:
            try:
                os.ftruncate(self._handle, self._segments[-1].size)
            except OSError:  # what would come behind the torn part could not be read
                self._doubtful.add(self._segments[-1].number)
            raise _trouble(err) from None
        self._segments[-1].size += len(frames)

    def _write_all(self, frames: bytes) -> None:
        view = memoryview(frames)
        while view:
            view = view[os.write(self._handle, view) :]

    def _remove_dead(self) -> None:
        while len(self._segments) > 1 and self._segments[0].alive == 0:
            with contextlib.suppress(OSError):  # it is found and removed by the next start otherwise
                self._path(self._segments.pop(0).number).unlink()


def _frame(content: bytes) -> bytes:
    return _HEAD.pack(len(content), zlib.crc32(content)) + content


def _frames(data: bytes) -> Iterator[bytes]:
    """Contents of whole frames, up to the first that is not."""
    at = 0
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        content = data[at + _HEAD.size : at + _HEAD.size + length]
        if not 0 < length <= _MAX_FRAME or len(content) < length or zlib.crc32(content) != checksum:
            break
        yield content
        at += _HEAD.size + length
    if at < len(data):
        log.warning("%d bytes at the end of a transaction journal were not written whole; left out", len(data) - at)


def _read_folder(folder: Path) -> _Found:
    found = _Found()
    for path in sorted(folder.glob("[0-9]*.log")):
        segment = _Segment(int(path.stem), path.stat().st_size)
        found.segments.append(segment)
        for content in _frames(path.read_bytes()):
            if content[:1] == _ARRIVED:
                raw = content[1:]
                found.alive[keccak256(raw)] = (raw, segment.number)
            else:
                for at in range(1, len(content), 32):
                    found.alive.pop(content[at : at + 32], None)
    counts = {segment.number: segment for segment in found.segments}
    for _, number in found.alive.values():
        counts[number].alive += 1
    return found


def _trouble(err: OSError) -> NotStored:
    words = f"the node cannot keep the transaction on disk: {err.strerror or err}"
    return NotStored(words, "make room on its disk, then send it again")
