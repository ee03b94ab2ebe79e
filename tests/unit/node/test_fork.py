"""A devnet on top of a block of another chain: another devnet, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from openledger.genesis.presets import dev_accounts
from openledger.node import fork
from openledger.node.fork import ForkedStore, Upstream, find_point, parse_fork
from openledger.primitives.errors import ForkError
from openledger.primitives.types import to_hex
from openledger.rpc.client import Client
from openledger.state.memory import MemoryStore
from tests.waiting import finish

RUNTIME = "6000546001018060005560005260206000f3"
INIT = "0x" + f"60{len(RUNTIME) // 2:02x}600c60003960{len(RUNTIME) // 2:02x}6000f3" + RUNTIME
STRANGER = "0x" + "5a" * 20
ME = to_hex(dev_accounts()[0][0])


@contextlib.contextmanager
def devnet(*arguments: str) -> Iterator[tuple[Client, dict[str, Any]]]:
    command = [sys.executable, "-m", "openledger.node", "devnet", "--port", "0", "--lite", "--json", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    try:
        text = ""
        assert process.stdout is not None
        while True:
            line = process.stdout.readline()
            assert line, text
            text += line
            with contextlib.suppress(ValueError):
                facts = json.loads(text)
                break
        with Client(facts["rpc"]) as client:
            yield client, facts
    finally:
        finish(process, signal.SIGINT)
        if process.stdout is not None:
            process.stdout.close()


def send(client: Client, **fields: str) -> dict[str, Any]:
    digest = client.call("eth_sendTransaction", {"from": ME} | fields)
    receipt: dict[str, Any] = client.call("eth_getTransactionReceipt", digest)
    return receipt


def slot(client: Client, contract: str, block: str = "latest") -> int:
    return int(client.call("eth_getStorageAt", contract, "0x0", block), 16)


def test_a_fork_has_the_other_chains_accounts_code_and_storage_and_goes_its_own_way(tmp_path: Path) -> None:
    with devnet("--home", str(tmp_path / "a")) as (there, _):
        contract = send(there, data=INIT)["contractAddress"]
        send(there, to=contract)
        send(there, to=STRANGER, value="0x7")
        block = int(there.call("eth_blockNumber"), 16)
        nonce = there.call("eth_getTransactionCount", ME, "latest")
        send(there, to=contract)  # after the block that is forked
        arguments = ("--home", str(tmp_path / "b"), "--fork", f"{there.url}@{block}")
        with devnet(*arguments) as (here, facts):
            assert facts["chainId"] == 161237
            assert facts["fork"]["block"] == block
            assert int(here.call("eth_blockNumber"), 16) == block
            assert here.call("eth_getBalance", STRANGER, "latest") == "0x7"
            assert here.call("eth_getTransactionCount", ME, "latest") == nonce
            assert here.call("eth_getCode", contract, "latest") == "0x" + RUNTIME
            assert slot(here, contract) == 1
            assert int(here.call("eth_call", {"to": contract}, "latest"), 16) == 2
            snapshot = here.call("evm_snapshot")
            receipt = send(here, to=contract)
            assert int(receipt["blockNumber"], 16) == block + 1
            assert slot(here, contract) == 2
            assert slot(here, contract, hex(block)) == 1
            here.call("hardhat_impersonateAccount", STRANGER)
            here.call("anvil_setBalance", STRANGER, "0xde0b6b3a7640000")
            assert send(here, **{"from": STRANGER, "to": ME, "value": "0x1"})["status"] == "0x1"
            assert here.call("evm_revert", snapshot) is True
            assert slot(here, contract) == 1
            assert here.call("eth_getBalance", STRANGER, "latest") == "0x7"
            with pytest.raises(Exception, match="no proofs"):
                here.call("eth_getProof", ME, [], "latest")
            metadata = here.call("hardhat_metadata")["forkedNetwork"]
            assert (metadata["chainId"], metadata["forkBlockNumber"]) == (161237, block)
            send(here, to=contract)
        assert slot(there, contract) == 2, "nothing reaches the other chain"
    # the other chain is gone: what was read is here
    with devnet(*arguments) as (here, _):
        assert slot(here, contract) == 2
        assert int(here.call("eth_call", {"to": contract}, "latest"), 16) == 3
        with pytest.raises(Exception, match="does not answer"):
            here.call("eth_getBalance", "0x" + "77" * 20, "latest")
        assert int(send(here, to=contract)["status"], 16) == 1


def test_a_reorg_on_a_fork_goes_back_to_its_block_at_most(tmp_path: Path) -> None:
    """The other chain's values come back where they were overwritten."""
    with devnet("--home", str(tmp_path / "a")) as (there, _):
        contract = send(there, data=INIT)["contractAddress"]
        send(there, to=contract)
        block = int(there.call("eth_blockNumber"), 16)
        arguments = ("--home", str(tmp_path / "b"), "--fork", f"{there.url}@{block}")
        with devnet(*arguments) as (here, _):
            lost = [send(here, to=contract)["blockHash"] for _ in range(2)]
            send(here, to=STRANGER, value="0x9")
            assert slot(here, contract) == 3
            with pytest.raises(Exception, match=f"current height {block + 3}, depth 4"):
                here.call("anvil_reorg", 4, [])
            here.call("anvil_reorg", 3, [[{"from": ME, "to": contract}, 1]])
            assert int(here.call("eth_blockNumber"), 16) == block + 3
            assert [here.call("eth_getBlockByHash", one, False) for one in lost] == [None, None]
            found = [here.call("eth_getBlockByNumber", hex(block + n), False) for n in range(4)]
            assert [b["parentHash"] for b in found[1:]] == [b["hash"] for b in found[:3]]
            assert [slot(here, contract, hex(block + n)) for n in range(4)] == [1, 1, 2, 2]
            assert here.call("eth_getBalance", STRANGER, "latest") == "0x0"
            assert send(here, to=contract)["status"] == "0x1"
        assert slot(there, contract) == 1
    with devnet(*arguments) as (here, _):
        assert slot(here, contract) == 3


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://a.example", ("https://a.example", None)),
        ("https://a.example@17", ("https://a.example", 17)),
        ("http://key:word@a.example:8545/v1@0x10", ("http://key:word@a.example:8545/v1", 16)),
        ("http://key@a.example/v1", ("http://key@a.example/v1", None)),
    ],
)
def test_an_address_may_name_a_block(text: str, found: tuple[str, int | None]) -> None:
    assert parse_fork(text) == found


@pytest.mark.parametrize("text", ["", "a.example", "ftp://a.example", "https://@5", "http://"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ForkError):
        parse_fork(text)


def test_nobody_is_shown_a_key() -> None:
    assert fork.shown("https://user:secret@a.example:99/v2/key?token=1") == "https://a.example:99"


class Server:
    """An upstream that answers what the test wants: ``answer(method, params)`` gives a result or raises a status."""

    def __init__(self, batches: bool = True) -> None:
        self.asked: list[str] = []
        self.statuses: list[int] = []
        self.results: dict[str, Any] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if outer.statuses:
                    self.send_response(outer.statuses.pop(0))
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                one = {"jsonrpc": "2.0", "id": None, "error": {"message": "no batches"}}
                found = [outer.answer(r) for r in body] if isinstance(body, list) else outer.answer(body)
                raw = json.dumps(one if isinstance(body, list) and not batches else found).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request["method"])
        result = self.results.get(request["method"])
        if isinstance(result, Exception):
            return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32000, "message": str(result)}}
        return {"jsonrpc": "2.0", "id": request["id"], "result": result}

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture(params=[True, False], ids=["batches", "single"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    made = Server(request.param)
    yield made
    made.close()


def account(balance: str = "0x5", nonce: str = "0x1", code: str = "0x6001") -> dict[str, Any]:
    return {"eth_getBalance": balance, "eth_getTransactionCount": nonce, "eth_getCode": code}


def test_a_value_is_asked_for_once_and_what_was_deleted_here_is_gone(server: Server) -> None:
    server.results = account() | {"eth_getStorageAt": "0x" + "00" * 31 + "09"}
    below = MemoryStore()
    store = ForkedStore(below, Upstream(server.url), 7)
    key, slot_key = b"a" + b"\x5a" * 20, b"s" + b"\x5a" * 20 + bytes(32)
    first = store.get(key)
    assert first is not None
    assert store.get(slot_key) == b"\x09"
    asked = len(server.asked)
    assert (store.get(key), store.get(slot_key)) == (first, b"\x09")
    assert len(server.asked) == asked
    store.write([], [key, slot_key])
    assert (store.get(key), store.get(slot_key)) == (None, None)
    assert len(server.asked) == asked
    again = ForkedStore(below, Upstream("http://127.0.0.1:9"), 7)
    assert (again.get(key), again.get(slot_key)) == (None, None)
    assert again.get(b"a" + bytes(18) + b"\x08\x04") is None, "the chain's own accounts are never asked for"


def test_an_upstream_that_is_busy_is_asked_again_and_one_that_is_away_is_named(server: Server) -> None:
    pauses: list[float] = []
    server.statuses, server.results = [429, 503], {"eth_chainId": "0x1"}
    assert Upstream(server.url, pauses.append).call("eth_chainId") == "0x1"
    assert len(pauses) == 2
    server.statuses = [401]
    with pytest.raises(ForkError, match="status 401"):
        Upstream(server.url, pauses.append).call("eth_chainId")
    with pytest.raises(ForkError, match="does not answer"):
        Upstream("http://127.0.0.1:9", pauses.append).call("eth_chainId")


def test_a_login_is_not_told_to_whom_an_upstream_sends_us() -> None:
    told: list[str | None] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.append(self.headers["Authorization"])
            self.send_error(404)

        def do_POST(self) -> None:
            told.append(self.headers["Authorization"])
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{other.server_port}/")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as other,
        ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as one,
    ):
        for each in (other, one):
            threading.Thread(target=each.serve_forever, daemon=True).start()
        with pytest.raises(ForkError, match="status 404"):
            Upstream(f"http://me:word@127.0.0.1:{one.server_port}", lambda _: None).call("eth_chainId")
        other.shutdown()
        one.shutdown()
    assert told == ["Basic bWU6d29yZA==", None]


def test_an_upstream_without_the_state_or_the_block_is_told_apart(server: Server) -> None:
    server.results = account(code="0x") | {"eth_getBalance": ValueError("missing trie node")}
    store = ForkedStore(MemoryStore(), Upstream(server.url), 7)
    with pytest.raises(ForkError, match="refuses eth_getBalance: missing trie node") as refusal:
        store.get(b"a" + b"\x5a" * 20)
    assert "archive" in (refusal.value.hint or "")
    server.results = {"eth_chainId": "0x1", "eth_getBlockByNumber": None}
    with pytest.raises(ForkError, match="has no block 0x63"):
        find_point(Upstream(server.url), 99)
    server.results = account(balance="five")
    with pytest.raises(ForkError, match="not a chain's state"):
        store.get(b"a" + b"\x5b" * 20)
