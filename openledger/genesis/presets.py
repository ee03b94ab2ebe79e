"""Ready-made genesis files: the devnet with its ten well-known accounts, and a network of validators."""

from __future__ import annotations

from openledger.genesis.genesis import Genesis, GenesisAccount, GenesisValidator
from openledger.genesis.params import Params
from openledger.primitives.amounts import OPEN
from openledger.primitives.keys import address_of_private_key
from openledger.primitives.types import Address

DEV_MNEMONIC = "test test test test test test test test test test test junk"
DEV_BALANCE = 10_000 * OPEN
DEV_CHAIN_ID = 161_237

_DEV_SECRETS = (
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
)

DEVNET_PARAMS = Params(
    epoch_seconds=5,
    claim_bond=10 * OPEN,
    challenge_seconds=5,
    challenge_bond=5 * OPEN,
    model_bond=10 * OPEN,
    claim_grace_epochs=3,
    hold_seconds=60,
    vote_seconds=60,
    reveal_seconds=60,
    mint_per_epoch=1_000 * OPEN,
    review_seconds=600,
    appeal_seconds=300,
    min_self_bond=10 * OPEN,
    unbonding_seconds=60,
    jail_seconds=10,
    min_verdicts=0,
    gov_deposit=10 * OPEN,
    gov_deposit_seconds=120,
    gov_voting_seconds=60,
)


def dev_accounts() -> list[tuple[Address, bytes]]:
    """The ten accounts of ``DEV_MNEMONIC`` at m/44'/60'/0'/0/i: (address, secret). Known to everybody."""
    secrets = [bytes.fromhex(s) for s in _DEV_SECRETS]
    return [(address_of_private_key(s), s) for s in secrets]


def devnet_genesis(
    validators: tuple[GenesisValidator, ...],
    time_ns: int,
    *,
    evm_chain_id: int = DEV_CHAIN_ID,
    params: Params = DEVNET_PARAMS,
    accounts: dict[Address, GenesisAccount] | None = None,
    initial_height: int = 1,
    solo: bool = False,
) -> Genesis:
    """A devnet: funded accounts (ten where none are given), short epochs; ``solo`` for the one whose users may edit
    state. Raises InvalidGenesis."""
    genesis = Genesis(
        chain_id=f"openledger_{evm_chain_id}-1",
        evm_chain_id=evm_chain_id,
        time_ns=time_ns,
        validators=validators,
        accounts=accounts or {address: GenesisAccount(DEV_BALANCE) for address, _ in dev_accounts()},
        initial_height=initial_height,
        params=params,
        solo=solo,
    )
    genesis.validate()
    return genesis
