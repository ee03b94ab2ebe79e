"""The page in a real browser, against a small fake node. Needs Chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import openledger.rpc

WEB = Path(openledger.rpc.__path__[0]) / "web"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HOSTILE = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
OWNER, ZERO = "0x" + "a1" * 20, "0x" + "00" * 32

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

BLOCK = {
    "number": "0x1", "hash": ZERO, "parentHash": ZERO, "stateRoot": ZERO, "timestamp": "0x65000000", "gasUsed": "0x0",
    "gasLimit": "0x1c9c380", "baseFeePerGas": "0x3b9aca00", "miner": OWNER, "transactions": [],
}  # fmt: skip
DATANET = {
    "id": 1, "owner": OWNER, "name": HOSTILE, "description": HOSTILE, "schema": "text", "licence": HOSTILE,
    "policy": "open", "reviewQuorum": 0, "bond": "0x0", "stake": "0x0", "reviewers": [],
    "head": 1, "versions": 1, "created": 1,
}  # fmt: skip
COMMIT = {
    "datanet": 1, "version": 1, "parent": 0, "author": OWNER, "root": ZERO, "rows": 2, "message": HOSTILE, "height": 1,
    "time": 1, "parts": [{"contributor": OWNER, "blob": ZERO, "rows": 2, "height": 1, "place": 1}],
    "contributors": {OWNER: 2}, "status": "accepted",
}  # fmt: skip
CLAIM = {
    "id": 1, "model": 1, "epoch": 1, "claimant": OWNER, "first": 0, "last": 1, "fee": "0x1", "bond": "0x2",
    "workFee": "0x3", "shares": {OWNER: 999_999}, "unattributed": 1, "evidence": ZERO, "scoresRoot": ZERO,
    "scores": ZERO, "rows": 2, "status": "reveal", "attempt": 0, "deadline": 9, "opened": 1, "closed": 0,
    "minted": "0x0",
}  # fmt: skip
VERDICT = {
    "validator": OWNER, "operator": OWNER, "power": 1, "held": True, "committed": True, "verdict": "no",
    "reason": HOSTILE, "named": {"share": OWNER},
}  # fmt: skip
ANSWERS: dict[str, Any] = {
    "eth_blockNumber": "0x1", "eth_chainId": "0x275d5", "web3_clientVersion": HOSTILE,
    "eth_getBlockByNumber": BLOCK, "eth_getBalance": "0x0", "openledger_listDatanets": [DATANET],
    "openledger_getDatanet": DATANET, "openledger_getCommits": [COMMIT], "openledger_listModels": [],
    "openledger_getClaim": CLAIM, "openledger_listClaims": [CLAIM], "openledger_getVerdicts": [VERDICT],
}  # fmt: skip


class FakeNode(BaseHTTPRequestHandler):
    """The page's files by GET, canned answers by POST, and no WebSocket: the page must poll."""

    def do_GET(self) -> None:
        path = WEB / (self.path.lstrip("/") or "index.html")
        if not path.is_file():
            self.send_error(404)
            return
        self._send(path.read_bytes(), TYPES[path.suffix])

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        calls = asked if isinstance(asked, list) else [asked]
        answers = [self._answer(call) for call in calls]
        self._send(json.dumps(answers if isinstance(asked, list) else answers[0]).encode(), "application/json")

    def _answer(self, call: dict[str, Any]) -> dict[str, Any]:
        if call["method"] in ANSWERS:
            return {"jsonrpc": "2.0", "id": call["id"], "result": ANSWERS[call["method"]]}
        return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32601, "message": HOSTILE}}

    def _send(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeNode) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("profile")


def document(url: str, profile: Path) -> str:
    """The document after its scripts have run."""
    flags = (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=3000",
    )  # fmt: skip
    command = [str(CHROMIUM), *flags, f"--user-data-dir={profile}", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("route", ["", "datanet/1", "claim/1", "search/%3Cscript%3E"])
def test_text_of_strangers_stays_text(node: str, profile: Path, route: str) -> None:
    found = document(f"{node}#/{route}", profile)
    assert "<title>taken" not in found
    assert "<script>document" not in found
    assert '<img src="x"' not in found
    assert "could not read" not in found
    if route == "datanet/1":
        assert "&lt;script&gt;document.title" in found


def test_a_faucet_is_shown_on_devnets_only(node: str, profile: Path) -> None:
    assert 'id="faucet"' not in document(node, profile)
    ANSWERS["anvil_nodeInfo"] = {}
    try:
        assert 'id="faucet"' in document(node, profile)
    finally:
        del ANSWERS["anvil_nodeInfo"]


def test_without_a_websocket_the_page_polls(node: str, profile: Path) -> None:
    assert 'data-state="polling"' in document(node, profile)


def test_a_refused_call_is_told_in_words(node: str, profile: Path) -> None:
    assert 'role="alert"' in document(f"{node}#/validators", profile)
