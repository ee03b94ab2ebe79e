"""Configuration: what init writes is what load reads, and every mistake is named with its line."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from openledger.node.config import Config, load, render, variable
from openledger.primitives.errors import InvalidConfig


def write(home: Path, text: str) -> Path:
    (home / "config.toml").write_text(text)
    return home


def test_the_file_that_init_writes_gives_the_defaults(tmp_path: Path) -> None:
    assert load(write(tmp_path, render(Config())), {}) == Config()


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert load(tmp_path, {}) == Config()


def test_every_value_has_a_comment_and_a_variable() -> None:
    text = render(Config())
    for part in fields(Config):
        for item in fields(getattr(Config(), part.name)):
            assert f"; {variable(part.name, item.name)}\n{item.name} = " in text


@pytest.mark.parametrize(
    ("section", "name"),
    [(part.name, item.name) for part in fields(Config) for item in fields(getattr(Config(), part.name))],
)
def test_every_value_can_be_given_as_a_variable(tmp_path: Path, section: str, name: str) -> None:
    item = next(f for f in fields(getattr(Config(), section)) if f.name == name)
    default, meta = getattr(getattr(Config(), section), name), item.metadata
    if isinstance(default, bool):
        value: object = not default
    elif isinstance(default, int):
        value = default + 1 if meta["high"] is None or default < meta["high"] else default - 1
    elif isinstance(default, tuple):
        value = (meta["like"].replace("host", "a"), meta["like"].replace("host", "b")) if meta["like"] else ("a", "b")
    else:
        value = next(
            (c for c in meta["choices"] if c != default), meta["like"].replace("127", "126") or "something-else"
        )
    text = (
        ",".join(value) if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else str(value)
    )
    found = load(tmp_path, {variable(section, name): text})
    assert getattr(getattr(found, section), name) == value


@pytest.mark.parametrize("name", ["OPENLEDGER_RPC_PROT", "OPENLEDGER_CONSENSUS_PEER", "OPENLEDGER_LOG_"])
def test_a_variable_with_a_typo_is_refused_and_the_right_one_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidConfig, match=name):
        load(tmp_path, {name: "1"})
    assert load(tmp_path, {"OPENLEDGER_HOME": "x", "OPENLEDGER_PASSWORD": "x", "OTHER_RPC_PROT": "1"}) == Config()


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    write(tmp_path, "[rpc]\nport = 1111\n")
    found = load(
        tmp_path, {"OPENLEDGER_RPC_PORT": "2222", "OPENLEDGER_RPC_ORIGINS": "https://a.example, https://b.example"}
    )
    assert found.rpc.port == 2222
    assert found.rpc.origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[rpc\nport = 1", "not TOML"),
        ('[rpc]\nport = "8545"', r"line 2, \[rpc\] port must be a whole number"),
        ("[rpc]\nport = 70000", r"line 2, \[rpc\] port is out of range"),
        ("[rpc]\n\nporti = 1", r"line 3, \[rpc\] has no 'porti'"),
        ("[log]\nlevel = 'loud'", r"line 2, \[log\] level must be one of"),
        ("[chain]\narchive = 1", r"line 2, \[chain\] archive must be true or false"),
        ("[rpc]\nhosts = [1]", r"line 2, \[rpc\] hosts must be a list of text"),
        ("[nothing]\na = 1", "unknown section 'nothing'"),
        ("rpc = 1", "unknown section 'rpc'"),
        ("[consensus]\nrpc = 'tcp://127.0.0.1:99999'", r"line 2, \[consensus\] rpc is no such address"),
        ("[consensus]\nrpc = 'tcp://127.0.0.1:abc'", r"rpc is no such address"),
        ("[consensus]\nrpc = 'http://127.0.0.1:26657'", r"rpc is no such address"),
        ("[consensus]\np2p = 'tcp://127.0.0.1'", r"p2p is no such address"),
        ("[consensus]\npeers = ['host:26656']", r"peers is no such address: 'host:26656'"),
        ("[consensus]\npeers = ['abcd@host']", r"peers is no such address"),
        ("[consensus]\ndouble_sign_check_height = -1", r"double_sign_check_height is out of range"),
        ("[blobs]\npeers = ['http://one:8545', 'two:8545']", r"line 2, \[blobs\] peers is no such address: 'two:8545'"),
        ("[statesync]\nrpc_servers = ['//one']", r"rpc_servers is no such address"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        load(write(tmp_path, text), {})


def test_addresses_in_every_form_that_works_are_taken(tmp_path: Path) -> None:
    rows = ["[consensus]", "p2p = 'tcp://:26656'", "rpc = 'tcp://[::1]:26657'", "peers = ['ab@[::1]:1', 'tcp://ab@h:1']",
            "[blobs]", "peers = ['https://node.example', 'http://u:p@[::1]:8545/']"]  # fmt: skip
    found = load(write(tmp_path, "\n".join(rows)), {})
    assert found.consensus.peers == ("ab@[::1]:1", "tcp://ab@h:1")
    assert len(found.blobs.peers) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [("OPENLEDGER_RPC_PORT", "many"), ("OPENLEDGER_CHAIN_ARCHIVE", "perhaps"), ("OPENLEDGER_LOG_FORMAT", "xml")],
)
def test_a_wrong_variable_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(InvalidConfig, match=name):
        load(tmp_path, {name: value})


def test_bytes_that_are_no_text_are_one_error(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidConfig, match="cannot be read"):
        load(tmp_path, {})
