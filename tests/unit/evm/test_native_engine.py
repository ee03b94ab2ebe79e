"""The native engine where it differs from a plain function: its choice, its memory, its way back to the reference."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from openledger.evm.engine import BlockEnv, CallMessage
from openledger.evm.engines import load_engine, native_available
from openledger.evm.pyevm import PyEvmEngine
from openledger.evm.statetest import PlainState
from openledger.primitives.errors import InsufficientFunds, MissingExtra
from openledger.primitives.transactions import EthTransaction
from openledger.primitives.types import Account, Address
from openledger.state.overlay import Overlay
from openledger.state.ports import Diff, StateReader
from openledger.state.reader import HeightReader

ALICE, BOB, CODE = b"\xa1" * 20, b"\xb0" * 20, b"\xee" * 20
COUNTER = bytes.fromhex("5f5460010180 5f55 5f5260205ff3".replace(" ", ""))  # storage[0] += 1, returns it
RICH = 10**21

MakeTx = Callable[..., EthTransaction]
MakeEnv = Callable[..., BlockEnv]

pytest.importorskip("openledger_native", reason="the native engine is not built: make native")

from openledger.evm.native import NativeEngine  # noqa: E402


class Head(HeightReader):
    """A head that counts its reads; ``commit`` moves its store on."""

    def __init__(self, store: Store) -> None:
        super().__init__(None, store, 0, at_head=True)  # type: ignore[arg-type]  # nothing reads the database
        self.store = store

    def account(self, address: Address) -> Account | None:
        self.store.reads += 1
        return self.store.state.account(address)

    def storage(self, address: Address, slot: int) -> int:
        self.store.reads += 1
        return self.store.state.storage(address, slot)

    def has_storage(self, address: Address) -> bool:
        return self.store.state.has_storage(address)

    def code(self, code_hash: bytes) -> bytes:
        return self.store.state.code(code_hash)

    def record(self, module: Address, key: bytes) -> bytes | None:
        return None

    def records(self, module: Address, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        return iter(())


class Store:
    """What a ``HeightReader`` needs of a store."""

    def __init__(self) -> None:
        self.state = PlainState()
        self.state.put(ALICE, 0, RICH)
        self.state.put(CODE, 1, 0, COUNTER)
        self.generation = 1
        self.lock = threading.RLock()
        self.reads = 0
        self.latest: Diff | None = None

    def committed(self, generation: int) -> Diff | None:
        return self.latest if generation == self.generation else None

    def commit(self, diff: Diff, *, known: bool = True) -> None:
        self.state.apply(diff)
        self.generation += 1
        self.latest = diff if known else None


@pytest.fixture
def engine() -> NativeEngine:
    return NativeEngine()


def test_auto_takes_the_native_engine_when_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    assert native_available()
    assert (load_engine().name, load_engine("revm").name, load_engine("py-evm").name) == ("revm", "revm", "py-evm")
    monkeypatch.setattr("openledger.evm.engines.native_available", lambda: False)
    assert load_engine().name == "py-evm"
    with pytest.raises(MissingExtra, match="not built"):
        load_engine("revm")


def test_what_was_read_is_remembered_and_follows_commits(engine: NativeEngine, tx: MakeTx, env: MakeEnv) -> None:
    store = Store()
    for height in range(1, 5):
        out = engine.execute(env(), [tx(nonce=height - 1, to=CODE)], Overlay(Head(store)), 30_000_000)
        assert out.results[0].output == height.to_bytes(32, "big")
        store.commit(out.diff)
    first_block = store.reads
    engine.execute(env(), [tx(nonce=4, to=CODE)], Overlay(Head(store)), 30_000_000)
    assert store.reads == first_block


def test_an_abandoned_block_or_a_call_leaves_nothing(engine: NativeEngine, tx: MakeTx, env: MakeEnv) -> None:
    store = Store()
    overlay = Overlay(Head(store))
    overlay.set_storage(CODE, 0, 100)
    overlay.set_account(BOB, Account(7, 1))
    speculative = engine.execute(env(), [tx(to=CODE)], overlay, 30_000_000)
    assert speculative.results[0].output == (101).to_bytes(32, "big")
    assert engine.call(env(), CallMessage(ALICE, CODE), overlay).output == (101).to_bytes(32, "big")
    real = engine.execute(env(), [tx(to=CODE)], Overlay(Head(store)), 30_000_000)
    assert real.results[0].output == (1).to_bytes(32, "big")
    assert BOB not in real.diff.accounts


def test_a_head_that_moved_in_an_unknown_way_is_read_anew(engine: NativeEngine, tx: MakeTx, env: MakeEnv) -> None:
    store = Store()
    old = Head(store)
    engine.call(env(), CallMessage(ALICE, CODE), old)
    store.commit(Diff(storage={(CODE, 0): 40}), known=False)
    assert engine.call(env(), CallMessage(ALICE, CODE), Head(store)).output == (41).to_bytes(32, "big")
    other = Store()
    assert engine.call(env(), CallMessage(ALICE, CODE), Head(other)).output == (1).to_bytes(32, "big")


def test_memory_stays_within_its_setting(tx: MakeTx, env: MakeEnv) -> None:
    engine, store = NativeEngine(cache_bytes=20_000), Store()
    for number in range(300):
        engine.call(env(), CallMessage(ALICE, number.to_bytes(20, "big")), Head(store))
        assert sum(engine.cache_size()) <= 20_000


def test_a_fee_beyond_128_bits_runs_in_the_reference_engine(engine: NativeEngine, tx: MakeTx, env: MakeEnv) -> None:
    state = PlainState()
    state.put(ALICE, 0, 1 << 200)
    odd = [tx(max_fee=1 << 150, max_priority_fee=1 << 149, value=3), tx(nonce=1, value=4)]
    ours, theirs = (e.execute(env(), odd, state, 30_000_000) for e in (engine, PyEvmEngine()))
    assert (ours.results, ours.diff) == (theirs.results, theirs.diff)


def test_a_fault_of_the_state_comes_through(engine: NativeEngine, tx: MakeTx, env: MakeEnv) -> None:
    class Broken(PlainState):
        def storage(self, address: Address, slot: int) -> int:
            raise OSError("the disk is gone")

    state: StateReader = Broken()
    state.put(ALICE, 0, RICH)  # type: ignore[attr-defined]
    state.put(CODE, 1, 0, COUNTER)  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="the disk is gone"):
        engine.execute(env(), [tx(to=CODE)], state, 30_000_000)


def test_calls_that_cannot_run_are_refused_alike(engine: NativeEngine, env: MakeEnv) -> None:
    with pytest.raises(InsufficientFunds, match="insufficient funds for gas"):
        engine.call(env(), CallMessage(BOB, CODE, value=1), PlainState())


def test_other_threads_run_while_it_executes(engine: NativeEngine, env: MakeEnv) -> None:
    state = PlainState()
    state.put(ALICE, 0, RICH)
    state.put(CODE, 1, 0, bytes.fromhex("5b5f56"))  # a loop
    ticks, done = [0], threading.Event()

    def tick() -> None:
        while not done.wait(0.001):
            ticks[0] += 1

    thread = threading.Thread(target=tick)
    thread.start()
    engine.call(env(gas_limit=2 * 10**9), CallMessage(ALICE, CODE, gas=2 * 10**9), state)
    done.set()
    thread.join()
    assert ticks[0] > 20


def test_a_node_on_the_native_engine_starts_without_py_evm() -> None:
    program = """
import sys
from openledger.abci_app.application import Application
from openledger.abci_app.registry import PRECOMPILES
from openledger.evm.engines import load_engine
from openledger.genesis.genesis import GenesisValidator
from openledger.genesis.presets import devnet_genesis
from openledger.primitives.keys import ed25519_public
from openledger.rpc.server import RpcServer
from openledger.state.memory import MemoryStore
from openledger.state.store import StateStore

validator = GenesisValidator(ed25519_public(bytes(32)), 10, bytes(20), "one")
genesis = devnet_genesis(time_ns=1_700_000_000 * 10**9, validators=(validator,))
engine = load_engine("revm", precompiles=dict(PRECOMPILES))
Application(genesis, StateStore(MemoryStore()), engine, None, None)
sys.exit("eth" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
