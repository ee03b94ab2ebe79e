"""The validator's key in another process: it signs, it comes late, it is another one, it does not sign extensions."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from openledger.node.config import Config
from openledger.node.engines.binary import find_cometbft
from openledger.node.testnet import free_starting_port, make_network, with_usable_engine
from openledger.primitives.errors import MissingProgram
from openledger.primitives.keys import ed25519_public
from tests.e2e.node_process import NodeProcess, running, wait
from tests.e2e.test_supervision import ended

pytestmark = pytest.mark.cometbft
SIGNER = Path(__file__).with_name("signer.py")


@pytest.fixture(autouse=True, scope="module")
def cometbft() -> None:
    try:
        find_cometbft()
    except MissingProgram as err:
        pytest.skip(str(err))


@pytest.fixture
def bare(tmp_path: Path) -> tuple[Path, bytes]:
    """The home of a validator whose key was taken out, and the key's seed."""
    config, _ = with_usable_engine(Config())
    made = make_network(tmp_path / "net", 1, time.time_ns(), starting_port=free_starting_port(1), base=config)
    home = made.members[0].home
    key = home / "cometbft" / "config" / "priv_validator_key.json"
    seed = base64.b64decode(json.loads(key.read_text())["priv_key"]["value"])[:32]
    key.unlink()
    return home, seed


@contextlib.contextmanager
def signer(seed: bytes, *more: str) -> Iterator[str]:
    """A signer's process; the address where CometBFT must listen for it."""
    with tempfile.TemporaryDirectory(prefix="signer") as folder:
        path = f"{folder}/s"
        environment = os.environ | {"PYTHONPATH": str(SIGNER.parents[2])}
        process = subprocess.Popen([sys.executable, str(SIGNER), path, seed.hex(), *more], env=environment)
        try:
            yield f"unix://{path}"
        finally:
            process.kill()
            process.wait()


def settings(address: str, seed: bytes) -> dict[str, str]:
    return {
        "OPENLEDGER_CONSENSUS_REMOTE_SIGNER": address,
        "OPENLEDGER_CONSENSUS_VALIDATOR_KEY": ed25519_public(seed).hex(),
    }


def test_blocks_are_signed_by_the_signer(bare: tuple[Path, bytes]) -> None:
    home, seed = bare
    with signer(seed) as address:
        node = NodeProcess(home, **settings(address, seed))
        with running(node):
            node.start().reach(3)
            assert node.client.call("openledger_getNodeStatus")["signing"]["power"] == 10


def test_a_signer_that_does_not_sign_extensions_is_named(bare: tuple[Path, bytes]) -> None:
    home, seed = bare
    with signer(seed, "no-extensions") as address:
        code, said = ended(home, **settings(address, seed))
    assert code == 1
    assert "does not sign vote extensions" in said


def test_a_signer_with_another_key_is_named(bare: tuple[Path, bytes]) -> None:
    home, seed = bare
    with signer(bytes(31) + b"\x07") as address:
        code, said = ended(home, **settings(address, seed))
    assert code == 1
    assert "validator_key" in said


def test_without_its_public_key_the_signer_is_not_believed(bare: tuple[Path, bytes]) -> None:
    home, _ = bare
    code, said = ended(home, OPENLEDGER_CONSENSUS_REMOTE_SIGNER="unix:///nowhere")
    assert code == 1
    assert "validator_key" in said
    code, said = ended(home, OPENLEDGER_CONSENSUS_REMOTE_SIGNER="unix:///x", OPENLEDGER_CONSENSUS_VALIDATOR_KEY="zz")
    assert code == 1
    assert "no ed25519 public key" in said


@pytest.mark.soak
def test_a_signer_that_comes_late_is_waited_for(bare: tuple[Path, bytes]) -> None:
    home, seed = bare
    with tempfile.TemporaryDirectory(prefix="signer") as folder:
        node = NodeProcess(home, **settings(f"unix://{folder}/s", seed))
        process = None
        try:
            with running(node):
                node.begin()
                wait("the warning", lambda: "waits for the remote signer" in node.log.read_text(), 60)
                process = subprocess.Popen(
                    [sys.executable, str(SIGNER), f"{folder}/s", seed.hex()],
                    env=os.environ | {"PYTHONPATH": str(SIGNER.parents[2])},
                )
                node.reach(3, 60)
        finally:
            if process is not None:
                process.kill()
                process.wait()
