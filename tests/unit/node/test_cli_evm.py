"""``openledger evm statetest``: failures as JSON lines, a count at the end, and the exit code."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from openledger.evm.engines import native_available
from openledger.evm.pyevm import PyEvmEngine
from openledger.evm.statetest import logs_hash, read_cases
from openledger.evm.validate import Fork
from openledger.node.cli.root import run

SENDER, TO = "0x" + "a1" * 20, "0x" + "b0" * 20


def make_test() -> dict[str, Any]:
    """A transfer, under both forks, with what must come out as an engine says it."""
    post: dict[str, Any] = {
        "indexes": {"data": 0, "gas": 0, "value": 0}, "hash": "0x" + "00" * 32, "logs": "0x" + "00" * 32,
    }  # fmt: skip
    test: dict[str, Any] = {
        "env": {
            "currentNumber": "0x1", "currentTimestamp": "0x3e8", "currentCoinbase": "0x" + "c0" * 20,
            "currentGasLimit": "0x1c9c380", "currentBaseFee": "0x7", "currentRandom": "0x" + "00" * 32,
        },
        "pre": {SENDER: {"nonce": "0x0", "balance": "0xde0b6b3a7640000", "code": "0x", "storage": {}}},
        "transaction": {
            "sender": SENDER, "to": TO, "nonce": "0x0", "gasPrice": "0xa", "data": ["0x"], "gasLimit": ["0x5208"],
            "value": ["0x5"],
        },
        "post": {"Prague": [post], "Cancun": [copy.deepcopy(post)]},
    }  # fmt: skip
    return test


@pytest.fixture
def good(tmp_path: Path) -> Path:
    test, path = make_test(), tmp_path / "tests" / "transfer.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"transfer": test}))
    for case in read_cases(path):
        out = PyEvmEngine(fork=Fork(case.fork)).execute(case.env, [case.tx], case.pre, case.env.gas_limit)
        case.pre.apply(out.diff)
        expected = {"hash": "0x" + case.pre.root().hex(), "logs": "0x" + logs_hash(out.results[0]).hex()}
        test["post"][case.fork][0].update(expected)
    path.write_text(json.dumps({"transfer": test}))
    return path


def test_cases_that_pass_are_counted_by_fork(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evm", "statetest", "--engine", "py-evm", str(good)]) == 0
    assert capsys.readouterr().out == "2 passed, 0 failed\n"
    assert run(["evm", "statetest", "--engine", "py-evm", "--fork", "Prague", str(good.parent)]) == 0
    assert capsys.readouterr().out == "1 passed, 0 failed\n"


def test_a_failure_is_a_line_of_json_and_the_exit_code_is_1(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = json.loads(good.read_text())
    test["transfer"]["post"]["Prague"][0]["hash"] = "0x" + "11" * 32
    good.write_text(json.dumps(test))
    assert run(["evm", "statetest", "--engine", "py-evm", str(good)]) == 1
    *failures, last = capsys.readouterr().out.splitlines()
    assert last == "1 passed, 1 failed"
    (failure,) = map(json.loads, failures)
    assert failure.pop("error").startswith("state root: expected 1111")
    assert failure == {
        "file": str(good), "engine": "py-evm", "name": "transfer/Prague/0", "fork": "Prague", "pass": False,
    }  # fmt: skip


def test_a_file_of_another_form_is_a_failure_and_hidden_folders_are_left_out(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (good.parent / ".meta").mkdir()
    (good.parent / ".meta" / "index.json").write_text("{}")
    (good.parent / "other.json").write_text('{"a": {"blocks": []}}')
    assert run(["evm", "statetest", "--engine", "py-evm", str(good.parent)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert "not a state test" in json.loads(out[0])["error"]
    assert out[-1] == "2 passed, 1 failed"


def test_blob_transactions_are_left_out_and_counted_apart(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = json.loads(good.read_text())
    tx = test["transfer"]["transaction"]
    tx |= {"maxFeePerGas": "0xa", "maxPriorityFeePerGas": "0x0", "blobVersionedHashes": ["0x01" + "00" * 31]}
    del tx["gasPrice"]
    good.write_text(json.dumps(test))
    assert run(["evm", "statetest", "--engine", "py-evm", str(good)]) == 0
    said = capsys.readouterr()
    assert said.out == "0 passed, 0 failed\n"
    assert said.err.startswith("2 left out")


def test_without_paths_or_with_one_that_is_not_there_the_command_line_is_wrong(tmp_path: Path) -> None:
    assert run(["evm", "statetest"]) == 2
    assert run(["evm", "statetest", str(tmp_path / "none.json")]) == 2


@pytest.mark.skipif(not native_available(), reason="the native engine is not built: make native")
def test_both_engines_count_each_case_twice(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evm", "statetest", "--engine", "both", str(good)]) == 0
    assert capsys.readouterr().out == "4 passed, 0 failed\n"
