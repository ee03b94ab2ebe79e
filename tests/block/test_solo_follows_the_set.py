"""The devnet's engine and validators that join: it makes every block, they are absent from it and end in jail."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from harness import ACCOUNTS

from openledger.abci_app.action import Action, build_native
from openledger.abci_app.application import Application
from openledger.abci_app.modules.staking.create import ValidatorCreate, key_proof_message
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.abci_app.ports import Silence
from openledger.abci_app.queries import get_validator
from openledger.abci_app.registry import PRECOMPILES
from openledger.evm.pyevm import PyEvmEngine
from openledger.genesis.genesis import GenesisValidator
from openledger.genesis.presets import DEVNET_PARAMS, devnet_genesis
from openledger.node.engines.solo import SoloEngine
from openledger.primitives.amounts import GWEI, OPEN
from openledger.primitives.keys import consensus_address, ed25519_public, ed25519_sign
from openledger.state.memory import MemoryStore
from openledger.state.store import StateStore

SEED, OTHER = bytes(range(32)), b"\x77" * 32
START = 1_700_000_000 * 10**9


class Devnet:
    """A solo chain, driven block by block."""

    def __init__(self) -> None:
        validator = GenesisValidator(ed25519_public(SEED), 10, ACCOUNTS[9][0], "solo")
        params = replace(DEVNET_PARAMS, signed_window=10)
        self.genesis = devnet_genesis((validator,), START, params=params)
        self.store = MemoryStore()
        self.clock = itertools.count(START + 10**9, 10**9)
        self.open()

    def open(self) -> None:
        engine = PyEvmEngine(precompiles=dict(PRECOMPILES))
        own = consensus_address(ed25519_public(SEED))
        self.app = Application(self.genesis, StateStore(self.store), engine, Silence(), own)
        self.engine = SoloEngine(self.app, seed=SEED, clock=lambda: next(self.clock), block_time_ms=3_600_000)

    async def act(self, sender: int, action: Action) -> None:
        address, secret = ACCOUNTS[sender]
        raw = build_native(
            secret, chain_id=self.genesis.evm_chain_id, nonce=self.app.mempool.pending_nonce(address),
            max_priority_fee=0, max_fee=5 * GWEI, action=action,
        )  # fmt: skip
        await self.engine.submit(raw)
        await self.engine.mine()

    def create(self, sender: int) -> ValidatorCreate:
        proof = ed25519_sign(OTHER, key_proof_message(self.genesis.evm_chain_id, ACCOUNTS[sender][0]))
        return ValidatorCreate(ed25519_public(OTHER), proof, 1_000 * OPEN, "nobody runs it")

    def standing(self, account: int) -> tuple[int, bool]:
        found = get_validator(self.app.state(), ACCOUNTS[account][0])
        return found["power"], found["jailed"]


@pytest.fixture
async def devnet() -> AsyncIterator[Devnet]:
    made = Devnet()
    await made.engine.start()
    yield made
    await made.engine.stop()


async def test_a_validator_that_nobody_runs_joins_has_power_and_is_jailed(devnet: Devnet) -> None:
    await devnet.act(1, devnet.create(1))
    assert devnet.standing(1) == (1_000, False)
    await devnet.engine.mine(2)
    assert len(devnet.app.signers()) == 2
    await devnet.engine.mine(10)
    assert devnet.standing(1) == (0, True)
    await devnet.engine.mine(3)
    assert len(devnet.app.signers()) == 1


async def test_the_devnet_goes_on_when_its_own_validator_leaves_and_after_a_restart(devnet: Devnet) -> None:
    await devnet.act(1, devnet.create(1))
    await devnet.act(9, StakeUndelegate(ACCOUNTS[9][0]))
    await devnet.engine.mine(3)
    assert [signer.power for signer in devnet.app.signers()] == [1_000]
    await devnet.engine.stop()
    height = devnet.engine.height
    devnet.open()
    await devnet.engine.start()
    assert await devnet.engine.mine(2) == height + 2
    assert [signer.power for signer in devnet.app.signers()] == [1_000]
