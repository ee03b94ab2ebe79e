"""Records the blocks that consensus decided, as FinalizeBlock requests, so that they can be run again elsewhere.

The file is a row of frames: length as unsigned varint, then the ABCI request. A frame cut off by a crash at the end
of the file is dropped. A block that CometBFT replayed after a crash stands there twice; readers see it once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from openledger.abci_app.protocol.codec import decode_request, encode_request
from openledger.abci_app.protocol.framing import FrameReader, frame
from openledger.abci_app.protocol.messages import RequestFinalizeBlock
from openledger.primitives.errors import UnexpectedMessage

_CHUNK = 1 << 20


class Recorder:
    """Appends requests to a file; each is flushed to the operating system."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        self._file.truncate(_whole_length(path))
        self._file.seek(0, 2)

    def record(self, request: RequestFinalizeBlock) -> None:
        """Append one block."""
        self._file.write(frame(encode_request(request)))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _frames(path: Path) -> Iterator[bytes]:
    reader = FrameReader()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            reader.feed(chunk)
            while (raw := reader.next()) is not None:
                yield raw


def _whole_length(path: Path) -> int:
    return sum(len(frame(raw)) for raw in _frames(path))


def read_recording(path: Path) -> Iterator[RequestFinalizeBlock]:
    """The recorded blocks in order of height, each once.

    Raises InvalidProtobuf or MissingField for a damaged file, UnexpectedMessage for anything that is not a block or
    for two different blocks of one height.
    """
    last: RequestFinalizeBlock | None = None
    for raw in _frames(path):
        request = decode_request(raw)
        if not isinstance(request, RequestFinalizeBlock):
            raise UnexpectedMessage(f"{type(request).__name__} in a recording of blocks")
        if last is not None and request.height <= last.height:
            if request.height == last.height and request != last:
                raise UnexpectedMessage(f"two different blocks of height {request.height} in a recording")
            continue
        last = request
        yield request
