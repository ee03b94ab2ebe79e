"""The forms of OpenAI's HTTP API that serving speaks: requests read strictly, answers and errors written."""

from __future__ import annotations

import json
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from openledger.primitives.errors import InvalidJson, OpenLedgerError, VoucherInvalid
from openledger.primitives.jsonio import read_json

MAX_PROMPT = 100_000
MOST_TOKENS = 96
MOST_STOPS, LONGEST_STOP = 4, 1_000
NOT_OFFERED: Mapping[str, Any] = {
    **dict.fromkeys(("echo", "functions", "logit_bias", "logprobs", "suffix", "tools")),
    **dict.fromkeys(("best_of", "n"), 1),
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "top_logprobs"), 0),
    "response_format": {"type": "text"},
}
"""What would make another answer than this server's, each with the value that asks for nothing. Refused, because an
answer costs money."""


class Refusal(Exception):
    """An answer that is an error: HTTP status, OpenAI's error type and code, a sentence, more top-level fields, and
    which field of the request is meant."""

    def __init__(
        self, status: int, kind: str, code: str, message: str, more: Mapping[str, Any] | None = None,
        param: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.kind, self.code, self.message, self.param = status, kind, code, message, param
        self.more = dict(more or {})

    def response(self) -> web.Response:
        """``{"error": {"message", "type", "param", "code"}, ...}``."""
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return web.json_response({"error": error, **self.more}, status=self.status)


def invalid(message: str, code: str = "invalid_value", param: str | None = None) -> Refusal:
    """400."""
    return Refusal(400, "invalid_request_error", code, message, None, param)


@web.middleware
async def errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every refusal in OpenAI's form."""
    try:
        return await handler(request)
    except Refusal as err:
        return err.response()
    except VoucherInvalid as err:
        return invalid(str(err), "voucher_invalid").response()
    except OpenLedgerError as err:
        return invalid(str(err), f"openledger_{err.code}").response()
    except web.HTTPException as err:
        message = f"{err.reason}: {request.method} {request.path}"
        return Refusal(err.status, "invalid_request_error", "http_error", message).response()


@dataclass(frozen=True)
class Ask:
    """One request for an answer: ``query`` is the text that the model continues; its answer ends before the first of
    ``stop``. Without a seed the query gives it. ``usage``: a stream ends with the count of tokens."""

    model: str
    query: str
    tokens: int
    temperature: float
    top_p: float
    seed: int
    stream: bool
    chat: bool
    stop: tuple[str, ...]
    usage: bool

    def end(self, text: str) -> int | None:
        """Where the first stop in ``text`` begins."""
        return min((at for stop in self.stop if (at := text.find(stop)) >= 0), default=None)


def read_ask(raw: bytes, chat: bool) -> Ask:
    """A request of its body. Raises Refusal (400)."""
    try:
        body = read_json(raw)
    except InvalidJson:
        raise invalid("the body is not JSON", "invalid_json") from None
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise invalid("the body must be an object with the text field 'model'")
    query = _messages(body.get("messages")) if chat else _prompt(body.get("prompt"))
    if not query.strip() or len(query) > MAX_PROMPT:
        raise invalid(f"the prompt must have 1 to {MAX_PROMPT} characters")
    tokens = body.get("max_completion_tokens") or body.get("max_tokens")
    tokens = _number(48 if tokens is None else tokens, "max_tokens", 1, 1_000_000)
    temperature = _number(_or(body.get("temperature"), 0.5), "temperature", 0, 2)
    top_p = _number(_or(body.get("top_p"), 0.9), "top_p", 0, 1)
    seed = _number(_or(body.get("seed"), zlib.crc32(query.encode())), "seed", -(2**63), 2**63 - 1)
    for name, usual in NOT_OFFERED.items():
        value = body.get(name)
        if value is not None and value is not False and value not in ("", [], {}) and value != usual:
            only = "" if usual is None else f" other than {json.dumps(usual)}"
            raise invalid(f"{name}{only} is not offered", "unsupported_value", name)
    if type(_or(body.get("stream"), False)) is not bool:
        raise invalid("stream must be true or false", param="stream")
    return Ask(
        body["model"],
        query,
        min(int(tokens), MOST_TOKENS),
        temperature,
        top_p,
        int(seed),
        bool(body.get("stream")),
        chat,
        _stops(body.get("stop")),
        _usage(body.get("stream_options")),
    )


def _stops(given: Any) -> tuple[str, ...]:
    stops = [given] if isinstance(given, str) else _or(given, [])
    if not isinstance(stops, list) or len(stops) > MOST_STOPS:
        raise invalid(f"stop must be text, or a list of at most {MOST_STOPS} texts", param="stop")
    if not all(isinstance(stop, str) and 0 < len(stop) <= LONGEST_STOP for stop in stops):
        raise invalid(f"each stop must be text of 1 to {LONGEST_STOP} characters", param="stop")
    return tuple(stops)


def _usage(options: Any) -> bool:
    wanted = _or(options, {}).get("include_usage") if isinstance(_or(options, {}), dict) else options
    if type(_or(wanted, False)) is not bool:
        raise invalid("stream_options must be an object, its include_usage true or false", param="stream_options")
    return bool(wanted)


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _number(value: Any, name: str, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise invalid(f"{name} must be a number between {least} and {most}", param=name)
    if name not in ("temperature", "top_p") and value != int(value):
        raise invalid(f"{name} must be an integer", param=name)
    return value


def _prompt(prompt: Any) -> str:
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise invalid("prompt must be text")
    return _clean(prompt)


def _messages(messages: Any) -> str:
    """The text of all messages in order, joined by blanks: the model continues text and knows no roles."""
    if not isinstance(messages, list) or not messages:
        raise invalid("messages must be a list that is not empty")
    return _clean(" ".join(_content(message) for message in messages))


def _content(message: Any) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else None for part in content]
        content = " ".join(p for p in parts if isinstance(p, str)) if all(isinstance(p, str) for p in parts) else None
    if not isinstance(content, str):
        raise invalid("every message needs the text field 'content'")
    return content


def _clean(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise invalid("the text holds half a surrogate pair, so it is not Unicode") from None
    return text


def answer_json(ask: Ask, receipt: Mapping[str, Any], reason: str, counts: tuple[int, int]) -> dict[str, Any]:
    """A whole answer. ``openledger`` carries the receipt."""
    text = receipt["answer"]
    choice: dict[str, Any] = {"index": 0, "finish_reason": reason, "logprobs": None}
    if ask.chat:
        choice["message"] = {"role": "assistant", "content": text}
    else:
        choice["text"] = text
    return {
        "id": receipt["id"],
        "object": "chat.completion" if ask.chat else "text_completion",
        "created": receipt["created"],
        "model": ask.model,
        "choices": [choice],
        "usage": _usage_json(counts),
        "openledger": {"receipt": dict(receipt)},
    }


def _usage_json(counts: tuple[int, int]) -> dict[str, int]:
    return dict(zip(("prompt_tokens", "completion_tokens", "total_tokens"), (*counts, sum(counts)), strict=True))


def chunk_json(ask: Ask, ident: str, created: int, **of: Any) -> dict[str, Any]:
    """One event of a stream: of ``text``, of the ``reason`` of its end, of the ``role`` before all, or of the tokens
    that ``usage`` counts."""
    found: dict[str, Any] = {
        "id": ident,
        "object": "chat.completion.chunk" if ask.chat else "text_completion",
        "created": created,
        "model": ask.model,
        "choices": [],
    }
    if ask.usage:
        found["usage"] = _usage_json(of["usage"]) if "usage" in of else None
    if "usage" in of:
        return found
    choice: dict[str, Any] = {"index": 0, "finish_reason": of.get("reason"), "logprobs": None}
    if ask.chat:
        said = {"role": of["role"], "content": ""} if "role" in of else {"content": of.get("text", "")}
        choice["delta"] = {} if "reason" in of else said
    else:
        choice["text"] = of.get("text", "")
    return {**found, "choices": [choice]}


__all__ = ["MOST_TOKENS", "Ask", "Refusal", "answer_json", "chunk_json", "errors", "invalid", "read_ask"]
