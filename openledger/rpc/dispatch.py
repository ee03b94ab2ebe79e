"""From the bytes of a request to the text of its answer. Knows JSON-RPC 2.0, and nothing about the chain.

Namespaces are objects; their public methods are the methods of the RPC: ``get_balance`` of a namespace registered
under ``eth`` is ``eth_getBalance``. The table is made once, at the start; a name that begins with an underscore never
gets into it. Parameters are positional; the parser of each stands in its annotation (params.py).
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from openledger.primitives.errors import InvalidJson, OpenLedgerError
from openledger.primitives.jsonio import nests_deeper, parse_json
from openledger.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    RpcError,
    from_tree,
    invalid_params,
    method_not_found,
)

log = logging.getLogger("openledger.rpc")

INFINITE = float("inf")
"""What a number too large for a float is read as; JSON cannot say it back."""


@dataclass(frozen=True, slots=True)
class Method:
    """One callable of the table. ``parsers[i]`` reads argument i; the first ``required`` must be given, the others
    have ``defaults[i]``."""

    call: Callable[..., Any]
    parsers: tuple[Callable[[Any], Any], ...]
    defaults: tuple[Any, ...]
    required: int
    wants_session: bool
    is_async: bool


def _same(value: Any) -> Any:
    return value


def _parser(hint: Any) -> Callable[[Any], Any]:
    if get_origin(hint) is Annotated:
        parser: Callable[[Any], Any] = get_args(hint)[1]
        return parser
    for part in get_args(hint):  # X | None
        if get_origin(part) is Annotated:
            return _parser(part)
    return _same


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def methods_of(prefix: str, namespace: object) -> dict[str, Method]:
    """Name -> method for every public method of a namespace object."""
    found: dict[str, Method] = {}
    for name, function in inspect.getmembers(type(namespace), inspect.isfunction):
        if name.startswith("_"):
            continue
        hints = get_type_hints(function, include_extras=True)
        given = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
        positional = [p for p in given if p.kind is p.POSITIONAL_OR_KEYWORD]
        found[f"{prefix}_{_camel(name)}"] = Method(
            call=getattr(namespace, name),
            parsers=tuple(_parser(hints.get(p.name)) for p in positional),
            defaults=tuple(p.default for p in positional),
            required=sum(p.default is p.empty for p in positional),
            wants_session=any(p.name == "session" and p.kind is p.KEYWORD_ONLY for p in given),
            is_async=inspect.iscoroutinefunction(function),
        )
    return found


def _arguments(method: Method, params: Any) -> list[Any]:
    if params is None:
        params = []
    if not isinstance(params, list):
        raise invalid_params("non-array args")
    if len(params) > len(method.parsers):
        raise invalid_params(f"too many arguments, want at most {len(method.parsers)}")
    for i in range(method.required):
        if i >= len(params) or params[i] is None:
            raise invalid_params(f"missing value for required argument {i}")
    parsed = []
    for i, (value, parser) in enumerate(zip(params, method.parsers, strict=False)):
        try:
            parsed.append(method.defaults[i] if value is None and i >= method.required else parser(value))
        except OpenLedgerError as err:
            raise RpcError(INVALID_PARAMS, f"invalid argument {i}: {err.message}", from_tree(err).data) from None
        except ValueError as err:
            raise invalid_params(f"invalid argument {i}: {err}") from None
    return parsed


class Dispatcher:
    """Answers requests, single and in batches. ``session`` is the WebSocket connection, or None over HTTP."""

    def __init__(self, namespaces: Iterable[tuple[str, object]], *, max_batch: int = 1000, max_depth: int = 64) -> None:
        self.methods: dict[str, Method] = {}
        for prefix, namespace in namespaces:
            for name, method in methods_of(prefix, namespace).items():
                if name in self.methods:
                    raise ValueError(f"{name} is defined twice")
                self.methods[name] = method
        self.calls: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._max_batch = max_batch
        self._max_depth = max_depth

    async def answer(self, body: bytes, session: object = None) -> str | None:
        """Text of the answer to one request or batch; None when there is nothing to say (notifications only)."""
        try:
            request = self._parse(body)
            if not isinstance(request, list):
                single = await self._one(request, session)
                return None if single is None else _dump(single)
            if not request:
                raise RpcError(INVALID_REQUEST, "empty batch")
            if len(request) > self._max_batch:
                raise RpcError(INVALID_REQUEST, f"batch too large: {len(request)} requests, limit {self._max_batch}")
        except RpcError as err:
            return _dump({"jsonrpc": "2.0", "id": None, "error": err.as_json()})
        answers = []
        for item in request:
            found = await self._one(item, session)
            if found is not None:
                answers.append(found)
            await asyncio.sleep(0)  # others have their turn between the entries of a batch
        return _dump(answers) if answers else None

    def _parse(self, body: bytes) -> Any:
        if nests_deeper(body, self._max_depth):
            raise RpcError(INVALID_REQUEST, f"request nested too deeply, limit {self._max_depth}")
        try:
            return parse_json(body)
        except InvalidJson as err:
            raise RpcError(PARSE_ERROR, f"parse error: {err}") from None

    async def _one(self, request: Any, session: object) -> dict[str, Any] | None:
        ident = request.get("id") if isinstance(request, dict) else None
        if not isinstance(ident, str | int | float | None) or isinstance(ident, bool) or ident in (INFINITE, -INFINITE):
            ident, request = None, None
        try:
            if not isinstance(request, dict) or request.get("jsonrpc") != "2.0":
                raise RpcError(INVALID_REQUEST, "invalid request")
            if not isinstance(request.get("method"), str):
                raise RpcError(INVALID_REQUEST, "invalid request: method must be text")
            result = await self.call(request["method"], request.get("params"), session)
        except RpcError as err:
            if isinstance(request, dict) and "id" not in request and "method" in request:
                return None
            return {"jsonrpc": "2.0", "id": ident, "error": err.as_json()}
        return {"jsonrpc": "2.0", "id": ident, "result": result} if "id" in request else None

    async def call(self, name: str, params: Any = None, session: object = None) -> Any:
        """Result of one method. Raises RpcError."""
        method = self.methods.get(name)
        if method is None:
            self.failures["unknown"] += 1
            raise method_not_found(name[:100])
        self.calls[name] += 1
        try:
            arguments = _arguments(method, params)
            extra = {"session": session} if method.wants_session else {}
            result = method.call(*arguments, **extra)
            return await result if method.is_async else result
        except RpcError:
            self.failures[name] += 1
            raise
        except OpenLedgerError as err:
            self.failures[name] += 1
            raise from_tree(err) from None
        except Exception:
            self.failures[name] += 1
            log.exception("fault in %s", name)
            raise RpcError(INTERNAL_ERROR, "internal error", {"hint": "the node's log has the details"}) from None


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
