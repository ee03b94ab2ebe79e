"""What careless and unkind people give to the command line: one sentence each, never a traceback."""

from __future__ import annotations

import json
import logging
import socket
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from aiohttp.http_exceptions import BadHttpMessage

import openledger.node.cli
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.rewards.claim import RewardsClaim
from openledger.node import rows
from openledger.node.checks import port_is_free
from openledger.node.cli.models import data_ref
from openledger.node.cli.root import run
from openledger.node.cli.transactions import parameters
from openledger.node.config import LogConfig, load
from openledger.node.consumer import Answer, Session, open_session
from openledger.node.devnet_chain import DevnetOptions, chain_folder, open_chain
from openledger.node.keystore import Signer
from openledger.node.logging import setup
from openledger.node.network import validator_key
from openledger.primitives.errors import (
    BlobError,
    InvalidConfig,
    KeystoreError,
    MalformedAction,
    NodeUnreachable,
    PaymentRequired,
    VoucherInvalid,
    WrongDataFolder,
)
from openledger.primitives.fields import from_json, pack_struct
from openledger.rpc.client import Client

SIGNER = Signer("dev1", bytes(20), b"\x01" * 32)
DEEP = "[" * 100_000


pytestmark = pytest.mark.usefixtures("clean")


# --- documents ------------------------------------------------------------------------------------------------


def test_a_text_may_hold_the_line_separators_of_unicode(tmp_path: Path) -> None:
    text = "one line\u2028and another\u0085and a third"
    file = tmp_path / "a.jsonl"
    file.write_bytes(rows.blob_of([text, "second"]))
    assert rows.read_file(file) == [text, "second"]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_a_file_without_rows_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(MalformedAction, match="is empty"):
        rows.read_file(file)
    assert rows.rows_of(b"") == []


@pytest.mark.parametrize("line", [DEEP, '{"text":"\\ud800 half of a pair"}', "1e999", "[]"])
def test_a_row_that_is_no_text_names_file_and_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text":"fine"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(MalformedAction, match=r"a\.jsonl, line 2: "):
        rows.read_file(file)


def test_a_byte_order_mark_is_not_part_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfhello")
    (tmp_path / "b.jsonl").write_bytes(b'\xef\xbb\xbf{"text":"hello"}\r\n')
    assert rows.read_file(tmp_path / "a.txt") == rows.read_file(tmp_path / "b.jsonl") == ["hello"]


# --- fields of transactions -----------------------------------------------------------------------------------


def test_text_that_is_not_unicode_is_malformed() -> None:
    with pytest.raises(MalformedAction, match="name is not Unicode text"):
        DatanetCreate(name="\udcff", description="", licence="CC0-1.0", policy="open").check()
    with pytest.raises(MalformedAction, match=r"DatanetCreate\.name must be string"):
        from_json(DatanetCreate, {"name": "\ud800"})


@pytest.mark.parametrize("amount", [-1, 1 << 256])
def test_a_number_that_does_not_fit_its_field_is_malformed(amount: int) -> None:
    with pytest.raises(MalformedAction, match=r"RewardsClaim\.amount must be uint256"):
        pack_struct(RewardsClaim(amount))


@pytest.mark.parametrize("amount", ["abc", "", "0x", "1" * 5000, "-1", "1.5"])
def test_text_that_is_no_number_names_the_field(amount: str) -> None:
    with pytest.raises(MalformedAction, match=r"RewardsClaim\.amount must be uint256$"):
        from_json(RewardsClaim, {"amount": amount})


def test_deeply_nested_parameters_are_text_and_do_not_end_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert parameters((DEEP,)) == [DEEP]
    root = "0x" + "0" * 64
    fields = ["--datanet", "1", "--parent", "0", "--root", root, "--rows", "1", "--add", DEEP]
    assert run(["tx", "datanet.commit", *fields, "--key", "dev1"]) == 1
    assert "error: --add: JSON nested deeper" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["²", "1:²", "9" * 5000, "", "1:", "-1", "1:2:3"])
def test_what_is_no_datanet_is_said(text: str) -> None:
    with pytest.raises(MalformedAction, match="not a datanet"):
        data_ref(text)


# --- folders and keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"garbage", b"", "²".encode(), b"\xff\xfe", b"9" * 5000])
def test_a_marker_that_names_no_chain_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "current").write_bytes(content)
    with pytest.raises(WrongDataFolder, match="does not name a chain"):
        chain_folder(tmp_path, fresh=False)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"seed":5}', b'{"seed":"0x12"}', b"\xff", DEEP.encode()]
)
def test_a_damaged_validator_file_is_said(tmp_path: Path, content: bytes) -> None:
    chain = open_chain(tmp_path, DevnetOptions(), 1).folder
    (chain / "validator.json").write_bytes(content)
    with pytest.raises(WrongDataFolder, match="is damaged"):
        open_chain(tmp_path, DevnetOptions(), 1)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"priv_key":{"value":"AAAA"}}', b"\xff", DEEP.encode()])
def test_a_damaged_validator_key_is_said(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "cometbft" / "config"
    folder.mkdir(parents=True)
    (folder / "priv_validator_key.json").write_bytes(content)
    with pytest.raises(KeystoreError, match="is damaged"):
        validator_key(tmp_path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b"{}", b"[]", b"{" + DEEP.encode(), b"", b"0x12"])
def test_a_file_that_holds_no_key_is_said(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    assert run(["keys", "import", "alice", "--file", str(file), "--home", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_damaged_key_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "alice.json").write_text(DEEP, encoding="utf-8")
    assert run(["keys", "show", "alice", "--home", str(tmp_path)]) == 1
    assert "is damaged" in capsys.readouterr().err


def test_genesis_validate_looks_where_init_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain = open_chain(tmp_path, DevnetOptions(), 1).folder
    (tmp_path / "genesis.json").write_bytes((chain / "genesis.json").read_bytes())
    assert run(["genesis", "validate", "--home", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["valid"] is True


def test_rewards_show_asks_for_no_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = ["--home", str(tmp_path), "--node", "http://127.0.0.1:9"]
    assert run(["keys", "new", "alice", *home]) == 0
    monkeypatch.delenv("OPENLEDGER_PASSWORD")
    assert run(["rewards", "show", "--key", "alice", *home]) == 1
    assert "no node answers" in capsys.readouterr().err
    assert run(["rewards", "show", *home]) == 1
    assert "needs an account" in capsys.readouterr().err


# --- the way to a node ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("foo", "not the address of a node"),
        ("ftp://localhost", "not the address of a node"),
        ("http://user@:99999", "not the address of a node"),
        ("http://127.0.0.1:9", "Connection refused"),
    ],
)
def test_a_wrong_node_is_said_in_words(url: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--node", url]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert "hint: " in err


# --- the log --------------------------------------------------------------------------------------------------


def test_the_log_shows_no_values_of_variables_and_no_garbage_of_clients(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        setup(LogConfig())
        secret = "very" + "secret"
        try:
            raise RuntimeError(f"broken {len(secret)}")
        except RuntimeError:
            logging.getLogger("aiohttp.server").exception("own fault")
        try:
            raise BadHttpMessage("garbage")
        except BadHttpMessage:
            logging.getLogger("aiohttp.server").exception("client's fault")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    err = capsys.readouterr().err
    assert "own fault" in err
    assert "RuntimeError: broken 10" in err
    assert "verysecret" not in err
    assert "client's fault" not in err


# --- model servers --------------------------------------------------------------------------------------------


class _Strange(BaseHTTPRequestHandler):
    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    do_POST = do_PUT = do_GET  # noqa: N815 (the name that http.server asks for)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def strange() -> Iterator[str]:
    """URL of a server that answers ``_Strange.body`` to everything."""
    server = HTTPServer(("127.0.0.1", 0), _Strange)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


class _Chain:
    """Fails at the first question: no money may move before the server was looked at."""

    def call(self, method: str, *_: object) -> None:
        raise AssertionError(method)


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"{}", b'{"data":5}', b'{"data":[5,{"number":2}]}'])
def test_no_session_is_opened_with_a_server_that_does_not_serve_the_model(strange: str, body: bytes) -> None:
    _Strange.body = body
    with pytest.raises(NodeUnreachable):
        open_session(_Chain(), SIGNER, 1, strange, 1)  # type: ignore[arg-type]
    with pytest.raises(NodeUnreachable, match="does not answer"):
        open_session(_Chain(), SIGNER, 1, "http://127.0.0.1:9", 1)  # type: ignore[arg-type]


def answered(price: str, text: str = '"world"') -> bytes:
    """An answer of session 1 to "hello", as a server writes it."""
    receipt = f'{{"id":"r","session":1,"index":0,"model":1,"query":"hello","answer":{text},"price":{price}}}'
    return f'{{"choices":[{{"text":{text}}}],"openledger":{{"receipt":{receipt}}}}}'.encode()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"[]", NodeUnreachable),
        (b"{}", VoucherInvalid),
        (b'{"choices":[],"openledger":{"receipt":{}}}', VoucherInvalid),
        (b'{"error":"no"}', PaymentRequired),
        (b"[" * 100_000, NodeUnreachable),
        (b'{"choices":[{"text":""}],"more":"%s"}' % (b"x" * (17 << 20)), NodeUnreachable),
        (answered(price="1e999"), VoucherInvalid),
        (answered(price="5", text='"\\ud800"'), VoucherInvalid),
    ],
    ids=range(8),
)
def test_an_answer_without_a_receipt_is_not_paid(strange: str, body: bytes, error: type[Exception]) -> None:
    _Strange.body = body
    session = Session(1, 1, 5, 161237, strange, 1_800_000_000, SIGNER)
    with pytest.raises(error):
        session.ask("hello")
    assert session.paid == 0


class _Opens:
    """A chain with a model of price 5, whose next session is number 9."""

    def call(self, method: str, *_: object) -> dict[str, str]:
        return {"openledger_getModel": {"price": "0x5"}, "eth_getBlockByNumber": {"timestamp": "0x1"}}[method]

    def chain_id(self) -> int:
        return 161237


@pytest.fixture
def escrow(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Deposits that ``infer`` has made."""
    opened: list[object] = []

    def send(_client: object, _signer: object, action: object) -> dict[str, object]:
        opened.append(action)
        return {"transactionHash": "0x1", "logs": [{"topics": ["0x1", "0x9"]}]}

    monkeypatch.setattr("openledger.node.cli.common.App.client", _Opens())
    monkeypatch.setattr("openledger.node.consumer.send", send)
    return opened


@pytest.mark.parametrize("prompt", ["", " \n", "x" * 100_001, "\ud800"])
def test_no_money_is_put_aside_for_a_prompt_that_no_server_takes(
    prompt: str, strange: str, escrow: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    _Strange.body = b'{"data":[{"number":1}]}'
    assert run(["infer", "1", prompt, "--key", "dev1", "--url", strange]) == 2
    assert "1 to 100000 characters" in capsys.readouterr().err
    assert escrow == []


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
def test_who_gets_no_answer_is_told_where_the_deposit_is(
    end: str, strange: str, escrow: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    _Strange.body = b'{"data":[{"number":1}]}'  # an offer, but no answer to a question
    assert run(["infer", "1", "hello", "--key", "dev1", "--url", strange + end]) == 1
    err = capsys.readouterr().err
    assert "carries no receipt; nothing was paid" in err
    assert "session 9 has 5 wei of yours; an epoch after 20" in err
    assert "openledger tx inference.close --session 9" in err
    assert len(escrow) == 1


def test_seed_and_temperature_reach_the_server_only_where_they_are_named(
    strange: str, escrow: list[object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a seed the prompt gives it: who asked again paid again for the same words."""
    asked: list[dict[str, object]] = []

    def ask(_session: Session, prompt: str, _check: object, **options: object) -> Answer:
        asked.append(options)
        return Answer(9, 0, "r", prompt, " world", 5)

    _Strange.body = b'{"data":[{"number":1}]}'
    monkeypatch.setattr(Session, "ask", ask)
    words = ["infer", "1", "hello", "--key", "dev1", "--url", strange]
    assert run(words) == 0
    assert run([*words, "--seed", "7", "--temperature", "0"]) == 0
    assert asked == [{"max_tokens": 48}, {"max_tokens": 48, "seed": 7, "temperature": 0.0}]
    assert run([*words, "--seed", str(2**63)]) == 2
    assert run([*words, "--temperature", "3"]) == 2
    assert len(escrow) == 2


def test_who_breaks_off_an_answer_is_told_where_the_deposit_is(
    strange: str, escrow: list[object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    _Strange.body = b'{"data":[{"number":1}]}'
    monkeypatch.setattr(Session, "ask", broken)
    assert run(["infer", "1", "hello", "--key", "dev1", "--url", strange]) == 130
    assert "tx inference.close --session 9" in capsys.readouterr().err


@pytest.mark.parametrize(
    "body",
    [b'{"jsonrpc":"2.0","error":5}', b'[{"jsonrpc":"2.0"}]', b"<html>", b"\xff", b"null", b"[" * 100_000],
    ids=range(6),
)
def test_what_answers_like_no_node_is_said(strange: str, body: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    _Strange.body = body
    assert run(["status", "--node", strange]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_an_empty_password_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLEDGER_PASSWORD", "")
    assert run(["keys", "new", "alice", "--home", str(tmp_path)]) == 1
    assert "an empty password" in capsys.readouterr().err


def test_an_empty_host_is_refused_for_it_would_mean_every_address(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="OPENLEDGER_RPC_HOST is empty"):
        load(tmp_path, {"OPENLEDGER_RPC_HOST": ""})


def test_a_host_that_this_machine_does_not_have_is_not_called_a_taken_port() -> None:
    assert port_is_free("999.9.9.9", 8545)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not port_is_free("127.0.0.1", taken.getsockname()[1])


def test_ctrl_c_in_the_first_moment_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "openledger.node.cli.root":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "openledger.node.cli.root")
    monkeypatch.delattr(openledger.node.cli, "root")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        openledger.node.cli.main()
    assert ended.value.code == 130


def test_a_node_that_ends_while_a_transaction_is_on_its_way_leaves_its_hash(strange: str) -> None:
    _Strange.body = b""
    digest = "0x" + "ab" * 32
    with Client(strange) as client, pytest.raises(NodeUnreachable, match=digest) as lost:
        client.wait_receipt(digest)
    assert "may still be taken" in str(lost.value.hint)


@pytest.mark.parametrize(("body", "said"), [(b'{"error":"the disk is full"}', ": the disk is full$"), (b"oh", ": oh$")])
def test_a_refused_blob_is_said_in_the_nodes_words(strange: str, body: bytes, said: str) -> None:
    _Strange.body = body
    with Client(strange) as client, pytest.raises(BlobError, match=said):
        client.put_blob(b"x")
