"""Serving over HTTP: OpenAI's API with payment by on-chain sessions.

    GET  /v1/models[/{id}]          the models and their prices, or one
    POST /v1/completions            an answer; 402 with the price unless paid
    POST /v1/chat/completions       the same for messages
    POST /v1/vouchers               pays for all answers of a session so far
    GET  /v1/sessions/{session}     which answer is next, what is owed, and the voucher to sign
    GET  /v1/receipts/{id}          a receipt with its attribution: contributors and rows
    GET  /v1/receipts/{id}/evidence rows with the answer's words, and rows like it: to look at, never paid for

A paid request carries ``X-OpenLedger-Session`` and ``X-OpenLedger-Signature`` (see payment.py). Torch runs in one
thread of its own, so the server keeps answering while a model thinks.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from aiohttp import web

from openledger.attribution_oracle.bundle import Bundle
from openledger.attribution_oracle.claims import Answer, explain
from openledger.attribution_oracle.evidence import Evidence
from openledger.attribution_oracle.model import generate
from openledger.attribution_oracle.one_answer import shares_of
from openledger.attribution_oracle.openai import Ask, Refusal, answer_json, chunk_json, errors, invalid, read_ask
from openledger.attribution_oracle.payment import (
    SESSION_HEADER,
    SIGNATURE_HEADER,
    InferenceRequest,
    Ledger,
    Receipt,
    voucher_json,
)
from openledger.attribution_oracle.ports import ChainReader
from openledger.primitives.amounts import exact_amount
from openledger.primitives.errors import DecodingError, InvalidSignature, OpenLedgerError
from openledger.primitives.hashing import keccak256
from openledger.primitives.jsonio import read_json
from openledger.primitives.keys import recover_signature
from openledger.primitives.types import Address, from_hex, parse_address, to_checksum

MAX_BODY = 1 << 20
MAX_WAITING = 64
EXPIRY_MARGIN = 10  # seconds a session must still run
HOW = (
    "Open a session on chain (inference.open), then send the headers X-OpenLedger-Session and X-OpenLedger-Signature "
    "(EIP-712 InferenceRequest(uint64 session,uint32 answer,bytes32 body) by the session's consumer), and pay each "
    "answer with a voucher (POST /v1/vouchers)."
)


@dataclass(frozen=True)
class Served:
    """One model on offer: its id in the API (the server takes the number where another model has the same), its number
    on chain, its price in wei."""

    id: str
    number: int
    price: int
    bundle: Bundle

    def to_json(self) -> dict[str, Any]:
        """OpenAI's form, with number and price."""
        fixed = {"id": self.id, "object": "model", "created": 0, "owned_by": "openledger"}
        return {**fixed, "number": self.number, "price": str(self.price)}

    @cached_property
    def evidence(self) -> Evidence:
        """What to look at beside an answer."""
        return Evidence(self.bundle.texts, [to_checksum(who) for who in self.bundle.contributors])


def quantity(value: Any) -> int:
    """An amount or number of the chain: an integer, decimal text or a 0x-hex quantity."""
    return int(value, 0) if isinstance(value, str) else int(value)


class Server:
    """The HTTP application."""

    def __init__(self, models: Sequence[Served], chain: ChainReader, ledger: Ledger, chain_id: int) -> None:
        numbers, names = {str(m.number): m for m in models}, Counter(m.id for m in models)
        one = {name for name, count in names.items() if count == 1 and name not in numbers}
        self.offered = [m if m.id in one else replace(m, id=str(m.number)) for m in models]
        self.models = {m.id: m for m in self.offered} | {str(m.number): m for m in self.offered}
        self.chain, self.ledger, self.chain_id = chain, ledger, chain_id
        self._locks = [asyncio.Lock() for _ in range(256)]
        self._told: dict[tuple[str, str], asyncio.Future[dict[str, Any]]] = {}
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[errors])
        app.router.add_get("/v1/models", self._list)
        app.router.add_get("/v1/models/{id:.+}", self._model)
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/vouchers", self._vouchers)
        app.router.add_get("/v1/sessions/{session}", self._session)
        app.router.add_get("/v1/receipts/{id}", self._receipt)
        app.router.add_get("/v1/receipts/{id}/evidence", self._evidence)
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, app: web.Application) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown)
        self.ledger.close()

    # --- models, vouchers, receipts ---------------------------------------------------------------------

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [m.to_json() for m in self.offered]})

    async def _model(self, request: web.Request) -> web.Response:
        return web.json_response(self._offer(request.match_info["id"]).to_json())

    def _offer(self, name: str) -> Served:
        if (served := self.models.get(name)) is None:
            here = ", ".join(m.id for m in self.offered)
            message = f"the model {name!r} is not served here, or not under this name; GET /v1/models lists: {here}"
            raise Refusal(404, "invalid_request_error", "model_not_found", message[:1000], None, "model")
        return served

    async def _vouchers(self, request: web.Request) -> web.Response:
        try:
            body = read_json(await request.read())
            session = body["session"]
        except (KeyError, TypeError, DecodingError):
            raise invalid("a voucher is an object with session, cumulative, answers, receipts, signature") from None
        if type(session) is not int or session not in self.ledger.books:
            raise Refusal(404, "invalid_request_error", "unknown_session", "this session has no answers here")
        async with self._lock(session):
            facts = await self._facts(session)
            voucher = self.ledger.add_voucher(self.chain_id, parse_address(str(facts["consumer"])), body)
        return web.json_response({"accepted": True, **voucher_json(voucher)})

    async def _session(self, request: web.Request) -> web.Response:
        text = request.match_info["session"]
        session = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
        book = self.ledger.books.get(session)
        if book is None:
            return web.json_response({"session": session, "next_answer": 0, "owed": "0", "voucher": None})
        voucher = voucher_json(book.due(session)) if book.owed else None
        state = {"session": session, "next_answer": len(book.receipts), "owed": str(book.owed), "voucher": voucher}
        return web.json_response(state)

    def _found(self, request: web.Request) -> Receipt:
        receipt = self.ledger.by_id.get(request.match_info["id"])
        if receipt is None:
            raise Refusal(404, "invalid_request_error", "unknown_receipt", "there is no receipt with this id")
        return receipt

    def _served(self, receipt: Receipt) -> Served:
        served = self.models.get(str(receipt.model))
        if served is None:
            raise Refusal(404, "invalid_request_error", "unknown_model", "the receipt's model is not served any more")
        return served

    async def _receipt(self, request: web.Request) -> web.Response:
        receipt = self._found(request)
        found = await self._once(
            "attribution", receipt, lambda served: self._in_thread(lambda: attribution(served.bundle, receipt))
        )
        return web.json_response({**receipt.to_json(), "attribution": found})

    async def _evidence(self, request: web.Request) -> web.Response:
        receipt = self._found(request)
        asked = [(receipt.query, receipt.answer)]
        found = await self._once(
            "evidence", receipt, lambda served: asyncio.to_thread(lambda: served.evidence.of(asked)[0])
        )
        return web.json_response(found)

    async def _once(
        self, what: str, receipt: Receipt, make: Callable[[Served], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        """What is told of a receipt: made once, however many ask at the same time, and kept."""
        key = what, receipt.id
        if (told := self._told.get(key)) is None:
            told = self._told[key] = asyncio.ensure_future(make(self._served(receipt)))
        try:
            return await asyncio.shield(told)
        finally:
            if told.done() and (told.cancelled() or told.exception() is not None):
                self._told.pop(key, None)

    # --- answers ----------------------------------------------------------------------------------------

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, chat=False)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, chat=True)

    async def _answer(self, request: web.Request, chat: bool) -> web.StreamResponse:
        raw = await request.read()
        ask = read_ask(raw, chat)
        served = self._offer(ask.model)
        session = self._session_header(request, served)
        if self._waiting >= MAX_WAITING:
            raise Refusal(429, "rate_limit_error", "busy", "too many requests are waiting; try again shortly")
        self._waiting += 1
        try:
            async with self._lock(session):
                await self._check_paid(request, served, session, raw)
                if ask.stream:
                    return await self._streamed(request, served, ask, session)
                text, reason, counts = await self._in_thread(lambda: run_model(served.bundle, ask, lambda delta: None))
                receipt = self._issue(served, ask, session, text, _new_id(ask), int(time.time()))
        finally:
            self._waiting -= 1
        return web.json_response(answer_json(ask, receipt.to_json(), reason, counts))

    async def _streamed(self, request: web.Request, served: Served, ask: Ask, session: int) -> web.StreamResponse:
        """Server-sent events; the one with the finish reason carries the receipt. The answer is finished, and owed,
        even when the client goes away."""
        loop, events = asyncio.get_running_loop(), asyncio.Queue[str | None]()
        ident, created = _new_id(ask), int(time.time())
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)

        def work() -> tuple[str, str, tuple[int, int]]:
            try:
                return run_model(served.bundle, ask, lambda delta: loop.call_soon_threadsafe(events.put_nowait, delta))
            finally:
                loop.call_soon_threadsafe(events.put_nowait, None)

        working = asyncio.ensure_future(self._in_thread(work))
        gone = False
        if ask.chat:
            gone = not await _send(response, chunk_json(ask, ident, created, role="assistant"))
        while (delta := await events.get()) is not None:
            gone = gone or not await _send(response, chunk_json(ask, ident, created, text=delta))
        text, reason, counts = await working
        receipt = self._issue(served, ask, session, text, ident, created)
        last = {**chunk_json(ask, ident, created, reason=reason), "openledger": {"receipt": receipt.to_json()}}
        gone = gone or not await _send(response, last)
        if ask.usage:
            gone = gone or not await _send(response, chunk_json(ask, ident, created, usage=counts))
        if not gone:
            await response.write(b"data: [DONE]\n\n")
            await response.write_eof()
        return response

    def _issue(self, served: Served, ask: Ask, session: int, text: str, ident: str, created: int) -> Receipt:
        index = len(self.ledger.book(session).receipts)
        receipt = Receipt(ident, session, index, served.number, ask.query, text, served.price, created)
        self.ledger.add_receipt(receipt)
        return receipt

    # --- payment ----------------------------------------------------------------------------------------

    def _due(self, served: Served, message: str, **more: Any) -> Refusal:
        facts = {"price": str(served.price), "model": served.id, "number": served.number, "chain_id": self.chain_id}
        return Refusal(402, "payment_required", "payment_required", message, {**facts, "how": HOW, **more})

    def _session_header(self, request: web.Request, served: Served) -> int:
        text = request.headers.get(SESSION_HEADER)
        if text is None or SIGNATURE_HEADER not in request.headers:
            raise self._due(served, f"an answer of this model costs {exact_amount(served.price)}")
        if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) < 2**64):
            raise invalid(f"{SESSION_HEADER} must be the number of a session")
        return int(text)

    async def _facts(self, session: int) -> Mapping[str, Any]:
        try:
            facts = await self.chain.session(session)
        except OpenLedgerError as err:
            raise Refusal(503, "server_error", "chain_unreachable", f"the chain cannot be asked: {err}") from None
        if facts is None:
            raise Refusal(404, "invalid_request_error", "unknown_session", f"there is no session {session} on chain")
        return facts

    async def _check_paid(self, request: web.Request, served: Served, session: int, raw: bytes) -> None:
        facts = await self._facts(session)
        book = self.ledger.books.get(session)
        given, owed = (len(book.receipts), book.owed) if book else (0, 0)
        consumer = parse_address(str(facts["consumer"]))
        if _signer(request, InferenceRequest(session, given, keccak256(raw)).digest(self.chain_id)) != consumer:
            message = f"the request is not signed by the session's consumer {to_checksum(consumer)} for answer {given}"
            raise Refusal(401, "authentication_error", "invalid_signature", message, {"next_answer": given})
        if quantity(facts["model"]) != served.number:
            raise self._due(served, f"session {session} pays for model {facts['model']}, not {served.number}")
        if str(facts["status"]) != "open" or quantity(facts["expiry"]) <= time.time() + EXPIRY_MARGIN:
            raise self._due(served, f"session {session} is closed or expires within {EXPIRY_MARGIN} s")
        if quantity(facts["answers"]) > given:
            message = f"session {session} has answers settled on chain that this server did not give"
            raise Refusal(409, "invalid_request_error", "session_elsewhere", message)
        if book is not None and owed:
            due = voucher_json(book.due(session))
            message = (
                f"the answers before are not paid: {exact_amount(owed)} are owed; sign the voucher and POST it to"
                " /v1/vouchers"
            )
            raise self._due(served, message, session=session, owed=str(owed), next_answer=given, voucher=due)
        promised = book.voucher.cumulative if book is not None and book.voucher is not None else 0
        if quantity(facts["deposit"]) < promised + served.price:
            raise self._due(served, f"the deposit of session {session} does not cover another answer", session=session)

    def _lock(self, session: int) -> asyncio.Lock:
        return self._locks[session % len(self._locks)]

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _new_id(ask: Ask) -> str:
    return ("chatcmpl-" if ask.chat else "cmpl-") + secrets.token_hex(12)


def _signer(request: web.Request, digest: bytes) -> Address | None:
    try:
        return recover_signature(digest, from_hex(request.headers[SIGNATURE_HEADER], 65))
    except (InvalidSignature, DecodingError):
        return None


async def _send(response: web.StreamResponse, event: Mapping[str, Any]) -> bool:
    """False when the client is gone."""
    try:
        await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
    except (ConnectionError, RuntimeError):
        return False
    return True


def run_model(bundle: Bundle, ask: Ask, emit: Callable[[str], object]) -> tuple[str, str, tuple[int, int]]:
    """Generate an answer; ``emit`` gets the text in pieces. Gives (text, finish reason, (prompt, answer) tokens)."""
    tokenizer, model = bundle.run.base.tokenizer, bundle.run.model
    asked = [tokenizer.start, *tokenizer.encode(ask.query)]
    most = min(ask.tokens, model.config.context - 1)
    held = max(map(len, ask.stop), default=1) - 1  # what may turn out to begin a stop is not told yet
    said: list[int] = []
    told, end = "", None
    with bundle.run.lock:
        for token in generate(model, asked, most, ask.temperature, ask.seed, ask.top_p):
            said.append(token)
            text = tokenizer.decode(said)
            if (end := ask.end(text)) is not None:
                break
            safe = text[: max(0, len(text) - held)]
            if not text.endswith("\ufffd") and len(safe) > len(told):
                emit(safe[len(told) :])
                told = safe
    text = tokenizer.decode(said)[:end]
    if len(text) > len(told):
        emit(text[len(told) :])
    return text, "length" if end is None and len(said) == most else "stop", (len(asked), len(said))


def attribution(bundle: Bundle, receipt: Receipt, top: int = 3) -> dict[str, Any]:
    """Who raised this answer: shares in ppm with each contributor's best rows, and what is unattributed."""
    answer = Answer(receipt.session, receipt.index, receipt.query, receipt.answer, receipt.price)
    found = shares_of(bundle, answer)
    people = [
        {
            "contributor": to_checksum(e.contributor),
            "ppm": e.ppm,
            "rows": [{"row": row, "score": score, "text": text} for row, score, text in e.rows],
        }
        for e in explain(bundle, found.scores, top)
    ]
    return {"method": bundle.index.method, "contributors": people, "unattributed": found.unattributed}


__all__ = ["Served", "Server", "attribution", "quantity", "run_model"]
