"""From the bytes of a request to the text of its answer. Knows JSON-RPC 2.0, and nothing about the chain.

Namespaces are objects; their public methods are the methods of the RPC: ``get_balance`` of a namespace registered
under ``eth`` is ``eth_getBalance``. The table is made once, at the start; a name that begins with an underscore never
gets into it. Parameters are positional; the parser of each stands in its annotation (params.py).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Annotated, Any, TypeAlias, get_args, get_origin, get_type_hints

from openledger.primitives.errors import InvalidJson, OpenLedgerError
from openledger.primitives.jsonio import nests_deeper
from openledger.rpc.callers import ANYBODY, Caller, TooManyRequests, now_asks
from openledger.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    RESPONSE_TOO_LARGE,
    RpcError,
    from_tree,
    invalid_params,
    method_not_found,
)
from openledger.rpc.jsontext import dump, load, reply
from openledger.rpc.meter import MethodMeter

log = logging.getLogger("openledger.rpc")
access = logging.getLogger("openledger.access")

Answer: TypeAlias = bytes | None
Later: TypeAlias = Coroutine[Any, Any, bytes | None]

SLICE_SECONDS = 0.002
"""How long a batch may run before others have their turn."""

SENDS = ("eth_sendRawTransaction", "openledger_sendTransaction")
"""Methods whose neighbours in a batch are under way together: each waits for the disk, and they can share that."""
_SENT_BYTES = 104
"""About the length of their answer."""

Left: TypeAlias = Callable[[], bool]
"""Whether the client has gone, so that nobody waits for the answer."""

INFINITE = float("inf")
"""What a number too large for a float is read as; JSON cannot say it back."""

MAX_PARTS = 200_000
"""Lists, objects, texts and commas of a request: five megabytes of empty lists took three seconds to be read, in which
nothing else ran. As many bytes full of hashes have fewer."""

MOST_GATHERED = 256 * 1024 * 1024
"""Bytes of the answers of all batches that are under way."""

_ID_TYPES = frozenset((int, str, float, type(None)))


@dataclass(frozen=True, slots=True)
class Method:
    """One callable of the table. ``parsers[i]`` reads argument i; the first ``required`` must be given, the others
    have ``defaults[i]``."""

    call: Callable[..., Any]
    parsers: tuple[Callable[[Any], Any], ...]
    defaults: tuple[Any, ...]
    required: int
    wants_session: bool


def _stays() -> bool:
    return False


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


def _parts(body: bytes) -> int:
    """About how many values a JSON text holds; counted, not read."""
    return body.count(b"[") + body.count(b"{") + body.count(b",") + body.count(b'"') // 2


def _camel(name: str) -> str:
    """``get_balance`` is getBalance; a double underscore stays one, as in ``sign_typed_data__v4``."""
    words = (part.split("_") for part in name.split("__"))
    return "_".join(head + "".join(word[:1].upper() + word[1:] for word in rest) for head, *rest in words)


def methods_of(prefix: str, namespace: object) -> dict[str, Method]:
    """Name -> method for every public method of a namespace object; ``NAMES`` of its class has names of other forms."""
    found: dict[str, Method] = {}
    own_names: dict[str, str] = getattr(namespace, "NAMES", {})
    for name, function in inspect.getmembers(type(namespace), inspect.isfunction):
        if name.startswith("_"):
            continue
        hints = get_type_hints(function, include_extras=True)
        given = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
        positional = [p for p in given if p.kind is p.POSITIONAL_OR_KEYWORD]
        found[own_names.get(name) or f"{prefix}_{_camel(name)}"] = Method(
            call=getattr(namespace, name),
            parsers=tuple(_parser(hints.get(p.name)) for p in positional),
            defaults=tuple(p.default for p in positional),
            required=sum(p.default is p.empty for p in positional),
            wants_session=any(p.name == "session" and p.kind is p.KEYWORD_ONLY for p in given),
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
    """Answers requests, single and in batches. ``session`` is the WebSocket connection, or None over HTTP; ``caller``
    pays for the calls where callers are limited."""

    def __init__(
        self,
        namespaces: Iterable[tuple[str, object]],
        *,
        max_batch: int = 1000,
        max_depth: int = 64,
        max_parts: int = MAX_PARTS,
        max_answer: int = 25_000_000,
        access_log: bool = False,
    ) -> None:
        self.methods: dict[str, Method] = {}
        for prefix, namespace in namespaces:
            for name, method in methods_of(prefix, namespace).items():
                if name in self.methods:
                    raise ValueError(f"{name} is defined twice")
                self.methods[name] = method
        self.meters: dict[str, MethodMeter] = {name: MethodMeter() for name in self.methods}
        self.unknown = 0
        self._max_batch = max_batch
        self._max_depth = max_depth
        self._max_parts = max_parts
        self._max_answer = max_answer
        self._gathered = 0
        self._access_log = access_log

    @property
    def calls(self) -> Counter[str]:
        """Calls by method; only methods that were called."""
        return Counter({name: meter.calls for name, meter in self.meters.items() if meter.calls})

    @property
    def failures(self) -> Counter[str]:
        """Failed calls by method, "unknown" for methods that do not exist."""
        found = Counter({name: meter.failures for name, meter in self.meters.items() if meter.failures})
        if self.unknown:
            found["unknown"] = self.unknown
        return found

    async def answer(
        self, body: bytes, session: object = None, caller: Caller = ANYBODY, left: Left = _stays
    ) -> bytes | None:
        """``begin``, waited for."""
        found = self.begin(body, session, caller, left)
        return found if isinstance(found, bytes | None) else await found

    def begin(
        self, body: bytes, session: object = None, caller: Caller = ANYBODY, left: Left = _stays
    ) -> Answer | Later:
        """Answer to one request or batch: its text, None when there is nothing to say (notifications only), or a
        coroutine that gives either, where a method has to wait. A batch ends early when ``left`` says that nobody waits
        for it any more. Raises TooManyRequests when the caller has used up what a batch costs."""
        now_asks(caller)
        try:
            request = self._parse(body)
            if not isinstance(request, list):
                return self._one(request, session, caller)
            if not request:
                raise RpcError(INVALID_REQUEST, "empty batch")
            if len(request) > self._max_batch:
                raise RpcError(INVALID_REQUEST, f"batch too large: {len(request)} requests, limit {self._max_batch}")
        except RpcError as err:
            return dump({"jsonrpc": "2.0", "id": None, "error": err.as_json()})
        if not caller.take(len(request) - 1):
            raise TooManyRequests
        return self._batch(request, session, caller, left)

    async def _batch(self, requests: list[Any], session: object, caller: Caller, left: Left) -> Answer:
        answers: list[bytes] = []
        sends: list[asyncio.Task[bytes | None]] = []
        size, counted, resumed = 0, 0, perf_counter()
        try:
            for item in requests:
                if left():
                    break
                if sends and not _is_send(item):
                    answers += [await send or b"" for send in sends]
                    sends.clear()
                if size > self._max_answer or self._gathered > MOST_GATHERED:
                    found: Answer | Later = _too_large(item)
                else:
                    found = self._one(item, session, caller)
                if isinstance(found, Coroutine) and _is_send(item):
                    sends.append(asyncio.ensure_future(found))  # they share a sync, in this order
                    size += _SENT_BYTES
                elif found is not None:
                    answers.append(found if isinstance(found, bytes) else await found or b"")
                    size += len(answers[-1])
                self._gathered += size - counted
                counted = size
                if perf_counter() - resumed > SLICE_SECONDS:
                    await asyncio.sleep(0)  # others have their turn between the entries of a batch
                    resumed = perf_counter()
            answers += [await send or b"" for send in sends]
        finally:
            self._gathered -= counted
        return b"[" + b",".join(filter(None, answers)) + b"]" if any(answers) else None

    def _parse(self, body: bytes) -> Any:
        if len(body) > self._max_parts and _parts(body) > self._max_parts:
            raise RpcError(INVALID_REQUEST, f"request of too many parts, limit {self._max_parts}")
        if nests_deeper(body, self._max_depth):
            raise RpcError(INVALID_REQUEST, f"request nested too deeply, limit {self._max_depth}")
        try:
            return load(body)
        except InvalidJson as err:
            raise RpcError(PARSE_ERROR, f"parse error: {err}") from None

    def _one(self, request: Any, session: object, caller: Caller) -> Answer | Later:
        ident = request.get("id") if isinstance(request, dict) else None
        if type(ident) not in _ID_TYPES or ident in (INFINITE, -INFINITE):
            ident, request = None, None
        try:
            if not isinstance(request, dict) or request.get("jsonrpc") != "2.0":
                raise RpcError(INVALID_REQUEST, "invalid request")
            name = request.get("method")
            if not isinstance(name, str):
                raise RpcError(INVALID_REQUEST, "invalid request: method must be text")
        except RpcError as err:
            return dump({"jsonrpc": "2.0", "id": ident, "error": err.as_json()})
        started = perf_counter()
        told = "id" in request
        try:
            result = self._invoke(name, request.get("params"), session)
        except Exception as err:  # noqa: BLE001 (of any fault the caller hears, and the log has it)
            return self._refused(name, err, ident, told, started, caller)
        if isinstance(result, Coroutine):
            return self._later(name, result, ident, told, started, caller)
        self._count(name, started, None, caller)
        return reply(ident, result) if told else None

    async def _later(
        self, name: str, result: Coroutine[Any, Any, Any], ident: Any, told: bool, started: float, caller: Caller
    ) -> Answer:
        try:
            value = await result
        except Exception as err:  # noqa: BLE001 (as above)
            return self._refused(name, err, ident, told, started, caller)
        self._count(name, started, None, caller)
        return reply(ident, value) if told else None

    def _refused(
        self, name: str, err: Exception, ident: Any, told: bool, started: float, caller: Caller
    ) -> bytes | None:
        error = _rpc_error(name, err)
        self._count(name, started, error.code, caller)
        return dump({"jsonrpc": "2.0", "id": ident, "error": error.as_json()}) if told else None

    def _count(self, name: str, started: float, error: int | None, caller: Caller) -> None:
        seconds, meter = perf_counter() - started, self.meters.get(name)
        if meter is None:
            self.unknown += 1
        else:
            meter.add(seconds, error is not None)
        if self._access_log:
            fields = {"client": caller.address, "method": name[:100], "ms": round(seconds * 1000, 3), "error": error}
            access.info("call", extra=fields)

    def _invoke(self, name: str, params: Any, session: object) -> Any:
        """Result of one method, or the coroutine that gives it. Raises RpcError and what the method raises."""
        method = self.methods.get(name)
        if method is None:
            raise method_not_found(name[:100])
        if method.wants_session:
            return method.call(*_arguments(method, params), session=session)
        return method.call(*_arguments(method, params))


def _rpc_error(name: str, err: Exception) -> RpcError:
    if isinstance(err, RpcError):
        return err
    if isinstance(err, OpenLedgerError):
        return from_tree(err)
    log.error("fault in %s", name, exc_info=err)
    return RpcError(INTERNAL_ERROR, "internal error", {"hint": "the node's log has the details"})


def _is_send(request: Any) -> bool:
    return isinstance(request, dict) and request.get("method") in SENDS


def _too_large(request: Any) -> bytes | None:
    """The refusal of a batch's entry once the answers before it are too long, in geth's words."""
    if not isinstance(request, dict) or "id" not in request:
        return None
    ident = request["id"] if type(request["id"]) in _ID_TYPES else None
    return dump({"jsonrpc": "2.0", "id": ident, "error": {"code": RESPONSE_TOO_LARGE, "message": "response too large"}})
