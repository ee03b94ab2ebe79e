"""The forms of OpenAI's HTTP API that serving speaks: requests read strictly, answers and errors written."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from openledger.primitives.errors import InvalidJson
from openledger.primitives.jsonio import read_json

MAX_PROMPT = 100_000
MOST_TOKENS = 96


class Refusal(Exception):
    """An answer that is an error: HTTP status, OpenAI's error type and code, a sentence, more top-level fields."""

    def __init__(self, status: int, kind: str, code: str, message: str, more: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.code, self.message = status, kind, code, message
        self.more = dict(more or {})

    def response(self) -> web.Response:
        """``{"error": {"message", "type", "param", "code"}, ...}``."""
        error = {"message": self.message, "type": self.kind, "param": None, "code": self.code}
        return web.json_response({"error": error, **self.more}, status=self.status)


def invalid(message: str, code: str = "invalid_value") -> Refusal:
    """400."""
    return Refusal(400, "invalid_request_error", code, message)


@dataclass(frozen=True)
class Ask:
    """One request for an answer: ``query`` is the text that the model continues. Without a seed the query gives it."""

    model: str
    query: str
    tokens: int
    temperature: float
    top_p: float
    seed: int
    stream: bool
    chat: bool


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
    if _or(body.get("n"), 1) != 1:
        raise invalid("only n = 1 is offered")
    if type(_or(body.get("stream"), False)) is not bool:
        raise invalid("stream must be true or false")
    return Ask(
        body["model"],
        query,
        min(int(tokens), MOST_TOKENS),
        temperature,
        top_p,
        int(seed),
        bool(body.get("stream")),
        chat,
    )


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _number(value: Any, name: str, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise invalid(f"{name} must be a number between {least} and {most}")
    if name not in ("temperature", "top_p") and value != int(value):
        raise invalid(f"{name} must be an integer")
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
    text, asked, said = receipt["answer"], *counts
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
        "usage": {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said},
        "openledger": {"receipt": dict(receipt)},
    }


def chunk_json(ask: Ask, ident: str, created: int, text: str, reason: str | None) -> dict[str, Any]:
    """One event of a stream."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": reason, "logprobs": None}
    if ask.chat:
        choice["delta"] = {"content": text} if reason is None else {}
    else:
        choice["text"] = text
    kind = "chat.completion.chunk" if ask.chat else "text_completion"
    return {"id": ident, "object": kind, "created": created, "model": ask.model, "choices": [choice]}


__all__ = ["MOST_TOKENS", "Ask", "Refusal", "answer_json", "chunk_json", "invalid", "read_ask"]
