"""The doors beside JSON-RPC: blobs, CometBFT's pass-through, genesis. Each has the bounds of the first one."""

from __future__ import annotations

from typing import Any

import pytest

from openledger.rpc.backend import RpcSettings

NAME = "ab" * 32


class TestRates:
    @pytest.fixture
    def settings(self) -> RpcSettings:
        return RpcSettings(rate_limit=1, rate_burst=4, proxies=("127.0.0.0/8",))

    @pytest.mark.parametrize("door", [
        ("GET", f"/blobs/{NAME}"), ("PUT", f"/blobs/{NAME}"), ("GET", "/genesis.json"), ("GET", "/openrpc.json"),
        ("POST", "/cometbft"),
    ])  # fmt: skip
    async def test_a_client_above_its_rate_hears_429_at_every_door(self, chain: Any, door: tuple[str, str]) -> None:
        method, path = door
        statuses = []
        for _ in range(5):
            async with chain.http.request(method, chain.url + path, data=b"x" if method != "GET" else None) as answer:
                statuses.append(answer.status)
        assert 429 not in statuses[:4]
        assert statuses[4] == 429
        async with chain.http.get(chain.url + "/healthz") as answer:
            assert answer.status == 200  # who watches the node is not turned away

    async def test_a_proxy_that_adds_its_own_line_tells_who_the_client_is(self, chain: Any) -> None:
        """As HAProxy does: what stands in the lines before it, the client may have written himself."""

        async def ask(number: int) -> int:
            lines = [("X-Forwarded-For", f"198.51.100.{number}"), ("X-Forwarded-For", "203.0.113.9")]
            body = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}
            async with chain.http.post(chain.url, json=body, headers=lines) as answer:
                return int(answer.status)

        assert [await ask(number) for number in range(5)] == [200] * 4 + [429]
