"""A remote signer for tests, as a process: ``signer.py SOCKET KEY_SEED_HEX [no-extensions]``.

Speaks CometBFT's privval protocol over a unix socket (which needs no encryption): length-prefixed protobuf, one answer
for each request. It signs what it is asked to and keeps no history: never a model for a real one.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Iterator

from openledger.abci_app.protocol.canonical import extension_sign_bytes
from openledger.abci_app.protocol.framing import frame
from openledger.primitives.keys import ed25519_public, ed25519_sign

PRECOMMIT = 2


def fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field of a protobuf message."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = raw[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(raw):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            length = varint() if key & 7 == 2 else 8
            yield key >> 3, raw[at : at + length]
            at += length


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def part(number: int, value: int | bytes) -> bytes:
    """One field on the wire."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + frame(value)


def fixed(number: int, value: int) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<q", value) if value else b""


class Signer:
    def __init__(self, seed: bytes, extensions: bool) -> None:
        self.seed, self.extensions = seed, extensions

    def answer(self, raw: bytes) -> bytes:
        """The answer to one message."""
        kind, body = next(fields(raw))
        assert isinstance(body, bytes)
        if kind == 1:
            return part(2, part(1, part(1, ed25519_public(self.seed))))
        if kind == 3:
            return part(4, part(1, self.signed(body, vote=True)))
        if kind == 5:
            return part(6, part(1, self.signed(body, vote=False)))
        return part(8, b"")

    def signed(self, request: bytes, *, vote: bool) -> bytes:
        """The vote or proposal of a request with its signatures."""
        asked = dict(fields(request))
        raw, chain = asked[1], asked[2]
        assert isinstance(raw, bytes)
        assert isinstance(chain, bytes)
        found = dict(fields(raw))
        height, round = int(found.get(2, 0)), int(found.get(3, 0))
        block = found[4 if vote else 5]
        there = any(number == 1 for number, _ in fields(block)) if isinstance(block, bytes) else False
        head = part(1, found[1]) + fixed(2, height) + fixed(3, round)
        if not vote and 4 in found:
            head += part(4, found[4])
        if there:
            head += part(4 if vote else 5, block)
        head += part(5 if vote else 6, found.get(5 if vote else 6, b"")) + part(6 if vote else 7, chain)
        out = raw + part(8 if vote else 7, ed25519_sign(self.seed, frame(head)))
        if vote and found[1] == PRECOMMIT and there and self.extensions:
            said = found.get(9, b"")
            assert isinstance(said, bytes)
            out += part(10, ed25519_sign(self.seed, extension_sign_bytes(chain.decode(), height, round, said)))
        return out


def serve(path: str, signer: Signer) -> None:
    """Connect whenever CometBFT listens, and answer."""
    while True:
        with socket.socket(socket.AF_UNIX) as link:
            try:
                link.connect(path)
            except OSError:
                time.sleep(0.05)
                continue
            waiting = b""
            while data := link.recv(65536):
                waiting += data
                while waiting:
                    length, at = 0, 0
                    while at < len(waiting) and waiting[at] > 127:
                        length |= (waiting[at] & 127) << 7 * at
                        at += 1
                    if at == len(waiting):
                        break
                    length |= waiting[at] << 7 * at
                    end = at + 1 + length
                    if len(waiting) < end:
                        break
                    link.sendall(frame(signer.answer(waiting[at + 1 : end])))
                    waiting = waiting[end:]


if __name__ == "__main__":
    serve(sys.argv[1], Signer(bytes.fromhex(sys.argv[2]), sys.argv[3:] != ["no-extensions"]))
