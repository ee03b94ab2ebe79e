"""model.publish and model.retire: accepting cases, and one for each refusal."""

from __future__ import annotations

import dataclasses

import pytest
from harness import ACCOUNTS, PRICE, Harness

from openledger.abci_app.action import intrinsic_gas
from openledger.abci_app.modules.models.close import InferenceClose
from openledger.abci_app.modules.models.open import InferenceOpen
from openledger.abci_app.modules.models.publish import GAS_PER_DATANET, ModelPublish
from openledger.abci_app.modules.models.records import DataRef, contributors
from openledger.abci_app.modules.models.retire import ModelRetire
from openledger.primitives.amounts import OPEN
from openledger.primitives.errors import AmountOutOfRange, MalformedAction
from openledger.primitives.types import MODELS_ADDRESS

H = bytes(32)
GOOD = ModelPublish("m", "openledger/tiny-v1", (DataRef(1, 3),), H, H, H, H, H, 12, "gradient-dot", 5, 4, 0, PRICE)


def test_a_model_names_its_data_and_whether_it_may_mint(chain: Harness) -> None:
    chain.publish()
    chain.act(4, dataclasses.replace(GOOD, base="other"))
    assert [m["mints"] for m in chain.query("list_models")] == [True, False]
    assert chain.query("get_model", 1)["data"] == [{"datanet": 1, "version": 3}]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data": (DataRef(1, 9),)}, "no version 9"),
        ({"data": (DataRef(2, 1),)}, "datanet 2 has no version 1"),
        ({"rows": 11}, "the data has 12 rows"),
    ],
)
def test_publish_refusals(chain: Harness, change: dict[str, object], reason: str) -> None:
    chain.publish()
    assert reason in chain.refusal(4, dataclasses.replace(GOOD, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"name": ""}, MalformedAction),
        ({"base": ""}, MalformedAction),
        ({"data": ()}, MalformedAction),
        ({"data": (DataRef(1, 1), DataRef(1, 2))}, MalformedAction),
        ({"method": "guess"}, MalformedAction),
        ({"lds": 1_000_001}, MalformedAction),
        ({"price": 0}, AmountOutOfRange),
        ({"price": 1_000_001 * OPEN}, AmountOutOfRange),
    ],
)
def test_malformed_models_are_refused(change: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        dataclasses.replace(GOOD, **change).check()  # type: ignore[arg-type]


def test_a_model_has_no_more_contributors_than_a_claim_can_pay() -> None:
    chain = Harness(max_shares=2)
    with pytest.raises(AssertionError, match="3 contributors, and a claim can pay 2"):
        chain.publish()


def test_publishing_costs_more_gas_for_each_datanet_that_is_read() -> None:
    two = dataclasses.replace(GOOD, data=(DataRef(1, 3), DataRef(2, 3)))
    assert intrinsic_gas(two) - intrinsic_gas(GOOD) >= GAS_PER_DATANET


def test_a_claim_asks_the_model_and_not_all_its_data_who_contributed(chain: Harness) -> None:
    _, people = chain.publish()
    assert contributors(chain.state, 1) == set(people)


def test_a_retired_model_takes_no_new_sessions(chain: Harness) -> None:
    chain.publish()
    assert "only the owner" in chain.refusal(1, ModelRetire(1))
    assert "there is no model 5" in chain.refusal(4, ModelRetire(5))
    assert chain.act(4, ModelRetire(1)).status == 1
    assert "retired already" in chain.refusal(4, ModelRetire(1))
    assert "is retired" in chain.refusal(5, InferenceOpen(1, OPEN, chain.time + 10))


def test_a_base_in_a_folder_may_mint_by_its_digest() -> None:
    one, other = ("hf:" + digit * 64 for digit in "ab")
    chain = Harness(bases=("openledger/tiny-v1", one))
    chain.publish(base=one)
    chain.act(4, dataclasses.replace(GOOD, base=other))
    assert [m["mints"] for m in chain.query("list_models")] == [True, False]


def test_a_retired_models_answers_are_settled_no_longer_than_its_bond_stands_for_them() -> None:
    chain = Harness(unbonding_seconds=60, challenge_seconds=0)
    chain.publish()
    chain.act(5, InferenceOpen(1, OPEN, chain.time + 10_000))
    assert chain.act(4, ModelRetire(1)).status == 1
    chain.block(40)
    assert chain.act(4, chain.voucher(1, 2)).status == 1
    bond = int(chain.query("get_model", 1)["bond"], 16)
    chain.block(30)
    assert int(chain.query("get_model", 1)["bond"], 16) == bond > 0, "answers were settled less than that ago"
    assert "can be settled until" in chain.refusal(5, InferenceClose(1))
    owner, consumer = (chain.balance(ACCOUNTS[n][0]) for n in (4, 5))
    chain.block(30)
    assert chain.balance(ACCOUNTS[4][0]) == owner + bond
    assert "its bond has gone back" in chain.refusal(4, chain.voucher(1, 3))
    assert chain.act(5, InferenceClose(1)).status == 1
    assert chain.balance(MODELS_ADDRESS) == 0
    assert consumer < chain.balance(ACCOUNTS[5][0]) < consumer + OPEN - 2 * PRICE
