"""Vote extensions and slot 0: how verdicts travel from validators into blocks.

A validator's extension of height h is signed with its precommit; the proposer of h+1 puts the signed extensions in
slot 0, the first transaction of its block: ``0x52 || msgpack([[address, extension, signature], ...])``, ascending by
address, ``max_slot0_bytes`` at most. Everybody checks the signatures against the keys of the set of height h, which our
own state keeps. An invalid slot 0 counts as an empty one. Checking never recomputes a verdict.

A consensus engine may hand the proposer extensions that it has not verified (they came after the two thirds), so the
proposer checks all of them again and leaves out what does not hold: what it builds, everybody takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from openledger.abci_app.modules.attribution.messages import Message, Promise, decode_extension
from openledger.abci_app.modules.attribution.records import OPEN, electorate
from openledger.abci_app.modules.governance.records import params as read_params
from openledger.abci_app.modules.staking.sets import last_signers
from openledger.abci_app.protocol.canonical import extension_sign_bytes
from openledger.abci_app.protocol.messages import FLAG_COMMIT, ExtendedCommitInfo
from openledger.primitives.codec import decode, encode
from openledger.primitives.errors import InvalidMsgpack, InvalidSignature, InvalidTransaction, NotFound
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import ed25519_verify
from openledger.primitives.transactions import SLOT0
from openledger.primitives.types import Address
from openledger.state.ports import StateReader

AIM_BYTES = 1_024
"""An extension up to this size always finds room in slot 0; a larger one takes turns with the other large ones."""
ENTRY_BYTES = 100
"""More than address, signature and framing add to an extension."""
LIST_BYTES = 8
"""More than slot 0 adds to its entries."""

_verify = lru_cache(maxsize=512)(ed25519_verify)
"""A proposer checks the same signatures when it builds a block and when it executes it."""


class SigningChain(Protocol):
    """What the sign bytes need of a chain, and the first height whose precommits carry extensions."""

    @property
    def chain_id(self) -> str: ...
    @property
    def extensions_from(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Precommits:
    """The precommits of a block: which chain, its height, and the round in which it was decided."""

    chain: SigningChain
    height: int
    round: int


Entry = tuple[Address, bytes, bytes]
"""Consensus address, extension, ed25519 signature."""


def is_slot0(raw: bytes) -> bool:
    """True for bytes that can only be a slot 0."""
    return raw[:1] == bytes([SLOT0])


def check_extension(extension: bytes, sender: Address, state: StateReader, max_bytes: int) -> None:
    """Size, form, open claims, a member of their electorate. Raises an InvalidTransaction leaf; never recomputes."""
    if len(extension) > max_bytes:
        raise InvalidMsgpack(f"an extension has at most {max_bytes} bytes")
    for message in decode_extension(extension):
        if isinstance(message, Promise):
            continue
        if OPEN.get(state, message.claim) is None:
            raise NotFound(f"claim {message.claim} is not open")
        if all(m.address != sender for m in electorate(state, message.claim).members):
            raise NotFound(f"validator 0x{sender.hex()} has no vote in claim {message.claim}")


# --- the proposer -----------------------------------------------------------------------------------------


def build_slot0(commit: ExtendedCommitInfo, of: Precommits, state: StateReader, room: int) -> bytes:
    """Slot 0 out of the extended commit of the block before, in ``room`` bytes at most; empty when nobody spoke, or
    where nothing fits."""
    keys = _keys(of, state)
    entries: dict[Address, Entry] = {}
    for vote in commit.votes:
        if vote.block_id_flag != FLAG_COMMIT or not vote.vote_extension:
            continue
        entry = (vote.validator.address, vote.vote_extension, vote.extension_signature)
        try:
            _check_signed(entry, keys, of, read_params(state).max_extension_bytes)
        except InvalidTransaction:
            continue
        entries[vote.validator.address] = entry
    chosen = _fitting(list(entries.values()), of.height, min(room, read_params(state).max_slot0_bytes))
    return bytes([SLOT0]) + encode([list(entry) for entry in sorted(chosen)]) if chosen else b""


def _fitting(entries: Sequence[Entry], height: int, room: int) -> list[Entry]:
    """Entries that fit: first those within the aim, then larger ones. The order among each follows the height, so who
    is left out now has its turn later: what is said is said again until a block carries it."""
    left = room - LIST_BYTES
    chosen = []
    turn = keccak256(b"openledger.slot0" + height.to_bytes(8, "big"))
    by_turn = sorted(entries, key=lambda entry: (len(entry[1]) > AIM_BYTES, keccak256(turn + entry[0])))
    for entry in by_turn:
        size = len(entry[1]) + ENTRY_BYTES
        if size <= left:
            left -= size
            chosen.append(entry)
    return chosen


# --- everybody --------------------------------------------------------------------------------------------


def read_slot0(raw: bytes, of: Precommits, state: StateReader) -> list[tuple[Address, Message]]:
    """(validator, message) in order, of a slot 0 with extensions of these precommits.

    Raises an InvalidTransaction leaf when anything in it does not hold.
    """
    params = read_params(state)
    if len(raw) > params.max_slot0_bytes:
        raise InvalidMsgpack(f"slot 0 has at most {params.max_slot0_bytes} bytes")
    entries = decode(raw[1:])
    if not isinstance(entries, list) or not entries:
        raise InvalidMsgpack("slot 0 is a list of signed extensions")
    keys = _keys(of, state)
    said: list[tuple[Address, Message]] = []
    last = b""
    for entry in entries:
        if not isinstance(entry, list) or len(entry) != 3 or not all(isinstance(part, bytes) for part in entry):
            raise InvalidMsgpack("an entry of slot 0 is address, extension and signature")
        address, extension, signature = entry
        if address <= last:
            raise InvalidMsgpack("entries of slot 0 ascend by address")
        last = address
        messages = _check_signed((address, extension, signature), keys, of, params.max_extension_bytes)
        said += [(address, message) for message in messages]
    return said


def _keys(of: Precommits, state: StateReader) -> dict[Address, bytes]:
    """Who may have signed: consensus address to key. Nobody before extensions begin."""
    if of.height < of.chain.extensions_from:
        return {}
    return {seat.address: seat.pub_key for seat in last_signers(state).seats}


def _check_signed(entry: Entry, keys: dict[Address, bytes], of: Precommits, max_bytes: int) -> list[Message]:
    address, extension, signature = entry
    key = keys.get(address)
    if key is None:
        raise NotFound(f"0x{address.hex()} was not a validator at height {of.height}")
    if not 0 < len(extension) <= max_bytes:
        raise InvalidMsgpack(f"an extension in slot 0 has 1 to {max_bytes} bytes")
    if not _verify(key, extension_sign_bytes(of.chain.chain_id, of.height, of.round, extension), signature):
        raise InvalidSignature(f"the extension of validator 0x{address.hex()} is not signed by it")
    return decode_extension(extension)
