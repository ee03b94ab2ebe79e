"""A node that keeps a window of state: calls in the window answer, older ones name the oldest height."""

from __future__ import annotations

import dataclasses

import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app.application import Application
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.records import DATANETS
from openledger.evm.engine import BlockEnv, CallMessage
from openledger.evm.pyevm import PyEvmEngine
from openledger.primitives.errors import StatePruned
from openledger.state.store import StateStore

# returns the balance of the address in the call data: calldataload(0), balance, mstore, return
CODE = bytes.fromhex("6000353160005260206000f3")
KEPT = 5


def call(app: Application, target: bytes, about: bytes, height: int) -> int:
    """eth_call as the RPC does it: the state and the environment of a past block."""
    header = app.store.header(height)
    assert header is not None
    env = BlockEnv(
        app.genesis.evm_chain_id, height, header.timestamp, header.coinbase, header.gas_limit, header.base_fee,
        header.prevrandao, app.store.recent_hashes(height),
    )  # fmt: skip
    message = CallMessage(ACCOUNTS[0][0], target, data=about.rjust(32, b"\0"))
    return int.from_bytes(app.engine.call(env, message, app.state(height)).output, "big")


def test_calls_in_the_past_answer_in_the_window_and_name_the_oldest_height_before_it(chain: Harness) -> None:
    init = b"\x60" + bytes([len(CODE)]) + bytes.fromhex("600c600039") + b"\x60" + bytes([len(CODE)]) + b"\x60\x00\xf3"
    target = b"\x55" * 20
    store = StateStore(chain.kv, archive=False, keep=KEPT)
    chain.app = Application(chain.genesis, store, PyEvmEngine(), chain.oracles[0], chain.addresses[0])
    creation = chain.transfer(6, None, 0, gas=200_000, data=init + CODE)  # type: ignore[arg-type]
    chain.touched.discard(None)  # type: ignore[arg-type]
    chain.submit(creation)
    contract = chain.include(creation).contract_address
    assert contract is not None
    for number in range(1, 12):
        chain.submit(chain.transfer(1, target, 1000))
        chain.submit(chain.native(2, DatanetCreate(f"d{number}")))
        chain.block()
    head = chain.app.head().number
    assert store.oldest_state() == head - KEPT
    for height in range(head - KEPT, head + 1):
        assert call(chain.app, contract, target, height) == 1000 * (height - 1)
        names = [record.name for _, record in DATANETS.items(chain.app.state(height))]
        assert names == [f"d{number}" for number in range(1, height)]
    for height in (0, head - KEPT - 1):
        with pytest.raises(StatePruned, match=f"the oldest kept is {head - KEPT}"):
            call(chain.app, contract, target, height)
    store.verify()


def test_a_pruned_and_an_archive_node_have_the_same_roots(chain: Harness) -> None:
    other = Harness()
    other.genesis = chain.genesis
    store = StateStore(other.kv, archive=False, keep=1)
    other.app = Application(chain.genesis, store, PyEvmEngine(), chain.oracles[0], chain.addresses[0])
    for _ in range(6):
        raw = chain.transfer(1, ACCOUNTS[2][0], 7)
        chain.submit(raw)
        chain.block()
        request = chain.requests[-1]
        assert other.app.finalize_block(dataclasses.replace(request)).app_hash == chain.app.head().state_root
        other.app.commit()
    assert other.app.head() == chain.app.head()
