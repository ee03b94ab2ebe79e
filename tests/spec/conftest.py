import itertools

import pytest

from openledger.abci_app.action import build_native
from openledger.abci_app.application import Application
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.staking.create import ValidatorCreate, key_proof_message
from openledger.abci_app.ports import Silence
from openledger.abci_app.protocol import messages as m
from openledger.evm.pyevm import PyEvmEngine
from openledger.genesis.genesis import GenesisValidator
from openledger.genesis.presets import dev_accounts, devnet_genesis
from openledger.node.engines.solo import SoloEngine
from openledger.primitives.keys import consensus_address, ed25519_public, ed25519_sign
from openledger.primitives.transactions import sign_transaction
from openledger.state.memory import MemoryStore
from openledger.state.store import StateStore

SEED = bytes(range(32))
START = 1_700_000_000 * 10**9
GWEI = 10**9


class World:
    """One genesis, and what is needed to make processes and transactions of it."""

    def __init__(self):
        self.seed = SEED
        self.address = consensus_address(ed25519_public(SEED))
        self.validator = GenesisValidator(ed25519_public(SEED), 10, dev_accounts()[9][0], "one")
        self.genesis = devnet_genesis((self.validator,), START)
        self.clock = itertools.count(START + 10**9, 10**8)

    def app(self, store=None, verdicts=None):
        return Application(
            self.genesis,
            StateStore(store if store is not None else MemoryStore()),
            PyEvmEngine(),
            verdicts or Silence(),
            self.address,
        )

    def solo(self, app):
        return SoloEngine(app, seed=self.seed, clock=lambda: next(self.clock), block_time_ms=3_600_000)

    def transfer(self, sender, nonce, value=1, tip=GWEI, cap=4 * GWEI):
        secret, to = dev_accounts()[sender][1], dev_accounts()[(sender + 1) % 10][0]
        return sign_transaction(
            secret, chain_id=self.genesis.evm_chain_id, nonce=nonce, max_priority_fee=tip, max_fee=cap, gas=21_000,
            to=to, value=value,
        )  # fmt: skip

    def native(self, sender, nonce, name="texts"):
        return build_native(
            dev_accounts()[sender][1], chain_id=self.genesis.evm_chain_id, nonce=nonce, max_priority_fee=GWEI,
            max_fee=4 * GWEI, action=DatanetCreate(name=name),
        )  # fmt: skip

    def join(self, sender, nonce, seed=b"\x77" * 32):
        """validator.create with 40 OPEN."""
        address, secret = dev_accounts()[sender]
        proof = ed25519_sign(seed, key_proof_message(self.genesis.evm_chain_id, address))
        return build_native(
            secret, chain_id=self.genesis.evm_chain_id, nonce=nonce, max_priority_fee=GWEI, max_fee=4 * GWEI,
            action=ValidatorCreate(ed25519_public(seed), proof, 40 * 10**18),
        )  # fmt: skip

    def prepare(self, app, txs, *, limit=1 << 20, commit=None, time=START + 5 * 10**9):
        """The proposal of ``app`` for its next height, as the request that ProcessProposal gets."""
        height = app.head().number + 1
        request = m.RequestPrepareProposal(
            limit, tuple(txs), commit or m.ExtendedCommitInfo(), (), height, time, bytes(32), self.address
        )
        votes = tuple(m.VoteInfo(v.validator, v.block_id_flag) for v in request.local_last_commit.votes)
        return m.RequestProcessProposal(
            app.prepare_proposal(request).txs,
            m.CommitInfo(request.local_last_commit.round, votes),
            (),
            height.to_bytes(32, "big"),
            height,
            time,
            bytes(32),
            self.address,
        )

    def vote(self, block):
        """The request for a vote extension on this block."""
        return m.RequestExtendVote(
            block.hash, block.height, block.time, block.txs, block.proposed_last_commit, (), bytes(32), self.address
        )

    @staticmethod
    def decided(block):
        """The same block, as FinalizeBlock gets it."""
        return m.RequestFinalizeBlock(
            block.txs, block.proposed_last_commit, block.misbehavior, block.hash, block.height, block.time,
            block.next_validators_hash, block.proposer_address,
        )  # fmt: skip


@pytest.fixture
def world():
    return World()


@pytest.fixture
def app(world):
    return world.app()
