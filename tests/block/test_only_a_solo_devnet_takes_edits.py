"""Edits of state and transactions without a signature: on a chain whose genesis says solo, and on no other, ever."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app.application import Application
from openledger.abci_app.decoder import Decoder, decode_signed
from openledger.abci_app.edits import AccountEdit, Edits, SlotEdit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.fees.records import MAX_WEI, supply
from openledger.abci_app.ports import Silence
from openledger.abci_app.protocol import messages as abci
from openledger.evm.engines import load_engine
from openledger.evm.pyevm import PyEvmEngine
from openledger.primitives.amounts import GWEI
from openledger.primitives.errors import EditRefused, InvalidRlp, UnsupportedTransactionType
from openledger.primitives.transactions import DYNAMIC_FEE, LEGACY, NATIVE, decode_impersonated, decode_transaction
from openledger.primitives.types import GOVERNANCE_ADDRESS
from openledger.primitives.unsigned import Unsigned
from openledger.state import layout
from openledger.state.memory import MemoryStore
from openledger.state.store import StateStore

VICTIM, THIEF = ACCOUNTS[0][0], b"\x66" * 20
LOOT = Edits(accounts=(AccountEdit(THIEF, balance=(10**30,)), AccountEdit(VICTIM, balance=(0,))))


def theft(chain_id: int) -> bytes:
    return Unsigned(DYNAMIC_FEE, chain_id, 0, 0, 5 * GWEI, 21_000, THIEF, 10**18).impersonate(VICTIM)


def balances(chain: Harness) -> list[int]:
    return [chain.balance(VICTIM), chain.balance(THIEF)]


@pytest.mark.parametrize("place", ["first", "second"])
def test_a_network_refuses_both_in_its_pool_in_proposals_and_in_blocks(chain: Harness, place: str) -> None:
    stolen = theft(chain.genesis.evm_chain_id)
    assert chain.submit(stolen).code == UnsupportedTransactionType.code
    assert chain.submit(LOOT.encode()).code == UnsupportedTransactionType.code
    before = balances(chain)
    fair = () if place == "first" else (chain.transfer(1, ACCOUNTS[2][0], 1),)
    for raw in (stolen, LOOT.encode()):
        assert raw not in chain.propose(txs=[raw])
        assert chain.judge((*fair, raw)) == abci.REJECT
    response = chain.finalize((*fair, stolen, LOOT.encode()))
    assert [result.info for result in response.tx_results][-2:] == ["refused", "refused"]
    assert balances(chain) == before
    list(chain.app.replay(chain.app.head().number))


def test_a_network_application_refuses_to_edit(chain: Harness) -> None:
    with pytest.raises(EditRefused, match="one validator only"):
        chain.app.edit(LOOT)


def test_only_an_asked_decoder_reads_a_transaction_without_a_signature() -> None:
    raw = theft(1)
    with pytest.raises(UnsupportedTransactionType):
        decode_signed(raw)
    with pytest.raises(UnsupportedTransactionType):
        Decoder()(raw)
    found = Decoder(solo=True)
    assert found(raw).sender == VICTIM
    assert found.many([raw, b"", LOOT.encode()])[0] == found(raw)


@pytest.mark.parametrize(
    "tx",
    [
        Unsigned(LEGACY, 5, 1, 7, 7, 21_000, THIEF, 3, b"\1\2"),
        Unsigned(DYNAMIC_FEE, 5, 1, 2, 7, 21_000, None, 3, b"\1\2"),
    ],
)
def test_both_forms_of_a_transaction_say_the_same(tx: Unsigned) -> None:
    address, secret = ACCOUNTS[3]
    signed, impersonated = decode_transaction(tx.sign(secret)), decode_impersonated(tx.impersonate(address))
    assert replace(impersonated, raw=b"", hash=b"", r=0, s=0, y_parity=0, impersonated=False) == replace(
        signed, raw=b"", hash=b"", r=0, s=0, y_parity=0
    )


@pytest.mark.parametrize("tail", [b"\0", b"\x80"])
def test_an_impersonated_transaction_has_one_form_only(tail: bytes) -> None:
    with pytest.raises(InvalidRlp):
        decode_impersonated(theft(1) + tail)
    with pytest.raises(InvalidRlp, match="one gas price"):
        decode_impersonated(Unsigned(LEGACY, 5, 1, 6, 7, 21_000, THIEF).impersonate(VICTIM))


def solo(chain: Harness) -> Application:
    genesis = replace(chain.genesis, solo=True)
    return Application(genesis, StateStore(MemoryStore()), PyEvmEngine(), Silence(), chain.addresses[0])


def test_a_solo_chain_with_edits_gives_the_same_blocks_on_another_node(chain: Harness) -> None:
    one, two = solo(chain), solo(chain)
    one.edit(replace(LOOT, slots=(SlotEdit(THIEF, 1, 2),), base_fee=(9,), coinbase=(THIEF,), prevrandao=(b"\7" * 32,)))
    prepared = one.prepare_proposal(
        abci.RequestPrepareProposal(
            1_000_000, (), abci.ExtendedCommitInfo(), (), 1, chain.genesis.time_ns + 1, b"", chain.addresses[0]
        )
    )
    request = abci.RequestFinalizeBlock(
        prepared.txs, abci.CommitInfo(), (), b"\1" * 32, 1, chain.genesis.time_ns + 1, b"", chain.addresses[0]
    )
    assert one.finalize_block(request) == two.finalize_block(request)
    one.commit()
    two.commit()
    assert one.head() == two.head()
    assert (one.head().base_fee, one.head().coinbase, one.edits) == (9, THIEF, Edits())
    assert two.state().storage(THIEF, 1) == 2


@pytest.mark.parametrize("engine", ["py-evm", "revm"])
@pytest.mark.parametrize("everybody", [False, True], ids=["the coinbase is full", "everybody is full"])
def test_full_accounts_stop_no_block_and_the_supply_is_the_sum_of_balances(
    chain: Harness, engine: str, everybody: bool
) -> None:
    """Tips, of a native transaction too, and coins for accounts with 2^256-1 wei; at last more is burned than 256 bits
    count."""
    if engine == "revm":
        pytest.importorskip("openledger_native", reason="the native engine is not built: make native")
    genesis = replace(chain.genesis, solo=True)
    app = Application(genesis, StateStore(MemoryStore()), load_engine(engine), Silence(), chain.addresses[0])
    full = [THIEF, ACCOUNTS[2][0], *((VICTIM, ACCOUNTS[1][0]) if everybody else ())]
    for height in (1, 2, 3):
        app.edit(Edits(accounts=tuple(AccountEdit(who, balance=(MAX_WEI,)) for who in full), coinbase=(THIEF,)))
        raws = (
            app.edits.encode(),
            chain.native(1, DatanetCreate(f"books{height}"), nonce=height - 1, max_priority_fee=GWEI),
            chain.transfer(0, ACCOUNTS[2][0], MAX_WEI - 10**18 if everybody else 1, nonce=height - 1),
        )
        app.finalize_block(
            abci.RequestFinalizeBlock(
                raws, abci.CommitInfo(), (), bytes([height]) * 32, height, genesis.time_ns + height, b"",
                chain.addresses[0],
            )
        )  # fmt: skip
        app.commit()
        assert [receipt.type for receipt in app.store.receipts(height)][-2:] == [NATIVE, DYNAMIC_FEE]
        found = app.store.kv.iterate(layout.ACCOUNT, layout.after(layout.ACCOUNT))
        assert supply(app.state()).total == sum(layout.decode_account(raw).balance for _, raw in found)


@pytest.mark.parametrize(
    "edits",
    [
        Edits(slots=(SlotEdit(GOVERNANCE_ADDRESS, 1, 1),)),
        Edits(accounts=(AccountEdit(GOVERNANCE_ADDRESS, code=(b"\1",)),)),
        Edits(gas_limit=(20_999,)),
    ],
)
def test_what_must_not_be_edited_is_refused(chain: Harness, edits: Edits) -> None:
    with pytest.raises(EditRefused):
        solo(chain).edit(edits)


def test_edits_have_one_encoding() -> None:
    assert Edits().encode() == b""
    assert Edits.decode(LOOT.encode()) == LOOT
