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
ANSWERS: dict[str, Any] = {
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
MISSING = {"openledger_getClaim"}
"""What is answered, where it is not in ANSWERS, as something that the chain does not have."""


class FakeNode(BaseHTTPRequestHandler):
    """The page's files by GET, canned answers by POST, and no WebSocket: the page must poll."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        blob = BLOBS.get(self.path.removeprefix("/blobs/"))
        if blob is not None:
            self._send(json.dumps(blob).encode(), "application/json")
            return
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


ROUTES = (
    "", "datanet/1", "claim/1", "challenge/2", "search/%3Cscript%3E", "models", "model/1", "answer/1/0",
    "row/1/1/1/0/8", f"address/{OWNER}", f"earned/{OWNER}/1",
)  # fmt: skip


@pytest.mark.parametrize("route", ROUTES)
def test_text_of_strangers_stays_text(node: str, profile: Path, route: str) -> None:
    found = document(f"{node}#/{route}", profile)
    assert "<title>taken" not in found
    assert "<script>document" not in found
    assert '<img src="x"' not in found
    assert "could not read" not in found
    assert "Not found" not in found
    if route not in ("", "search/%3Cscript%3E", f"address/{OWNER}"):
        assert "&lt;script&gt;document.title" in found


def test_an_answer_shows_pay_and_beside_it_evidence_that_is_not_pay(node: str, profile: Path) -> None:
    found = document(f"{node}#/answer/1/0", profile)
    order = [found.index(f">{title}</h2>") for title in ("Answered", "Who is paid", "Evidence, not pay")]
    assert order == sorted(order)
    marked = found[found.index("<mark>") : found.index("</mark>")]
    assert 'href="#/row/1/1/1/0/' in marked, "marked words lead to their row"
    assert f'href="#/address/{OWNER}"' in found[order[2] :]
    assert 'href="#/datanet/1/1"' in found[order[2] :]


def test_one_of_several_answers_is_scored_alone_when_somebody_asks(
    node: str, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "This answer alone" not in document(f"{node}#/answer/1/0", profile), "the claim's shares are its own"
    monkeypatch.setitem(ANSWERS, "openledger_getAnswers", {"claim": 1, "count": 2, "answers": [ASKED]})
    asking = document(f"{node}#/answer/1/0", profile)
    assert 'href="#/answer/1/0/alone"' in asking
    refused = document(f"{node}#/answer/1/0/alone", profile)
    assert 'role="alert"' in refused[refused.index(">This answer alone</h2>") :]
    row = PLACE | {"ppb": 70_000_000, "excerpt": HOSTILE}
    told = {"shares": {OWNER: 250_000}, "unattributed": 750_000, "earning": 1, "proved": False, "rows": [row]}
    monkeypatch.setitem(ANSWERS, "openledger_getAnswerShares", told)
    found = document(f"{node}#/answer/1/0/alone", profile)
    shown = found[found.index(">This answer alone</h2>") : found.index(">Evidence, not pay</h2>")]
    for words in (">25 %<", ">75 %<", 'href="#/row/1/1/1"', "openledger proof shares 1 --answer 0", "no sum of these"):
        assert words in shown, words


def test_where_no_evidence_can_be_had_the_rest_is_shown(node: str, profile: Path) -> None:
    kept = ANSWERS.pop("openledger_getEvidence")
    try:
        found = document(f"{node}#/answer/1/0", profile)
    finally:
        ANSWERS["openledger_getEvidence"] = kept
    assert 'role="alert"' in found
    assert "Who is paid" in found
    assert "<mark>" not in found


def test_a_model_shows_its_lds_as_a_number_and_a_bar(node: str, profile: Path) -> None:
    found = document(f"{node}#/model/1", profile)
    assert ">0.812</dd>" in found
    assert '<rect class="value own"' in found
    assert "25.00 % lower" in found


def test_an_lds_is_said_to_be_its_owners_word_with_how_it_was_measured(
    node: str, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown() -> str:
        found = document(f"{node}#/model/1", profile)
        return found[found.index("Does its attribution tell the truth?") : found.index("What it has learned")]

    plain = shown()
    for words in ("no validator checks it", f'href="#/address/{OWNER}"', "openledger model eval 1 --lds"):
        assert words in plain, words
    assert "its files do not say" in plain
    score = {"lds": 812_000, "error": 31_000, "subsets": 16}
    monkeypatch.setitem(BLOBS, "22" * 32, {"measured": {"rows": score, "contributors": None, "documents": 24}})
    monkeypatch.setitem(ANSWERS, "openledger_getModel", MODEL | {"bundle": "0x" + "22" * 32})
    assert "over rows 0.812 ± 0.031 from 16 retrainings without a half of them, on 24 held-out documents" in shown()
    monkeypatch.setitem(BLOBS, "22" * 32, {"measured": {"rows": {"lds": HOSTILE, "error": 1, "subsets": 2}}})
    assert "its files do not say" in shown()


def test_challenges_of_indexes_stand_below_the_claims(node: str, profile: Path) -> None:
    found = document(f"{node}#/claims", profile)
    shown = found[found.index(">Challenges of indexes</h2>") :]
    for cell in (
        'href="#/challenge/2"',
        'href="#/model/1"',
        "index row 7, segment 3",
        f'href="#/address/{OWNER}"',
        ">5 OPEN<",
        ">upheld</span>",
    ):
        assert cell in shown, cell


def test_a_refuted_model_says_so_and_why_it_mints_no_more(
    node: str, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ">active</span>" in document(f"{node}#/model/1", profile)
    refuted = MODEL | {"mints": False, "bond": "0x0", "refuted": 2}
    monkeypatch.setitem(ANSWERS, "openledger_getModel", refuted)
    found = document(f"{node}#/model/1", profile)
    assert ">refuted</span>" in found
    why = found[found.index(">no: <") : found.index(" has shown that its index is false")]
    assert 'href="#/challenge/2"' in why
    own = found[found.index(">Challenges of its index</h2>") :]
    assert 'href="#/challenge/2"' in own
    assert ">upheld</span>" in own


@pytest.mark.parametrize(
    ("status", "outcome", "told", "bond", "tone"),
    [
        ("voting", "open", "makes the row again", "held until the verdict", "calm"),
        ("refused", "upheld", "The model is refuted", "with half of the publisher's", "bad"),
        ("accepted", "dismissed", "found the row right", "(burned)", "dull"),
        ("lapsed", "dismissed", "No two thirds agreed", "nine tenths given back", "dull"),
        ("lapsed", "moot", "has cost nothing", "(given back)", "dull"),
    ],
)
def test_a_challenge_of_an_index_has_a_page_that_says_where_it_stands(
    node: str,
    profile: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    outcome: str,
    told: str,
    bond: str,
    tone: str,
) -> None:
    monkeypatch.setitem(ANSWERS, "openledger_getIndexChallenge", CHALLENGE | {"status": status, "outcome": outcome})
    found = document(f"{node}#/challenge/2", profile)
    assert "<h1" in found
    for words in (told, bond, 'href="#/model/1"', "Row 7", "in segment 3 of its training run", ">Verdicts</h2>"):
        assert words in found, words
    assert f'href="#/address/{OWNER}"' in found
    assert f'class="badge {tone}">{status if outcome == "open" else outcome}<' in found
    assert (f'<li class="{tone}" aria-current="step">{outcome}<' in found) is (outcome != "open")


def test_the_number_of_a_challenge_asked_for_as_a_claim_shows_the_challenge(
    node: str, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(ANSWERS, "openledger_getClaim")
    found = document(f"{node}#/claim/2", profile)
    assert ">Challenge 2</h1>" in found
    assert "What is said to be wrong" in found


def test_a_challenged_claim_says_who_doubts_what(node: str, profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ">Challenge</h2>" not in document(f"{node}#/claim/1", profile)
    doubt = {"challenger": OWNER, "bond": hex(10**19), "row": 12, "contributor": None, "outcome": "open"}
    monkeypatch.setitem(ANSWERS, "openledger_getClaim", CLAIM | {"challenge": doubt})
    found = document(f"{node}#/claim/1", profile)
    shown = found[found.index(">Challenge</h2>") : found.index(">Verdicts</h2>")]
    for words in ("index row 12", ">10 OPEN<", ">open</span>"):
        assert words in shown, words


def test_each_step_of_a_reward_leads_to_its_record(node: str, profile: Path) -> None:
    assert f'href="#/earned/{OWNER}/1"' in document(f"{node}#/address/{OWNER}", profile)
    found = document(f"{node}#/earned/{OWNER}/1", profile)
    titles = ("Coins", "Claim", "Answers", "Rows", "Proof")
    steps = [found.index(f"<h2>{title}") for title in titles]
    assert steps == sorted(steps)
    for link in (f"address/{OWNER}", "claim/1", "model/1", "answer/1/0", "row/1/1/1"):
        assert f'href="#/{link}"' in found[steps[0] :], link
    assert f"openledger rewards explain {OWNER} --claim 1" in found


SENT = {
    "hash": ZERO, "blockNumber": "0x9", "transactionIndex": "0x0", "type": "0x2", "from": OWNER, "to": None,
    "value": "0x1", "input": "0x", "nonce": "0x0", "gas": "0x5208", "gasPrice": "0x1",
}  # fmt: skip


def test_an_account_shows_what_it_sent_in_pages_and_which_rows_are_its_own(
    node: str, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = document(f"{node}#/address/{OWNER}", profile)
    assert ">Transactions</h2>" not in without, "a node that serves no histories"
    page = {"txs": [SENT], "receipts": [{"status": "0x0", "timestamp": 1}], "firstPage": True, "lastPage": False}
    monkeypatch.setitem(ANSWERS, "ots_searchTransactionsBefore", page)
    found = document(f"{node}#/address/{OWNER}", profile)
    rows = found[found.index(">Rows contributed</h2>") : found.index(">Transactions</h2>")]
    for words in ('href="#/datanet/1"', ">2</td>", ">100 %</td>", "&lt;script&gt;document.title"):
        assert words in rows, words
    sent = found[found.index(">Transactions</h2>") :]
    for words in (f'href="#/tx/{ZERO}"', "create a contract", ">failed</span>", f'href="#/address/{OWNER}/9"', "older"):
        assert words in sent, words
    assert "newest" not in sent
    monkeypatch.setitem(ANSWERS, "ots_searchTransactionsBefore", {"txs": [], "receipts": [], "lastPage": True})
    later = document(f"{node}#/address/{OWNER}/9", profile)
    assert "There are no older ones." in later
    assert "newest" in later
    assert "Not found" in document(f"{node}#/address/{OWNER}/x", profile)


def test_an_account_without_rewards_reads_what_comes_next(
    node: str, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "rewards claim" in document(f"{node}#/address/{OWNER}", profile)
    nothing = dict.fromkeys(REWARD, "0x0") | {"account": OWNER, "claims": []}
    monkeypatch.setitem(ANSWERS, "openledger_explainReward", nothing)
    found = document(f"{node}#/address/{OWNER}", profile)
    assert "has earned nothing yet. Its rows are below" in found
    assert "rewards claim" not in found
    other = document(f"{node}#/address/0x{'b2' * 20}", profile)
    assert "has earned nothing yet.<" in other
    assert "Rows contributed" not in other


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
