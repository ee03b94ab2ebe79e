"""A chain replayed by a new process elsewhere: another hash seed, time zone, locale, number of threads, or engine
changes no app hash, no block hash and no update of the validator set."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from harness import ACCOUNTS
from random_mempools import Rooms

from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.evm.engines import native_available
from openledger.node.engines.recorder import Recorder
from openledger.primitives.amounts import OPEN

SCRIPT = Path(__file__).with_name("replaying.py")
ELSEWHERE = {
    "tokyo": {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C", "RAYON_NUM_THREADS": "1"},
    "istanbul": {"PYTHONHASHSEED": "4242", "TZ": "Europe/Istanbul", "LC_ALL": "tr_TR.UTF-8", "OMP_NUM_THREADS": "1",
                 "PYTHONUTF8": "0"},
    "here": {"PYTHONHASHSEED": "random", "PYTHONOPTIMIZE": "2", "RAYON_NUM_THREADS": "4"},
}  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with genesis and recording, and what the replay must print. The chain has a claim decided by verdicts in
    slot 0, contracts, Outbox work, validators that join, leave, are slashed and jailed, and random blocks."""
    engine = "revm" if native_available() else "py-evm"
    chain = Rooms(4, (engine, engine))
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    assert chain.run_claim(chain.claim(epoch, {1: 600_000, 2: 300_000}, 100_000)) == "accepted"
    chain.join(1, 40 * OPEN, b"\x60" * 32)
    chain.block()
    chain.prove_double_sign(chain.addresses[3], chain.app.head().number)
    chain.block()
    chain.act(1, StakeUndelegate(ACCOUNTS[1][0]))
    while chain.app.head().number < 60:
        chain.height()
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "genesis.json").write_text(chain.genesis.to_json())
    recorder = Recorder(folder / "blocks")
    for request in chain.requests:
        recorder.record(replace(request, next_validators_hash=bytes(32)))
    recorder.close()
    headers = [chain.app.store.header(number) for number in range(1, chain.app.head().number + 1)]
    return folder, [f"{h.number} {h.state_root.hex()} {h.hash.hex()}" for h in headers if h]


@pytest.mark.parametrize(
    ("engine", "place"), [("revm", "tokyo"), ("revm", "istanbul"), ("revm", "here"), ("py-evm", "istanbul")]
)
def test_a_new_process_elsewhere_comes_to_the_same_hashes(
    recorded: tuple[Path, list[str]], place: str, engine: str
) -> None:
    if engine == "revm" and not native_available():
        pytest.skip("the native engine is not built: make native")
    folder, expected = recorded
    command = [sys.executable, str(SCRIPT), str(folder / "genesis.json"), str(folder / "blocks"), engine]
    environment = {**os.environ, **ELSEWHERE[place]}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert found.returncode == 0, found.stderr[-2000:]
    lines = found.stdout.splitlines()
    assert [line.partition(" [")[0] for line in lines] == expected
    assert sum(line.count("(") for line in lines) >= 4, "the set has changed on the way"
