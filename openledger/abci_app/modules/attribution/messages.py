"""What a validator's oracle says in a vote extension, and the digest that binds a verdict before it is shown.

An extension is canonical msgpack of a list of [tag, fields...]; it is at most ``max_extension_bytes`` long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from openledger.primitives.attribution import EVERY_SEGMENT, NAMED_REST, NAMED_ROW, NAMED_SHARE, SHOWN_ROWS
from openledger.primitives.codec import decode, encode
from openledger.primitives.errors import InvalidMsgpack, MalformedAction
from openledger.primitives.fields import (
    U8,
    U32,
    U64,
    AddressField,
    Bytes,
    Bytes32,
    FieldType,
    Flag,
    Text,
    from_wire,
    to_wire,
)
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import ZERO_ADDRESS, Address, Hash32

MAX_MESSAGES = 16
MIN_SALT, MAX_SALT = 16, 32
MAX_REASON = 200
MAX_PROOF = 40
HASH_BYTES = 32
SEED_BYTES = 32
OWN_BYTES, CLAIMED_BYTES = 4, 8
OWN_MOST = 2**31 - 1


@dataclass(frozen=True)
class Hold:
    """I hold every blob that this claim needs."""

    claim: U64
    attempt: U32


@dataclass(frozen=True)
class Commitment:
    """My verdict, bound by ``verdict_digest`` and not yet shown, in the first look (0) or the second. ``leaf`` is that
    of my seed for this claim (32 bytes), ``path`` the way from it to the root that I promised (hashes, one behind the
    other). They come whatever the verdict is, which they must not betray; a yes without them will be void."""

    claim: U64
    attempt: U32
    digest: Bytes32
    leaf: Bytes = b""
    path: Bytes = b""
    look: U8 = 0


@dataclass(frozen=True)
class Accusation:
    """This is wrong, and everybody shall look at it before the vote closes: an index row, a contributor's share (else
    the zero address), or the unattributed part, by ``kind`` (NAMED_ROW, NAMED_SHARE, NAMED_REST). A row is wrong in a
    ``segment`` of the training run, counted from 1; 0 where its index has no checkpoints."""

    claim: U64
    attempt: U32
    kind: U8
    row: U64
    contributor: AddressField
    segment: U8 = 0


@dataclass(frozen=True)
class ShownBlock:
    """A drawn row's block of rows: my own scores (4 bytes each, signed, ppb), and the claim's scores (8 bytes each)
    with the Merkle proof of their node (hashes, one behind the other)."""

    block: U64
    own: Bytes
    claimed: Bytes
    proof: Bytes


@dataclass(frozen=True)
class Reveal:
    """The verdict behind my commitment. A no names in ``reason`` what is wrong, and shows no seed and no rows. ``seed``
    is the one whose leaf my commitment has (32 bytes)."""

    claim: U64
    attempt: U32
    valid: Flag
    reason: Text
    salt: Bytes
    seed: Bytes
    shown: tuple[ShownBlock, ...]


@dataclass(frozen=True)
class Promise:
    """My seeds for the claim numbers of this batch have this Merkle root."""

    batch: U64
    root: Bytes32


ClaimMessage: TypeAlias = Hold | Commitment | Reveal | Accusation
Message: TypeAlias = ClaimMessage | Promise
_TAGS: dict[int, type[Hold] | type[Commitment] | type[Reveal] | type[Promise] | type[Accusation]] = {
    1: Hold,
    2: Commitment,
    3: Reveal,
    4: Promise,
    5: Accusation,
}


def own_bytes(scores: Iterable[int]) -> bytes:
    """Own scores as a message has them; what does not fit 4 bytes is no score of a claim, and becomes the nearest."""
    return b"".join(
        max(-OWN_MOST - 1, min(score, OWN_MOST)).to_bytes(OWN_BYTES, "big", signed=True) for score in scores
    )


def scores_of(raw: bytes, width: int) -> list[int]:
    """Scores of ``width`` bytes each that stand one behind the other."""
    return [int.from_bytes(raw[at : at + width], "big", signed=True) for at in range(0, len(raw), width)]


def score_bytes(score: int) -> bytes:
    """A score as it stands in messages: 8 bytes, big-endian, signed."""
    return score.to_bytes(8, "big", signed=True)


def hashes_of(raw: bytes) -> list[Hash32]:
    """The hashes of a Merkle proof that stand one behind the other. Raises MalformedAction."""
    if len(raw) % HASH_BYTES or len(raw) > MAX_PROOF * HASH_BYTES:
        raise MalformedAction(f"a proof is at most {MAX_PROOF} hashes of {HASH_BYTES} bytes")
    return [raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)]


def verdict_digest(
    claim: int,
    attempt: int,
    validator: Address,
    valid: bool,
    reason: str,
    salt: bytes,
    own: Sequence[tuple[int, bytes]],
) -> Hash32:
    """What a commitment contains. ``own`` are (block, own scores) of the drawn blocks, so that scores cannot be fitted
    to what the claimant shows later; the validator's address keeps neighbours from copying."""
    body = encode([claim, attempt, validator, valid, reason, salt, [[block, raw] for block, raw in own]])
    return keccak256(b"openledger.verdict" + body)


def encode_extension(messages: Sequence[Message]) -> bytes:
    """Extension bytes; empty for no messages."""
    if not messages:
        return b""
    tags = {cls: tag for tag, cls in _TAGS.items()}
    return encode([[tags[type(m)], to_wire(m, FieldType("struct", struct=type(m)))] for m in messages])


def decode_extension(raw: bytes) -> list[Message]:
    """Messages of an extension, checked for form. Raises InvalidMsgpack, MalformedAction."""
    if not raw:
        return []
    items = decode(raw)
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_MESSAGES:
        raise InvalidMsgpack(f"an extension is a list of 1 to {MAX_MESSAGES} messages")
    return [_message(item) for item in items]


def _message(item: object) -> Message:
    if not isinstance(item, list) or len(item) != 2 or not isinstance(item[0], int) or isinstance(item[0], bool):
        raise InvalidMsgpack("a message is a list of tag and fields")
    cls = _TAGS.get(item[0])
    if cls is None:
        raise InvalidMsgpack(f"there is no message with tag {item[0]}")
    message: Message = from_wire(item[1], FieldType("struct", struct=cls), cls.__name__)
    if isinstance(message, Reveal):
        _check_reveal(message)
    if isinstance(message, Commitment):
        if len(message.leaf) not in (0, HASH_BYTES):
            raise MalformedAction(f"the leaf of a seed has {HASH_BYTES} bytes")
        hashes_of(message.path)
    if isinstance(message, Accusation):
        _check_accusation(message)
    return message


def _check_accusation(message: Accusation) -> None:
    if message.kind not in (NAMED_ROW, NAMED_SHARE, NAMED_REST):
        raise MalformedAction(f"there is no accusation of kind {message.kind}")
    if ((message.row or message.segment) and message.kind != NAMED_ROW) or (
        (message.contributor != ZERO_ADDRESS) != (message.kind == NAMED_SHARE)
    ):
        raise MalformedAction("an accusation names a row, a contributor's share or the unattributed part")
    if message.segment == EVERY_SEGMENT:
        raise MalformedAction("an accusation names one segment of the training run")


def _check_reveal(message: Reveal) -> None:
    if not MIN_SALT <= len(message.salt) <= MAX_SALT:
        raise MalformedAction(f"a salt has {MIN_SALT} to {MAX_SALT} bytes")
    if len(message.reason.encode()) > MAX_REASON:
        raise MalformedAction(f"a reason has at most {MAX_REASON} bytes")
    if len(message.seed) not in (0, SEED_BYTES):
        raise MalformedAction(f"a seed has {SEED_BYTES} bytes")
    for shown in message.shown:
        rows, rest = divmod(len(shown.own), OWN_BYTES)
        if rest or not 1 <= rows <= SHOWN_ROWS or len(shown.claimed) != rows * CLAIMED_BYTES:
            raise MalformedAction(f"a shown block has two scores of {OWN_BYTES} and {CLAIMED_BYTES} bytes for each row")
        hashes_of(shown.proof)
