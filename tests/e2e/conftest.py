import asyncio
import base64
import importlib.util
import os
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from openledger.genesis.genesis import GenesisValidator
from openledger.genesis.presets import devnet_genesis
from openledger.node.engines.binary import SUPPORTED, cometbft_version, find_cometbft
from openledger.node.engines.home import CometSettings, init_home
from openledger.node.testnet import free_starting_port
from openledger.primitives.errors import MissingProgram
from openledger.primitives.keys import ed25519_public
from tests import waiting

SEED = bytes(range(1, 33))
ROOT = Path(__file__).parents[2]


def binary_of(version):
    path = ROOT / ".tools" / f"cometbft-{version}" / "cometbft"
    if not path.exists():
        pytest.skip(f"CometBFT {version} is not in .tools (make cometbft)")
    assert cometbft_version(path) == version
    return find_cometbft(str(path))


@pytest.fixture(params=SUPPORTED)
def binary(request):
    return binary_of(request.param)


@pytest.fixture
def pinned():
    """The pinned version only, where a second one would prove nothing more."""
    try:
        return binary_of(SUPPORTED[0])
    except MissingProgram as err:
        pytest.skip(str(err))


@pytest.fixture(scope="session")
def counter():
    spec = importlib.util.spec_from_file_location("counter_app_for_e2e", Path(__file__).with_name("counter.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def seed():
    return SEED


@pytest.fixture(scope="session")
def genesis():
    validator = GenesisValidator(ed25519_public(SEED), 10, bytes(19) + b"\x01", "one")
    return devnet_genesis((validator,), 1_700_000_000 * 10**9)


@pytest.fixture
def settings():
    return CometSettings(
        p2p=f"tcp://127.0.0.1:{free_starting_port(1)}",
        rpc=f"tcp://127.0.0.1:{free_starting_port(1)}",
        timeout_commit="20ms",
        empty_blocks_interval="200ms",
    )


@pytest.fixture
def make_home(tmp_path, genesis, seed, settings):
    """Makes CometBFT's home for a binary."""

    def make(binary, name="comet", chain=None):
        home = tmp_path / name
        init_home(home, chain or genesis, seed=seed, settings=settings, binary=binary)
        return home

    return make


@pytest.fixture
def until():
    return waiting.until


class Processes:
    """The application and CometBFT as two processes, neither of them under this one's care."""

    def __init__(self, home: Path, binary, rpc: str, command: list[str]):
        self.home, self.binary, self.rpc, self.command = home, binary, rpc, command

    async def __aenter__(self):
        self.app = await asyncio.create_subprocess_exec(
            sys.executable, *self.command,
            stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        await asyncio.wait_for(self.app.stdout.readline(), 90)
        self.comet = await asyncio.create_subprocess_exec(
            str(self.binary.path), "start", "--home", str(self.home), "--proxy_app", self.command[1],
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        self.session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *error):
        await self.session.close()
        for process in (self.comet, self.app):
            if process.returncode is None:
                process.kill()
            await process.wait()
        self.app._transport.close()

    async def call(self, method, **params):
        try:
            async with self.session.post(self.rpc, json={"id": 1, "method": method, "params": params}) as response:
                return (await response.json())["result"]
        except (aiohttp.ClientError, KeyError):
            return None

    async def send(self, raw):
        assert (await self.call("broadcast_tx_sync", tx=base64.b64encode(raw).decode()))["code"] == 0

    async def height(self):
        status = await self.call("status")
        return int(status["sync_info"]["latest_block_height"]) if status else 0

    async def reach(self, height, seconds=waiting.PATIENCE):
        deadline = time.monotonic() + seconds
        while await self.height() < height:
            assert time.monotonic() < deadline, f"height {height} was not reached"
            await asyncio.sleep(0.02)


@pytest.fixture
def processes():
    return Processes
