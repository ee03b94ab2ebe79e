"""Solidity's side of the precompiles: ABIs and bytecode made by solc from ``contracts/`` (compiled.json names the
compiler and its settings), and calls through the engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from harness import ACCOUNTS, Harness

from openledger.abci_app.registry import PRECOMPILES
from openledger.evm.engine import BlockEnv, CallMessage, CallResult
from openledger.evm.engines import ENGINE_NAMES, load_engine, native_available
from openledger.primitives.amounts import GWEI
from openledger.primitives.hashing import keccak256
from openledger.primitives.transactions import sign_transaction
from openledger.primitives.types import Address

COMPILED = json.loads(Path(__file__).with_name("compiled.json").read_text("utf-8"))


def abi_type(item: dict[str, Any]) -> str:
    """Type of an ABI entry, tuples written out."""
    if not item["type"].startswith("tuple"):
        return str(item["type"])
    return "(" + ",".join(abi_type(c) for c in item["components"]) + ")" + item["type"][5:]


@dataclass(frozen=True)
class Contract:
    """ABI coding of one contract or interface."""

    abi: list[dict[str, Any]]

    def function(self, name: str) -> dict[str, Any]:
        return next(e for e in self.abi if e["type"] == "function" and e["name"] == name)

    def data(self, name: str, *values: Any) -> bytes:
        types = [abi_type(i) for i in self.function(name)["inputs"]]
        selector = keccak256(f"{name}({','.join(types)})".encode())[:4]
        return selector + encode(types, values)

    def read(self, name: str, output: bytes) -> Any:
        found = decode([abi_type(o) for o in self.function(name)["outputs"]], output)
        return found[0] if len(found) == 1 else found


INTERFACES = {name: Contract(abi) for name, abi in COMPILED["interfaces"].items()}
WATCH, ROYALTIES, COOPERATIVE = (Contract(COMPILED[name]["abi"]) for name in ("DataWatch", "Royalties", "Cooperative"))


class Calls:
    """Calls on the newest state of a chain."""

    def __init__(self, chain: Harness) -> None:
        self.chain = chain

    @property
    def env(self) -> BlockEnv:
        head, app = self.chain.app.head(), self.chain.app
        return BlockEnv(
            app.genesis.evm_chain_id, head.number + 1, head.timestamp, head.coinbase, head.gas_limit, head.base_fee,
            bytes(32), lambda n: None,
        )  # fmt: skip

    def raw(self, to: Address, data: bytes, **fields: Any) -> CallResult:
        message = CallMessage(ACCOUNTS[0][0], to, data=data, **fields)
        return self.chain.app.engine.call(self.env, message, self.chain.state)

    def ask(self, interface: str, to: Address, name: str, *values: Any) -> Any:
        """What a function of a precompile returns."""
        contract = INTERFACES[interface]
        result = self.raw(to, contract.data(name, *values))
        assert result.status == 1, result.error
        return contract.read(name, result.output)

    def error(self, interface: str, to: Address, name: str, *values: Any) -> str:
        result = self.raw(to, INTERFACES[interface].data(name, *values))
        assert result.status == 0
        return result.error


@pytest.fixture(params=ENGINE_NAMES[1:])
def chain(request: pytest.FixtureRequest) -> Harness:
    """A devnet on each engine that is there."""
    if request.param == "revm" and not native_available():
        pytest.skip("the native engine is not built: make native")
    return Harness(engine=load_engine(request.param, precompiles=dict(PRECOMPILES)))


@pytest.fixture
def calls(chain: Harness) -> Calls:
    return Calls(chain)


@pytest.fixture
def interfaces() -> dict[str, Contract]:
    return INTERFACES


@pytest.fixture
def watch() -> Contract:
    return WATCH


@pytest.fixture
def royalties() -> Contract:
    return ROYALTIES


@pytest.fixture
def cooperative() -> Contract:
    return COOPERATIVE


@pytest.fixture
def deploy() -> Callable[..., Address]:
    """Put an example contract on a chain."""

    def run(chain: Harness, name: str = "DataWatch") -> Address:
        init = bytes.fromhex(COMPILED[name]["init"][2:])
        receipt = chain.include(send(chain, None, init))
        assert receipt.status == 1
        assert receipt.contract_address is not None
        chain.touched = chain.touched | {receipt.contract_address}
        return receipt.contract_address

    return run


def send(chain: Harness, to: Address | None, data: bytes, gas: int = 3_000_000, value: int = 0) -> bytes:
    """Submit a transaction of account 0 and give its bytes."""
    address, secret = ACCOUNTS[0]
    raw = sign_transaction(
        secret, chain_id=chain.genesis.evm_chain_id, nonce=chain.nonce(address), to=to, value=value, data=data, gas=gas,
        max_fee=5 * GWEI, max_priority_fee=GWEI,
    )  # fmt: skip
    answer = chain.submit(raw)
    assert answer.code == 0, answer.log
    return raw


@pytest.fixture
def submit() -> Callable[..., bytes]:
    return send
