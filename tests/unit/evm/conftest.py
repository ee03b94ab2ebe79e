"""A small state, a block environment, and transactions without the work of signing them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from openledger.evm.engine import BlockEnv, CallMessage, CallResult, ExecutionOutput, TxResult
from openledger.evm.predeploys import PREDEPLOYS
from openledger.evm.pyevm import PyEvmEngine
from openledger.evm.statetest import PlainState
from openledger.primitives.hashing import keccak256
from openledger.primitives.transactions import DYNAMIC_FEE, EthTransaction
from openledger.state.ports import Diff

CHAIN_ID = 161237
GWEI = 10**9
COINBASE = b"\xc0" * 20
ALICE = b"\xa1" * 20
BOB = b"\xb0" * 20
RICH = 10**21


def make_env(**changes: Any) -> BlockEnv:
    facts: dict[str, Any] = {
        "chain_id": CHAIN_ID, "number": 1000, "timestamp": 1_700_000_000, "coinbase": COINBASE,
        "gas_limit": 30_000_000, "base_fee": GWEI, "prevrandao": b"\x99" * 32,
        "block_hash": lambda number: keccak256(number.to_bytes(8, "big")),
    }  # fmt: skip
    return BlockEnv(**{**facts, **changes})


def make_tx(**changes: Any) -> EthTransaction:
    facts: dict[str, Any] = {
        "type": DYNAMIC_FEE, "chain_id": CHAIN_ID, "nonce": 0, "max_priority_fee": 2, "max_fee": 2 * GWEI,
        "gas": 1_000_000, "to": BOB, "value": 0, "data": b"", "access_list": (), "authorizations": (), "y_parity": 0,
        "r": 1, "s": 1, "raw": b"", "hash": bytes(32), "sender": ALICE,
    }  # fmt: skip
    facts |= changes
    return EthTransaction(**{"gas_price": facts["max_fee"], **facts})


@dataclass
class World:
    """State, engine and environment, with the few verbs that tests need."""

    state: PlainState = field(default_factory=PlainState)
    engine: PyEvmEngine = field(default_factory=PyEvmEngine)
    env: BlockEnv = field(default_factory=make_env)
    last: Diff = field(default_factory=Diff)

    def batch(self, txs: Sequence[EthTransaction], gas_available: int | None = None) -> ExecutionOutput:
        available = self.env.gas_limit if gas_available is None else gas_available
        return self.engine.execute(self.env, txs, self.state, available)

    def run(self, **fields: Any) -> TxResult:
        """One transaction from Alice with her next nonce; its diff is applied."""
        sender = fields.get("sender", ALICE)
        account = self.state.account(sender)
        fields.setdefault("nonce", account.nonce if account else 0)
        out = self.batch([make_tx(**fields)])
        self.last = out.diff
        self.state.apply(out.diff)
        return out.results[0]

    def call(self, **fields: Any) -> CallResult:
        return self.engine.call(self.env, CallMessage(**{"sender": ALICE, "to": BOB, **fields}), self.state)

    def balance(self, address: bytes) -> int:
        account = self.state.account(address)
        return account.balance if account else 0

    def supply(self) -> int:
        return sum(account.balance for account in self.state.accounts.values())


@pytest.fixture
def world() -> World:
    """Alice is rich; the predeployed contracts stand."""
    made = World()
    made.state.put(ALICE, 0, RICH)
    for predeploy in PREDEPLOYS:
        made.state.put(predeploy.address, predeploy.nonce, 0, predeploy.code)
    return made


@pytest.fixture
def tx() -> Callable[..., EthTransaction]:
    return make_tx


@pytest.fixture
def env() -> Callable[..., BlockEnv]:
    return make_env
