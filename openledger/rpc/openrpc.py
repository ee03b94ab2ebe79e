"""The OpenRPC document: every method of this server, made from the code that answers it.

Names, parsers and defaults of the parameters come from the methods' signatures, summaries from their docstrings,
results from ``schemas.RESULTS`` or, where a method is not named there, from its annotation. It is served as
``rpc.discover`` and at ``/openrpc.json``.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from openledger.primitives.types import parse_address
from openledger.rpc import params
from openledger.rpc.dispatch import Method
from openledger.rpc.logs import parse_log_query
from openledger.rpc.ots import parse_height
from openledger.rpc.overrides import parse_block_overrides, parse_state_overrides
from openledger.rpc.schemas import ADDRESS, BYTES, COMPONENTS, HASH, RESULTS, TEXT, UINT, Schema, array, ref
from openledger.rpc.simulate import parse_simulation
from openledger.rpc.trace_calls import parse_calls
from openledger.rpc.trace_replay import KINDS, parse_kinds

OPENRPC_VERSION = "1.3.2"

_NAMES = {
    "address": "Address", "block": "Block", "block_hash": "Block hash", "full": "Hydrated transactions",
    "tx_hash": "Transaction hash", "transaction": "Transaction", "index": "Transaction index", "slot": "Storage slot",
    "storage_keys": "StorageKeys", "requests": "Requests", "query": "Filter", "ident": "Filter identifier",
    "payload": "Payload", "config": "TraceConfig", "state_overrides": "State overrides",
    "block_overrides": "Block overrides",
}  # fmt: skip
"""Names of execution-apis; other parameters have their own name in camel case."""
_EXCEPTIONS = {("eth_simulateV1", "block"): "Block tag", ("txpool_contentFrom", "address"): "address"}

_FLAG: Schema = {"type": "boolean"}
_OBJECT: Schema = {"type": "object"}
_SCHEMAS: dict[Callable[[Any], Any], Schema] = {
    parse_address: ADDRESS,
    params.parse_hash: HASH,
    params.parse_data: BYTES,
    params.parse_signature: BYTES,
    params.parse_quantity: UINT,
    params.parse_uint64: ref("uint64"),
    params.parse_number: ref("Number"),
    params.parse_slot: ref("bytesMax32"),
    params.parse_storage_keys: array(ref("bytesMax32")),
    params.parse_block: ref("BlockReference"),
    params.parse_block_number: ref("BlockNumberOrTag"),
    params.parse_flag: _FLAG,
    params.parse_text: TEXT,
    params.parse_object: _OBJECT,
    params.parse_percentiles: array({"type": "number"}),
    parse_log_query: ref("Filter"),
    parse_state_overrides: _OBJECT,
    parse_block_overrides: _OBJECT,
    parse_height: {"anyOf": [ref("BlockReference"), {"type": "integer", "minimum": 0}]},
    parse_kinds: array({"enum": list(KINDS)}),
    parse_calls: array({"type": "array", "minItems": 2, "maxItems": 2}),
    parse_simulation: {"type": "object", "required": ["blockStateCalls"]},
}
_PLAIN: dict[Any, Schema] = {
    str: TEXT, bool: _FLAG, int: {"type": "integer"}, float: {"type": "number"}, type(None): {"type": "null"},
}  # fmt: skip


def document(methods: Mapping[str, Method], version: str, url: str) -> dict[str, Any]:
    """The document. ``version`` of the program, ``url`` of the server."""
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {
            "title": "OpenLedger JSON-RPC",
            "description": "Ethereum's JSON-RPC, and openledger_ for data, models, claims and rewards.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0.html"},
            "version": version,
        },
        "servers": [{"name": "this node", "url": url}],
        "methods": [_method(name, methods[name]) for name in sorted(methods)],
        "components": {"schemas": COMPONENTS},
    }


def _method(name: str, method: Method) -> dict[str, Any]:
    function = inspect.unwrap(method.call)
    hints = get_type_hints(getattr(function, "__func__", function), include_extras=True)
    given = [p for p in inspect.signature(method.call).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    summary = (inspect.getdoc(method.call) or name).split("\n\n")[0].replace("\n", " ")
    return {
        "name": name,
        "summary": summary,
        "paramStructure": "by-position",
        "params": [_param(name, p, hints.get(p.name)) for p in given],
        "result": {"name": "result", "schema": RESULTS.get(name) or _result(hints.get("return"))},
    }


def _param(method: str, parameter: inspect.Parameter, hint: Any) -> dict[str, Any]:
    head, *rest = parameter.name.split("_")
    own = head + "".join(part.capitalize() for part in rest)
    return {
        "name": _EXCEPTIONS.get((method, parameter.name)) or _NAMES.get(parameter.name, own),
        "required": parameter.default is parameter.empty,
        "schema": _generic(parameter.name, _argument(hint)),
    }


def _generic(name: str, schema: Schema) -> Schema:
    return ref("GenericTransaction") if name == "transaction" and schema is _OBJECT else schema


def _argument(hint: Any) -> Schema:
    if get_origin(hint) is Annotated:
        _, parser = get_args(hint)[:2]
        return _SCHEMAS.get(parser) or _result(get_args(hint)[0])
    for part in get_args(hint):  # X | None
        if get_origin(part) is Annotated:
            return _argument(part)
    return {}


def _result(hint: Any) -> Schema:
    """Schema of a plain annotation; {} for what it does not say."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin = get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        arms = [_result(arm) for arm in get_args(hint) if "Coroutine" not in str(get_origin(arm))]
        return arms[0] if len(arms) == 1 else {"anyOf": arms}
    if origin is list:
        return array(_result(get_args(hint)[0]))
    if origin is dict or hint is dict:
        return _OBJECT
    return {}
