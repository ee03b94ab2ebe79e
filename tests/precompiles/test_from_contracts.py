"""The precompiles and the Outbox as a compiled Solidity contract uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app.action import outbox_bytes
from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.records import Part
from openledger.primitives.types import DATANETS_ADDRESS, MODULE_ADDRESSES, STAKING_ADDRESS, Address, to_hex

Deploy = Callable[[Harness], Address]
CALL, STATICCALL, DELEGATECALL, CALL_WITH_VALUE = range(4)


def fill(chain: Harness, rows: int = 5) -> None:
    alice = ACCOUNTS[1][0]
    chain.act(1, DatanetCreate("d"))
    chain.act(1, DatanetCommit(1, 0, b"\x01" * 32, rows, (Part(alice, b"\x02" * 32, rows),)))


def test_a_contract_reads_a_datanet(chain: Harness, calls: Any, watch: Any, deploy: Deploy) -> None:
    address = deploy(chain)
    missing = calls.raw(address, watch.data("look", 1))
    assert missing.error == "execution reverted: there is no datanet 1"
    fill(chain)
    result = calls.raw(address, watch.data("look", 1))
    assert watch.read("look", result.output) == (5, to_hex(ACCOUNTS[1][0]))


def test_a_contract_acts_when_what_it_read_says_so(
    chain: Harness, watch: Any, deploy: Deploy, submit: Callable[..., bytes]
) -> None:
    address = deploy(chain)
    fill(chain)
    action = outbox_bytes(DatanetCreate("by a contract"))
    refused = chain.include(submit(chain, address, watch.data("actWhen", 1, 6, action)))
    assert (refused.status, refused.error, refused.logs) == (0, "execution reverted: too few rows", ())
    done = chain.include(submit(chain, address, watch.data("actWhen", 1, 5, action)))
    assert done.status == 1
    assert chain.query("get_datanet", 2)["owner"].lower() == to_hex(address)


def test_effects_of_earlier_transactions_of_the_block_are_seen(
    chain: Harness, watch: Any, deploy: Deploy, submit: Callable[..., bytes]
) -> None:
    """Of a native one, and of an action from the Outbox."""
    address = deploy(chain)
    alice = ACCOUNTS[1][0]
    raws = [chain.native(1, DatanetCreate("d"))]
    commit = DatanetCommit(1, 0, b"\x01" * 32, 5, (Part(alice, b"\x02" * 32, 5),))
    raws.append(chain.native(1, commit, nonce=chain.nonce(alice) + 1))
    raws.append(submit(chain, address, watch.data("actWhen", 1, 5, outbox_bytes(DatanetCreate("second")))))
    raws.append(submit(chain, address, watch.data("look", 2)))
    before = chain.app.head().number
    chain.finalize(tuple(raws))
    sealed = chain.app.store.block(before + 1)
    assert sealed is not None
    assert [r.status for r in sealed.receipts][-4:] == [1, 1, 1, 1]
    assert chain.query("get_datanet", 2)["name"] == "second"


@pytest.mark.parametrize("target", MODULE_ADDRESSES, ids=to_hex)
def test_only_calls_without_value_reach_a_precompile(
    chain: Harness, calls: Any, watch: Any, interfaces: Any, deploy: Deploy, submit: Callable[..., bytes], target: bytes
) -> None:
    address = deploy(chain)
    assert chain.include(submit(chain, address, b"", value=5)).status == 1
    names = {0: ("IDatanets", "datanetCount"), 1: ("IModels", "modelCount"), 2: ("IAttribution", "claimCount"),
             3: ("IStaking", "totalPower"), 4: ("IGovernance", "proposalCount")}  # fmt: skip
    interface, name = names[target[-1]]
    data = interfaces[interface].data(name)
    for how in (CALL, STATICCALL):
        ok, answer = watch.read("probe", calls.raw(address, watch.data("probe", how, target, data)).output)
        assert (ok, len(answer)) == (True, 32)
    for how in (DELEGATECALL, CALL_WITH_VALUE):
        result = calls.raw(address, watch.data("probe", how, target, data))
        assert watch.read("probe", result.output) == (False, b"")
        assert result.gas_used < 100_000, "a revert gives the gas back"


def test_a_call_from_an_account_works_and_value_does_not(
    chain: Harness, interfaces: Any, submit: Callable[..., bytes]
) -> None:
    data = interfaces["IStaking"].data("totalPower")
    assert chain.include(submit(chain, STAKING_ADDRESS, data)).status == 1
    refused = chain.include(submit(chain, STAKING_ADDRESS, data, value=1))
    assert (refused.status, refused.error) == (0, "execution reverted")
    assert chain.balance(STAKING_ADDRESS) == chain.genesis.staked


def test_a_reverted_read_does_not_undo_its_caller(chain: Harness, calls: Any, watch: Any, deploy: Deploy) -> None:
    address = deploy(chain)
    result = calls.raw(address, watch.data("probe", CALL, DATANETS_ADDRESS, b"\xde\xad\xbe\xef"))
    assert watch.read("probe", result.output) == (False, b"")
