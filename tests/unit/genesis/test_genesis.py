"""The genesis file: out and back, refusals by name, and bounds that no file can cross."""

from __future__ import annotations

import dataclasses
import json

import pytest

from openledger.genesis.genesis import Genesis, GenesisValidator
from openledger.genesis.params import Params
from openledger.genesis.presets import dev_accounts, devnet_genesis
from openledger.primitives.amounts import OPEN
from openledger.primitives.errors import InvalidGenesis

VALIDATOR = GenesisValidator(b"\x01" * 32, 10, dev_accounts()[0][0], "v")
GENESIS = devnet_genesis((VALIDATOR,), 1_700_000_000_123_456_789)


def test_the_file_says_everything_that_was_put_in() -> None:
    again = Genesis.from_json(GENESIS.to_json())
    assert again == GENESIS
    assert again.digest == GENESIS.digest
    state = json.dumps(json.loads(GENESIS.to_json())["app_state"]).encode()
    assert Genesis.from_init_chain(GENESIS.chain_id, GENESIS.time_ns, 1, state, 1).digest == GENESIS.digest


@pytest.mark.parametrize("path", ["chain_id", "genesis_time", "app_state", "initial_height", "consensus_params"])
def test_what_is_missing_is_named(path: str) -> None:
    document = GENESIS.document()
    del document[path]
    with pytest.raises(InvalidGenesis, match=path):
        Genesis.from_json(json.dumps(document))


@pytest.mark.parametrize(
    "change", [{"power": "11"}, {"pub_key": {"type": "tendermint/PubKeyEd25519", "value": "AAAA"}}]
)
def test_those_who_make_blocks_are_those_whose_votes_count(change: dict[str, object]) -> None:
    document = GENESIS.document()
    document["validators"][0].update(change)
    with pytest.raises(InvalidGenesis, match="not those of its app_state"):
        Genesis.from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"chain_id": 5}', "[" * 100_000])
def test_what_is_no_genesis_is_refused(text: str) -> None:
    with pytest.raises(InvalidGenesis):
        Genesis.from_json(text)


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": ""},
        {"chain_id": "x" * 51},
        {"evm_chain_id": 0},
        {"evm_chain_id": 2**53},
        {"validators": ()},
        {"validators": (VALIDATOR, VALIDATOR)},
        {"validators": (VALIDATOR, dataclasses.replace(VALIDATOR, pub_key=b"\x02" * 32))},
        {"vote_extensions_enable_height": 0},
        {"validators": (dataclasses.replace(VALIDATOR, power=0),)},
        {"initial_height": 2},
        {"time_ns": -1},
        {"time_ns": 2**63},
    ],
)
def test_malformed_chains_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidGenesis):
        dataclasses.replace(GENESIS, **change).validate()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"cap": 2 * 10**9 * OPEN},
        {"reserve": 10**9 * OPEN + 1},
        {"split_burn": 501},
        {"base_fee_floor": 0},
        {"initial_base_fee": 1},
        {"mint_factor": 1_000_001},
        {"max_extension_bytes": 5000},
        {"epoch_seconds": 0},
        {"epoch_seconds": 2**64 - 1},
        {"hold_seconds": 2**63},
        {"vote_seconds": 2**63},
        {"reveal_seconds": 2**63},
        {"unbonding_seconds": 2**63},
        {"unbonding_seconds": 86_399},
        {"jail_seconds": 0},
        {"power_unit": 10**9 - 1},
        {"min_self_bond": OPEN - 1},
        {"max_validators": 0},
        {"max_validators": 501},
        {"signed_window": 9},
        {"min_signed": 900_001},
        {"slash_double_sign": 1_000_001},
        {"max_slot0_bytes": 4 * 1024 * 1024},
        {"max_slot0_bytes": 4_096},
    ],
)
def test_bounds_of_the_parameters_hold_joint_ones_included(change: dict[str, int]) -> None:
    with pytest.raises(InvalidGenesis):
        dataclasses.replace(Params(), **change).validate()  # type: ignore[arg-type]


def test_paying_oneself_for_inference_always_loses_within_the_bounds() -> None:
    """design.md, section 7: m(p + b) < b + (2/3)t for every accepted set of parameters."""
    accepted = 0
    for factor in range(0, 1_000_001, 50_000):
        for pool in range(0, 4001, 500):
            for burn in range(0, 2001, 250):
                stakers = 5000 - pool - burn
                if stakers < 0:
                    continue
                params = dataclasses.replace(
                    Params(), mint_factor=factor, split_pool=pool, split_burn=burn, split_stakers=stakers, split_owner=0
                )
                try:
                    params.validate()
                except InvalidGenesis:
                    continue
                accepted += 1
                gained = factor * (pool + burn) * 3
                lost = 1_000_000 * (3 * burn + 2 * stakers)
                assert gained < lost
    assert accepted > 100


def test_genesis_balances_and_reserve_stay_under_the_cap() -> None:
    params = dataclasses.replace(Params(), reserve=10**9 * OPEN)
    with pytest.raises(InvalidGenesis, match="exceed the cap"):
        dataclasses.replace(GENESIS, params=params).validate()


@pytest.mark.parametrize("value", [1.5, True, None, [], "x"])
@pytest.mark.parametrize("name", ["evm_chain_id", "power", "balance", "initial_height"])
def test_what_is_no_whole_number_is_refused_not_rounded(name: str, value: object) -> None:
    document = GENESIS.document()
    app = document["app_state"]
    account = next(iter(app["accounts"].values()))
    {"power": app["validators"][0], "balance": account, "initial_height": document}.get(name, app)[name] = value
    with pytest.raises(InvalidGenesis):
        Genesis.from_json(json.dumps(document))


@pytest.mark.parametrize("place", ["app_state", "account", "validator"])
def test_an_unknown_field_is_named_and_not_left_out(place: str) -> None:
    document = GENESIS.document()
    app = document["app_state"]
    account = next(iter(app["accounts"].values()))
    {"app_state": app, "account": account, "validator": app["validators"][0]}[place]["balanec"] = "5"
    with pytest.raises(InvalidGenesis, match="unknown field 'balanec'; known: "):
        Genesis.from_json(json.dumps(document))


def test_a_name_that_is_no_unicode_is_refused() -> None:
    document = GENESIS.document()
    document["app_state"]["validators"][0]["name"] = "\ud800"
    with pytest.raises(InvalidGenesis, match="expected text"):
        Genesis.from_json(json.dumps(document))


STAKED = dataclasses.replace(
    VALIDATOR, power=1_000, commission=50_000, max_commission=150_000, max_change=0,
    delegations=((b"\x05" * 20, 7 * OPEN), (b"\x06" * 20, OPEN)),
)  # fmt: skip


def test_commission_and_delegations_go_out_and_come_back() -> None:
    made = dataclasses.replace(GENESIS, validators=(STAKED,))
    made.validate()
    assert Genesis.from_json(made.to_json()) == made
    assert made.supply == dataclasses.replace(GENESIS, validators=(dataclasses.replace(VALIDATOR, power=1_000),)).supply
    assert made.digest != dataclasses.replace(made, validators=(dataclasses.replace(STAKED, max_change=1),)).digest


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"commission": 150_001}, "max_commission"),
        ({"max_commission": 1_000_001}, "100 %"),
        ({"commission": -1}, "max_commission"),
        ({"max_change": 150_001}, "max_commission"),
        ({"delegations": ((b"\x05" * 20, 0),)}, "min_delegation"),
        ({"delegations": ((b"\x05" * 19, OPEN),)}, "another account's"),
        ({"delegations": ((STAKED.operator, OPEN),)}, "another account's"),
        ({"delegations": ((b"\x05" * 20, OPEN), (b"\x05" * 20, OPEN))}, "twice"),
        ({"delegations": ((b"\x05" * 20, 991 * OPEN),)}, "leave"),
    ],
)
def test_stakes_that_no_chain_could_have_are_refused(change: dict[str, object], words: str) -> None:
    wrong = dataclasses.replace(GENESIS, validators=(dataclasses.replace(STAKED, **change),))  # type: ignore[arg-type]
    with pytest.raises(InvalidGenesis, match=words):
        wrong.validate()


def test_nobody_begins_with_more_delegations_than_an_account_may_have() -> None:
    params = dataclasses.replace(GENESIS.params, max_delegations=2)
    seats = tuple(
        dataclasses.replace(STAKED, pub_key=bytes([i]) * 32, operator=bytes([i]) * 20) for i in range(1, 4)
    )  # account 05 has stake with all three
    dataclasses.replace(GENESIS, params=params, validators=seats[:2]).validate()
    with pytest.raises(InvalidGenesis, match="max_delegations"):
        dataclasses.replace(GENESIS, params=params, validators=seats).validate()
