"""What one transaction does to balances, nonces, code, storage and logs."""

from __future__ import annotations

import threading
from copy import deepcopy
from typing import Any

import rlp

from openledger.evm.engine import CallMessage
from openledger.evm.machine import create_address
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import address_of_private_key, sign_digest
from openledger.primitives.transactions import ACCESS_LIST, SET_CODE, Authorization
from openledger.primitives.types import AccessTuple

ALICE, BOB, COINBASE = b"\xa1" * 20, b"\xb0" * 20, b"\xc0" * 20
GWEI = 10**9
CODE = b"\xee" * 20
CHAIN_ID = 161237

# PUSH1 0 SLOAD PUSH1 1 ADD PUSH1 0 SSTORE STOP
COUNTER = bytes.fromhex("6000546001016000550000")
# MSTORE8(0, 0xab) REVERT(0, 1)
REVERTS = bytes.fromhex("60ab60005360016000fd")


def returning(code: bytes) -> bytes:
    """Initcode that deploys ``code``: PUSH2 len DUP1 PUSH1 11 PUSH0 CODECOPY PUSH0 RETURN."""
    return b"\x61" + len(code).to_bytes(2, "big") + bytes.fromhex("80600a5f395ff3") + code


def test_a_transfer_moves_value_burns_the_base_fee_and_pays_the_tip(world: Any) -> None:
    before = world.supply()
    result = world.run(to=BOB, value=5, gas=21_000)
    assert (result.status, result.gas_used, result.burned) == (1, 21_000, 0)
    assert world.balance(BOB) == 5
    assert world.balance(COINBASE) == 2 * 21_000
    assert world.supply() == before - 21_000 * GWEI
    assert world.state.account(ALICE).nonce == 1


def test_a_created_contract_keeps_its_code_and_nonce_one(world: Any) -> None:
    result = world.run(to=None, data=returning(COUNTER))
    assert result.status == 1
    assert result.contract_address == create_address(ALICE, 0)
    account = world.state.account(result.contract_address)
    assert account.nonce == 1
    assert world.state.code(account.code_hash) == COUNTER
    world.run(to=result.contract_address)
    assert world.state.storage(result.contract_address, 0) == 1


def test_a_revert_keeps_fee_and_nonce_and_nothing_else(world: Any) -> None:
    world.state.put(CODE, 1, 0, bytes.fromhex("60015f55") + REVERTS)
    result = world.run(to=CODE, value=7)
    assert (result.status, result.output, result.error) == (0, b"\xab", "execution reverted")
    assert set(world.last.accounts) == {ALICE, COINBASE}
    assert not world.last.storage
    assert world.state.account(ALICE).nonce == 1


def test_failures_are_told_in_geths_words(world: Any) -> None:
    for code, text in (
        ("fe", "invalid opcode: INVALID"), ("0c", "invalid opcode: opcode 0xc not defined"), ("01", "stack underflow"),
        ("5f56", "invalid jump destination"), ("5b5f56", "out of gas"), ("60015f5f3e", "return data out of bounds"),
    ):  # fmt: skip
        world.state.put(CODE, 1, 0, bytes.fromhex(code))
        result = world.run(to=CODE, gas=50_000)
        assert (result.status, result.error, result.gas_used) == (0, text, 50_000)


def test_a_cleared_slot_refunds_at_most_a_fifth(world: Any) -> None:
    world.state.put(CODE, 1, 0, bytes.fromhex("5f5f5500"))
    world.state.slots[CODE] = {0: 9}
    result = world.run(to=CODE)
    spent = 21_000 + 2 + 2 + 5_000
    assert result.gas_used == spent - 4_800
    assert world.last.storage == {(CODE, 0): 0}


def test_an_access_list_is_paid_for_and_makes_warm(world: Any) -> None:
    world.state.put(CODE, 1, 0, bytes.fromhex("5f5400"))
    cold = world.run(to=CODE)
    entry = AccessTuple(CODE, (bytes(32),))
    warm = world.run(to=CODE, access_list=(entry,), type=ACCESS_LIST, max_priority_fee=2 * GWEI)
    assert cold.gas_used == 21_000 + 2 + 2_100
    assert warm.gas_used == 21_000 + 2_400 + 1_900 + 2 + 100


def test_much_data_pays_the_floor(world: Any) -> None:
    assert world.run(to=BOB, data=b"\x01" * 1000).gas_used == 21_000 + 40 * 1000


def test_selfdestruct_of_an_old_contract_moves_the_balance_only(world: Any) -> None:
    world.state.put(CODE, 1, 50, b"\x73" + BOB + b"\xff")
    result = world.run(to=CODE, value=1)
    assert result.burned == 0
    assert (world.balance(BOB), world.balance(CODE)) == (51, 0)
    assert world.state.account(CODE) is not None


def test_wei_lost_in_selfdestruct_is_counted_as_burned(world: Any) -> None:
    """A contract that destroys itself in favour of itself, in the transaction that creates it."""
    before = world.supply()
    result = world.run(to=None, value=77, data=bytes.fromhex("30ff"))
    assert (result.status, result.burned) == (1, 77)
    assert world.supply() == before - 77 - result.gas_used * GWEI
    assert world.state.account(result.contract_address) is None


def test_an_empty_account_that_is_touched_does_not_come_into_being(world: Any) -> None:
    world.run(to=BOB, value=0)
    assert BOB not in world.last.accounts


def delegation(secret: bytes, to: bytes, nonce: int = 0, chain_id: int = CHAIN_ID) -> Authorization:
    digest = keccak256(b"\x05" + rlp.encode([chain_id, to, nonce]))
    r, s, parity = sign_digest(secret, digest)
    return Authorization(chain_id, to, nonce, parity, r, s)


def test_a_delegated_account_runs_the_code_on_its_own_storage(world: Any) -> None:
    secret = b"\x07" * 32
    signer = address_of_private_key(secret)
    world.state.put(CODE, 1, 0, COUNTER)
    result = world.run(type=SET_CODE, to=signer, authorizations=(delegation(secret, CODE),))
    assert result.status == 1
    account = world.state.account(signer)
    assert world.state.code(account.code_hash) == b"\xef\x01\x00" + CODE
    assert account.nonce == 1
    assert world.state.storage(signer, 0) == 1
    world.state.put(signer, 1, 10**18, b"\xef\x01\x00" + CODE)
    assert world.run(sender=signer, to=BOB, value=1, gas=21_000).status == 1, "a delegated account may send (EIP-3607)"
    cleared = world.run(type=SET_CODE, to=BOB, authorizations=(delegation(secret, bytes(20), nonce=2),))
    assert cleared.status == 1
    assert world.state.account(signer).code_hash == keccak256(b"")


def test_an_invalid_authorization_is_passed_over(world: Any) -> None:
    secret = b"\x07" * 32
    signer = address_of_private_key(secret)
    wrong_chain, wrong_nonce = delegation(secret, CODE, chain_id=1), delegation(secret, CODE, nonce=5)
    malleable = Authorization(CHAIN_ID, CODE, 0, 0, 1, 2**256 - 1)
    result = world.run(type=SET_CODE, to=BOB, authorizations=(wrong_chain, wrong_nonce, malleable))
    assert (result.status, result.gas_used) == (1, 21_000 + 3 * 25_000)
    assert world.state.account(signer) is None


def test_a_delegated_account_that_creates_pays_for_initcode_once(world: Any) -> None:
    """The frame that CREATE opens has sender == origin here; py-evm takes it for the outermost one."""
    secret = b"\x07" * 32
    signer = address_of_private_key(secret)
    world.state.put(CODE, 1, 0, bytes.fromhex("60205f5ff000"))  # CREATE(0, 0, 32): initcode of 32 STOPs
    world.state.put(signer, 0, 10**18, b"\xef\x01\x00" + CODE)
    result = world.run(sender=signer, to=signer)
    assert result.gas_used == 21_000 + 2 + 2 + 3 + 3 + 32_000 + 2


def test_blockhash_asks_the_environment_and_ends_after_256(world: Any) -> None:
    world.state.put(CODE, 1, 0, bytes.fromhex("5f35405f5260205ff3"))
    assert world.call(to=CODE, data=(999).to_bytes(32, "big")).output == keccak256((999).to_bytes(8, "big"))
    assert world.call(to=CODE, data=(743).to_bytes(32, "big")).output == bytes(32)
    assert world.call(to=CODE, data=(1000).to_bytes(32, "big")).output == bytes(32)


def test_prevrandao_coinbase_and_number_come_from_the_environment(world: Any) -> None:
    for opcode, value in ((0x44, b"\x99" * 32), (0x41, bytes(12) + COINBASE), (0x43, (1000).to_bytes(32, "big"))):
        world.state.put(CODE, 1, 0, bytes([opcode]) + bytes.fromhex("5f5260205ff3"))
        assert world.call(to=CODE).output == value


def test_zero_to_the_power_of_zero_is_one(world: Any) -> None:
    lengths = b"".join(n.to_bytes(32, "big") for n in (0, 0, 1))
    assert world.call(to=bytes(19) + b"\x05", data=lengths + b"\x07").output == b"\x01"
    assert world.call(to=bytes(19) + b"\x05", data=lengths + b"\x01").output == b"\x00"


def test_transient_storage_is_forgotten_after_the_transaction(world: Any, tx: Any) -> None:
    # with data: TSTORE(0, 1), SSTORE(1, TLOAD(0)); without: SSTORE(0, TLOAD(0))
    world.state.put(CODE, 1, 0, bytes.fromhex("366009575f5c5f55005b60015f5d5f5c60015500"))
    out = world.batch([tx(to=CODE, data=b"\x01"), tx(to=CODE, nonce=1)])
    assert [r.status for r in out.results] == [1, 1]
    assert out.diff.storage == {(CODE, 1): 1}


def test_1024_frames_fit_also_in_a_thread(world: Any) -> None:
    """Each frame creates the next: the deepest way into Python's own stack."""
    # CODECOPY(0, 0, codesize) CREATE(0, 0, codesize)
    world.state.put(CODE, 1, 0, bytes.fromhex("385f5f39385f5ff000"))
    seen: list[Any] = []
    env = world.env
    calls = bytes.fromhex("5f5f5f5f5f305af100")  # CALL(gas, self)
    world.state.put(BOB, 1, 0, calls)

    def work() -> None:
        for to in (CODE, BOB):
            seen.append(world.engine.call(env, CallMessage(ALICE, to, gas=10**15), world.state))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [result.status for result in seen] == [1, 1]
    assert seen[1].gas_used > 1024 * 100


def test_a_call_and_an_abandoned_batch_leave_nothing(world: Any, tx: Any) -> None:
    world.state.put(CODE, 1, 0, COUNTER)
    before = deepcopy(world.state)
    assert world.call(to=CODE, value=3).status == 1
    world.batch([tx(to=CODE), tx(to=CODE, nonce=1)])
    assert world.state == before
    again = world.batch([tx(to=CODE), tx(to=CODE, nonce=1)])
    assert again.diff.storage == {(CODE, 0): 2}


def test_the_diff_is_net(world: Any, tx: Any) -> None:
    """Two transactions that flip a slot there and back change no storage."""
    world.state.put(CODE, 1, 0, bytes.fromhex("5f355f5500"))
    one = (1).to_bytes(32, "big")
    out = world.batch([tx(to=CODE, data=one), tx(to=CODE, data=bytes(32), nonce=1)])
    assert [r.status for r in out.results] == [1, 1]
    assert out.diff.storage == {}
    assert set(out.diff.accounts) == {ALICE, COINBASE}


def test_a_refused_transaction_changes_nothing_and_the_next_one_runs(world: Any, tx: Any) -> None:
    out = world.batch([tx(nonce=4), tx(value=1), tx(gas=31_000_000, nonce=1)])
    assert [r.refused is None for r in out.results] == [False, True, False]
    assert out.results[0].gas_used == 0
    assert out.stopped_at == 3


def test_the_blocks_gas_is_handed_out_once(world: Any, tx: Any) -> None:
    out = world.batch([tx(gas=21_000), tx(gas=21_000, nonce=1)], gas_available=41_999)
    assert out.results[0].status == 1
    assert str(out.results[1].refused).startswith("gas limit reached")
