"""What a client can check for itself: hashes, roots, history, and what an idle chain leaves alone."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from harness import ACCOUNTS, START, Harness

from openledger.abci_app.action import outbox_bytes
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.models.publish import ModelPublish
from openledger.abci_app.modules.models.records import DataRef
from openledger.abci_app.modules.models.retire import ModelRetire
from openledger.abci_app.native import ACTION_FAILED
from openledger.abci_app.opening import genesis_diff
from openledger.evm.predeploys import HISTORY_ADDRESS
from openledger.genesis.genesis import GenesisAccount
from openledger.primitives.amounts import GWEI
from openledger.primitives.blocks import bloom_of
from openledger.primitives.errors import InvalidGenesis
from openledger.primitives.hashing import keccak256
from openledger.primitives.transactions import decode_transaction
from openledger.primitives.types import OUTBOX_ADDRESS
from openledger.state.trie import ordered_trie_root


def test_header_hash_parents_and_roots_can_be_recomputed(chain: Harness) -> None:
    chain.submit(chain.transfer(1, ACCOUNTS[2][0], 5))
    chain.submit(chain.native(2, DatanetCreate("d")))
    chain.block()
    chain.block()
    blocks = [chain.app.store.block(n) for n in range(3)]
    for parent, block in itertools.pairwise(blocks):
        assert parent is not None
        assert block is not None
        header = block.header
        assert header.parent_hash == parent.hash == keccak256(parent.header.encode())
        assert header.transactions_root == ordered_trie_root(block.transactions)
        assert header.receipts_root == ordered_trie_root([r.encode() for r in block.receipts])
        assert header.bloom == bloom_of(log for r in block.receipts for log in r.logs)
        assert header.gas_used == sum(r.gas_used for r in block.receipts)


def test_app_hash_is_the_state_root_and_rests_while_nothing_happens(chain: Harness) -> None:
    first = chain.finalize(()).app_hash
    second = chain.finalize((), seconds=1000).app_hash
    assert first == second == chain.app.head().state_root
    assert chain.app.store.block(1) != chain.app.store.block(2)


def test_eip_2935_is_filled_in_by_the_next_block_that_writes(chain: Harness) -> None:
    chain.finalize(())
    chain.finalize(())
    assert chain.state.storage(HISTORY_ADDRESS, 1) == 0
    chain.submit(chain.transfer(1, ACCOUNTS[2][0], 5))
    chain.block()
    for number in range(3):
        known = chain.app.store.block_hash(number)
        assert known is not None
        assert chain.state.storage(HISTORY_ADDRESS, number) == int.from_bytes(known, "big")


# mstore(0, number - 1); staticcall(history, mem 0 to 32); sstore(0, mload(0))
ASK_HISTORY = bytes.fromhex("600143035f5260205f60205f73") + HISTORY_ADDRESS + bytes.fromhex("5afa505f515f5500")
# codecopy and return of what stands behind it
DEPLOY = bytes.fromhex("60") + bytes([len(ASK_HISTORY)]) + bytes.fromhex("600b5f3960") + bytes([len(ASK_HISTORY)])
DEPLOY += bytes.fromhex("5ff3") + bytes(1) + ASK_HISTORY


def test_a_contract_that_asks_the_history_for_the_block_before_gets_its_hash(chain: Harness) -> None:
    created = chain.transfer(1, None, 0, data=DEPLOY, gas=300_000)  # type: ignore[arg-type]
    chain.touched.discard(None)  # type: ignore[arg-type]
    assert chain.submit(created).code == 0
    contract = chain.include(created).contract_address
    assert contract is not None
    for _ in range(2):
        raw = chain.transfer(1, contract, 0, gas=100_000)
        assert chain.submit(raw).code == 0
        assert chain.include(raw).status == 1
        parent = chain.app.head().parent_hash
        assert chain.state.storage(contract, 0) == int.from_bytes(parent, "big")
        number = chain.app.head().number
        assert [m.receipt.status for m in chain.app.replay(number)][-1] == 1, "the same once more"


def test_no_hash_is_left_out_however_long_the_chain_has_nothing_to_do(chain: Harness) -> None:
    for _ in range(270):
        chain.finalize(())
    chain.submit(chain.transfer(1, ACCOUNTS[2][0], 5))
    chain.block()
    for number in range(271):
        known = chain.app.store.block_hash(number)
        assert known is not None
        assert chain.state.storage(HISTORY_ADDRESS, number) == int.from_bytes(known, "big"), number


def test_the_base_fee_falls_to_its_floor_and_never_below(chain: Harness) -> None:
    for _ in range(60):
        chain.finalize(())
    assert chain.app.head().base_fee == chain.genesis.params.base_fee_floor


def test_base_fee_is_burned_and_priority_fee_goes_to_the_operator_for_both_kinds(chain: Harness) -> None:
    operator = chain.genesis.validators[0].operator
    before = chain.balance(operator)
    chain.submit(chain.transfer(1, ACCOUNTS[2][0], 0))
    chain.submit(chain.native(2, DatanetCreate("d"), max_priority_fee=GWEI))
    receipts = chain.block()
    gas, base_fee = sum(r.gas_used for r in receipts), chain.app.head().base_fee
    assert chain.balance(operator) - before == gas * GWEI
    assert int(chain.query("get_supply")["burned"], 16) == gas * base_fee


def test_a_failed_action_pays_its_fee_and_changes_nothing_else(chain: Harness) -> None:
    raw = chain.native(1, ModelRetire(7))
    chain.finalize((raw,))
    block = chain.app.store.block(1)
    assert block is not None
    assert [r.status for r in block.receipts] == [0]
    assert block.receipts[0].error == "there is no model 7"
    assert chain.nonce(ACCOUNTS[1][0]) == 1


def test_a_refused_transaction_is_not_in_the_ethereum_block(chain: Harness) -> None:
    raw = chain.transfer(1, ACCOUNTS[2][0], 5, nonce=9)
    results = chain.finalize((raw, b"\x02garbage", b"\x52", b"")).tx_results
    assert [r.info for r in results] == ["refused"] * 4
    block = chain.app.store.block(1)
    assert block is not None
    assert block.transactions == ()


def test_processing_twice_and_then_finalizing_gives_one_hash_with_or_without_memory() -> None:
    hashes = set()
    for forget in (False, True):
        chain = Harness()
        for nonce in range(5):
            chain.submit(chain.transfer(1, ACCOUNTS[2][0], nonce))
            chain.submit(chain.native(2, DatanetCreate(f"d{nonce}")))
        txs = chain.propose()
        chain.judge(txs)
        chain.judge(txs)
        if forget:
            chain.app._executed.clear()
        hashes.add(chain.finalize(txs).app_hash)
    assert len(hashes) == 1


def test_recorded_blocks_replayed_by_a_new_node_give_the_same_hashes() -> None:
    chain = Harness()
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    chain.run_claim(chain.claim(epoch, {1: 1_000_000}))
    other = Harness()
    for request in chain.requests:
        answer = other.app.finalize_block(request)
        assert answer.app_hash == chain.app.store.header(request.height).state_root  # type: ignore[union-attr]
        other.app.commit()
    assert other.app.head() == chain.app.head()


def test_the_order_of_blocks_with_equal_timestamps_is_allowed(chain: Harness) -> None:
    chain.block(0)
    chain.block(0)
    assert chain.app.head().timestamp == START


# --- the Outbox -----------------------------------------------------------------------------------------


def outbox_call(action_bytes: bytes) -> bytes:
    padded = action_bytes + bytes(-len(action_bytes) % 32)
    head = keccak256(b"submit(bytes)")[:4] + (32).to_bytes(32, "big") + len(action_bytes).to_bytes(32, "big")
    return head + padded


def test_an_action_submitted_to_the_outbox_runs_as_the_caller(chain: Harness) -> None:
    data = outbox_call(outbox_bytes(DatanetCreate("from a wallet")))
    raw = chain.transfer(3, OUTBOX_ADDRESS, 0, data=data, gas=2_000_000)
    after = chain.transfer(4, ACCOUNTS[5][0], 1)
    assert chain.submit(raw).code == 0
    assert chain.submit(after).code == 0
    receipt = chain.include(raw)
    assert receipt.status == 1
    assert len(receipt.logs) == 2
    assert chain.query("get_datanet", 1)["name"] == "from a wallet"
    assert chain.app.store.transaction(decode_transaction(after).hash) is not None


def test_a_failed_outbox_action_is_recorded_and_does_not_undo_the_transaction(chain: Harness) -> None:
    h = bytes(32)
    dear = ModelPublish("m", "b", (DataRef(1, 1),), h, h, h, h, h, 1, "gradient-dot", 1, 1, 0, 1)
    for bad in (outbox_bytes(ModelRetire(3)), b"\xff", b"", outbox_bytes(dear)):
        raw = chain.transfer(3, OUTBOX_ADDRESS, 0, data=outbox_call(bad), gas=2_000_000)
        assert chain.submit(raw).code == 0
        receipt = chain.include(raw)
        assert receipt.status == 1
        assert receipt.logs[-1].topics == (ACTION_FAILED.topic,)


def test_genesis_cannot_replace_a_predeployed_contract() -> None:
    genesis = Harness().genesis
    accounts = genesis.accounts | {HISTORY_ADDRESS: GenesisAccount(1, 0, b"\x00")}
    with pytest.raises(InvalidGenesis, match="cannot be a genesis account"):
        genesis_diff(dataclasses.replace(genesis, accounts=accounts))
