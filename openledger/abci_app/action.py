"""What a native action is: a frozen dataclass whose fields are the wire format, and three steps in a fixed order.

``check`` needs no state, ``validate`` only reads, ``execute`` is the only writer and returns its logs. From the
dataclass come the msgpack codec, the EIP-712 form that a wallet shows, the JSON view and the command line.

Sources: EIP-712, EIP-2718; design.md, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from openledger.genesis.params import Params
from openledger.primitives.codec import decode, encode
from openledger.primitives.errors import InvalidMsgpack, MalformedAction, UnknownAction
from openledger.primitives.fields import (
    DOMAIN_TYPES,
    domain,
    eip712_types,
    is_unicode,
    pack_struct,
    struct_hash,
    to_json,
    typed_digest,
    unpack_struct,
)
from openledger.primitives.keys import join_signature, recover_signature, sign_digest
from openledger.primitives.transactions import NativeTransaction, encode_native
from openledger.primitives.types import Address, Hash32, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

BASE_GAS = 21_000
GAS_PER_BYTE = 16
ENVELOPE_FIELDS = (("nonce", "uint64"), ("maxPriorityFee", "uint256"), ("maxFee", "uint256"), ("gasLimit", "uint64"))


@dataclass(frozen=True, slots=True)
class BlockContext:
    """The block that work happens in: height, Unix seconds, the proposer's operator, chain id, parameters."""

    height: int
    time: int
    operator: Address
    chain_id: int
    params: Params


@dataclass(frozen=True, slots=True)
class ActionContext:
    """One action: its block and the account that asked for it."""

    block: BlockContext
    sender: Address


class Action:
    """Base of all native actions. Subclasses are frozen dataclasses."""

    KIND: ClassVar[str]
    MODULE: ClassVar[Address]
    GAS: ClassVar[int]

    def kind_gas(self) -> int:
        """Gas for the work of this action, besides base and bytes: ``GAS``, and more where its fields ask for more."""
        return self.GAS

    def check(self) -> None:
        """Form only. Raises MalformedAction."""

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        """Against state, reading only. Raises an ActionRefused leaf."""

    def admit(self, view: StateReader, ctx: ActionContext) -> None:
        """What a node looks at before it takes the action into its mempool, for which nobody has paid: ``validate``,
        where that is little work. What is left out is judged in the block. Raises an ActionRefused leaf."""
        self.validate(view, ctx)

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        """Write, after ``validate`` has passed in the same block. Returns the logs. What was written before an
        ActionRefused leaf is raised is undone by the caller."""
        raise UnknownAction(f"{type(self).__name__} has no effect")


_CLASSES: dict[str, type[Action]] = {}


def register(classes: tuple[type[Action], ...]) -> None:
    """Make kinds known (called once by ``registry``)."""
    for cls in classes:
        if _CLASSES.setdefault(cls.KIND, cls) is not cls:
            raise TypeError(f"two actions have the kind {cls.KIND}")


def action_class(kind: str) -> type[Action]:
    """Class of a kind. Raises UnknownAction."""
    cls = _CLASSES.get(kind)
    if cls is None:  # ascii(), for what repr() prints of a character depends on Python's version, and a log keeps this
        raise UnknownAction(f"there is no native transaction of kind {kind[:40]!a}", "known: " + ", ".join(_CLASSES))
    return cls


def decode_action(kind: str, payload: bytes) -> Action:
    """Action of its wire form, checked for form. Raises UnknownAction, InvalidMsgpack, MalformedAction."""
    action = unpack_struct(action_class(kind), payload)
    action.check()
    return action


def encode_action(action: Action) -> bytes:
    """Payload bytes: canonical msgpack of the action's fields."""
    return pack_struct(action)


def intrinsic_gas(action: Action) -> int:
    """Gas that the action uses, always exactly: base, payload bytes, and the price of its kind."""
    return BASE_GAS + GAS_PER_BYTE * len(encode_action(action)) + action.kind_gas()


def outbox_bytes(action: Action) -> bytes:
    """What a contract gives to the Outbox's ``submit(bytes)``: canonical msgpack of [kind, payload]."""
    return encode([action.KIND, encode_action(action)])


def decode_outbox(data: bytes) -> Action:
    """Action of Outbox bytes. Raises InvalidMsgpack, UnknownAction, MalformedAction."""
    parts = decode(data)
    if not isinstance(parts, list) or len(parts) != 2:
        raise InvalidMsgpack("an Outbox action is the list [kind, payload]")
    kind, payload = parts
    if not isinstance(kind, str) or not isinstance(payload, bytes):
        raise InvalidMsgpack("an Outbox action is the list [kind, payload]: text and bytes")
    return decode_action(kind, payload)


# --- signing ----------------------------------------------------------------------------------------------


def signing_digest(chain_id: int, nonce: int, max_priority_fee: int, max_fee: int, gas: int, action: Action) -> Hash32:
    """The EIP-712 digest that the sender signs."""
    values = (nonce, max_priority_fee, max_fee, gas)
    extra = tuple((n, t, v) for (n, t), v in zip(ENVELOPE_FIELDS, values, strict=True))
    return typed_digest(chain_id, struct_hash(action, extra))


def typed_data(
    chain_id: int, nonce: int, max_priority_fee: int, max_fee: int, gas: int, action: Action
) -> dict[str, Any]:
    """The argument of ``eth_signTypedData_v4``."""
    values = {"nonce": nonce, "maxPriorityFee": str(max_priority_fee), "maxFee": str(max_fee), "gasLimit": gas}
    return {
        "types": {"EIP712Domain": DOMAIN_TYPES, **eip712_types(type(action), ENVELOPE_FIELDS)},
        "primaryType": type(action).__name__,
        "domain": domain(chain_id),
        "message": values | to_json(action),
    }


def native_sender(tx: NativeTransaction) -> Address:
    """Who signed a native transaction. Raises InvalidSignature, UnknownAction, InvalidMsgpack, MalformedAction."""
    action = decode_action(tx.kind, tx.payload)
    digest = signing_digest(tx.chain_id, tx.nonce, tx.max_priority_fee, tx.max_fee, tx.gas, action)
    return recover_signature(digest, tx.signature)


def build_native(
    secret: bytes,
    *,
    chain_id: int,
    nonce: int,
    max_priority_fee: int,
    max_fee: int,
    action: Action,
    gas: int | None = None,
) -> bytes:
    """Raw bytes of a signed native transaction; ``gas`` defaults to exactly what it needs."""
    gas = intrinsic_gas(action) if gas is None else gas
    digest = signing_digest(chain_id, nonce, max_priority_fee, max_fee, gas, action)
    signature = join_signature(*sign_digest(secret, digest))
    return encode_native(chain_id, nonce, max_priority_fee, max_fee, gas, action.KIND, encode_action(action), signature)


# --- form checks shared by actions ----------------------------------------------------------------------


def require_text(name: str, value: str, longest: int, shortest: int = 1) -> None:
    """Raise MalformedAction unless ``value`` has a fitting length and no control characters."""
    if not is_unicode(value):
        raise MalformedAction(f"{name} is not Unicode text")
    if not shortest <= len(value.encode()) <= longest:
        raise MalformedAction(f"{name} must have {shortest} to {longest} bytes")
    if any((ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 for c in value):
        raise MalformedAction(f"{name} has control characters in it")
