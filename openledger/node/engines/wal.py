"""The mark that CometBFT's write-ahead log misses after one unlucky crash.

CometBFT stores a block, then writes "height h has ended" into its log, then lets the application execute it. Killed
between the first two, it executes the block during the next handshake and never writes the mark; from then on, until
another height has ended, it cannot replay its log. A second crash in that time makes it forget what it has signed in
the running round while its vote history still knows, so it refuses to vote: the validator misses the round, and a
network whose quorum needs it stands still for ever. So the mark is written here, when the handshake hands over that
block: CometBFT waits for our answer then, and has not opened its log yet.

Format of a record: crc32c and length of the content (4 bytes each, big-endian), and the content, protobuf
``TimedWALMessage{time=1, msg=2}`` whose msg holds ``EndHeight{height=1}`` as field 4. Sources: CometBFT's
``consensus/wal.go``, ``consensus/state.go`` (finalizeCommit), ``consensus/replay.go`` (catchupReplay).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from openledger.abci_app.protocol.framing import uvarint
from openledger.primitives.errors import DecodingError

log = logging.getLogger(__name__)

HEAD = Path("data") / "cs.wal" / "wal"
_MAX_RECORD = 4 * 1024 * 1024
_TIME, _MSG, _END_HEIGHT, _HEIGHT = 0x0A, 0x12, 0x22, 0x08


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum, as RFC 3720 has it."""
    value = 0xFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ _TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


@dataclass(frozen=True)
class _Found:
    """The last height that has ended, or None; and the bytes of the file up to which its records are whole."""

    ended: int | None
    whole: int


class EndMark:
    """Looks after the log of one start of CometBFT, whose ``home`` this is."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._ended: int | None = None
        self._over = False

    def committed(self, height: int) -> None:
        """The application has committed a block, and CometBFT waits for its answer. The first one that the log did not
        know to have ended is looked at: in a handshake its mark may be missing, and nobody else would write it."""
        if self._over:
            return
        if self._ended is None:
            self._ended = _read_log(self._home).ended or 0
        if height <= self._ended:
            return
        self._over = True
        try:
            if end_height(self._home, height):
                log.info("CometBFT was killed while it ended height %d; its log says now that it has ended", height)
        except OSError as err:
            log.warning("CometBFT's log does not say that height %d has ended: %s", height, err.strerror or err)


def end_height(home: Path, height: int) -> bool:
    """Write that ``height`` has ended, where the log of CometBFT's ``home`` ends within that height and does not say
    so. True when it was written. While CometBFT is deciding blocks it never is: then the mark comes before the call
    for execution. Raises OSError.

    A record that was cut off by the crash goes; CometBFT's own repair would drop it as well.
    """
    head, found = home / HEAD, _read_log(home)
    if found.ended != height - 1 or not head.exists():
        return False
    handle = os.open(head, os.O_WRONLY)
    try:
        os.ftruncate(handle, found.whole)
        os.lseek(handle, found.whole, os.SEEK_SET)
        os.write(handle, record(height))
        os.fsync(handle)
    finally:
        os.close(handle)
    return True


def record(height: int) -> bytes:
    """The record that says that ``height`` has ended. Its time, which nobody reads, is the first moment of 1970."""
    mark = bytes([_HEIGHT]) + uvarint(height)
    inner = bytes([_END_HEIGHT]) + uvarint(len(mark)) + mark
    content = bytes([_TIME, 0, _MSG]) + uvarint(len(inner)) + inner
    return crc32c(content).to_bytes(4, "big") + len(content).to_bytes(4, "big") + content


def _read_log(home: Path) -> _Found:
    """The newest file, and the one before it where that one has just begun. Raises OSError."""
    head = home / HEAD
    found = _read(head.read_bytes()) if head.exists() else _Found(None, 0)
    older = sorted(head.parent.glob("wal.[0-9]*[0-9]"), key=lambda path: int(path.suffix[1:]))
    if found.ended is None and older:
        return _Found(_read(older[-1].read_bytes()).ended, found.whole)
    return found


def _read(data: bytes) -> _Found:
    ended, whole = None, 0
    for content in _records(data):
        whole += 8 + len(content)
        height = _ended_height(content)
        ended = height if height is not None else ended
    return _Found(ended, whole)


def _records(data: bytes) -> Iterator[bytes]:
    """Contents up to the first record that was not written whole. Checksums are left to CometBFT, except the last's:
    only the end of the file can be torn."""
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "big")
        content = data[at + 8 : at + 8 + length]
        if length > _MAX_RECORD or len(content) < length:
            return
        at += 8 + length
        if at == len(data) and crc32c(content) != int.from_bytes(data[at - 8 - length : at - 4 - length], "big"):
            return
        yield content


def _ended_height(content: bytes) -> int | None:
    """The height of an EndHeight record; None for any other."""
    try:
        if content[:1] != bytes([_TIME]):
            return None
        size, at = _read_varint(content, 1)
        at += size
        if content[at : at + 1] != bytes([_MSG]):
            return None
        _, at = _read_varint(content, at + 1)
        if content[at : at + 1] != bytes([_END_HEIGHT]):
            return None
        size, at = _read_varint(content, at + 1)
        return _read_varint(content, at + 1)[0] if size else 0
    except DecodingError:
        return None


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The value and where it ends. Raises DecodingError."""
    value = shift = 0
    while at < len(data) and shift < 64:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at
    raise DecodingError("a number of CometBFT's log is cut off")
