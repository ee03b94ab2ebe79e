"""A fault inside a block is no outcome of it: it comes out of the call as it is, nothing is written, and the same
process that does not have it goes on from the same place. Only an expected refusal becomes a receipt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app import block as block_module
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.protocol import messages as abci
from openledger.primitives.errors import AlreadyExists, ConsensusFault
from openledger.state.store import StateStore


def fail(error: Exception) -> Callable[..., Any]:
    def raise_it(*_args: object, **_kwargs: object) -> Any:
        raise error

    return raise_it


FAULTS = [ConsensusFault("a record is missing"), KeyError("x"), ValueError("y"), OSError(28, "No space left on device")]


@pytest.mark.parametrize("error", FAULTS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("place", ["action", "engine", "hook", "end", "store"])
def test_a_fault_comes_out_of_the_call_and_leaves_nothing(
    chain: Harness, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
) -> None:
    chain.block()
    before = list(chain.kv.iterate(b"", None))
    txs = (chain.native(1, DatanetCreate("d")), chain.transfer(2, ACCOUNTS[3][0], 1))
    with monkeypatch.context() as broken:
        target, name = {
            "action": (DatanetCreate, "execute"),
            "engine": (type(chain.app.engine), "execute"),
            "hook": (block_module, "pay_unbonded"),
            "end": (block_module, "close_set"),
            "store": (StateStore, "prepare"),
        }[place]
        broken.setattr(target, name, fail(error))
        with pytest.raises(type(error)):
            chain.finalize(txs)
    assert list(chain.kv.iterate(b"", None)) == before
    assert chain.app.info(abci.RequestInfo()).last_block_height == chain.app.head().number == 1
    response = chain.finalize(txs, 0)
    assert [result.code for result in response.tx_results] == [0, 0]


def test_a_refusal_inside_an_action_becomes_a_receipt(chain: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DatanetCreate, "execute", fail(AlreadyExists("there")))
    response = chain.finalize((chain.native(1, DatanetCreate("d")),))
    assert response.tx_results[0].code == AlreadyExists.code
