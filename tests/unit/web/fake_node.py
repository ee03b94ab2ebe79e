"""A small node for tests of the page: the page's files by GET, canned answers by POST, no WebSocket. What strangers may
write on a chain is hostile markup here."""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import openledger.rpc

WEB = Path(openledger.rpc.__path__[0]) / "web"
HOSTILE = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
OWNER, ZERO = "0x" + "a1" * 20, "0x" + "00" * 32

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
MODEL = {
    "id": 1, "owner": OWNER, "name": HOSTILE, "base": HOSTILE, "data": [{"datanet": 1, "version": 1}], "rows": 2,
    "weights": ZERO, "bundle": ZERO, "receipt": ZERO, "index": ZERO, "indexRoot": ZERO, "method": HOSTILE,
    "baseLoss": 2_000_000, "heldOutLoss": 1_500_000, "lds": 812_000, "price": "0x1", "mints": True, "retired": False,
    "height": 1, "bond": hex(10**19), "refuted": 0,
}  # fmt: skip
CHALLENGE = {
    "id": 2, "model": 1, "row": 7, "segment": 3, "challenger": OWNER, "bond": hex(5 * 10**18), "status": "refused",
    "outcome": "upheld", "attempt": 0, "deadline": 0, "opened": 1, "closed": 1, "look": 0,
}  # fmt: skip
PLACE = {"row": 1, "datanet": 1, "version": 1, "place": 1, "contributor": OWNER}
ASKED = {"number": 0, "session": 1, "index": 0, "query": HOSTILE, "answer": f"𝒮 {HOSTILE} end", "price": "0x1"}
SPAN = {
    "text": "<script>", "begin": 2, "end": 2 + len(HOSTILE), "words": 9, "count": 2,
    "places": [PLACE | {"begin": 0, "end": len(HOSTILE)}],
}  # fmt: skip
EVIDENCE = {"note": HOSTILE, "spans": [SPAN], "similar": [PLACE | {"bm25": 1.5, "text": HOSTILE}]}
REWARD = {"fees": "0x1", "staking": "0x0", "minted": "0x2", "taken": "0x0", "locked": "0x0", "available": "0x3"}
PAID = {
    "claim": 1, "model": 1, "epoch": 1, "share": 999_999, "fees": "0x1", "minted": "0x2", "settlements": [0, 1],
    "evidence": ZERO, "scores": ZERO, "scoresRoot": ZERO,
}  # fmt: skip
ROW = {
    "row": 1, "rows": 2, "contributor": OWNER, "text": json.dumps({"text": HOSTILE}), "rowHash": ZERO, "leaf": ZERO,
    "root": ZERO, "proof": [ZERO],
}  # fmt: skip
COUNTS = dict.fromkeys(("49f62af4", "c6a645fe", "8da4d3c9", "da35c664"), 2)
"""What datanetCount, modelCount, claimCount and proposalCount say: the highest number there is."""


def counted(call: dict[str, str], _block: str) -> str:
    return hex(COUNTS[call["data"].removeprefix("0x")])


ANSWERS: dict[str, Any] = {
    "eth_call": counted,
    "eth_blockNumber": "0x1", "eth_chainId": "0x275d5", "web3_clientVersion": HOSTILE,
    "eth_getBlockByNumber": BLOCK, "eth_getBalance": "0x0", "openledger_listDatanets": [DATANET],
    "openledger_getDatanet": DATANET, "openledger_getCommits": [COMMIT], "openledger_listModels": [MODEL],
    "openledger_getModel": MODEL, "openledger_getCommit": COMMIT, "openledger_getRowProof": ROW,
    "openledger_getAnswers": {"claim": 1, "count": 1, "answers": [ASKED]},
    "openledger_getEarningRows": {
        "claim": 1, "held": 2, "earning": 1, "rows": [PLACE | {"ppb": 5_000_000, "excerpt": HOSTILE}],
    },
    "openledger_getEvidence": {"claim": 1, "answer": ASKED} | EVIDENCE,
    "openledger_explainReward": REWARD | {"account": OWNER, "claims": [PAID]},
    "eth_getTransactionCount": "0x0", "eth_getCode": "0x",
    "openledger_getClaim": CLAIM, "openledger_listClaims": [CLAIM], "openledger_getVerdicts": [VERDICT],
    "openledger_listIndexChallenges": [CHALLENGE], "openledger_getIndexChallenge": CHALLENGE,
}  # fmt: skip


BLOBS: dict[str, Any] = {}
SLOW: dict[str, float] = {}
"""Seconds that a method takes."""
TROUBLE: dict[str, Any] = {}
"""``down``: nobody answers. ``refusal``: the one answer to whatever is asked."""
MISSING = {"openledger_getClaim"}
"""What is answered, where it is not in ANSWERS, as something that the chain does not have."""


class FakeNode(BaseHTTPRequestHandler):
    """The page's files by GET, canned answers by POST, and no WebSocket: the page must poll."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        blob = BLOBS.get(self.path.removeprefix("/blobs/"))
        if blob is not None:
            self._send(blob if isinstance(blob, bytes) else json.dumps(blob).encode(), "application/octet-stream")
            return
        path = WEB / (self.path.lstrip("/") or "index.html")
        if not path.is_file():
            self.send_error(404)
            return
        self._send(path.read_bytes(), TYPES[path.suffix])

    def do_POST(self) -> None:
        if TROUBLE.get("down"):
            self.connection.close()
            return
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        calls = asked if isinstance(asked, list) else [asked]
        time.sleep(max(SLOW.get(call["method"], 0.0) for call in calls))
        answers = [self._answer(call) for call in calls]
        if "refusal" in TROUBLE:
            self._send(json.dumps(TROUBLE["refusal"]).encode(), "application/json")
            return
        self._send(json.dumps(answers if isinstance(asked, list) else answers[0]).encode(), "application/json")

    def _answer(self, call: dict[str, Any]) -> dict[str, Any]:
        if call["method"] in ANSWERS:
            found = ANSWERS[call["method"]]
            result = found(*call["params"]) if callable(found) else found
            return {"jsonrpc": "2.0", "id": call["id"], "result": result}
        error = {"code": -32601, "message": HOSTILE, "data": {"code": 103 if call["method"] in MISSING else 0}}
        return {"jsonrpc": "2.0", "id": call["id"], "error": error}

    def _send(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
