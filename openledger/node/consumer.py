"""What the user of a model does: open a session, ask, check the receipt, pay with a voucher. Needs no torch.

An answer is paid only after its receipt was seen to bind the question asked and the answer received, and after whatever
else its consumer wants to look at; the voucher then covers all receipts so far, computed on this side and never taken
from the server.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp

from openledger.abci_app.modules.models.open import InferenceOpen
from openledger.attribution_oracle.payment import sign_request, sign_voucher
from openledger.node.keystore import Signer
from openledger.node.operator import created_id, send
from openledger.primitives.attribution import Voucher, receipt_leaf
from openledger.primitives.errors import DecodingError, InvalidJson, NodeUnreachable, PaymentRequired, VoucherInvalid
from openledger.primitives.fields import is_unicode
from openledger.primitives.hashing import merkle_root
from openledger.primitives.jsonio import read_json
from openledger.rpc.client import why

if TYPE_CHECKING:
    from openledger.rpc.client import Client

SESSION_SECONDS = 3600
MAX_ANSWER = 16 << 20
_TIMEOUT = aiohttp.ClientTimeout(total=300)
Check = Callable[[bytes, Mapping[str, Any], Mapping[str, Any]], None]
"""Looks at the body of a request, the receipt, and what the server says of it at /v1/receipts/{id}, before anything is
paid. Raises VoucherInvalid to keep the money."""


@dataclass(frozen=True)
class Answer:
    """One paid answer."""

    session: int
    index: int
    receipt: str
    query: str
    text: str
    price: int


@dataclass
class Session:
    """An open session with one server. ``leaves`` and ``paid`` (wei) are this side's own account of the answers."""

    number: int
    model: int
    price: int
    chain_id: int
    url: str
    expiry: int
    signer: Signer = field(repr=False)
    leaves: list[bytes] = field(default_factory=list)
    paid: int = 0

    def ask(self, prompt: str, check: Check | None = None, **options: Any) -> Answer:
        """Ask, ``check`` where it is given, and pay. Raises PaymentRequired, VoucherInvalid or NodeUnreachable."""
        return asyncio.run(self._ask(prompt, check, options))

    async def _ask(self, prompt: str, check: Check | None, options: dict[str, Any]) -> Answer:
        body = json.dumps({"model": str(self.model), "prompt": prompt, **options}).encode()
        headers = sign_request(self.signer.secret, self.chain_id, self.number, len(self.leaves), body)
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
            receipt, text = self._read(await self._call(http, "/v1/completions", body, headers), prompt)
            name = str(receipt["id"])
            shown = await self._call(http, f"/v1/receipts/{quote(name, safe='')}") if check else {}
        if check:
            check(body, receipt, shown)
        self.leaves.append(receipt_leaf(self.model, prompt, text, self.price))
        self.paid += self.price
        voucher = Voucher(self.number, self.paid, len(self.leaves), merkle_root(self.leaves))
        payment = sign_voucher(self.signer.secret, self.chain_id, voucher)
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
            await self._call(http, "/v1/vouchers", json.dumps(payment).encode())
        return Answer(self.number, len(self.leaves) - 1, name, prompt, text, self.price)

    def _read(self, answer: dict[str, Any], prompt: str) -> tuple[dict[str, Any], str]:
        """Receipt and text of an answer; the receipt must be for exactly this answer at the agreed price."""
        names = ("session", "index", "model", "query", "answer")
        try:
            receipt, text = answer["openledger"]["receipt"], str(answer["choices"][0]["text"])
            given = (*(receipt[name] for name in names), int(receipt["price"]))
            str(receipt["id"])
        except (LookupError, TypeError, ValueError, OverflowError):
            raise VoucherInvalid("the server's answer carries no receipt; nothing was paid for it") from None
        if not is_unicode(text) or given != (self.number, len(self.leaves), self.model, prompt, text, self.price):
            raise VoucherInvalid("the server's receipt is not for this question and answer; nothing was paid for it")
        return receipt, text

    async def _call(
        self,
        http: aiohttp.ClientSession,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """POST of a body, GET without one."""
        given = {**(headers or {}), "Content-Type": "application/json"}
        try:
            async with http.request(
                "GET" if body is None else "POST", self.url + path, data=body, headers=given
            ) as response:
                answer = await _body(response)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, DecodingError) as err:
            raise _silent(self.url, self.model, err) from None
        if not isinstance(answer, dict):
            raise NodeUnreachable(f"what answers at {self.url} is not a model server", "another address: --url")
        error = answer.get("error")
        if error is not None:
            said = error.get("message") if isinstance(error, dict) else error
            raise PaymentRequired(f"the model server refused: {said}")
        return answer


async def _body(response: aiohttp.ClientResponse) -> Any:
    """The JSON that a server answers, which is a stranger's. Raises InvalidJson, also for a very long one."""
    found = bytearray()
    async for chunk in response.content.iter_any():
        found += chunk
        if len(found) > MAX_ANSWER:
            raise InvalidJson(f"an answer of more than {MAX_ANSWER >> 20} MiB")
    return read_json(bytes(found))


async def _look(url: str, model: int) -> None:
    timeout = aiohttp.ClientTimeout(total=30)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url + "/v1/models") as response:
            answer = await _body(response)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, DecodingError) as err:
        raise _silent(url, model, err) from None
    offered = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(offered, list):
        raise NodeUnreachable(f"what answers at {url} is not a model server", "another address: --url")
    if not any(isinstance(entry, dict) and entry.get("number") == model for entry in offered):
        raise NodeUnreachable(f"the server at {url} does not serve model {model}", "another address: --url")


def _silent(url: str, model: int, err: Exception) -> NodeUnreachable:
    return NodeUnreachable(
        f"the model server at {url} does not answer ({why(err)})",
        f"its operator starts it with: openledger model serve {model}; another address: --url",
    )


def open_session(client: Client, signer: Signer, model: int, url: str, answers: int) -> tuple[Session, str]:
    """Put the price of ``answers`` answers into escrow; the session and the transaction's hash. ``url`` may end in /v1,
    as OpenAI's clients have it. Raises NodeUnreachable, before any money moves, where no server of the model is."""
    url = url.rstrip("/").removesuffix("/v1")
    asyncio.run(_look(url, model))
    price = int(client.call("openledger_getModel", model)["price"], 16)
    head = client.call("eth_getBlockByNumber", "latest", False)
    expiry = max(int(head["timestamp"], 16), int(time.time())) + SESSION_SECONDS
    receipt = send(client, signer, InferenceOpen(model=model, deposit=price * answers, expiry=expiry))
    session = Session(created_id(receipt), model, price, client.chain_id(), url, expiry, signer)
    return session, str(receipt["transactionHash"])
