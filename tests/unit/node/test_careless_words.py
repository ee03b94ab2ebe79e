"""Words of the command line that name nobody, nothing or too much: refused in a sentence, before anything is asked."""

from __future__ import annotations

import base64
import errno
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from openledger.node import rows
from openledger.node.cli.common import facts
from openledger.node.cli.governance import effect_lines
from openledger.node.cli.root import run
from openledger.node.fork import Upstream, parse_fork
from openledger.node.keystore import Keystore
from openledger.primitives.amounts import parse_amount
from openledger.primitives.errors import ForkError, InsufficientFunds, InvalidAmount, MalformedAction, OpenLedgerError
from openledger.rpc.client import Client

ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


pytestmark = pytest.mark.usefixtures("clean")


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a refused command prints."""
    assert run(list(words)) != 0
    err: str = capsys.readouterr().err
    assert err.startswith("error: ")
    return err


@pytest.mark.parametrize("number", [str(2**64), "9" * 80, "0", "-1", "x", "1.5", ""])
@pytest.mark.parametrize("command", [["proof", "check"], ["proof", "evidence"], ["proof", "shares"], ["model", "show"]])
def test_a_number_that_no_record_has_is_refused_in_words(
    command: list[str], number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"is not a whole number from 1 to {2**64 - 1}" in said(capsys, *command, "--", number)


def test_the_words_name_the_bounds_of_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'70000' is not a whole number from 0 to 65535" in said(capsys, "devnet", "--port", "70000")


def test_a_review_that_says_neither_yes_nor_no_is_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert "say --accept or --reject" in said(
        capsys, "datanet", "review", "1", "1", "--reason", "well", "--key", "dev2"
    )


def test_what_strangers_write_moves_no_cursor_and_makes_no_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row, an answer or a refusal with escape sequences could hide what stands beside it."""
    record = {"id": 1, "name": "a\n2   b", "head": 1, "policy": "open", "licence": "MIT", "owner": "\x1b[2J\u202ex\x9b"}
    monkeypatch.setattr(Client, "call", lambda *_: [record])
    assert run(["datanet", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("a 2   b  1        open    MIT      \\x1b[2J\\u202ex\\x9b")

    def refuse(*_: Any) -> Any:
        raise OpenLedgerError("no\x1b[31m", "try\r again")

    monkeypatch.setattr(Client, "call", refuse)
    assert said(capsys, "datanet", "list") == "error: no\\x1b[31m\nhint: try\\r again\n"


@pytest.mark.parametrize("command", [["rewards", "show"], ["rewards", "explain"], ["stake", "show"]])
def test_an_empty_address_is_not_the_account_of_the_key(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "not an address" in said(capsys, *command, "", "--key", "dev1")


@pytest.mark.parametrize("command", [["proof", "check", "1"], ["rewards", "explain", ADDRESS]])
def test_an_empty_block_hash_is_not_the_nodes_word(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "'' is no hash of a block" in said(capsys, *command, "--block-hash", "")


def test_the_place_of_an_argument_is_told_to_programs_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_client: Client, _method: str, *_params: Any) -> Any:
        raise OpenLedgerError("invalid argument 0: not an address", "0x and 40 digits")

    monkeypatch.setattr(Client, "call", refuse)
    assert said(capsys, "validator", "status", "nobody") == "error: not an address\nhint: 0x and 40 digits\n"


def test_who_cannot_pay_reads_where_open_comes_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_client: Client, _method: str, *_params: Any) -> Any:
        raise InsufficientFunds("insufficient funds for gas * price + value")

    monkeypatch.setattr(Client, "call", refuse)
    assert "hint: send it OPEN first; on a devnet: openledger rpc openledger_faucet" in said(capsys, "gov", "params")


@pytest.mark.parametrize("text", ["9" * 5000, "1" + "0" * 77, "1" * 60 + "." + "1" * 19, "١٢", "0." + "0" * 90 + "1"])
def test_an_amount_that_cannot_be_is_no_amount(text: str) -> None:
    with pytest.raises(InvalidAmount):
        parse_amount(text)


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1:99999", "http://127.0.0.1:x@5"])
def test_a_fork_of_something_that_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ForkError, match="not the address of a JSON-RPC server"):
        parse_fork(url)


def test_a_fork_of_what_is_no_block_says_so() -> None:
    url, block = parse_fork("http://127.0.0.1:9@newest.invalid")
    assert block is None
    with pytest.raises(ForkError, match=r"the chain at http://newest\.invalid does not answer"):
        Upstream(url, sleep=lambda _: None).call("eth_chainId")


def test_a_fork_shows_the_login_of_its_address() -> None:
    shown = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            shown.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"jsonrpc":"2.0","id":0,"result":"0x1"}')

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.handle_request).start()
        assert Upstream(f"http://me:p%40ss@127.0.0.1:{server.server_port}/v1").call("eth_chainId") == "0x1"
    assert shown == ["Basic " + base64.b64encode(b"me:p@ss").decode()]


@pytest.mark.parametrize("name", ["a.json", "a.csv", "a.TSV", "a.parquet"])
def test_a_table_is_not_committed_as_the_text_that_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"text": "a row"}\n', encoding="utf-8")
    with pytest.raises(MalformedAction, match=r", not text") as refused:
        rows.read_file(tmp_path / name)
    assert ".jsonl" in str(refused.value.hint)


@pytest.mark.parametrize("name", ["a.ndjson", "a.JSONL"])
def test_rows_are_rows_by_either_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"text": "one"}\n{"text": "two"}\n', encoding="utf-8")
    assert rows.read_file(tmp_path / name) == ["one", "two"]


def test_a_damaged_key_file_does_not_hide_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Keystore(tmp_path)
    good = store.create("good", "pw", b"\x11" * 32)
    (tmp_path / "keys" / "bad.json").write_text("{", encoding="utf-8")
    assert run(["keys", "list", "--home", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[0] == {"name": "bad", "address": None}
    assert found[1]["address"].lower() == "0x" + good.hex()
    assert run(["keys", "list", "--home", str(tmp_path)]) == 0
    assert "its file cannot be read: openledger keys show bad" in capsys.readouterr().out


def test_a_taken_name_is_refused_before_a_key_or_a_password_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Keystore(tmp_path).create("alice", "pw")
    monkeypatch.delenv("OPENLEDGER_PASSWORD")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    for words in (["new", "alice"], ["import", "alice"]):
        assert "there is a key named 'alice' already" in said(capsys, "keys", *words, "--home", str(tmp_path))
    assert "not a key name" in said(capsys, "keys", "import", "a/b", "--home", str(tmp_path))
    assert "name its file with --file" in said(capsys, "keys", "import", "bob", "--home", str(tmp_path))


def test_a_home_that_has_never_run_is_not_told_to_begin_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`init` has left a genesis, and nothing has left a state. Made by hand, as `init` needs CometBFT."""
    (tmp_path / "genesis.json").write_text("{}", encoding="utf-8")
    err = said(capsys, "prune", "--home", str(tmp_path))
    assert "has never run" in err
    assert "start" in err


def test_a_record_is_told_to_people_in_their_units() -> None:
    record = {
        "bond": hex(10**19), "created": 1_700_000_000, "vests": 0, "unattributed": 859_883, "mints": True, "rows": 0,
        "reason": "", "named": {"row": 7}, "challenge": {"bond": hex(10**18), "row": None, "share": "0x12"},
        "data": [1], "reviewers": ["a", "b"], "shares": {}, "deadline": 1_700_000_000, "opened": 30, "closed": 0,
    }  # fmt: skip
    assert [line.split(maxsplit=1) for line in facts(record, shares=None, data="datanet 1")] == [
        ["bond", "10 OPEN"], ["created", "2023-11-14 22:13:20 UTC"], ["vests", "-"], ["unattributed", "85.9883 %"],
        ["mints", "yes"], ["rows", "0"], ["reason", "-"], ["named", "row 7"], ["challenge", "bond 1 OPEN share 0x12"],
        ["data", "datanet 1"], ["reviewers", "a, b"], ["deadline", "2023-11-14 22:13:20 UTC"], ["opened", "block 30"],
        ["closed", "-"],
    ]  # fmt: skip


def test_parameters_that_are_money_are_said_in_open_and_to_machines_in_wei(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = {"modelBond": hex(10**19), "workPrice": hex(10**9), "voteSeconds": 60, "bases": ["a", "b"]}
    bounds = {"model_bond": {"least": "0", "most": str(10**23)}, "vote_seconds": {"least": "10", "most": "604800"}}
    monkeypatch.setattr(Client, "call", lambda _, method: now if method.endswith("Params") else bounds)
    assert run(["gov", "params", "model_bond"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == [
        "model_bond",
        "10",
        "OPEN",
        "0",
        "OPEN",
        "100,000",
        "OPEN",
    ]
    assert run(["gov", "params", "vote_seconds"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["vote_seconds", "60", "10", "604800"]
    assert run(["gov", "params", "model_bond", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model_bond"]["value"] == str(10**19)


def test_who_votes_reads_money_in_open_and_other_numbers_as_they_are() -> None:
    pool, account = "179528600000000000", "9999000000000000000000"
    spend = {
        "name": "spend", "arguments": {"receiver": ADDRESS, "amount": "1000000000000000"},
        "changes": [{"name": "communityPool", "before": pool, "after": ""},
                    {"name": ADDRESS, "before": account, "after": "0"}],
    }  # fmt: skip
    said = [line.split(maxsplit=1) for line in effect_lines(spend)]
    assert said[2] == ["amount", "= 0.001 OPEN"]
    assert said[5][1].split() == ["0.1795286", "OPEN", "-"]
    assert said[6][1].split() == ["9,999", "OPEN", "0", "OPEN"]
    changes = [{"name": "model_bond", "before": str(10**19), "after": str(2 * 10**19)},
               {"name": "vote_seconds", "before": "60", "after": "90"}]  # fmt: skip
    params = {"name": "params", "arguments": {"model_bond": str(2 * 10**19), "vote_seconds": "90"}, "changes": changes}
    lines = effect_lines(params)
    assert lines[1:3] == ["  model_bond = 20 OPEN", "  vote_seconds = 90"]
    assert [line.split() for line in lines[5:]] == [
        ["model_bond", "10", "OPEN", "20", "OPEN"],
        ["vote_seconds", "60", "90"],
    ]


def test_the_share_of_a_reward_is_a_percentage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"claim": 1, "model": 2, "epoch": 18, "share": 75_391, "fees": hex(10**18), "minted": "0x0"}
    found = dict.fromkeys(("fees", "staking", "minted", "taken", "locked", "available"), "0x0") | {"claims": [entry]}
    monkeypatch.setattr(Client, "call", lambda *_: found)
    assert run(["rewards", "show", ADDRESS]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["1", "2", "18", "7.5391", "%", "1", "OPEN", "0", "OPEN"]


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.EACCES, "choose a place that you may read and write"),
        (errno.ENOSPC, "make room"),
        (errno.ENOENT, "is the path right?"),
        (errno.EISDIR, "name a file"),
    ],
)
def test_what_the_system_refuses_has_a_hint(
    number: int, hint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_store: Keystore) -> Any:
        raise OSError(number, os.strerror(number), "/a/path")

    monkeypatch.setattr(Keystore, "table", refuse)
    err = said(capsys, "keys", "list")
    assert err.startswith(f"error: {os.strerror(number)}: /a/path\nhint: ")
    assert hint in err


def test_a_folder_without_state_tests_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evm", "statetest", "--engine", "py-evm", str(tmp_path)]) == 1
    assert "no state test is there" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["", "0x12", "nonsense"])
def test_what_is_no_public_key_of_a_validator_is_said(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not the public key of a validator" in said(capsys, "genesis", "add-validator", key, "--operator", ADDRESS)
