"""Typed fields: from one frozen dataclass come the msgpack codec, the EIP-712 type and the JSON view.

Annotate fields with the aliases below. A tuple of a type is an array; a nested dataclass is a struct:

    @dataclass(frozen=True)
    class Create:
        name: Text
        owner: AddressField
        parts: tuple[Part, ...]

Source: EIP-712 for types and hashing; design.md, section 2, for the wire form.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin, get_type_hints

from openledger.primitives.codec import MAX_PLAIN_INT, Value, decode, encode, pack_int, unpack_int
from openledger.primitives.errors import InvalidMsgpack, MalformedAction, OpenLedgerError
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import from_hex, parse_address, to_checksum, to_hex

AddressField = Annotated[bytes, "address"]
Bytes32 = Annotated[bytes, "bytes32"]
Bytes = Annotated[bytes, "bytes"]
Text = Annotated[str, "string"]
Flag = Annotated[bool, "bool"]
U8 = Annotated[int, "uint8"]
U16 = Annotated[int, "uint16"]
U32 = Annotated[int, "uint32"]
U64 = Annotated[int, "uint64"]
U256 = Annotated[int, "uint256"]

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class FieldType:
    """One resolved field type: ``kind`` is an EIP-712 atom, or ``struct`` / ``array``."""

    kind: str
    struct: type | None = None
    item: FieldType | None = None

    @property
    def eip712(self) -> str:
        if self.kind == "array" and self.item is not None:
            return self.item.eip712 + "[]"
        return self.struct.__name__ if self.struct is not None else self.kind

    @property
    def bits(self) -> int:
        return int(self.kind[4:])


def _resolve(hint: Any) -> FieldType:
    if get_origin(hint) is Annotated:
        return FieldType(get_args(hint)[1])
    if get_origin(hint) is tuple:
        item, ellipsis = get_args(hint)
        if ellipsis is not Ellipsis:
            raise TypeError(f"only tuple[X, ...] is a field type, not {hint}")
        return FieldType("array", item=_resolve(item))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return FieldType("struct", struct=hint)
    raise TypeError(f"{hint} is not a field type")


_SCHEMAS: dict[Any, tuple[tuple[str, FieldType], ...]] = {}


def schema(cls: type) -> tuple[tuple[str, FieldType], ...]:
    """Field names and types of a dataclass, in wire order."""
    known = _SCHEMAS.get(cls)
    if known is None:
        hints = get_type_hints(cls, include_extras=True)
        known = tuple((f.name, _resolve(hints[f.name])) for f in dataclasses.fields(cls) if f.init)
        _SCHEMAS[cls] = known
    return known


# --- msgpack ----------------------------------------------------------------------------------------------


def to_wire(value: Any, ftype: FieldType, path: str = "a number") -> Value:
    """Wire form of one field value. Raises MalformedAction naming the field when a number is out of range."""
    if ftype.kind == "struct" and ftype.struct is not None:
        return [to_wire(getattr(value, name), t, f"{path}.{name}") for name, t in schema(ftype.struct)]
    if ftype.kind == "array" and ftype.item is not None:
        return [to_wire(v, ftype.item, path) for v in value]
    if not ftype.kind.startswith("uint"):
        return cast(Value, value)
    if not 0 <= value < 1 << ftype.bits:
        raise MalformedAction(f"{path} must be {ftype.kind}")
    return pack_int(value)


def from_wire(value: Value, ftype: FieldType, path: str) -> Any:
    """Field value of its wire form. Raises InvalidMsgpack naming the field."""
    if ftype.kind == "struct" and ftype.struct is not None:
        return _struct_from_wire(ftype.struct, value, path)
    if ftype.kind == "array" and ftype.item is not None:
        if not isinstance(value, list):
            raise InvalidMsgpack(f"{path} must be a list")
        if ftype.item.kind == "bytes32" and all(type(v) is bytes and len(v) == 32 for v in value):
            return tuple(value)  # Merkle proofs: a vote extension is mostly this, and a block checks hundreds of them
        return tuple(from_wire(v, ftype.item, f"{path}[{i}]") for i, v in enumerate(value))
    if ftype.kind.startswith("uint"):
        try:
            return unpack_int(value, ftype.bits)
        except InvalidMsgpack as err:
            raise InvalidMsgpack(f"{path}: {err}") from None
    wanted: type = {"string": str, "bool": bool}.get(ftype.kind, bytes)
    if not isinstance(value, wanted):
        raise InvalidMsgpack(f"{path} must be {ftype.kind}")
    length = {"address": 20, "bytes32": 32}.get(ftype.kind)
    if length is not None and len(cast(bytes, value)) != length:
        raise InvalidMsgpack(f"{path} must have {length} bytes")
    return value


def _struct_from_wire(cls: type[T], value: Value, path: str) -> T:
    fields = schema(cls)
    if not isinstance(value, list) or len(value) != len(fields):
        raise InvalidMsgpack(f"{path} must be a list of {len(fields)} fields")
    return cls(**{n: from_wire(v, t, f"{path}.{n}") for v, (n, t) in zip(value, fields, strict=True)})


def pack_struct(value: Any) -> bytes:
    """Canonical msgpack of a dataclass instance: the list of its fields. Raises MalformedAction."""
    ftype = FieldType("struct", struct=type(value))
    try:
        return encode(_writer(ftype)(value))
    except _Strange:
        return encode(to_wire(value, ftype, type(value).__name__))


def unpack_struct(cls: type[T], raw: bytes) -> T:
    """Instance of ``cls`` from canonical msgpack. Raises InvalidMsgpack."""
    wire = decode(raw)
    try:
        return cast(T, _reader(FieldType("struct", struct=cls))(wire))
    except _Strange:
        return _struct_from_wire(cls, wire, cls.__name__)


# --- the same without a name for each value: records are read and written by the thousand ------------------------


class _Strange(Exception):
    """A value that does not have its type's form. Who goes by names says which one, and why."""


_Step = Callable[[Any], Any]


@functools.cache
def _reader(ftype: FieldType) -> _Step:
    """``from_wire`` for one type; raises _Strange where that refuses, or may."""
    if ftype.kind == "struct" and ftype.struct is not None:
        return _struct_reader(ftype.struct)
    if ftype.kind == "array" and ftype.item is not None:
        return _array_reader(_reader(ftype.item))
    if ftype.kind.startswith("uint"):
        return _number_reader(ftype.bits)
    wanted: type[Any] = {"string": str, "bool": bool}.get(ftype.kind, bytes)
    length = {"address": 20, "bytes32": 32}.get(ftype.kind)

    def read(value: Any) -> Any:
        if type(value) is not wanted or (length is not None and len(value) != length):
            raise _Strange
        return value

    return read


def _struct_reader(cls: type) -> _Step:
    steps = tuple(_reader(ftype) for _, ftype in schema(cls))

    def read(value: Any) -> Any:
        if type(value) is not list or len(value) != len(steps):
            raise _Strange
        return cls(*[step(item) for step, item in zip(steps, value, strict=True)])

    return read


def _array_reader(step: _Step) -> _Step:
    def read(value: Any) -> Any:
        if type(value) is not list:
            raise _Strange
        return tuple([step(item) for item in value])

    return read


def _number_reader(bits: int) -> _Step:
    limit = 1 << bits

    def read(value: Any) -> Any:
        if type(value) is int and 0 <= value < limit:
            return value
        try:
            return unpack_int(value, bits)
        except InvalidMsgpack:
            raise _Strange from None

    return read


@functools.cache
def _writer(ftype: FieldType) -> _Step:
    """``to_wire`` for one type; raises _Strange where that refuses."""
    if ftype.kind == "struct" and ftype.struct is not None:
        fields = tuple((name, _writer(kind)) for name, kind in schema(ftype.struct))
        return lambda value: [step(getattr(value, name)) for name, step in fields]
    if ftype.kind == "array" and ftype.item is not None:
        inner = _writer(ftype.item)
        return lambda value: [inner(item) for item in value]
    if not ftype.kind.startswith("uint"):
        return lambda value: value
    limit = 1 << ftype.bits

    def write(value: Any) -> Any:
        if not 0 <= value < limit:
            raise _Strange
        return value if value <= MAX_PLAIN_INT else pack_int(value)

    return write


# --- EIP-712 ----------------------------------------------------------------------------------------------


def eip712_types(cls: type, extra: tuple[tuple[str, str], ...] = ()) -> dict[str, list[dict[str, str]]]:
    """``types`` of the typed data: ``cls`` first (``extra`` fields before its own), then its structs."""
    found: dict[str, list[dict[str, str]]] = {
        cls.__name__: [{"name": n, "type": t} for n, t in extra]
        + [{"name": _camel(n), "type": t.eip712} for n, t in schema(cls)]
    }
    for _, ftype in schema(cls):
        inner = ftype
        while inner.item is not None:
            inner = inner.item
        if inner.struct is not None:
            found.update(eip712_types(inner.struct))
    return found


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def _type_hash(primary: str, types: Mapping[str, list[dict[str, str]]]) -> bytes:
    def form(name: str) -> str:
        return f"{name}({','.join(f['type'] + ' ' + f['name'] for f in types[name])})"

    return keccak256((form(primary) + "".join(form(n) for n in sorted(types) if n != primary)).encode())


def _encode_value(value: Any, ftype: FieldType) -> bytes:
    if ftype.kind == "array" and ftype.item is not None:
        return keccak256(b"".join(_encode_value(v, ftype.item) for v in value))
    if ftype.kind == "struct":
        return struct_hash(value)
    if ftype.kind == "string":
        return keccak256(value.encode())
    if ftype.kind == "bytes":
        return keccak256(value)
    if ftype.kind in ("address", "bytes32"):
        return cast(bytes, value).rjust(32, b"\0")
    return int(value).to_bytes(32, "big")


def struct_hash(value: Any, extra: tuple[tuple[str, str, int], ...] = ()) -> bytes:
    """EIP-712 hashStruct; ``extra`` are (name, type, integer) fields that stand before the struct's own."""
    types = eip712_types(type(value), tuple((n, t) for n, t, _ in extra))
    head = b"".join(v.to_bytes(32, "big") for _, _, v in extra)
    body = b"".join(_encode_value(getattr(value, n), t) for n, t in schema(type(value)))
    return keccak256(_type_hash(type(value).__name__, types) + head + body)


DOMAIN_TYPES = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
]


def domain(chain_id: int) -> dict[str, Any]:
    """The EIP-712 domain of a chain."""
    return {"name": "OpenLedger", "version": "1", "chainId": chain_id}


@functools.lru_cache(maxsize=64)  # bounded: strangers choose the chain id of what they send
def domain_separator(chain_id: int) -> bytes:
    """hashStruct of the domain ``{name: "OpenLedger", version: "1", chainId}``."""
    kind = keccak256(b"EIP712Domain(string name,string version,uint256 chainId)")
    return keccak256(kind + keccak256(b"OpenLedger") + keccak256(b"1") + chain_id.to_bytes(32, "big"))


def typed_digest(chain_id: int, hashed_struct: bytes) -> bytes:
    """What a wallet signs for typed data."""
    return keccak256(b"\x19\x01" + domain_separator(chain_id) + hashed_struct)


# --- JSON -------------------------------------------------------------------------------------------------


def to_json(value: Any, *, camel: bool = True) -> dict[str, Any]:
    """JSON view of a dataclass: hex for bytes, EIP-55 addresses, integers up to 2^53 as numbers, larger as
    decimal text (as ``eth_signTypedData_v4`` takes them)."""

    def view(item: Any, ftype: FieldType) -> Any:
        if ftype.kind == "array" and ftype.item is not None:
            return [view(v, ftype.item) for v in item]
        if ftype.kind == "struct":
            return to_json(item, camel=camel)
        if ftype.kind == "address":
            return to_checksum(item)
        if ftype.kind in ("bytes", "bytes32"):
            return to_hex(item)
        return str(item) if ftype.kind.startswith("uint") and item > 2**53 - 1 else item

    return {(_camel(n) if camel else n): view(getattr(value, n), t) for n, t in schema(type(value))}


def from_json(cls: type[T], data: Mapping[str, Any], path: str = "") -> T:
    """Instance of ``cls`` of its JSON view; camelCase and snake_case names, hex or decimal integers.

    Raises MalformedAction naming the field that is missing, unknown or malformed.
    """
    where = path or cls.__name__
    if not isinstance(data, Mapping):
        raise MalformedAction(f"{where} must be an object")
    fields = schema(cls)
    given: dict[str, Any] = {}
    names = {_camel(n): n for n, _ in fields} | {n: n for n, _ in fields}
    for key, item in data.items():
        if key not in names:
            raise MalformedAction(f"{where} has no field {key!r}", "fields: " + ", ".join(n for n, _ in fields))
        given[names[key]] = item
    values: dict[str, Any] = {}
    defaults = {f.name: f.default for f in dataclasses.fields(cast(Any, cls))}
    for name, ftype in fields:
        if name in given:
            values[name] = _value_from_json(given[name], ftype, f"{where}.{name}")
        elif defaults[name] is dataclasses.MISSING:
            raise MalformedAction(f"{where} lacks the field {name!r}")
    return cls(**values)


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can carry ``text``: JSON and the command line also bring halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _integer(item: Any) -> int:
    """A JSON number, decimal text, or 0x hex; -1, which no field takes, for other text."""
    if not isinstance(item, str):
        return int(item)
    try:
        return int(item, 0)
    except ValueError:
        return -1


def _value_from_json(item: Any, ftype: FieldType, path: str) -> Any:
    try:
        if ftype.kind == "array" and ftype.item is not None:
            if not isinstance(item, list | tuple):
                raise MalformedAction(f"{path} must be a list")
            return tuple(_value_from_json(v, ftype.item, f"{path}[{i}]") for i, v in enumerate(item))
        if ftype.struct is not None:
            return from_json(ftype.struct, item, path)
        if ftype.kind == "address":
            return parse_address(item)
        if ftype.kind in ("bytes", "bytes32"):
            return from_hex(item, 32 if ftype.kind == "bytes32" else None)
        if ftype.kind == "string" and isinstance(item, str) and is_unicode(item):
            return item
        if ftype.kind == "bool" and isinstance(item, bool):
            return item
        if ftype.kind.startswith("uint") and not isinstance(item, bool | float):
            number = _integer(item)
            if 0 <= number < 1 << ftype.bits:
                return number
    except MalformedAction:
        raise
    except (OpenLedgerError, ValueError, TypeError, AttributeError) as err:
        raise MalformedAction(f"{path}: {err}") from None
    raise MalformedAction(f"{path} must be {ftype.eip712}")
