"""Validators join, change and leave; the set that the consensus engine hears of is the one that the state keeps.

The harness applies every update as CometBFT does, checks that the balances add up to the supply after each block, and
refuses what CometBFT would stop at."""

from __future__ import annotations

import dataclasses

from harness import ACCOUNTS, Harness

from openledger.abci_app.action import intrinsic_gas
from openledger.abci_app.events import EVENTS
from openledger.abci_app.modules.staking.create import ValidatorCreate, key_proof_message
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.modules.staking.edit import ValidatorEdit
from openledger.abci_app.modules.staking.reads import total_bonded, voting_stake
from openledger.abci_app.modules.staking.redelegate import StakeRedelegate
from openledger.abci_app.modules.staking.sets import last_signers, newest_set, next_signers
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.abci_app.modules.staking.unjail import ValidatorUnjail
from openledger.abci_app.protocol import messages as abci
from openledger.genesis.params import Params
from openledger.primitives.amounts import OPEN
from openledger.primitives.errors import (
    AlreadyExists,
    AmountOutOfRange,
    KeyProofInvalid,
    LastValidator,
    NotAllowed,
    NotFound,
    NotJailed,
    TooManyUnbondings,
)
from openledger.primitives.keys import consensus_address, ed25519_public, ed25519_sign
from openledger.primitives.types import STAKING_ADDRESS, Address

SEED = b"\x77" * 32
NEW = consensus_address(ed25519_public(SEED))
A, B = ACCOUNTS[1][0], ACCOUNTS[2][0]


def create(
    chain: Harness, sender: int, amount: int = 100 * OPEN, seed: bytes = SEED, **fields: object
) -> ValidatorCreate:
    proof = ed25519_sign(seed, key_proof_message(chain.genesis.evm_chain_id, ACCOUNTS[sender][0]))
    action = ValidatorCreate(ed25519_public(seed), proof, amount, "joined")
    return dataclasses.replace(action, **fields)  # type: ignore[arg-type]


def code(chain: Harness, sender: int, action: object) -> int:
    """Number of the refusal, which is the same at admission and in a block, where it leaves nothing behind."""
    raw = chain.native(sender, action)  # type: ignore[arg-type]
    refused = chain.submit(raw).code
    result = chain.finalize((raw,)).tx_results[0]
    assert result.code == refused
    return refused


def stake(chain: Harness, account: Address) -> int:
    return int(chain.query("get_validator", account)["stake"], 16)


def powers(chain: Harness) -> dict[Address, int]:
    return {seat.address: seat.power for seat in newest_set(chain.state).seats}


# --- joining ----------------------------------------------------------------------------------------------------------


def test_the_stake_of_genesis_validators_is_held_by_the_staking_account_and_part_of_the_supply() -> None:
    chain = Harness(powers=(10, 20))
    assert chain.balance(STAKING_ADDRESS) == 30 * OPEN
    assert int(chain.query("get_supply")["genesis"], 16) == (10 * 10_000 + 30) * OPEN == chain.genesis.supply
    assert [int(v["stake"], 16) for v in chain.query("list_validators")] in (
        [10 * OPEN, 20 * OPEN],
        [20 * OPEN, 10 * OPEN],
    )


def test_a_validator_joins_with_its_stake_as_power_and_signs_from_two_blocks_later_on(chain: Harness) -> None:
    before = chain.balance(A)
    receipt = chain.join(1, 100 * OPEN + OPEN // 2, SEED)
    joined = chain.app.head().number
    assert receipt.status == 1
    fee = receipt.gas_used * receipt.effective_gas_price
    assert chain.balance(A) == before - 100 * OPEN - OPEN // 2 - fee
    view = chain.query("get_validator", A)
    assert (view["power"], view["jailed"], view["created"]) == (100, False, joined)
    assert NEW not in chain.set_now
    assert chain.set_next[NEW] == 100
    chain.block()
    assert {v.validator.address for v in chain.commit.votes} == {chain.addresses[0]}
    chain.block()
    assert {v.validator.address for v in chain.commit.votes} == {chain.addresses[0], NEW}


def test_the_state_knows_the_set_of_the_last_block_and_of_the_next_two_while_they_differ(chain: Harness) -> None:
    one = {chain.addresses[0]}
    chain.join(1, 100 * OPEN, SEED)
    for wanted in ((one, one, one | {NEW}), (one, one | {NEW}, one | {NEW}), (one | {NEW},) * 3):
        known = [{s.address for s in of(chain.state).seats} for of in (last_signers, next_signers, newest_set)]
        assert known == list(wanted)
        chain.block()
    root = chain.app.head().state_root
    chain.block()
    assert chain.app.head().state_root == root, "a set that rests is not written again"


def test_who_may_not_join_is_told_why_by_number(chain: Harness) -> None:
    other = ed25519_sign(b"\x78" * 32, key_proof_message(chain.genesis.evm_chain_id, A))
    elsewhere = ed25519_sign(SEED, key_proof_message(chain.genesis.evm_chain_id + 1, A))
    assert code(chain, 1, create(chain, 1, proof=other)) == KeyProofInvalid.code
    assert code(chain, 1, create(chain, 1, proof=elsewhere)) == KeyProofInvalid.code
    assert code(chain, 2, create(chain, 1)) == KeyProofInvalid.code, "somebody else's proof is of no use"
    assert code(chain, 1, create(chain, 1, 10 * OPEN - 1)) == AmountOutOfRange.code
    assert code(chain, 1, create(chain, 1, 10_001 * OPEN)) == AmountOutOfRange.code
    chain.join(1, 100 * OPEN, SEED)
    assert code(chain, 2, create(chain, 2)) == AlreadyExists.code, "one key, one validator"
    assert code(chain, 1, create(chain, 1, seed=b"\x78" * 32)) == AlreadyExists.code, "one account, one validator"
    assert powers(chain) == {chain.addresses[0]: 10, NEW: 100}


def test_only_the_largest_stakes_have_a_seat_and_of_equal_ones_the_older() -> None:
    chain = Harness(powers=(10, 10), max_validators=3)
    seeds = [bytes([0x70 + i]) * 32 for i in range(3)]
    third, fourth, fifth = (consensus_address(ed25519_public(seed)) for seed in seeds)
    chain.join(1, 20 * OPEN, seeds[0])
    chain.join(2, 10 * OPEN, seeds[1])
    assert powers(chain) == dict.fromkeys(chain.addresses, 10) | {third: 20}
    chain.join(3, 11 * OPEN, seeds[2])
    assert powers(chain).keys() == {chain.addresses[0], third, fifth} or powers(chain).keys() == {
        chain.addresses[1], third, fifth,
    }  # fmt: skip
    assert chain.query("get_validator", fourth)["power"] == 0
    chain.act(2, StakeDelegate(B, 5 * OPEN))
    assert powers(chain) == {third: 20, fifth: 11, fourth: 15}


def test_a_validator_is_edited_by_its_operator_only(chain: Harness) -> None:
    operator = chain.query("list_validators")[0]["operator"]
    assert chain.act(9, ValidatorEdit("renamed", False)).status == 1
    view = chain.query("get_validator", ACCOUNTS[9][0])
    assert (view["operator"], view["name"], view["oracle"]) == (operator, "renamed", False)
    assert code(chain, 1, ValidatorEdit("mine")) == NotFound.code
    assert code(chain, 9, ValidatorEdit("x" * 65)) != 0


def test_who_declares_no_oracle_has_no_vote_in_claims_that_open_later() -> None:
    chain = Harness(powers=(10, 10))
    chain.act(8, ValidatorEdit("silent", False))
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    number = chain.claim(epoch, {1: 1_000_000})
    assert len(chain.query("get_verdicts", number)) == 1


# --- leaving ----------------------------------------------------------------------------------------------------------


def test_stake_comes_back_after_the_unbonding_time_and_not_before(chain: Harness) -> None:
    chain.join(1, 100 * OPEN, SEED)
    receipt = chain.act(1, StakeUndelegate(A, 40 * OPEN))
    assert receipt.status == 1
    assert powers(chain)[NEW] == 60
    entry = chain.query("get_validator", A)["unbonding"][0]
    assert entry == {"amount": hex(40 * OPEN), "ready": chain.time + 60}
    assert chain.query("get_delegations", A)[0]["unbonding"] == [entry]
    before = chain.balance(A)
    chain.block(59)
    assert chain.balance(A) == before
    assert not chain.app.due(chain.time)
    assert chain.app.due(entry["ready"])
    chain.block(1)
    assert chain.balance(A) == before + 40 * OPEN
    assert chain.query("get_validator", A)["unbonding"] == []


def test_a_validator_that_takes_all_back_leaves_the_set_and_may_return_with_the_same_key(chain: Harness) -> None:
    chain.join(1, 100 * OPEN, SEED)
    chain.block()
    chain.block()
    chain.act(1, StakeUndelegate(A))
    assert powers(chain) == {chain.addresses[0]: 10}
    assert (chain.query("get_validator", A)["power"], stake(chain, A)) == (0, 0)
    assert len(chain.query("list_validators")) == 1
    for _ in range(3):
        chain.block()
    assert {v.validator.address for v in chain.commit.votes} == {chain.addresses[0]}
    assert code(chain, 1, StakeDelegate(A, 9 * OPEN)) == AmountOutOfRange.code
    chain.act(1, StakeDelegate(A, 50 * OPEN))
    assert powers(chain)[NEW] == 50


def test_what_may_not_be_taken_back_is_refused_by_number(chain: Harness) -> None:
    chain.join(1, 100 * OPEN, SEED)
    assert code(chain, 1, StakeUndelegate(A, 91 * OPEN)) == AmountOutOfRange.code, "less than a bond would stay"
    assert code(chain, 1, StakeUndelegate(A, 101 * OPEN)) == AmountOutOfRange.code
    assert code(chain, 2, StakeUndelegate(A, OPEN)) == NotAllowed.code
    assert code(chain, 2, StakeDelegate(B, OPEN)) == NotFound.code
    assert code(chain, 2, StakeUndelegate(B, OPEN)) == NotFound.code
    assert code(chain, 1, ValidatorUnjail()) == NotJailed.code
    for _ in range(7):
        assert chain.act(1, StakeUndelegate(A, OPEN)).status == 1
    assert code(chain, 1, StakeUndelegate(A, OPEN)) == TooManyUnbondings.code


def test_the_last_validator_with_power_cannot_leave_and_can_after_another_has_come(chain: Harness) -> None:
    operator = ACCOUNTS[9][0]
    assert code(chain, 9, StakeUndelegate(operator)) == LastValidator.code
    chain.join(1, 100 * OPEN, SEED)
    assert chain.act(9, StakeUndelegate(operator)).status == 1
    assert powers(chain) == {NEW: 100}
    assert code(chain, 1, StakeUndelegate(A)) == LastValidator.code


def test_two_that_leave_in_one_block_leave_one_of_them_behind() -> None:
    chain = Harness(powers=(10, 10))
    both = (chain.native(9, StakeUndelegate(ACCOUNTS[9][0])), chain.native(8, StakeUndelegate(ACCOUNTS[8][0])))
    codes = [result.code for result in chain.finalize(both).tx_results]
    assert sorted(codes) == [0, LastValidator.code]
    assert list(powers(chain).values()) == [10]


def test_a_block_pays_back_a_bounded_number_and_the_rest_in_the_next_ones() -> None:
    chain = Harness(max_unbondings_per_block=2)
    chain.join(1, 100 * OPEN, SEED)
    for _ in range(5):
        chain.act(1, StakeUndelegate(A, OPEN))
    before = chain.balance(A)
    paid = []
    chain.time += 60
    for _ in range(4):
        chain.block()
        paid.append((chain.balance(A) - before) // OPEN)
    assert paid == [2, 4, 5, 5]


# --- misbehaviour -----------------------------------------------------------------------------------------------------


def pair(**params: int) -> Harness:
    """The genesis validator (power 10) and one of account 1 with 100, both signing."""
    chain = Harness(**params)
    chain.join(1, 100 * OPEN, SEED)
    chain.block()
    chain.block()
    return chain


def test_double_signing_costs_a_twentieth_of_the_stake_and_the_seat_for_ever() -> None:
    chain = pair()
    burned = int(chain.query("get_supply")["burned"], 16)
    chain.prove_double_sign(NEW, chain.app.head().number)
    receipts = chain.block()
    assert [log.address for log in receipts[0].logs] == [STAKING_ADDRESS] * 2
    assert int(chain.query("get_supply")["burned"], 16) == burned + 5 * OPEN
    view = chain.query("get_validator", A)
    assert (stake(chain, A), view["power"], view["tombstoned"]) == (95 * OPEN, 0, True)
    assert NEW not in chain.set_next
    assert chain.submit(chain.native(1, ValidatorUnjail())).code != 0
    assert chain.submit(chain.native(1, StakeDelegate(A, OPEN))).code != 0
    assert code(chain, 2, create(chain, 2)) == AlreadyExists.code, "a tombstoned key never comes back"
    chain.act(1, StakeUndelegate(A))
    before = chain.balance(A)
    chain.block(60)
    assert chain.balance(A) == before + 95 * OPEN


def test_the_same_evidence_twice_and_evidence_of_strangers_change_nothing() -> None:
    chain = pair()
    for _ in range(2):
        chain.prove_double_sign(NEW, chain.app.head().number)
        chain.block()
    chain.prove_double_sign(b"\x99" * 20, 1)
    chain.block()
    assert stake(chain, A) == 95 * OPEN


def test_nobody_escapes_by_unbonding_before_the_proof_arrives_and_earlier_unbondings_are_safe() -> None:
    chain = pair()
    chain.act(1, StakeUndelegate(A, 20 * OPEN))
    chain.block()
    chain.block()
    deed = chain.app.head().number
    chain.act(1, StakeUndelegate(A, 40 * OPEN))
    chain.prove_double_sign(NEW, deed)
    chain.block()
    waiting = [int(u["amount"], 16) for u in chain.query("get_validator", A)["unbonding"]]
    assert waiting == [20 * OPEN, 38 * OPEN]
    assert stake(chain, A) == 38 * OPEN


def test_power_given_up_still_answers_for_the_block_in_which_it_still_counts() -> None:
    chain = pair()
    chain.act(1, StakeUndelegate(A, 20 * OPEN))
    chain.block()
    chain.prove_double_sign(NEW, chain.app.head().number)
    chain.block()
    assert [int(u["amount"], 16) for u in chain.query("get_validator", A)["unbonding"]] == [19 * OPEN]


def test_when_nobody_else_is_fit_the_last_validator_keeps_its_seat_until_somebody_comes(chain: Harness) -> None:
    chain.prove_double_sign(chain.addresses[0], 1)
    chain.block()
    assert chain.query("get_validator", ACCOUNTS[9][0])["tombstoned"]
    assert powers(chain) == {chain.addresses[0]: 10}
    assert code(chain, 9, StakeUndelegate(ACCOUNTS[9][0])) == LastValidator.code
    chain.join(1, 100 * OPEN, SEED)
    assert powers(chain) == {NEW: 100}


def test_who_misses_more_than_half_of_a_window_is_slashed_jailed_and_comes_back_with_unjail() -> None:
    chain = pair(signed_window=10)
    for _ in range(10):
        chain.block()
    chain.absent = {NEW}
    for _ in range(5 + 1):  # the first commit without its signature is carried by the block after
        chain.block()
    assert not chain.query("get_validator", A)["jailed"]
    assert chain.query("get_validator", A, chain.app.head().number - 1)["missed"] == 5
    burned = int(chain.query("get_supply")["burned"], 16)
    chain.block()
    view = chain.query("get_validator", A)
    assert (view["jailed"], view["tombstoned"], view["power"]) == (True, False, 0)
    assert (stake(chain, A), int(chain.query("get_supply")["burned"], 16)) == (99 * OPEN, burned + OPEN)
    assert view["jailedUntil"] == chain.time + 10
    assert "10 seconds more" in chain.submit(chain.native(1, ValidatorUnjail())).log
    for _ in range(4):
        chain.block()
    assert stake(chain, A) == 99 * OPEN, "a jailed validator is not slashed for being away"
    chain.block(10)
    chain.absent = set()
    assert chain.act(1, ValidatorUnjail()).status == 1
    assert powers(chain)[NEW] == 99
    chain.block()
    chain.block()
    assert chain.query("get_validator", A, chain.app.head().number)["missed"] == 0


def test_a_new_validator_has_a_whole_window_before_it_is_judged() -> None:
    chain = Harness(signed_window=10)
    chain.absent = {NEW}
    chain.join(1, 100 * OPEN, SEED)
    first = chain.app.head().number + 2
    while not chain.query("get_validator", A)["jailed"]:
        chain.block()
    assert chain.app.head().number - 1 == first + 10 - 1, "the tenth missed block was the last one allowed"


def test_only_misses_are_written_and_a_block_that_all_sign_leaves_the_root_alone() -> None:
    chain = pair()
    chain.block()
    chain.block()
    root = chain.app.head().state_root
    chain.block()
    assert chain.app.head().state_root == root
    chain.absent = {NEW}
    chain.block()
    chain.block()
    assert chain.app.head().state_root != root
    chain.absent = set()
    chain.block()
    after = chain.app.head().state_root
    chain.block()
    assert chain.app.head().state_root == after


def test_a_vote_for_nil_is_a_sign_of_life(chain: Harness) -> None:
    vote = chain.commit
    chain.block()
    vote = chain.commit.votes[0]
    chain.commit = abci.ExtendedCommitInfo(0, (dataclasses.replace(vote, block_id_flag=abci.FLAG_NIL),))
    chain.block()
    assert chain.query("get_validator", ACCOUNTS[9][0])["missed"] == 0


def test_evidence_misses_and_payments_of_a_block_stand_in_one_system_transaction_in_the_order_of_the_hooks() -> None:
    chain = pair(signed_window=10)
    chain.act(1, StakeUndelegate(A, OPEN))
    chain.absent = {chain.addresses[0]}
    for _ in range(5 + 1):
        chain.block()
    chain.prove_double_sign(NEW, chain.app.head().number)
    receipts = chain.block(60)
    assert receipts[0].type == 0x51
    names = [EVENTS[log.topics[0]].name for log in receipts[0].logs]
    assert names == [
        "ValidatorSlashed", "ValidatorTombstoned", "ValidatorSlashed", "ValidatorJailed", "Unbonded",
    ]  # fmt: skip


def test_the_stake_that_votes_is_what_stands_behind_a_seat() -> None:
    chain = Harness(powers=(10, 20), max_validators=2)
    chain.join(1, 15 * OPEN + 7, SEED)
    assert voting_stake(chain.state, A) == [(NEW, 15 * OPEN + 7)]
    assert voting_stake(chain.state, B) == voting_stake(chain.state, ACCOUNTS[9][0]) == []
    assert total_bonded(chain.state) == 35 * OPEN + 7


def test_no_more_can_begin_to_unbond_in_a_block_than_a_block_pays() -> None:
    """Else whoever fills the queue would keep others waiting for their coins, the longer the cheaper gas is."""
    someone, other = ACCOUNTS[0][0], ACCOUNTS[1][0]
    least = min(intrinsic_gas(StakeUndelegate(someone, 1)), intrinsic_gas(StakeRedelegate(someone, other, 1)))
    assert Params().block_gas_limit // least <= Params().max_unbondings_per_block
