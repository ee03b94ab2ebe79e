"""Hundreds of transactions that are none: each is refused with a clear error, on both engines, and nothing changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from openledger.evm.decoding import decode_transactions
from openledger.evm.engines import native_available
from openledger.primitives.errors import InvalidTransaction
from openledger.primitives.transactions import decode_transaction
from openledger.rpc.backend import RpcSettings
from tests.malformed import TYPES, Maker, malformed
from tests.unit.rpc.conftest import start_chain, stop_chain
from tests.waiting import PATIENCE

ENGINES = ["py-evm"] + (["revm"] if native_available() else [])
CODES = {-32602, -32000, -32003, -32010}


def made(chain: Any) -> list[tuple[str, bytes]]:
    return malformed(Maker(chain.secrets[0], chain.app.genesis.evm_chain_id))


def batches(cases: list[tuple[str, bytes]], size: int) -> Iterable[tuple[list[str], list[dict[str, Any]]]]:
    for start in range(0, len(cases), size):
        part = cases[start : start + size]
        yield (
            [name for name, _ in part],
            [
                {"jsonrpc": "2.0", "id": at, "method": "eth_sendRawTransaction", "params": ["0x" + raw.hex()]}
                for at, (_, raw) in enumerate(part)
            ],
        )


def assert_refused(names: list[str], answers: list[dict[str, Any]]) -> None:
    for name, answer in zip(names, answers, strict=True):
        assert "error" in answer, f"taken: {name}"
        error = answer["error"]
        assert error["code"] in CODES, (name, error)
        assert len(error["message"]) > 8, (name, error)
        assert "internal" not in error["message"], (name, error)
        assert "Traceback" not in str(error), (name, error)


def world(chain: Any) -> tuple[Any, ...]:
    """All that a transaction could have changed."""
    state = chain.app.state()
    accounts = tuple(state.account(address) for address in chain.addresses)
    return chain.app.head().hash, accounts, tuple(chain.app.mempool.transactions())


def test_there_are_enough_of_them_and_each_is_another() -> None:
    cases = malformed(Maker(b"\1" * 32, 161237))
    assert len(cases) >= 730
    assert len({raw for _, raw in cases}) >= 730


@pytest.mark.parametrize("engine", ENGINES)
async def test_each_is_refused_over_http_and_over_a_websocket_and_nothing_changes(tmp_path: Path, engine: str) -> None:
    chain = await start_chain(tmp_path, RpcSettings(), engine)
    try:
        before = world(chain)
        for names, requests in batches(made(chain), 200):
            assert_refused(names, await chain.post(requests))
        async with chain.http.ws_connect(chain.url) as socket:
            for names, requests in batches(made(chain), 200):
                await socket.send_json(requests)
                assert_refused(names, await socket.receive_json(timeout=PATIENCE))
        await asyncio.sleep(0.05)
        assert world(chain) == before
        make = Maker(chain.secrets[0], chain.app.genesis.evm_chain_id)
        for nonce, kind in enumerate(TYPES):  # what they were made from is good
            make = Maker(chain.secrets[0], chain.app.genesis.evm_chain_id, nonce)
            sent = await chain.call("eth_sendRawTransactionSync", "0x" + make.good(kind).hex())
            assert sent["status"] == "0x1"
        make = Maker(chain.secrets[0], chain.app.genesis.evm_chain_id, len(TYPES) + 1)  # one for the authorization
        assert (await chain.call("eth_sendRawTransactionSync", "0x" + make.native().hex()))["status"] == "0x1"
    finally:
        await stop_chain(chain)


def judged(raw: bytes) -> Any:
    try:
        return decode_transaction(raw)
    except InvalidTransaction as refusal:
        return refusal


@pytest.mark.skipif(not native_available(), reason="needs the native engine")
def test_the_native_decoder_refuses_what_the_reference_refuses_in_the_same_words() -> None:
    cases = malformed(Maker(b"\1" * 32, 161237))
    for (name, raw), found in zip(cases, decode_transactions([raw for _, raw in cases]), strict=True):
        expected = judged(raw)
        if isinstance(expected, InvalidTransaction):
            assert isinstance(found, InvalidTransaction), name
            assert (type(found), found.message) == (type(expected), expected.message), name
        else:
            assert found == expected, name
