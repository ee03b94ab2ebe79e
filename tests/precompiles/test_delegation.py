"""EIP-7702: an account delegated to a precompile reaches the code that stands there, 0xfe, not the precompile; in every
engine, at every depth, with the same gas."""

from __future__ import annotations

from typing import Any

import pytest

from openledger.abci_app.registry import PRECOMPILES
from openledger.evm.engine import BlockEnv, CallMessage
from openledger.evm.engines import ENGINE_NAMES, load_engine, native_available
from openledger.evm.predeploys import PREDEPLOYS
from openledger.evm.statetest import PlainState
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import MODULE_ADDRESSES, STAKING_ADDRESS, to_hex

ALICE, DELEGATED, CALLER = b"\xa1" * 20, b"\xb0" * 20, b"\xca" * 20
TOTAL_POWER = keccak256(b"totalPower()")[:4]
ENV = BlockEnv(161237, 5, 1_700_000_000, b"\xc0" * 20, 30_000_000, 10**9, bytes(32), lambda n: None)


def engines() -> list[Any]:
    names = [n for n in ENGINE_NAMES[1:] if n == "py-evm" or native_available()]
    return [load_engine(name, precompiles=dict(PRECOMPILES)) for name in names]


def world(target: bytes, opcode: str = "f1") -> PlainState:
    """An account delegated to ``target``, and a contract that calls it and returns whether that worked."""
    state = PlainState()
    state.put(ALICE, 0, 10**20)
    for predeploy in PREDEPLOYS:
        state.put(predeploy.address, predeploy.nonce, 0, predeploy.code)
    state.put(DELEGATED, 1, 0, bytes.fromhex("ef0100") + target)
    arguments = "5f5f60045f" + ("5f" if opcode in ("f1", "f2") else "")
    code = "63" + TOTAL_POWER.hex() + "60e01b5f52" + arguments + "73" + DELEGATED.hex() + "620186a0" + opcode
    state.put(CALLER, 1, 0, bytes.fromhex(code + "5f5260205ff3"))
    return state


@pytest.mark.parametrize("target", MODULE_ADDRESSES, ids=to_hex)
def test_a_call_of_a_delegated_account_fails(target: bytes) -> None:
    found = set()
    for engine in engines():
        result = engine.call(ENV, CallMessage(ALICE, DELEGATED, data=TOTAL_POWER, gas=100_000), world(target))
        found.add((result.status, result.error, result.gas_used, result.output))
    assert found == {(0, "invalid opcode: INVALID", 100_000, b"")}


@pytest.mark.parametrize("opcode", ["f1", "f2", "f4", "fa"])
def test_so_does_one_from_a_contract(opcode: str) -> None:
    found = set()
    for engine in engines():
        result = engine.call(ENV, CallMessage(ALICE, CALLER, gas=1_000_000), world(STAKING_ADDRESS, opcode))
        found.add((result.status, result.gas_used, result.output))
    assert len(found) == 1
    status, gas, output = found.pop()
    assert (status, output) == (1, bytes(32))
    assert gas > 100_000, "the frame has used up what it was given"
