"""Rows on their way from files to a commit: read as their author meant them, remarked on, and taken out again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openledger.genesis.presets import dev_accounts
from openledger.node import rows
from openledger.node.cli.common import App
from openledger.node.cli.root import run
from openledger.node.quality import inspect, spdx
from openledger.primitives.errors import MalformedAction, NotFound
from openledger.primitives.types import parse_address


class Node:
    """A node of chain 7, with datanets 1 and 2; no row is committed yet."""

    chain = 7

    def chain_id(self) -> int:
        return self.chain

    def call(self, method: str, number: int) -> dict[str, Any]:
        assert method == "openledger_getDatanet"
        if number > 2:
            raise NotFound(f"there is no datanet {number}")
        return {"id": number, "name": "Letters", "head": 0, "versions": 0, "policy": "open", "bond": "0x0"}


@pytest.fixture(autouse=True)
def node(clean: None, monkeypatch: pytest.MonkeyPatch) -> Node:
    found = Node()
    monkeypatch.setattr(App, "client", found)
    return found


def out(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command prints."""
    assert run(["--home", "home", "datanet", *words]) == 0
    return capsys.readouterr().out


def test_who_adds_personal_data_reads_so_before_anything_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.txt").write_text("A letter without any secrets in it.\n\nWrite to jane.doe@example.com for the rest.\n")
    said = out(capsys, "add", "1", "a.txt")
    assert "row 1: remark: looks as if it held an e-mail address (Write to jane.doe@example.com" in said
    assert "2 rows added; 2 wait" in said


def test_a_hundred_remarks_are_ten_and_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.txt").write_text("short\n\n" * 60)
    lines = out(capsys, "add", "1", "a.txt").splitlines()
    assert len(lines) == 12
    assert lines[10] == "and 109 remarks more: openledger datanet check FILE"


def test_every_repetition_is_told_not_only_the_first() -> None:
    found = rows.check(["a sentence of some length"] * 4)
    assert [f.row for f in found] == [1, 2, 3]


def test_a_file_added_twice_is_told_and_can_be_taken_out(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.txt").write_text("A first letter of some length.\n\nA second letter of some length.\n")
    out(capsys, "add", "1", "a.txt")
    said = out(capsys, "add", "1", "a.txt")
    assert "2 of them were collected before: openledger datanet reset 1 drops all that wait" in said
    assert "4 rows dropped; nothing waits" in out(capsys, "reset", "1")
    assert "2 rows added; 2 wait" in out(capsys, "add", "1", "a.txt")
    assert run(["--home", "home", "datanet", "reset", "2"]) == 1
    assert "nothing is collected for datanet 2" in capsys.readouterr().err


def test_what_waits_stands_beside_the_datanet(capsys: pytest.CaptureFixture[str]) -> None:
    assert "wait here" not in (shown := out(capsys, "show", "1"))
    assert "bond" not in shown, "of a datanet that asks for none"
    Path("a.txt").write_text("A first letter of some length.\n")
    out(capsys, "add", "1", "a.txt")
    assert "1 rows wait here for `datanet commit 1`" in out(capsys, "show", "1")
    assert json.loads(out(capsys, "show", "1", "--json"))["collected"] == 1


def test_rows_that_were_collected_on_another_chain_stay_there(capsys: pytest.CaptureFixture[str], node: Node) -> None:
    """After `devnet --fresh`, or with --node of a network, datanet 1 is another one, and a commit is for ever."""
    Path("a.txt").write_text("A first letter of some length.\n")
    out(capsys, "add", "1", "a.txt")
    node.chain = 8
    assert run(["--home", "home", "datanet", "commit", "1", "--dry-run"]) == 1
    assert "nothing is collected for datanet 1" in capsys.readouterr().err
    assert "1 rows added; 1 wait" in out(capsys, "add", "1", "a.txt")


def test_nothing_is_collected_for_a_datanet_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.txt").write_text("A first letter of some length.\n")
    assert run(["--home", "home", "datanet", "add", "3", "a.txt"]) == 1
    assert "there is no datanet 3" in capsys.readouterr().err
    assert not Path("home").exists()


@pytest.mark.parametrize(
    ("content", "said", "hint"),
    [
        ("Frühling".encode("utf-16"), "not UTF-8 text: its byte 1 is 0xff", "iconv -f UTF-16"),
        ("Frühling".encode("latin-1"), "not UTF-8 text: its byte 3 is 0xfc", "iconv -f WINDOWS-1252"),
    ],
)
def test_text_in_another_encoding_is_told_with_the_way_out(content: bytes, said: str, hint: str) -> None:
    Path("a.txt").write_bytes(content)
    with pytest.raises(MalformedAction, match=said) as err:
        rows.read_file(Path("a.txt"))
    assert hint in str(err.value.hint)


def test_empty_lines_between_rows_are_no_rows() -> None:
    Path("a.jsonl").write_bytes(b'{"text":"one"}\r\n\r\n{"text":"two"}\r\n  \n')
    assert rows.read_file(Path("a.jsonl")) == ["one", "two"]
    Path("b.jsonl").write_bytes(b'{"text":"one"}\n\n5\n')
    with pytest.raises(MalformedAction, match="line 3: "):
        rows.read_file(Path("b.jsonl"))


def test_rows_of_other_fields_name_them() -> None:
    Path("a.jsonl").write_text('{"instruction": "Say hello", "output": "Hello"}\n')
    with pytest.raises(MalformedAction, match="this one has 'instruction', 'output'"):
        rows.read_file(Path("a.jsonl"))
    Path("b.jsonl").write_text("{'text': 'python'}\n")
    with pytest.raises(MalformedAction, match="this is no JSON"):
        rows.read_file(Path("b.jsonl"))


def test_rows_that_were_pulled_and_edited_are_not_overwritten_unasked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [(parse_address("0x" + "11" * 20), rows.blob_of(["a row of the chain"]))]
    monkeypatch.setattr("openledger.node.contributing.checked_parts", lambda *_: (parts, bytes(32)))
    file = Path("datanet-1-v3.jsonl")
    for _ in range(2):
        out(capsys, "pull", "1", "--version", "3")
    file.write_bytes(rows.blob_of(["a row of the chain, put right"]))
    assert run(["datanet", "pull", "1", "--version", "3"]) == 1
    assert "is here and has other rows\nhint: --output FILE" in capsys.readouterr().err
    assert file.read_bytes() == rows.blob_of(["a row of the chain, put right"])
    out(capsys, "pull", "1", "--version", "3", "--output", str(file))
    assert file.read_bytes() == parts[0][1]


@pytest.mark.parametrize("licence", ["CC0", "Foo", "", "MIT AND", "my licence"])
def test_a_licence_that_spdx_does_not_know_is_refused_before_it_stands_for_ever(licence: str) -> None:
    with pytest.raises(MalformedAction, match="is no SPDX expression") as err:
        spdx(licence)
    assert "LicenseRef-NAME" in str(err.value.hint)


def test_a_licence_is_written_as_spdx_writes_it() -> None:
    assert [spdx(one) for one in ("cc0-1.0", "mit or apache-2.0", "LicenseRef-Mine")] == [
        "CC0-1.0", "MIT OR Apache-2.0", "LicenseRef-Mine",
    ]  # fmt: skip


def test_rows_are_pulled_into_a_pipe(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [(parse_address("0x" + "11" * 20), rows.blob_of(["a row of the chain"]))]
    monkeypatch.setattr("openledger.node.contributing.checked_parts", lambda *_: (parts, bytes(32)))
    assert run(["datanet", "pull", "1", "--version", "3", "-o", "-"]) == 0
    assert capsysbinary.readouterr().out == parts[0][1]
    assert not Path("-").exists()


def test_a_long_comparison_has_a_bar_and_a_short_one_none(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"row number {i} speaks of thing {i * 7919 % 1009} and of nothing else" for i in range(1_000)]
    Path("a.jsonl").write_bytes(rows.blob_of(lines))
    assert run(["datanet", "check", "a.jsonl"]) == 0
    assert "1. Compare the rows" in capsys.readouterr().out.splitlines()[0]
    Path("b.jsonl").write_bytes(rows.blob_of(lines[:9]))
    assert run(["datanet", "check", "b.jsonl"]) == 0
    assert "Compare" not in capsys.readouterr().out
    heard: list[tuple[int, int]] = []
    inspect(lines[:150], [("row 0", "earlier")], lambda done, total: heard.append((done, total)))
    assert heard == [(0, 151), (100, 151)]


def test_who_refines_reads_of_personal_data_before_anything_is_sent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    me = dev_accounts()[1][0]
    monkeypatch.setattr(
        "openledger.node.contributing.parts_of", lambda *_: [(me, rows.blob_of(["an old row of mine"]))]
    )
    monkeypatch.setattr(Node, "call", lambda *_: {"head": 1})
    Path("a.txt").write_text("Write to jane.doe@example.com for the rest.\n")
    assert run(["datanet", "refine", "1", "a.txt", "--dry-run", "--key", "dev1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("row 0: remark: looks as if it held an e-mail address")
    assert lines[1] == "0 rows stay, 1 go, 1 come"


def test_a_salt_that_is_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.txt").write_text("A first letter of some length.\n")
    out(capsys, "add", "1", "a.txt")
    for salt in ("", "0x12", "zz"):
        assert run(["--home", "home", "datanet", "commit", "1", "--key", "dev1", "--salt", salt]) == 1
        assert "error: a salt is 0x and 64 hex digits\n" in capsys.readouterr().err
