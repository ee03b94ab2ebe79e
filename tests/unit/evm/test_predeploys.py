"""The contracts of genesis: canonical code, and an Outbox that says what it should."""

from __future__ import annotations

from typing import Any

import pytest

from openledger.evm.outbox import (
    SUBMIT_SELECTOR,
    SUBMITTED_TOPIC,
    outbox_gas,
    submitted,
)
from openledger.evm.precompiles import NativeAnswer
from openledger.evm.predeploys import HISTORY_ADDRESS, MODULE_CODE, PREDEPLOYS
from openledger.evm.pyevm import PyEvmEngine
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import DATANETS_ADDRESS, MODULE_ADDRESSES, OUTBOX_ADDRESS
from openledger.state.ports import StateReader

ALICE, BOB, CODE = b"\xa1" * 20, b"\xb0" * 20, b"\xee" * 20
HASHES = {
    "CREATE2 deployer": "2fa86add0aed31f33a762c9d88e807c475bd51d0f52bd0955754b2608f7e4989",
    "Multicall3": "d5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891",
    "CreateX": "bd8a7ea8cfca7b4e5f5041d7d4b17bc317c5ce42cfbc42066a00cf26b43eb53f",
    "ERC-1820 registry": "f0aa940bb32e37c5f7268b53acc48c7cdd148cd0fc196f30faa00a4d66c0443a",
    "EIP-2935 history": "6e49e66782037c0555897870e29fa5e552daf4719552131a0abce779daec0a5d",
}


def submit(action: bytes, *, offset: int = 32) -> bytes:
    padded = action + bytes(-len(action) % 32)
    return SUBMIT_SELECTOR + offset.to_bytes(32, "big") + len(action).to_bytes(32, "big") + padded


def test_each_predeployed_contract_has_its_canonical_code() -> None:
    found = {p.name: keccak256(p.code).hex() for p in PREDEPLOYS}
    assert {name: found[name] for name in HASHES} == HASHES
    assert len({p.address for p in PREDEPLOYS}) == len(PREDEPLOYS)
    assert all(p.nonce == 1 for p in PREDEPLOYS)
    assert {p.address: p.code for p in PREDEPLOYS if p.address in MODULE_ADDRESSES} == dict.fromkeys(
        MODULE_ADDRESSES, MODULE_CODE
    )


def test_the_create2_deployer_deploys(world: Any) -> None:
    deployer = next(p.address for p in PREDEPLOYS if p.name == "CREATE2 deployer")
    initcode = bytes.fromhex("60015f5360015ff3")
    result = world.run(to=deployer, data=bytes(32) + initcode)
    expected = keccak256(b"\xff" + deployer + bytes(32) + keccak256(initcode))[12:]
    assert result.output == expected
    assert world.state.account(expected).nonce == 1


def test_multicall3_answers(world: Any) -> None:
    multicall = next(p.address for p in PREDEPLOYS if p.name == "Multicall3")
    selector = keccak256(b"getChainId()")[:4]
    assert int.from_bytes(world.call(to=multicall, data=selector).output, "big") == 161237


def test_the_history_contract_reads_its_ring(world: Any) -> None:
    world.state.slots[HISTORY_ADDRESS] = {998: 77}
    assert int.from_bytes(world.call(to=HISTORY_ADDRESS, data=(998).to_bytes(32, "big")).output, "big") == 77


@pytest.mark.parametrize("action", [b"", b"\x01", b"x" * 32, b"y" * 1000])
def test_submit_logs_the_action_of_its_caller_and_uses_up_its_gas(world: Any, action: bytes) -> None:
    result = world.run(to=OUTBOX_ADDRESS, data=submit(action))
    assert result.status == 1
    (log,) = result.logs
    assert log.topics == (SUBMITTED_TOPIC, bytes(12) + ALICE)
    assert log.data == submit(action)[4:]
    assert submitted(log) == (ALICE, action)
    data = submit(action)
    intrinsic = 21_000 + 4 * data.count(0) + 16 * (len(data) - data.count(0))
    extra = result.gas_used - intrinsic - outbox_gas(len(action)) - 8 * len(log.data)
    assert 1_000 < extra < 2_500


def test_padding_cannot_carry_anything(world: Any) -> None:
    (log,) = world.run(to=OUTBOX_ADDRESS, data=submit(b"a")[:-31] + b"\xff" * 31).logs
    assert log.data == submit(b"a")[4:]


@pytest.mark.parametrize(
    "data",
    [b"", b"\x01\x02\x03\x04" + submit(b"a")[4:], submit(b"a")[:67], submit(b"a", offset=64), submit(b"ab" * 16)[:-1]],
)
def test_anything_else_reverts_and_leaves_no_log(world: Any, data: bytes) -> None:
    result = world.run(to=OUTBOX_ADDRESS, data=data)
    assert (result.status, result.logs, result.error) == (0, (), "execution reverted")


def test_value_and_too_little_gas_revert(world: Any) -> None:
    assert world.run(to=OUTBOX_ADDRESS, data=submit(b"a"), value=1).error == "execution reverted"
    assert world.run(to=OUTBOX_ADDRESS, data=submit(b"a"), gas=100_000).logs == ()


def test_a_batch_stops_after_an_outbox_log(world: Any, tx: Any) -> None:
    txs = [tx(to=BOB), tx(to=OUTBOX_ADDRESS, data=submit(b"a"), nonce=1), tx(to=BOB, nonce=2)]
    out = world.batch(txs)
    assert (out.stopped_at, len(out.results)) == (2, 2)
    failing = [tx(to=OUTBOX_ADDRESS, data=b""), tx(to=BOB, nonce=1)]
    assert world.batch(failing).stopped_at == 2


def test_a_reverted_frame_leaves_no_outbox_log(world: Any) -> None:
    """A contract that submits and reverts, called by one that goes on."""
    data = submit(b"a")
    inner = bytes.fromhex("365f5f375f5f365f5f61090062100000f1505f5ffd")
    outer = b"\x5f\x5f\x36\x5f\x5f\x73" + CODE + b"\x5a\xf1\x00"
    world.state.put(CODE, 1, 0, inner)
    world.state.put(BOB, 1, 0, bytes.fromhex("365f5f37") + outer)
    result = world.run(to=BOB, data=data)
    assert (result.status, result.logs) == (1, ())


def test_a_module_account_fails_whatever_calls_it(world: Any) -> None:
    assert world.call(to=DATANETS_ADDRESS).error == "invalid opcode: INVALID"


class Echo:
    """A precompile for the tests of the interface."""

    def answer(self, state: StateReader, data: bytes, gas: int) -> NativeAnswer:
        if not data:
            return NativeAnswer(False, 100, b"why")
        output = data + (state.record(DATANETS_ADDRESS, data) or b"-")
        return NativeAnswer(True, 100 + len(data) + len(output), output)


def test_a_native_precompile_answers_calls_only(world: Any) -> None:
    world.engine = PyEvmEngine(precompiles={DATANETS_ADDRESS: Echo()})
    answer = world.call(to=DATANETS_ADDRESS, data=b"ab")
    assert (answer.output, answer.gas_used) == (b"ab-", 21_000 + 32 + 105)
    refused = world.call(to=DATANETS_ADDRESS)
    assert (refused.status, refused.output, refused.gas_used) == (0, b"why", 21_100)
    short = world.call(to=DATANETS_ADDRESS, data=b"ab", gas=21_000 + 32 + 104)
    assert (short.status, short.output, short.error, short.gas_used) == (0, b"", "out of gas", 21_000 + 32 + 104)
    assert world.call(to=DATANETS_ADDRESS, data=b"a", value=1).status == 0
    for opcode, value in (("f4", ""), ("f2", "5f"), ("fa", ""), ("f1", "5f")):
        world.state.put(CODE, 1, 0, bytes.fromhex(f"5f5f60015f{value}6108005a{opcode}5f5260205ff3"))
        assert world.call(to=CODE).output[-1] == (opcode in ("fa", "f1")), opcode


def test_an_account_delegated_to_a_precompile_fails_at_every_depth(world: Any) -> None:
    """EIP-7702: the delegated code is the module's, 0xfe, from a transaction and from a contract alike."""
    world.engine = PyEvmEngine(precompiles={DATANETS_ADDRESS: Echo()})
    world.state.put(BOB, 1, 0, bytes.fromhex("ef0100") + DATANETS_ADDRESS)
    assert world.call(to=BOB, data=b"ab", gas=100_000).error == "invalid opcode: INVALID"
    world.state.put(CODE, 1, 0, bytes.fromhex("5f5f60015f5f73" + BOB.hex() + "612710f15f5260205ff3"))
    assert world.call(to=CODE).output == bytes(32)
