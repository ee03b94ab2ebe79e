"""Block 0: genesis accounts, predeployed contracts, the modules' first records."""

from __future__ import annotations

from openledger.abci_app.modules.fees.records import set_genesis_supply
from openledger.abci_app.modules.governance.records import set_params
from openledger.abci_app.modules.models.records import Epoch, set_epoch
from openledger.abci_app.modules.staking.records import ValidatorRecord, put_validator
from openledger.evm.predeploys import PREDEPLOYS
from openledger.genesis.genesis import Genesis
from openledger.primitives.blocks import EMPTY_BLOOM, EMPTY_TRIE_ROOT, Header, SealedBlock
from openledger.primitives.codec import encode
from openledger.primitives.hashing import KECCAK_EMPTY, ZERO_HASH
from openledger.primitives.types import ZERO_ADDRESS, Account, Hash32
from openledger.state.memory import MemoryStore
from openledger.state.overlay import Overlay
from openledger.state.ports import Diff
from openledger.state.store import StateStore


def genesis_diff(genesis: Genesis) -> Diff:
    """Everything that exists at block 0, on top of nothing."""
    state = Overlay(StateStore(MemoryStore()).reader())
    for predeploy in PREDEPLOYS:
        code_hash = state.set_code(predeploy.code)
        state.set_account(predeploy.address, Account(predeploy.nonce, 0, code_hash))
    for address, account in sorted(genesis.accounts.items()):
        code_hash = state.set_code(account.code) if account.code else KECCAK_EMPTY
        state.set_account(address, Account(account.nonce, account.balance, code_hash))
        for slot, value in account.storage:
            state.set_storage(address, slot, value)
    set_genesis_supply(state, genesis.supply)
    set_params(state, genesis.params)
    for validator in genesis.validators:
        record = ValidatorRecord(validator.operator, validator.pub_key, validator.power, validator.name)
        put_validator(state, record)
    start = genesis.time_ns // 10**9
    set_epoch(state, Epoch(1, start, start + genesis.params.epoch_seconds, False))
    return state.diff()


def genesis_block(genesis: Genesis, state_root: Hash32) -> SealedBlock:
    """The Ethereum block 0."""
    header = Header(
        parent_hash=ZERO_HASH,
        coinbase=ZERO_ADDRESS,
        state_root=state_root,
        transactions_root=EMPTY_TRIE_ROOT,
        receipts_root=EMPTY_TRIE_ROOT,
        bloom=EMPTY_BLOOM,
        number=0,
        gas_limit=genesis.params.block_gas_limit,
        gas_used=0,
        timestamp=genesis.time_ns // 10**9,
        prevrandao=ZERO_HASH,
        base_fee=genesis.params.initial_base_fee,
    )
    return SealedBlock(header, (), (), (), encode([genesis.time_ns, ZERO_HASH, ZERO_ADDRESS]))
