"""The bytes that a validator's key signs for its vote extension.

CometBFT signs length-prefixed protobuf of ``CanonicalVoteExtension{bytes extension = 1; sfixed64 height = 2; sfixed64
round = 3; string chain_id = 4}``. ``height`` is that of the precommit, ``round`` the round in which its block was
decided. Fields with the value zero are left out, as proto3 does. Verified against extensions signed by CometBFT
0.38.26 and 0.40.0 (tests/e2e).
"""

from __future__ import annotations

import struct

from openledger.abci_app.protocol.framing import frame

_EXTENSION, _HEIGHT, _ROUND, _CHAIN_ID = b"\x0a", b"\x11", b"\x19", b"\x22"


def extension_sign_bytes(chain_id: str, height: int, round: int, extension: bytes) -> bytes:
    """Sign bytes of the vote extension of the precommit of ``height`` in ``round``, on the CometBFT chain ``chain_id``.

    ``height`` and ``round`` are 64-bit integers.
    """
    parts = []
    if extension:
        parts += [_EXTENSION, frame(extension)]
    if height:
        parts += [_HEIGHT, struct.pack("<q", height)]
    if round:
        parts += [_ROUND, struct.pack("<q", round)]
    if chain_id:
        parts += [_CHAIN_ID, frame(chain_id.encode())]
    return frame(b"".join(parts))
