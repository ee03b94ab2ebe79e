"""Frames: each message on an ABCI socket, and each entry of a recording, follows its length as unsigned varint."""

from __future__ import annotations

from openledger.primitives.errors import FrameTooLarge, InvalidProtobuf

MAX_FRAME = 128 * 1024 * 1024
"""Bytes. CometBFT's largest block is 100 MiB; what is longer cannot come from it."""
_MAX_VARINT = 10


def uvarint(value: int) -> bytes:
    """Unsigned LEB128 of a number that is not negative."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def frame(payload: bytes) -> bytes:
    """Length and payload."""
    return uvarint(len(payload)) + payload


class FrameReader:
    """Cuts a stream of bytes into frames. Feed it as bytes come, take frames until there is None."""

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._position = 0
        self._max_frame = max_frame

    @property
    def pending(self) -> int:
        """Bytes fed and not yet taken as a frame."""
        return len(self._buffer) - self._position

    def feed(self, data: bytes) -> None:
        """Append bytes of the stream."""
        if self._position and self._position == len(self._buffer):
            self._buffer.clear()
            self._position = 0
        elif self._position > 1 << 20:
            del self._buffer[: self._position]
            self._position = 0
        self._buffer += data

    def next(self) -> bytes | None:
        """The next whole frame without its length, or None when more bytes are needed.

        Raises FrameTooLarge as soon as the length is known, and InvalidProtobuf for a length that is no varint.
        """
        length, shift, position = 0, 0, self._position
        while True:
            if position == len(self._buffer):
                return None
            byte = self._buffer[position]
            position += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift >= 7 * _MAX_VARINT:
                raise InvalidProtobuf("the length of a frame is not a varint")
        if length > self._max_frame:
            raise FrameTooLarge(f"a frame of {length} bytes is above the limit of {self._max_frame}")
        end = position + length
        if end > len(self._buffer):
            return None
        self._position = end
        return bytes(memoryview(self._buffer)[position:end])
