"""Block 0: genesis accounts, predeployed contracts, the modules' first records; or an earlier chain's whole state."""

from __future__ import annotations

from openledger.abci_app.modules.fees.records import set_genesis_supply, supply
from openledger.abci_app.modules.governance.records import params, set_params
from openledger.abci_app.modules.governance.upgrade import plan
from openledger.abci_app.modules.models.records import Epoch, epoch, set_epoch
from openledger.abci_app.modules.staking.delegations import add_stake
from openledger.abci_app.modules.staking.earning import next_round
from openledger.abci_app.modules.staking.records import STAKES, ValidatorRecord, must_operate, put_validator
from openledger.abci_app.modules.staking.sets import open_first_set, seated
from openledger.evm.predeploys import PREDEPLOYS
from openledger.genesis.genesis import Genesis, GenesisAccount, GenesisValidator
from openledger.primitives.blocks import EMPTY_BLOOM, EMPTY_TRIE_ROOT, Header, SealedBlock
from openledger.primitives.codec import encode
from openledger.primitives.errors import InvalidGenesis, OpenLedgerError
from openledger.primitives.hashing import KECCAK_EMPTY, ZERO_HASH
from openledger.primitives.types import GOVERNANCE_ADDRESS, ZERO_ADDRESS, Account, Hash32, to_hex
from openledger.state.export import Export
from openledger.state.memory import MemoryStore
from openledger.state.overlay import Overlay
from openledger.state.ports import Diff, StateReader
from openledger.state.store import StateStore


def genesis_diff(genesis: Genesis) -> Diff:
    """Everything that exists at block 0, on top of nothing. Raises InvalidGenesis for records that do not fit."""
    state = Overlay(StateStore(MemoryStore()).reader())
    if not genesis.records:
        for predeploy in PREDEPLOYS:
            if predeploy.address in genesis.accounts:
                raise InvalidGenesis(f"{predeploy.name} at {to_hex(predeploy.address)} cannot be a genesis account")
            code_hash = state.set_code(predeploy.code)
            state.set_account(predeploy.address, Account(predeploy.nonce, 0, code_hash))
    for address, account in sorted(genesis.accounts.items()):
        code_hash = state.set_code(account.code) if account.code else KECCAK_EMPTY
        state.set_account(address, Account(account.nonce, account.balance, code_hash))
        for slot, value in account.storage:
            state.set_storage(address, slot, value)
    if genesis.records:
        for module, found in sorted(genesis.records.items()):
            for key, record in sorted(found.items()):
                state.set_record(module, key, record)
        _check_records(state, genesis)
    else:
        _first_records(state, genesis)
    return state.diff()


def _first_records(state: Overlay, genesis: Genesis) -> None:
    """What the modules of a new chain know."""
    set_genesis_supply(state, genesis.supply)
    set_params(state, genesis.params)
    for one in genesis.validators:
        record = ValidatorRecord(
            one.operator, one.pub_key, one.name, power=one.power,
            commission=one.commission, max_commission=one.max_commission, max_change=one.max_change,
        )  # fmt: skip
        put_validator(state, record)
        for account, wei in ((one.operator, one.own(genesis.params)), *one.delegations):
            add_stake(state, account, must_operate(state, one.operator), wei)
    state.add_balance(STAKES, genesis.staked)
    open_first_set(state)
    next_round(state, None)
    start = genesis.time_ns // 10**9
    set_epoch(state, Epoch(1, start, start + genesis.params.epoch_seconds, False))


# --- a chain that goes on from another one's state ----------------------------------------------------------------


def genesis_from_state(export: Export, chain_id: str, time_ns: int | None = None) -> Genesis:
    """The genesis of chain ``chain_id`` whose block 0 has exactly the exported state, with the same state root.

    Parameters and validators are those of the state. ``time_ns`` is by default the time of the exported block. Raises
    InvalidGenesis.
    """
    if chain_id == export.chain_id:
        raise InvalidGenesis(
            f"the new chain needs another chain id than {chain_id}",
            "heights begin anew, and a validator must not sign the same height of one chain twice",
        )
    accounts = {
        address: GenesisAccount(a.balance, a.nonce, a.code, tuple(sorted(a.storage.items())))
        for address, a in export.accounts.items()
    }
    state = Overlay(StateStore(MemoryStore()).reader())
    for module, found in export.records.items():
        for key, record in found.items():
            state.set_record(module, key, record)
    try:
        genesis = Genesis(
            chain_id=chain_id,
            evm_chain_id=export.evm_chain_id,
            time_ns=export.timestamp * 10**9 if time_ns is None else time_ns,
            validators=_validators(state),
            accounts=accounts,
            params=params(state),
            records=export.records,
        )
        genesis.validate()
    except OpenLedgerError as err:
        raise InvalidGenesis(f"no chain can begin with this state: {err.message}", err.hint) from None
    if (root := StateStore(MemoryStore()).prepare(genesis_diff(genesis)).state_root) != export.state_root:
        raise InvalidGenesis(f"a chain from this state would have state root {to_hex(root)}")
    return genesis


def planned_upgrade(genesis: Genesis) -> str | None:
    """Name of the upgrade that the earlier chain had planned, which block 1 drops."""
    state = Overlay(StateStore(MemoryStore()).reader())
    for key, record in genesis.records.get(GOVERNANCE_ADDRESS, {}).items():
        state.set_record(GOVERNANCE_ADDRESS, key, record)
    found = plan(state)
    return found.name if found else None


def _validators(state: StateReader) -> tuple[GenesisValidator, ...]:
    return tuple(GenesisValidator(v.pub_key, v.power, v.operator, v.name) for v in seated(state))


def _check_records(state: Overlay, genesis: Genesis) -> None:
    """The document says again what records say (for CometBFT and for people); both must agree."""
    try:
        found, coins = params(state), supply(state)
        epoch(state)
        listed = _validators(state)
    except OpenLedgerError as err:
        raise InvalidGenesis(f"the records of the genesis file are not a chain's: {err.message}") from None
    if found != genesis.params:
        raise InvalidGenesis("params in the genesis file are not those of its records")
    if {v.pub_key: v for v in listed} != {v.pub_key: v for v in genesis.validators}:
        raise InvalidGenesis("the validators of the genesis file are not those of its records")
    if coins.total != genesis.supply:
        raise InvalidGenesis(f"the balances add up to {genesis.supply} wei, and the supply record says {coins.total}")
    if coins.minted > found.reserve or coins.genesis + coins.minted > found.cap:
        raise InvalidGenesis("more was minted than the reserve and the cap allow")


def genesis_block(genesis: Genesis, state_root: Hash32) -> SealedBlock:
    """The first Ethereum block: 0, or the one that a devnet was forked from."""
    header = Header(
        parent_hash=ZERO_HASH,
        coinbase=ZERO_ADDRESS,
        state_root=state_root,
        transactions_root=EMPTY_TRIE_ROOT,
        receipts_root=EMPTY_TRIE_ROOT,
        bloom=EMPTY_BLOOM,
        number=genesis.initial_height - 1,
        gas_limit=genesis.params.block_gas_limit,
        gas_used=0,
        timestamp=genesis.time_ns // 10**9,
        prevrandao=ZERO_HASH,
        base_fee=genesis.params.initial_base_fee,
    )
    return SealedBlock(header, (), (), (), encode([genesis.time_ns, ZERO_HASH, ZERO_ADDRESS]))
