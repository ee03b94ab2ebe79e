"""The example contract Cooperative, and the library by which a contract writes its actions itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from harness import Harness

from openledger.abci_app.action import encode_action
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.primitives.amounts import OPEN
from openledger.primitives.types import OUTBOX_ADDRESS, STAKING_ADDRESS, Address, to_hex

Deploy = Callable[..., Address]
Submit = Callable[..., bytes]
OPERATOR = b"\x0f" * 20
EDGES = (7, 8, 16, 32, 63, 64, 72, 128, 255)
AMOUNTS = sorted({0, 1, 2**256 - 1, *((1 << bits) + more for bits in EDGES for more in (-1, 0, 1))})
LENGTHS = (1, 31, 32, 255, 256, 1024)


@pytest.fixture
def address(chain: Harness, deploy: Deploy) -> Address:
    return deploy(chain, "Cooperative")


@pytest.mark.parametrize("amount", AMOUNTS)
def test_a_number_is_written_as_the_chain_writes_it(
    calls: Any, cooperative: Any, address: Address, amount: int
) -> None:
    result = calls.raw(address, cooperative.data("delegation", OPERATOR, amount))
    assert cooperative.read("delegation", result.output) == encode_action(StakeDelegate(OPERATOR, amount))


@pytest.mark.parametrize("length", LENGTHS)
def test_text_of_any_length_is_written_as_the_chain_writes_it(
    calls: Any, cooperative: Any, address: Address, length: int
) -> None:
    texts = ("é" + "n" * (length - 1), "d" * length, "CC0-1.0")
    result = calls.raw(address, cooperative.data("datanet", *texts))
    name, description, licence = texts
    assert cooperative.read("datanet", result.output) == encode_action(
        DatanetCreate(name, description, licence=licence)
    )


def test_a_contract_founds_a_datanet_and_stakes_in_its_own_name(
    chain: Harness, calls: Any, cooperative: Any, address: Address, submit: Submit
) -> None:
    found = chain.include(submit(chain, address, cooperative.data("found", "letters", "d" * 900, "CC0-1.0")))
    assert (found.status, found.logs[0].address) == (1, OUTBOX_ADDRESS)
    assert chain.query("get_datanet", 1)["owner"].lower() == to_hex(address)
    assert chain.include(submit(chain, address, b"", value=3 * OPEN)).status == 1
    operator = bytes.fromhex(chain.query("list_validators")[0]["operator"][2:])
    for name, amount, left in (("stake", 2 * OPEN, 2 * OPEN), ("unstake", OPEN, OPEN)):
        done = chain.include(submit(chain, address, cooperative.data(name, operator, amount)))
        assert [log.address for log in done.logs] == [OUTBOX_ADDRESS, STAKING_ADDRESS], name
        result = calls.raw(address, cooperative.data("staked", operator))
        assert cooperative.read("staked", result.output) == left
    assert chain.balance(address) == OPEN


def test_more_than_it_has_it_cannot_stake_and_nobody_else_can_act(
    chain: Harness, cooperative: Any, address: Address, submit: Submit
) -> None:
    operator = bytes.fromhex(chain.query("list_validators")[0]["operator"][2:])
    done = chain.include(submit(chain, address, cooperative.data("stake", operator, OPEN)))
    assert (done.status, [log.address for log in done.logs]) == (1, [OUTBOX_ADDRESS, OUTBOX_ADDRESS])
    raw = chain.transfer(1, address, 0, gas=300_000, data=cooperative.data("stake", operator, OPEN))
    assert chain.submit(raw).code == 0
    assert chain.include(raw).status == 0
