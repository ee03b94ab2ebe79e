"""Vote extensions and slot 0: how verdicts travel from validators into blocks.

A validator's extension of height h is signed with its precommit; the proposer of h+1 puts the signed extensions in
slot 0, the first transaction of its block: ``0x52 || msgpack([[address, extension, signature], ...])``, ascending by
address. Everybody checks the signatures against keys from our own state. An invalid slot 0 counts as an empty one.
Checking never recomputes a verdict.
"""

from __future__ import annotations

from openledger.abci_app.modules.attribution.messages import Message, decode_extension
from openledger.abci_app.modules.attribution.records import ELECTORATES, OPEN
from openledger.abci_app.modules.staking.records import validator
from openledger.abci_app.protocol.canonical import extension_sign_bytes
from openledger.abci_app.protocol.messages import FLAG_COMMIT, ExtendedCommitInfo
from openledger.primitives.codec import decode, encode
from openledger.primitives.errors import InvalidMsgpack, InvalidSignature, InvalidTransaction, NotFound
from openledger.primitives.keys import ed25519_verify
from openledger.primitives.transactions import SLOT0
from openledger.primitives.types import Address
from openledger.state.ports import StateReader


def is_slot0(raw: bytes) -> bool:
    """True for bytes that can only be a slot 0."""
    return raw[:1] == bytes([SLOT0])


def check_extension(extension: bytes, sender: Address, state: StateReader, max_bytes: int) -> None:
    """Size, form, open claims, a member of their electorate. Raises an InvalidTransaction leaf; never recomputes."""
    if len(extension) > max_bytes:
        raise InvalidMsgpack(f"an extension has at most {max_bytes} bytes")
    for message in decode_extension(extension):
        if OPEN.get(state, message.claim) is None:
            raise NotFound(f"claim {message.claim} is not open")
        if all(m.address != sender for m in ELECTORATES.must(state, message.claim).members):
            raise NotFound(f"validator 0x{sender.hex()} has no vote in claim {message.claim}")


def build_slot0(commit: ExtendedCommitInfo, height: int, chain_id: str, state: StateReader, max_bytes: int) -> bytes:
    """Slot 0 for the block of ``height`` out of the extended commit of the block before; empty when nobody spoke.

    Re-verifies everything and leaves out what does not hold: the consensus engine may pass on late extensions that it
    has not verified.
    """
    entries = []
    for vote in sorted(commit.votes, key=lambda v: v.validator.address):
        if vote.block_id_flag != FLAG_COMMIT or not vote.vote_extension:
            continue
        try:
            _check_signed(
                vote.validator.address, vote.vote_extension, vote.extension_signature, height - 1, commit.round,
                chain_id, state, max_bytes,
            )  # fmt: skip
        except InvalidTransaction:
            continue
        entries.append([vote.validator.address, vote.vote_extension, vote.extension_signature])
    return bytes([SLOT0]) + encode(entries) if entries else b""


def read_slot0(
    raw: bytes, height: int, round: int, chain_id: str, state: StateReader, max_bytes: int
) -> list[tuple[Address, Message]]:
    """(validator, message) in order, of the slot 0 in the block of ``height`` whose last commit was of ``round``.

    Raises an InvalidTransaction leaf when anything in it does not hold.
    """
    entries = decode(raw[1:])
    if not isinstance(entries, list) or not entries:
        raise InvalidMsgpack("slot 0 is a list of signed extensions")
    said: list[tuple[Address, Message]] = []
    last = b""
    for entry in entries:
        if not isinstance(entry, list) or len(entry) != 3 or not all(isinstance(part, bytes) for part in entry):
            raise InvalidMsgpack("an entry of slot 0 is address, extension and signature")
        address, extension, signature = entry
        if address <= last:
            raise InvalidMsgpack("entries of slot 0 ascend by address")
        last = address
        messages = _check_signed(address, extension, signature, height - 1, round, chain_id, state, max_bytes)
        said += [(address, message) for message in messages]
    return said


def _check_signed(
    address: Address, extension: bytes, signature: bytes, height: int, round: int, chain_id: str, state: StateReader,
    max_bytes: int,
) -> list[Message]:  # fmt: skip
    known = validator(state, address)
    if known is None or not known.power:
        raise NotFound(f"0x{address.hex()} is not a validator")
    if not 0 < len(extension) <= max_bytes:
        raise InvalidMsgpack(f"an extension in slot 0 has 1 to {max_bytes} bytes")
    if not ed25519_verify(known.pub_key, extension_sign_bytes(chain_id, height, round, extension), signature):
        raise InvalidSignature(f"the extension of validator 0x{address.hex()} is not signed by it")
    return decode_extension(extension)
