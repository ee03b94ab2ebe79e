"""What the page reads out of payloads and logs is what Python wrote. Needs Node."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import openledger.rpc
from openledger.abci_app.action import encode_action
from openledger.abci_app.modules.attribution.claim import AttributionClaim
from openledger.abci_app.modules.attribution.index_challenges import OUTCOME_NAMES
from openledger.abci_app.modules.attribution.records import CHALLENGE_NAMES, SAID, STATUS_NAMES, Share
from openledger.abci_app.modules.datanets import reviews
from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.records import CREATED, Part
from openledger.abci_app.modules.governance import records as governance
from openledger.primitives.types import Log, to_hex

WEB = Path(openledger.rpc.__path__[0]) / "web"
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="Node is not installed")

ALICE, BOB = bytes([0xA1] * 20), bytes([0xB2] * 20)


def run(tmp_path: Path, script: str) -> Any:
    """JSON that ``script`` prints, with the page's modules beside it."""
    for path in WEB.glob("*.js"):
        shutil.copy(path, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "main.js").write_text(script)
    done = subprocess.run([str(NODE), "main.js"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


PLAIN = 'const plain = (value) => JSON.stringify(value, (_, v) => (typeof v === "bigint" ? String(v) : v));\n'


def read_payload(tmp_path: Path, kind: str, payload: bytes) -> Any:
    call = f'console.log(plain(readPayload("{kind}", "{to_hex(payload)}")));'
    return run(tmp_path, 'import { readPayload } from "./payload.js";\n' + PLAIN + call)


def test_a_commit_is_read_field_by_field(tmp_path: Path) -> None:
    parts = (Part(ALICE, bytes([1] * 32), 70_000), Part(BOB, bytes([2] * 32), 1))
    action = DatanetCommit(3, 2, bytes([9] * 32), 70_001, parts, (), "größer <b>")
    fields = {name: value for name, _, value in read_payload(tmp_path, "datanet.commit", encode_action(action))}
    assert fields["rows"] == 70_001
    assert fields["message"] == "größer <b>"
    assert fields["add"][0]["fields"] == [
        ["contributor", "address", to_hex(ALICE)],
        ["blob", "bytes32", "0x" + "01" * 32],
        ["rows", "uint32", 70_000],
    ]
    assert fields["remove"] == []


def test_shares_are_read_as_structs(tmp_path: Path) -> None:
    hashes = [bytes([n] * 32) for n in (1, 2, 3)]
    action = AttributionClaim(1, 2**40, 0, 1, (Share(ALICE, 999_999), Share(BOB, 1)), 0, *hashes)
    fields = {name: value for name, _, value in read_payload(tmp_path, "attribution.claim", encode_action(action))}
    assert fields["epoch"] == 2**40
    assert [share["fields"][1][2] for share in fields["shares"]] == [999_999, 1]


@pytest.mark.parametrize(
    "payload", [b"", b"\x91", b"\xc1", b"\x9b", b"\xdd\xff\xff\xff\xff", b"\x91\xc6\xff\xff\xff\xff"]
)
def test_a_payload_that_is_none_is_told_apart(tmp_path: Path, payload: bytes) -> None:
    assert read_payload(tmp_path, "datanet.create", payload) is None


def log_json(log: Log) -> str:
    body = {"address": to_hex(log.address), "topics": [to_hex(t) for t in log.topics], "data": to_hex(log.data)}
    return json.dumps(body)


def read_log(tmp_path: Path, log: str) -> Any:
    script = 'import { nameOf, readLog } from "./events.js";\n' + PLAIN
    return run(tmp_path, script + f"const log = {log};\nconsole.log(plain([nameOf(log), readLog(log)]));")


def test_an_event_is_read_with_indexed_and_dynamic_fields(tmp_path: Path) -> None:
    name, fields = read_log(tmp_path, log_json(SAID.log(7, ALICE, 3, 2, "share of 0xb2… is wrong")))
    assert name == "VerdictMessage"
    assert fields[0] == ["claim", "uint256", "7"]
    assert fields[1] == ["validator", "address", to_hex(ALICE)]
    assert fields[2:] == [
        ["phase", "uint8", 3],
        ["verdict", "uint8", 2],
        ["reason", "string", "share of 0xb2… is wrong"],
    ]


def test_a_strangers_event_of_the_same_name_is_not_taken_for_the_chains(tmp_path: Path) -> None:
    log = CREATED.log(1, ALICE, "x")
    assert read_log(tmp_path, log_json(Log(BOB, log.topics, log.data))) == [None, None]


def test_an_event_with_broken_data_is_not_read(tmp_path: Path) -> None:
    log = CREATED.log(1, ALICE, "x")
    broken = Log(log.address, log.topics, b"\xff" * 64)
    assert read_log(tmp_path, log_json(broken)) == ["DatanetCreated", None]


def test_amounts_stay_exact(tmp_path: Path) -> None:
    script = """
import { amount, percent, gwei, ago, span } from "./format.js";
console.log(JSON.stringify([
  amount("0x0"), amount("0x1"), amount("0xde0b6b3a7640001", 18), amount(10n ** 27n), amount(1999999999999999999n, 6),
  percent(333333), percent(1000000), gwei("0x3b9aca00"), ago(90, 100), ago(100, 90),
  span(86400 * 7), span(7200), span(90), span("5400"),
]));"""
    found = [text.replace("\u202f", ",") for text in run(tmp_path, script)]
    assert found == [
        "0 OPEN",
        "1 wei",
        "1.000000000000000001 OPEN",
        "1,000,000,000 OPEN",
        "1.999999 OPEN",
        "33.3333 %",
        "100 %",
        "1 gwei",
        "10 s ago",
        "in 10 s",
        "7 days",
        "2 h",
        "90 s",
        "90 min",
    ]


def test_every_parameter_has_the_unit_that_its_reference_says(tmp_path: Path) -> None:
    reference = Path(__file__).parents[3] / "docs/reference/parameters.md"
    lines = re.findall(r"^\| `(\w+)` \|[^|]*\|[^|]*\| ([^|]*)", reference.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(lines) > 50
    words = {"wei": "wei", "ppm": "ppm", "basis points": "bps"}
    said = {
        name: next((unit for word, unit in words.items() if re.match(rf"{word}\b", text)), None) for name, text in lines
    }
    expected = {name: unit or ("s" if name.endswith("_seconds") else None) for name, unit in said.items()}
    call = f"console.log(JSON.stringify({json.dumps(sorted(expected))}.map((name) => [name, unitOf(name)])));"
    assert dict(run(tmp_path, 'import { unitOf } from "./names.js";\n' + call)) == expected


OVER = {  # words of an end, by their colour, from the side of what is looked at
    "good": {"accepted", "passed"},
    "bad": {"refused", "rejected", "vetoed", "failed", "upheld"},
    "dull": {"lapsed", "dismissed", "moot", "expired", "no quorum"},
}


def test_a_badge_has_the_colour_of_its_end_and_none_of_an_end_before(tmp_path: Path) -> None:
    tables = (STATUS_NAMES, CHALLENGE_NAMES, OUTCOME_NAMES, governance.STATUS_NAMES, reviews.STATUS_NAMES)
    words = sorted({word for table in tables for word in table.values()})
    call = f"console.log(JSON.stringify({json.dumps(words)}.map((word) => [word, tone(word)])));"
    toned = dict(run(tmp_path, 'import { tone } from "./ui.js";\n' + call))
    ends = {word: colour for colour, ends in OVER.items() for word in ends}
    assert toned == {word: ends.get(word, "calm") for word in words}


def test_marked_pieces_are_cut_by_code_points_and_the_longer_span_wins(tmp_path: Path) -> None:
    spans = [{"begin": 2, "end": 5}, {"begin": 4, "end": 12}, {"begin": 14, "end": 99}, {"begin": 40, "end": 50}]
    text = "𝒮 the tide 🌊 comes"
    script = 'import { pieces } from "./spans.js";\n'
    script += f"console.log(JSON.stringify(pieces({json.dumps(text)}, {json.dumps(spans)})));"
    found = [(piece["text"], piece["span"] and piece["span"]["begin"]) for piece in run(tmp_path, script)]
    assert found == [("𝒮 ", None), ("th", 2), ("e tide 🌊", 4), (" c", None), ("omes", 14)]
    assert "".join(piece for piece, _ in found) == text
    nothing = 'import { pieces } from "./spans.js";\nconsole.log(JSON.stringify(pieces("", [{begin: 0, end: 3}])));'
    assert run(tmp_path, nothing) == []
