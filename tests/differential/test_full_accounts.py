"""Accounts with as much as 256 bits hold, which the edits of a devnet can make: no block fails, and the engines agree
on what a transaction did and what it cost.

They differ in the wei that do not fit: py-evm leaves a transfer with its sender and burns what a self-destruct brings
too much; revm takes the transfer from its sender all the same, and begins at zero again at a self-destruct.
"""

from __future__ import annotations

import pytest

from openledger.evm.engine import BlockEnv, EvmEngine, ExecutionOutput
from openledger.evm.pyevm import PyEvmEngine
from openledger.evm.statetest import PlainState
from openledger.primitives.hashing import keccak256
from openledger.primitives.transactions import DYNAMIC_FEE, EthTransaction

pytest.importorskip("openledger_native", reason="the native engine is not built: make native")

from openledger.evm.native import NativeEngine

GWEI, MOST = 10**9, (1 << 256) - 1
ALICE, FULL, CODE, COINBASE = b"\xa1" * 20, b"\xf0" * 20, b"\xc0" * 20, b"\xcb" * 20
PAY_FULL = "5f5f5f5f600173" + FULL.hex() + "61ffff f1 5f5260205ff3"  # CALL with one wei; returns whether it went well
DIE_TO_FULL = "73" + FULL.hex() + "ff"


def block(engine: EvmEngine, *, full: bytes, code: str = "", **fields: object) -> ExecutionOutput:
    """One transaction of Alice; ``full`` has all that 256 bits hold."""
    state = PlainState()
    state.put(ALICE, 0, 10**21)
    state.put(FULL, 0, 0)
    state.put(CODE, 1, 7, bytes.fromhex(code))
    state.put(full, 0, MOST)
    env = BlockEnv(161237, 9, 1_700_000_000, COINBASE, 30_000_000, GWEI, b"\x99" * 32, lambda n: keccak256(bytes([n])))
    facts: dict[str, object] = {
        "type": DYNAMIC_FEE, "chain_id": 161237, "nonce": 0, "max_priority_fee": 2, "max_fee": 2 * GWEI,
        "gas_price": 2 * GWEI, "gas": 200_000, "to": FULL, "value": 0, "data": b"", "access_list": (),
        "authorizations": (), "y_parity": 0, "r": 1, "s": 1, "raw": b"", "hash": bytes(32), "sender": ALICE,
    }  # fmt: skip
    return engine.execute(env, [EthTransaction(**(facts | fields))], state, 30_000_000)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("case", "status"),
    [
        ({"full": FULL, "value": 1}, 0),
        ({"full": COINBASE, "value": 1}, 1),
        ({"full": CODE, "to": CODE, "code": PAY_FULL}, 1),
        ({"full": FULL, "to": CODE, "code": PAY_FULL}, 1),
        ({"full": FULL, "to": FULL, "value": 0}, 1),
        ({"full": COINBASE, "to": COINBASE, "value": 5}, 0),
        ({"full": FULL, "sender": FULL, "to": FULL, "value": 9}, 1),
        ({"full": FULL, "to": CODE, "code": DIE_TO_FULL}, 1),
    ],
    ids=["transfer", "tip", "from a full contract", "by a contract", "nothing", "to the coinbase", "itself", "death"],
)
def test_a_full_account_is_treated_alike_and_stops_no_block(case: dict[str, object], status: int) -> None:
    one, two = (block(engine, **case) for engine in (PyEvmEngine(), NativeEngine()))  # type: ignore[arg-type]
    assert one.results[0].status == two.results[0].status == status
    assert (one.results[0].gas_used, one.results[0].output) == (two.results[0].gas_used, two.results[0].output)
    for out in (one, two):
        assert all(account is None or 0 <= account.balance <= MOST for account in out.diff.accounts.values())
