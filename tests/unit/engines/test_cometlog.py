"""CometBFT's log: read line by line, and what in it ends the node instead of a new start."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest

from openledger.abci_app.protocol.messages import RequestInfo
from openledger.node.engines.binary import CometBinary, check_handshake
from openledger.node.engines.child import CometChild
from openledger.node.engines.cometlog import fault_of, gave_up, last_words, read_line
from openledger.node.engines.common import Life
from openledger.node.processes import ProcessMark, start_time
from openledger.primitives.errors import (
    ConsensusFault,
    DiskFull,
    DoubleSignRisk,
    OpenLedgerError,
    PortTaken,
    SignerFault,
    UnsupportedCometBft,
)

FAILURE = json.dumps({
    "_msg": "CONSENSUS FAILURE!!!", "err": '+2/3 committed an invalid block: wrong "AppHash".  Expected 9E2B, got 99ED',
    "level": "error", "module": "consensus", "stack": "goroutine 15928 [running]:\nruntime/debug", "ts": "2026",
})  # fmt: skip
PANIC = ["panic: open /x/wal: no space left on device", "", "goroutine 1 [running]:", "main.main()"]


def test_a_line_has_level_module_message_and_fields() -> None:
    line = read_line('{"_msg":"dialing failed","err":"EOF","attempts":3,"level":"error","module":"p2p","ts":"2026"}')
    assert (line.level, line.module, line.message) == (logging.WARNING, "p2p", "dialing failed")
    assert line.fields == {"err": "EOF", "attempts": "3"}
    assert line.text() == "dialing failed err=EOF attempts=3"


@pytest.mark.parametrize("raw", ["{", '{"a": 1}', "[1]", "", "{" * 100_000, '{"_msg": 1e999}', "\udcff"])
def test_what_is_not_its_json_is_a_plain_line(raw: str) -> None:
    assert isinstance(read_line(raw).message, str)


def test_the_reason_for_giving_up_is_read_without_the_call_stack() -> None:
    line = read_line(FAILURE)
    assert gave_up(line) == '+2/3 committed an invalid block: wrong "AppHash".  Expected 9E2B, got 99ED'
    assert "goroutine" not in line.text()
    own = "found conflicting vote from ourselves; did you unsafe_reset a validator?"
    reason = gave_up(read_line(json.dumps({"_msg": own, "level": "error", "height": 5})))
    assert type(fault_of(reason or "")) is DoubleSignRisk
    assert gave_up(read_line('{"_msg":"Stopping peer for error","module":"p2p","level":"error"}')) is None


def test_the_last_words_are_its_complaint_and_not_a_call_stack() -> None:
    lines = [read_line(raw) for raw in ['{"_msg":"started","level":"info"}', *PANIC]]
    assert last_words(lines) == "panic: open /x/wal: no space left on device"
    error = [
        '{"_msg":"x","level":"error"}',
        "ERROR: failed to create node: listen tcp 1.2.3.4:1: bind: address already in use",
    ]
    assert last_words([read_line(raw) for raw in error]) == error[1]
    assert last_words([]) == "(it said nothing)"


@pytest.mark.parametrize(
    ("words", "leaf"),
    [
        ("listen tcp 127.0.0.1:26656: bind: address already in use", PortTaken),
        ("panic: write wal: no space left on device", DiskFull),
        ("found signature from the same key", DoubleSignRisk),
        ("+2/3 prevoted for an invalid block: block time X is too far in the future (wall clock Y", ConsensusFault),
        ("panic: state.AppHash does not match AppHash after replay", ConsensusFault),
        ("panic: state (10) and store (0) height mismatch, stores were left in an inconsistent state", ConsensusFault),
        ("panic: StoreBlockHeight (10) > StateBlockHeight + 1 (1)", ConsensusFault),
        ("error on replay: app block height (9) is higher than core (3)", ConsensusFault),
        ("non-recoverable error when signing vote Vote{...}: extensions must be present", SignerFault),
        ("panic: vote extension absence/presence does not match extensions enabled", SignerFault),
    ],
)
def test_ends_after_which_a_new_start_would_be_wrong_have_their_own_error(
    words: str, leaf: type[OpenLedgerError]
) -> None:
    fault = fault_of(words)
    assert type(fault) is leaf
    assert fault.hint


def test_blocks_that_are_lost_are_not_taken_for_another_computation() -> None:
    words = ["panic: state.AppHash does not match AppHash after replay. Got", "\t3E30, expected .", "",
             "State: {{{11 1} 0.39.0} c-1 1 0 :0:0 ValidatorSet{", "  Proposer: Validator{3B16"]  # fmt: skip
    said = last_words([read_line(raw) for raw in words])
    assert said.endswith("expected .")
    fault = fault_of(said)
    assert fault is not None
    assert "has lost its blocks" in fault.message
    other = fault_of("panic: state.AppHash does not match AppHash after replay. Got\n\t3E30, expected 9E2B.")
    assert other is not None
    assert "different states" in other.message


def test_other_ends_are_worth_a_new_start() -> None:
    assert fault_of("panic: runtime error: index out of range") is None


# --- the child ------------------------------------------------------------------------------------------------


def program(tmp_path: Path, script: str) -> CometBinary:
    path = tmp_path / "cometbft"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return CometBinary(path, "0.40.0")


async def supervised(tmp_path: Path, script: str, *, has_run: bool) -> tuple[CometChild, BaseException | None]:
    """A child that runs ``script``, until the engine hears a fault."""
    life = Life()
    child = CometChild(tmp_path, {"PATH": "/usr/bin:/bin"}, life, life.end)
    child.has_run = has_run
    await child.start(program(tmp_path, script), "unix:///nowhere")
    await life.sleep(20)
    await child.stop()
    return child, life.fault


async def test_a_child_that_gives_up_consensus_ends_the_engine_although_it_lives(tmp_path: Path) -> None:
    (tmp_path / "said").write_text(FAILURE + "\n")
    _, fault = await supervised(tmp_path, f"cat {tmp_path}/said; exec sleep 60", has_run=True)
    assert isinstance(fault, ConsensusFault)
    assert "given up consensus" in fault.message
    assert "invalid block" in fault.message


async def test_quick_deaths_are_bounded_and_the_last_words_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openledger.node.engines.child._PAUSES", (0.0,))
    child, fault = await supervised(tmp_path, f"echo x >> {tmp_path}/count; echo 'panic: out of luck'; kill -9 $$",
                                    has_run=False)  # fmt: skip
    assert isinstance(fault, ConsensusFault)
    assert "killed by signal 9, the 6th time in a row" in fault.message
    assert "panic: out of luck" in fault.message
    assert (tmp_path / "count").read_text().count("x") == 6
    assert child.restarts == 5


async def test_an_error_before_it_ever_ran_is_told_at_once(tmp_path: Path) -> None:
    child, fault = await supervised(
        tmp_path, "echo 'ERROR: failed to create node: no such thing'; exit 1", has_run=False
    )
    assert isinstance(fault, ConsensusFault)
    assert "no such thing" in fault.message
    assert child.restarts == 0


async def test_a_fault_that_would_come_again_is_no_reason_to_try(tmp_path: Path) -> None:
    child, fault = await supervised(tmp_path, "echo 'panic: no space left on device'; exit 2", has_run=True)
    assert isinstance(fault, DiskFull)
    assert child.restarts == 0


async def test_a_child_that_cannot_be_started_again_ends_the_engine(tmp_path: Path) -> None:
    _, fault = await supervised(tmp_path, f"sleep 0.5; mkdir {tmp_path}/cometbft.new; kill -9 $$", has_run=True)
    assert isinstance(fault, ConsensusFault)  # a node without consensus that nobody hears of
    assert "cannot be started again: Is a directory" in fault.message
    assert fault.hint


# --- leftovers ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_a_leftover_is_ended_and_a_stranger_with_its_number_is_not(tmp_path: Path) -> None:
    import subprocess

    mark = ProcessMark(tmp_path / "x.pid")
    assert mark.take_down() == 0
    process = subprocess.Popen(["sleep", "60"])
    try:
        mark.write(process.pid)
        assert mark.leftover() == process.pid
        copy = tmp_path / "copy" / "x.pid"
        copy.parent.mkdir()
        copy.write_bytes((tmp_path / "x.pid").read_bytes())
        assert ProcessMark(copy).take_down() == 0  # the copied home of a node that runs
        later = json.loads((tmp_path / "x.pid").read_text()) | {"started": (start_time(process.pid) or 0) + 1}
        (tmp_path / "x.pid").write_text(json.dumps(later))
        assert mark.take_down() == 0
        assert process.poll() is None
        mark.write(process.pid)
        assert mark.take_down() == process.pid
        assert process.wait(5) == -15
    finally:
        process.kill()
        process.wait()
    for text in ("", "[]", "{}", '{"pid": "x"}', '{"pid": -1, "started": 1}', '{"pid": 1, "started": null}'):
        (tmp_path / "x.pid").write_text(text)
        assert mark.leftover() == 0


# --- the handshake --------------------------------------------------------------------------------------------


def test_a_clock_that_is_behind_is_named_and_not_taken_for_another_state() -> None:
    words = "precommit step; +2/3 prevoted for an invalid block: block time X is too far in the future (wall clock Y"
    fault = fault_of(words)
    assert fault is not None
    assert fault.message.startswith("this machine's clock is more than a minute behind the network's")
    assert "synchronise it" in (fault.hint or "")


@pytest.mark.parametrize(("said", "release"), [("0.38.26", "0.38.26"), ("0.39.0", "0.40.0")])
def test_supported_versions_are_known_by_what_they_say(said: str, release: str) -> None:
    assert check_handshake(RequestInfo(said, 11, 8, "2.0.0"), None) == release


@pytest.mark.parametrize("version", ["0.37.5", "0.38.6", "0.39.4", "1.0.1", "0.40.0-dirty"])
def test_another_version_is_refused_with_the_way_to_the_right_one(version: str) -> None:
    with pytest.raises(UnsupportedCometBft, match=version) as caught:
        check_handshake(RequestInfo(version, 11, 8, "2.0.0"), None)
    assert "go install" in (caught.value.hint or "")


@pytest.mark.parametrize("protocols", [(10, 8, "2.0.0"), (11, 9, "2.0.0"), (11, 8, "1.0.0")])
def test_another_protocol_under_a_known_name_is_refused(protocols: tuple[int, int, str]) -> None:
    with pytest.raises(UnsupportedCometBft, match="protocol"):
        check_handshake(RequestInfo("0.38.26", *protocols), None)
