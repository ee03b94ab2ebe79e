"""The end mark in CometBFT's log. That CometBFT reads it, and stands still for ever without it, is shown with real
processes in ``tests/e2e/networks/kill-points.toml`` (``stored:``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from openledger.node.engines.wal import HEAD, EndMark, crc32c, end_height, record

# A timeout message as CometBFT writes it: TimedWALMessage{time, msg{timeout_info}}.
TIMEOUT = bytes.fromhex("0a0608c0f2afcb06" + "120a" + "1a08" + "0a0210011803" + "2001")


def framed(content: bytes) -> bytes:
    return crc32c(content).to_bytes(4, "big") + len(content).to_bytes(4, "big") + content


def log_of(home: Path, *records: bytes, name: str = "wal") -> Path:
    path = (home / HEAD).with_name(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(records))
    return path


def test_the_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def test_a_mark_is_the_record_that_cometbft_writes() -> None:
    assert record(300)[8:] == bytes.fromhex("0a00" + "1205" + "2203" + "08ac02")


@pytest.mark.parametrize("torn", [b"", framed(TIMEOUT)[:-3], framed(TIMEOUT)[:5], framed(TIMEOUT)[:-1] + b"\xff"])
def test_a_log_that_ends_within_a_height_gets_its_mark_and_loses_a_torn_record(tmp_path: Path, torn: bytes) -> None:
    whole = record(0) + record(9) + framed(TIMEOUT)
    path = log_of(tmp_path, whole, torn)
    assert end_height(tmp_path, 10)
    assert path.read_bytes() == whole + record(10)
    assert not end_height(tmp_path, 10)


@pytest.mark.parametrize("ended", [8, 10, 11])
def test_a_log_that_ends_elsewhere_is_left_alone(tmp_path: Path, ended: int) -> None:
    path = log_of(tmp_path, record(ended), framed(TIMEOUT))
    before = path.read_bytes()
    assert not end_height(tmp_path, 10)
    assert path.read_bytes() == before


def test_the_mark_may_stand_in_the_file_before(tmp_path: Path) -> None:
    log_of(tmp_path, record(8), name="wal.009")
    log_of(tmp_path, record(9), framed(TIMEOUT), name="wal.010")
    head = log_of(tmp_path, framed(TIMEOUT))
    assert end_height(tmp_path, 10)
    assert head.read_bytes() == framed(TIMEOUT) + record(10)


def test_a_home_without_a_log_stays_without_one(tmp_path: Path) -> None:
    assert not end_height(tmp_path, 1)
    assert not (tmp_path / HEAD).exists()


def test_blocks_handed_over_again_pass_and_only_the_first_new_one_is_marked(tmp_path: Path) -> None:
    path = log_of(tmp_path, record(9), framed(TIMEOUT))
    mark = EndMark(tmp_path)
    for height in (7, 8, 9, 10, 11):
        mark.committed(height)
    assert path.read_bytes() == record(9) + framed(TIMEOUT) + record(10)


def test_blocks_that_came_from_peers_leave_the_log_as_it_is(tmp_path: Path) -> None:
    path = log_of(tmp_path, record(9), framed(TIMEOUT))
    before = path.read_bytes()
    mark = EndMark(tmp_path)
    for height in (12, 13):
        mark.committed(height)
    assert path.read_bytes() == before
