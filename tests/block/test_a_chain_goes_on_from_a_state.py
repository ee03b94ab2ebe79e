"""Export after the whole loop, import as a new chain: the same state, the same root, and blocks on top of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from harness import ACCOUNTS, Harness, ScriptedOracle

from openledger.abci_app import queries
from openledger.abci_app.application import Application
from openledger.abci_app.events import EVENTS
from openledger.abci_app.modules.attribution.challenge import AttributionChallenge
from openledger.abci_app.modules.attribution.challenge_index import AttributionChallengeIndex
from openledger.abci_app.modules.attribution.draws import LEAD
from openledger.abci_app.modules.governance.propose import GovPropose
from openledger.abci_app.modules.governance.records import Argument
from openledger.abci_app.modules.governance.upgrade import plan
from openledger.abci_app.modules.governance.vote import GovVote
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.modules.staking.unbonding import _ENTRIES
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.abci_app.opening import genesis_from_state
from openledger.abci_app.protocol import messages as abci
from openledger.evm.pyevm import PyEvmEngine
from openledger.genesis.genesis import Genesis
from openledger.node.cli.root import run
from openledger.node.engines.common import init_chain_request
from openledger.node.oracle_seeds import Seeds
from openledger.primitives.amounts import OPEN
from openledger.primitives.attribution import NAMED_SHARE
from openledger.primitives.errors import InvalidGenesis
from openledger.primitives.keys import consensus_address, ed25519_public
from openledger.primitives.types import MODULE_ADDRESSES
from openledger.state.export import Export, export_header, read_export, state_entries, write_export
from openledger.state.memory import MemoryStore
from openledger.state.store import StateStore

# creation code of: sstore(calldata word 0, calldata word 1)
STORE = bytes.fromhex("6007600c60003960076000f3" + "602035600035" + "55")


def save(app: Application, path: Path, height: int | None = None) -> Export:
    reader = app.store.reader(height)
    header = app.store.header(reader.height)
    assert header is not None
    first = export_header(header, app.genesis.chain_id, app.genesis.evm_chain_id)
    write_export(path, first, (line for _, line in state_entries(reader)))
    return read_export(path)


@pytest.fixture
def old(chain: Harness) -> Harness:
    """A chain with data, a model, an accepted claim, a minted epoch, a contract with storage, an open session."""
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    number = chain.claim(epoch, {1: 500_000, 2: 300_000, 3: 100_000}, 100_000)
    assert chain.run_claim(number) == "accepted"
    chain.block(5)
    creation = chain.transfer(6, None, 0, gas=200_000, data=STORE)  # type: ignore[arg-type]
    chain.touched.discard(None)  # type: ignore[arg-type]
    created = chain.include(submitted(chain, creation))
    for slot in (0, 1, 2**255):
        data = slot.to_bytes(32, "big") + (slot + 7).to_bytes(32, "big")
        call = chain.transfer(6, created.contract_address or b"", 0, gas=100_000, data=data)
        assert chain.include(submitted(chain, call)).status == 1
    chain.settle(2)
    return chain


def restart(genesis: Genesis, old: Harness) -> Harness:
    """A harness around a new chain with the validators of the old one."""
    new = Harness()
    new.genesis, new.kv = genesis, MemoryStore()
    new.oracles = [ScriptedOracle(address) for address in old.addresses]
    for oracle in new.oracles:  # secrets belong to a chain id, so what was promised on the old chain is promised anew
        oracle.seeds = Seeds(b"new")
    new.app = Application(genesis, StateStore(new.kv), PyEvmEngine(), new.oracles[0], old.addresses[0])
    new.time, new.touched = old.time, set(old.touched)
    new.seed_of = dict(old.seed_of)
    new.set_now = {validator.address: validator.power for validator in genesis.validators}
    new.set_next = dict(new.set_now)
    return new


def test_a_new_chain_begins_with_exactly_the_exported_state(old: Harness, tmp_path: Path) -> None:
    export = save(old.app, tmp_path / "old")
    made = genesis_from_state(export, "openledger_161237-2")
    genesis = Genesis.from_json(made.to_json())
    assert genesis == made
    new = restart(genesis, old)
    assert new.app.head().state_root == old.app.head().state_root == export.state_root
    again = save(new.app, tmp_path / "new")
    assert (again.accounts, again.records) == (export.accounts, export.records)
    assert genesis.params == old.app.params()
    assert genesis.supply == int(old.query("get_supply")["total"], 16)
    for name, *args in (("list_models",), ("list_datanets",), ("get_claim", 1), ("get_epoch",), ("list_validators",)):
        assert new.query(name, *args) == old.query(name, *args)
    new.app.store.verify()
    given = new.app.init_chain(init_chain_request(genesis))
    assert given.app_hash == export.state_root
    assert new.app.info(abci.RequestInfo()).last_block_height == 0


def test_blocks_follow_on_the_new_chain_and_open_work_goes_on(old: Harness, tmp_path: Path) -> None:
    new = restart(genesis_from_state(save(old.app, tmp_path / "old"), "openledger_161237-2"), old)
    epoch: int = new.query("get_epoch")["number"]
    receipt = new.include(submitted(new, new.transfer(1, ACCOUNTS[2][0], 5)))
    assert receipt.status == 1
    for _ in range(LEAD):
        new.block()
    new.close_epoch()
    number = new.claim(epoch, {1: 1_000_000}, 0)
    assert new.run_claim(number) == "accepted"
    new.app.store.verify()


def submitted(chain: Harness, raw: bytes) -> bytes:
    answer = chain.submit(raw)
    assert answer.code == 0, answer.log
    return raw


def test_the_state_of_an_older_height_begins_a_chain_too(old: Harness, tmp_path: Path) -> None:
    export = save(old.app, tmp_path / "old", 5)
    genesis = genesis_from_state(export, "other-1", 10**18)
    assert genesis.time_ns == 10**18
    new = restart(genesis, old)
    header = old.app.store.header(5)
    assert header is not None
    assert new.app.head().state_root == header.state_root


def test_a_chain_needs_an_id_of_its_own(old: Harness, tmp_path: Path) -> None:
    with pytest.raises(InvalidGenesis, match="another chain id"):
        genesis_from_state(save(old.app, tmp_path / "old"), "openledger_161237-1")


def test_a_genesis_whose_records_contradict_it_is_refused(old: Harness, tmp_path: Path) -> None:
    made = genesis_from_state(save(old.app, tmp_path / "old"), "openledger_161237-2")
    richer = dict(made.accounts)
    richer[ACCOUNTS[0][0]] = dataclasses.replace(richer[ACCOUNTS[0][0]], balance=1)
    governance = {m: dict(found) for m, found in made.records.items()}
    del governance[MODULE_ADDRESSES[4]][b"params/"]
    others = dataclasses.replace(made.validators[0], power=11)
    for wrong in (
        {"accounts": richer},
        {"records": governance},
        {"validators": (others,)},
        {"params": dataclasses.replace(made.params, claim_bond=1)},
    ):
        genesis = dataclasses.replace(made, **wrong)  # type: ignore[arg-type]
        with pytest.raises(InvalidGenesis):
            restart(genesis, old)


def test_records_without_their_module_are_refused(old: Harness, tmp_path: Path) -> None:
    made = genesis_from_state(save(old.app, tmp_path / "old"), "openledger_161237-2")
    document = json.loads(made.to_json())
    document["app_state"]["records"]["0x" + "77" * 20] = {"0x01": "0x02"}
    with pytest.raises(InvalidGenesis, match="without an account"):
        Genesis.from_json(json.dumps(document))


def test_an_ordinary_genesis_has_no_records_in_it(chain: Harness) -> None:
    assert "records" not in chain.genesis.app_state()


SEED = b"\x77" * 32


@pytest.mark.parametrize("blocks", [0, 1, 2, 3])
def test_validators_go_on_as_they_stand_whether_their_set_rests_or_changes_just_now(
    tmp_path: Path, blocks: int
) -> None:
    old = Harness(powers=(10, 10, 10))
    old.prove_double_sign(old.addresses[1], 1)
    old.block()
    old.join(1, 100 * OPEN, SEED)
    old.act(1, StakeUndelegate(ACCOUNTS[1][0], 40 * OPEN))
    for _ in range(blocks):
        old.block()
    genesis = genesis_from_state(save(old.app, tmp_path / "old"), "openledger_161237-2")
    new = restart(Genesis.from_json(genesis.to_json()), old)
    assert {v.address: v.power for v in genesis.validators} == old.set_next
    assert sorted(old.set_next.values()) == [10, 10, 60]
    assert new.query("list_validators") == old.query("list_validators")
    new.oracles.append(ScriptedOracle(consensus_address(ed25519_public(SEED)), "silent"))
    before = new.balance(ACCOUNTS[1][0])
    for _ in range(3):
        new.block()
    assert len(new.commit.votes) == 3
    new.block(60)
    assert new.balance(ACCOUNTS[1][0]) == before + 40 * OPEN
    assert new.act(1, StakeUndelegate(ACCOUNTS[1][0])).status == 1
    new.block()
    assert len(new.set_next) == 2


def test_commission_and_delegations_of_the_genesis_are_in_block_0_and_go_on_with_the_state(tmp_path: Path) -> None:
    first = Harness(powers=(1_000, 10))
    person, seat = ACCOUNTS[3][0], first.genesis.validators[0]
    seat = dataclasses.replace(seat, commission=30_000, max_commission=40_000, delegations=((person, 300 * OPEN),))
    first.genesis = dataclasses.replace(first.genesis, validators=(seat, first.genesis.validators[1]))
    first.genesis.validate()
    first.restart()
    first.block()
    found = first.query("get_validator", seat.operator)
    assert (found["commission"], found["maxCommission"], found["power"]) == (30_000, 40_000, 1_000)
    assert (int(found["stake"], 16), int(found["own"], 16)) == (1_000 * OPEN, 700 * OPEN)
    assert [int(d["amount"], 16) for d in first.query("get_delegations", person)] == [300 * OPEN]
    assert first.act(3, StakeUndelegate(seat.operator, 100 * OPEN)).status == 1
    made = genesis_from_state(save(first.app, tmp_path / "state"), "openledger_161237-2")
    assert Genesis.from_json(made.to_json()).digest == made.digest
    again = Application(made, StateStore(MemoryStore()), PyEvmEngine(), ScriptedOracle(bytes(20)))
    assert queries.get_validator(again.state(), seat.operator)["commission"] == 30_000
    assert [int(d["amount"], 16) for d in queries.get_delegations(again.state(), person)] == [200 * OPEN]
    said = dataclasses.replace(made.validators[0], commission=30_000)
    with pytest.raises(InvalidGenesis, match="records already"):
        dataclasses.replace(made, validators=(said, *made.validators[1:])).validate()


def test_an_upgrade_that_waits_is_planned_for_the_old_chain_and_dropped_by_the_first_block_of_the_new_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Harness(gov_voting_seconds=10)
    told = (Argument("name", "glacier"), Argument("height", "50"))
    first.act(1, GovPropose("t", "", "upgrade", told, 10 * OPEN))
    first.act(9, GovVote(1, "yes"))
    first.block(20)
    export = save(first.app, tmp_path / "state")
    made = genesis_from_state(export, "openledger_161237-2")
    new = restart(made, first)
    assert new.app.head().state_root == export.state_root
    assert plan(new.state) is not None
    new.app.check_upgrade()
    receipts = new.block()
    assert "UpgradeCancelled" in [EVENTS[log.topics[0]].name for log in receipts[0].logs]
    assert plan(new.state) is None
    while new.app.head().number < 51:
        new.block()
    assert run(["genesis", "import", str(tmp_path / "state"), "--output", str(tmp_path / "genesis.json")]) == 0
    assert "the planned upgrade 'glacier' ends with the old chain" in capsys.readouterr().out


def test_stake_that_left_before_or_after_the_export_answers_for_what_its_validator_said_before_it(
    tmp_path: Path,
) -> None:
    """A yes to wrong shares on the old chain, which a challenge on the new one undoes; not what left before that."""
    first = Harness(powers=(10, 10, 10, 10), challenge_seconds=5_000, unbonding_seconds=9_000)
    operator, stakers = ACCOUNTS[6][0], (1, 2, 3)
    first.publish()
    for _ in range(20):
        first.block()
    for sender in stakers:
        first.act(sender, StakeDelegate(operator, 2 * OPEN))
    first.act(1, StakeUndelegate(operator))
    epoch = first.settle()
    first.close_epoch()
    assert first.run_claim(first.claim(epoch, {1: 1_000_000})) == "accepted"
    first.act(2, StakeUndelegate(operator))
    first.block()
    new = restart(genesis_from_state(save(first.app, tmp_path / "state"), "openledger_161237-2"), first)
    for oracle in new.oracles:
        oracle.mode, oracle.scores = "no", first.oracles[0].scores
        oracle.accuses = (NAMED_SHARE, 0, ACCOUNTS[1][0])
    new.oracles[3].mode = "silent"
    new.oracles[3].accuses = None
    for sender, action in ((3, StakeUndelegate(operator)), (8, AttributionChallenge(1, 0, ACCOUNTS[1][0]))):
        assert new.act(sender, action).status == 1
    while new.query("get_claim", 1)["challenge"]["outcome"] == "open":
        new.block(10)
    assert new.query("get_claim", 1)["challenge"]["outcome"] == "upheld"
    new.block()
    waiting = [new.query("get_delegations", ACCOUNTS[n][0])[0]["unbonding"][0]["amount"] for n in stakers]
    assert [int(wei, 16) for wei in waiting] == [2 * OPEN, 2 * OPEN * 99 // 100, 2 * OPEN * 99 // 100]


def test_what_a_slash_has_not_reached_yet_when_the_state_is_taken_follows_on_the_new_chain(tmp_path: Path) -> None:
    first = Harness(powers=(10, 10, 10), max_unbondings_per_block=1, unbonding_seconds=9_000)
    operator = ACCOUNTS[7][0]
    for sender in (1, 2, 3):
        first.act(sender, StakeDelegate(operator, 2 * OPEN))
        first.act(sender, StakeUndelegate(operator))
    first.prove_double_sign(first.addresses[2], 1)
    first.block()
    new = restart(genesis_from_state(save(first.app, tmp_path / "state"), "openledger_161237-2"), first)
    for _ in range(4):
        new.block()
    held = [v for _, v in _ENTRIES.items(new.state)]
    assert [entry.amount for entry in held] == [2 * OPEN * 95 // 100] * 3


def test_who_had_challenged_the_index_on_the_old_chain_is_not_passed_by_who_challenges_its_claim_on_the_new_one(
    tmp_path: Path,
) -> None:
    first = Harness(powers=(10, 10, 10, 10), challenge_seconds=5_000, challenge_bond=OPEN)
    first.publish()
    epoch = first.settle()
    first.close_epoch()
    assert first.run_claim(first.claim(epoch, {1: 1_000_000})) == "accepted"
    halves = sum(int(found["bond"], 16) // 2 for found in (first.query("get_claim", 1), first.query("get_model", 1)))
    assert first.act(8, AttributionChallengeIndex(1, 7)).status == 1
    new = restart(genesis_from_state(save(first.app, tmp_path / "state"), "openledger_161237-2"), first)
    for oracle in new.oracles:
        oracle.mode, oracle.scores = "no", first.oracles[0].scores
    new.block()
    finder, stranger = new.balance(ACCOUNTS[8][0]), new.balance(ACCOUNTS[7][0])
    gas = 0
    while new.query("get_index_challenge", 2)["outcome"] == "open":
        new.block()
        if not gas and new.query("get_index_challenge", 2)["status"] == "reveal":
            receipt = new.act(7, AttributionChallenge(1, 0, ACCOUNTS[1][0]))
            gas = receipt.gas_used * receipt.effective_gas_price
    while new.query("get_claim", 1)["challenge"]["outcome"] == "open":
        new.block()
    assert new.query("get_claim", 1)["challenge"]["outcome"] == "upheld"
    assert new.balance(ACCOUNTS[7][0]) == stranger - gas, "he has found nothing"
    assert new.balance(ACCOUNTS[8][0]) == finder + OPEN + halves
