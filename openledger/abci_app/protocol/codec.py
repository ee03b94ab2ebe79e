"""Between ABCI bytes and the plain values of ``messages``, in both directions.

Converters are built once from the table in ``schema``, by the names of the dataclass fields. Decoding refuses what is
not protobuf (InvalidProtobuf) and what lacks a required field (MissingField, by name); unknown fields are skipped, as
protobuf wants. Encoding a value that does not fit its wire type raises ValueError or TypeError: a fault of the
program."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from google.protobuf.message import DecodeError

from openledger.abci_app.protocol import messages
from openledger.abci_app.protocol.messages import ConsensusParams
from openledger.abci_app.protocol.schema import CLASSES, MESSAGES, FieldSpec
from openledger.primitives.errors import InvalidProtobuf, MissingField

_NANOS = 1_000_000_000

Reader = Callable[[Any], Any]
Writer = Callable[[Any], Any]


# --- values that are not one dataclass for one message ---------------------------------------------------------


def _read_time(wire: Any) -> int:
    if not 0 <= wire.nanos < _NANOS:
        raise InvalidProtobuf(f"Timestamp.nanos is {wire.nanos}, outside of a second")
    return int(wire.seconds) * _NANOS + int(wire.nanos)


def _write_time(value: int) -> Any:
    seconds, nanos = divmod(value, _NANOS)
    return CLASSES["Timestamp"](seconds=seconds, nanos=nanos)


def _read_public_key(wire: Any) -> bytes:
    kind = wire.WhichOneof("sum")
    if kind is None:
        raise MissingField("PublicKey is empty")
    if kind != "ed25519" or len(wire.ed25519) != 32:
        raise InvalidProtobuf(f"PublicKey: expected 32 bytes of ed25519, got {kind}")
    return bytes(wire.ed25519)


def _write_public_key(value: bytes) -> Any:
    return CLASSES["PublicKey"](ed25519=value)


def _read_attribute(wire: Any) -> tuple[str, str]:
    return wire.key, wire.value


def _write_attribute(value: tuple[str, str]) -> Any:
    return CLASSES["EventAttribute"](key=value[0], value=value[1], index=True)


def _read_params(wire: Any) -> ConsensusParams:
    """Groups that are not set stay None. The version group is CometBFT's own."""
    values: dict[str, Any] = {}
    if wire.HasField("block"):
        values |= {"block_max_bytes": wire.block.max_bytes, "block_max_gas": wire.block.max_gas}
    if wire.HasField("evidence"):
        age = wire.evidence.max_age_duration
        values["evidence_max_age_num_blocks"] = wire.evidence.max_age_num_blocks
        values["evidence_max_age_duration"] = age.seconds * _NANOS + age.nanos
        values["evidence_max_bytes"] = wire.evidence.max_bytes
    if wire.HasField("validator"):
        values["pub_key_types"] = tuple(wire.validator.pub_key_types)
    if wire.HasField("abci"):
        values["vote_extensions_enable_height"] = wire.abci.vote_extensions_enable_height
    return ConsensusParams(**values)


def _group(name: str, **fields: Any) -> Any | None:
    """A group of parameters replaces the whole group at CometBFT, so it is given in full or not at all."""
    missing = [key for key, value in fields.items() if value is None]
    if len(missing) == len(fields):
        return None
    if missing:
        raise ValueError(f"{name}: {', '.join(missing)} must be given with the rest of the group")
    return CLASSES[name](**fields)


def _write_params(value: ConsensusParams) -> Any:
    age = value.evidence_max_age_duration
    duration = None if age is None else CLASSES["Duration"](seconds=age // _NANOS, nanos=age % _NANOS)
    groups = {
        "block": _group("BlockParams", max_bytes=value.block_max_bytes, max_gas=value.block_max_gas),
        "evidence": _group(
            "EvidenceParams",
            max_age_num_blocks=value.evidence_max_age_num_blocks,
            max_age_duration=duration,
            max_bytes=value.evidence_max_bytes,
        ),
        "validator": _group("ValidatorParams", pub_key_types=value.pub_key_types),
        "abci": _group("ABCIParams", vote_extensions_enable_height=value.vote_extensions_enable_height),
    }
    return CLASSES["ConsensusParams"](**{key: group for key, group in groups.items() if group is not None})


_READERS: dict[str, Reader] = {
    "Timestamp": _read_time,
    "PublicKey": _read_public_key,
    "EventAttribute": _read_attribute,
    "ConsensusParams": _read_params,
}
_WRITERS: dict[str, Writer] = {
    "Timestamp": _write_time,
    "PublicKey": _write_public_key,
    "EventAttribute": _write_attribute,
    "ConsensusParams": _write_params,
}


# --- converters built from the table ------------------------------------------------------------------------------


def _read_field(owner: str, field: FieldSpec) -> Reader:
    """A function from the wire message to the value of one field."""
    get = attrgetter(field.name)
    if not field.is_message:
        if field.repeated:
            return lambda wire: tuple(get(wire))
        if not field.required:
            return get

        def read_required(wire: Any) -> Any:
            value = get(wire)
            if not value:
                raise MissingField(f"{owner}.{field.name} is missing")
            return value

        return read_required

    convert = _READERS[field.type]
    if field.repeated:
        return lambda wire: tuple([convert(item) for item in get(wire)])

    def read_message(wire: Any) -> Any:
        if wire.HasField(field.name):
            return convert(get(wire))
        if field.required:
            raise MissingField(f"{owner}.{field.name} is missing")
        return None

    return read_message


def _build_reader(name: str, cls: Any) -> Reader:
    by_name = {field.name: field for field in MESSAGES[name].fields}
    fields = [_read_field(name, by_name[item.name]) for item in dataclasses.fields(cls)]
    return lambda wire: cls(*[read(wire) for read in fields])


def _build_writer(name: str, cls: Any) -> Writer:
    wire_class = CLASSES[name]
    by_name = {field.name: field for field in MESSAGES[name].fields}
    plain = [item.name for item in dataclasses.fields(cls) if not by_name[item.name].is_message]
    nested = [by_name[item.name] for item in dataclasses.fields(cls) if by_name[item.name].is_message]

    def write(value: Any) -> Any:
        kwargs = {key: getattr(value, key) for key in plain}
        for field in nested:
            part = getattr(value, field.name)
            if field.repeated:
                kwargs[field.name] = [_WRITERS[field.type](item) for item in part]
            elif part is not None:
                kwargs[field.name] = _WRITERS[field.type](part)
        return wire_class(**kwargs)

    return write


def _build_all() -> None:
    """Fills the tables in the order of the schema, where every message stands after those it uses."""
    for name in MESSAGES:
        cls = getattr(messages, name, None)
        if cls is not None and name not in _READERS:
            _READERS[name] = _build_reader(name, cls)
            _WRITERS[name] = _build_writer(name, cls)


_build_all()
_REQUEST_READERS = {field.name: _READERS[field.type] for field in MESSAGES["Request"].fields}
_RESPONSE_READERS = {field.name: _READERS[field.type] for field in MESSAGES["Response"].fields}
_REQUEST_NAMES = {getattr(messages, field.type): field for field in MESSAGES["Request"].fields}
_RESPONSE_NAMES = {getattr(messages, field.type): field for field in MESSAGES["Response"].fields}


def _decode(kind: str, readers: dict[str, Reader], raw: bytes | memoryview) -> Any:
    wire = CLASSES[kind]()
    try:
        wire.ParseFromString(raw)
    except DecodeError as err:
        raise InvalidProtobuf(f"{kind} of {len(raw)} bytes is not protobuf: {err}") from None
    name = wire.WhichOneof("value")
    if name is None:
        raise MissingField(f"{kind}.value is missing, or of an unknown type")
    return readers[name](getattr(wire, name))


def _encode(kind: str, names: dict[Any, FieldSpec], value: object) -> bytes:
    field = names[type(value)]
    return bytes(CLASSES[kind](**{field.name: _WRITERS[field.type](value)}).SerializeToString(deterministic=True))


def decode_request(raw: bytes | memoryview) -> Any:
    """The request message (a ``messages.Request...`` value) in one frame of CometBFT.

    Raises InvalidProtobuf and MissingField (``Message.field`` named in the text).
    """
    return _decode("Request", _REQUEST_READERS, raw)


def encode_request(request: object) -> bytes:
    """Bytes of a request, without frame length; the other half of ``decode_request``."""
    return _encode("Request", _REQUEST_NAMES, request)


def decode_response(raw: bytes | memoryview) -> Any:
    """The response message (a ``messages.Response...`` value) in one frame. Raises as ``decode_request``."""
    return _decode("Response", _RESPONSE_READERS, raw)


def encode_response(response: object) -> bytes:
    """Bytes of a response, without frame length."""
    return _encode("Response", _RESPONSE_NAMES, response)
