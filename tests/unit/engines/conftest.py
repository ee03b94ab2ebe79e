import importlib.util
from pathlib import Path

import pytest

from openledger.genesis.genesis import GenesisValidator
from openledger.genesis.presets import devnet_genesis
from openledger.primitives.keys import ed25519_public
from tests import waiting

SEED = bytes(range(32))
START = 1_700_000_000 * 10**9


def load_counter():
    path = Path(__file__).parents[2] / "e2e" / "counter.py"
    spec = importlib.util.spec_from_file_location("counter_app_for_tests", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def counter():
    return load_counter()


@pytest.fixture(scope="session")
def seed():
    return SEED


@pytest.fixture(scope="session")
def genesis():
    validator = GenesisValidator(ed25519_public(SEED), 10, bytes(19) + b"\x01", "one")
    return devnet_genesis((validator,), START)


@pytest.fixture
def app(counter, genesis):
    return counter.CounterApp(genesis)


@pytest.fixture
def until():
    return waiting.until
