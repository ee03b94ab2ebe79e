"""A server of the toy model's answers on a chain that is a dictionary, and its consumer."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from openledger.attribution_oracle import factory, payment
from openledger.attribution_oracle.serve import Served
from openledger.primitives.attribution import Voucher
from openledger.primitives.keys import address_of_private_key
from openledger.primitives.types import from_hex, to_hex

CHAIN = 161237
CONSUMER, STRANGER = b"\x11" * 32, b"\x22" * 32
PRICE = 10**15


class Chain:
    """Sessions as the chain's queries give them."""

    def __init__(self) -> None:
        self.sessions: dict[int, dict[str, Any]] = {}
        for number, deposit in ((1, 3 * PRICE), (2, PRICE)):
            self.sessions[number] = {
                "model": 7, "consumer": to_hex(address_of_private_key(CONSUMER)), "deposit": hex(deposit),
                "settled": "0x0", "answers": 0, "expiry": int(time.time()) + 3600, "status": "open",
            }  # fmt: skip

    async def session(self, number: int, /) -> Mapping[str, Any] | None:
        return self.sessions.get(number)

    async def model(self, number: int, /) -> Mapping[str, Any] | None:
        return {"price": hex(PRICE), "status": "active"}


class Shop:
    """A running server and its consumer."""

    def __init__(self, made: Any, folder: Path) -> None:
        self.made, self.folder, self.chain = made, folder, Chain()

    async def open(self) -> None:
        served = Served("toy-model", 7, PRICE, self.made.bundle)
        self.serving = factory.Serving([served], self.chain, self.folder, CHAIN)
        self.url = await self.serving.start()
        self.http = aiohttp.ClientSession()

    async def close(self) -> None:
        await self.http.close()
        await self.serving.stop()

    async def ask(
        self, answer: int, session: int = 1, secret: bytes = CONSUMER, path: str = "completions", **changes: Any
    ) -> tuple[int, Any]:
        content = (
            {"prompt": "apple pear"} if path == "completions" else {"messages": [{"role": "user", "content": "iron"}]}
        )
        body = json.dumps({"model": "toy-model", "max_tokens": 5, "seed": 1, **content, **changes}).encode()
        headers = payment.sign_request(secret, CHAIN, session, answer, body)
        async with self.http.post(f"{self.url}/v1/{path}", data=body, headers=headers) as reply:
            text = await reply.text()
            return reply.status, json.loads(text) if reply.content_type == "application/json" else text

    async def pay(self, voucher: Mapping[str, Any] | Voucher, secret: bytes = CONSUMER) -> tuple[int, Any]:
        if not isinstance(voucher, Voucher):
            voucher = Voucher(
                voucher["session"], int(voucher["cumulative"]), voucher["answers"], from_hex(voucher["receipts"])
            )
        async with self.http.post(
            f"{self.url}/v1/vouchers", json=payment.sign_voucher(secret, CHAIN, voucher)
        ) as reply:
            return reply.status, await reply.json()

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.http.get(self.url + path) as reply:
            return reply.status, await reply.json()
