"""The one judgement before every engine, in the words that clients parse."""

from __future__ import annotations

from typing import Any

import pytest

from openledger.evm.validate import check_sender, floor_gas, intrinsic_gas, validate_tx
from openledger.primitives import errors
from openledger.primitives.transactions import BLOB, SET_CODE, Authorization
from openledger.primitives.types import AccessTuple

ALICE = b"\xa1" * 20
GWEI = 10**9

CASES: list[tuple[dict[str, Any], type[errors.InvalidTransaction], str]] = [
    (
        {"nonce": 4},
        errors.NonceTooLow,
        "nonce too low: address 0xA1A1a1a1A1A1A1A1A1a1a1a1a1a1A1A1a1A1a1a1, tx: 4 state: 5",
    ),
    ({"nonce": 6}, errors.NonceTooHigh, "nonce too high: address 0x"),
    ({"value": 10**21}, errors.InsufficientFunds, "insufficient funds for gas * price + value: address 0x"),
    ({"gas": 20_999}, errors.IntrinsicGasTooLow, "intrinsic gas too low: have 20999, want 21000"),
    ({"data": b"\1" * 100, "gas": 23_000}, errors.IntrinsicGasTooLow, "insufficient gas for floor data gas cost"),
    ({"max_fee": GWEI - 1}, errors.FeeCapTooLow, "max fee per gas less than block base fee: address 0x"),
    ({"max_priority_fee": 3 * GWEI}, errors.TipAboveFeeCap, "max priority fee per gas higher than max fee per gas"),
    ({"gas": 30_000_001}, errors.GasLimitExceeded, "exceeds block gas limit"),
    ({"gas": 20_000_001}, errors.GasLimitExceeded, "gas limit reached"),
    ({"to": None, "data": bytes(49_153)}, errors.InitCodeTooLarge, "max initcode size exceeded: code size 49153"),
    ({"chain_id": 1}, errors.WrongChainId, "invalid chain id for signer: have 1 want 161237"),
    ({"type": BLOB}, errors.UnsupportedTransactionType, "transaction type not supported: 0x03"),
    ({"s": 2**255}, errors.InvalidSignature, "invalid transaction v, r, s values"),
    ({"type": SET_CODE}, errors.EmptyAuthorizationList, "EIP-7702 transaction with empty auth list"),
    (
        {"type": SET_CODE, "to": None, "authorizations": (Authorization(0, ALICE, 0, 0, 1, 1),)},
        errors.InvalidRlp,
        "EIP-7702 transaction cannot be used to create contract",
    ),
]


@pytest.mark.parametrize(("fields", "leaf", "text"), CASES)
def test_each_refusal_has_its_leaf_and_geths_words(
    world: Any, tx: Any, fields: dict[str, Any], leaf: type[errors.InvalidTransaction], text: str
) -> None:
    world.state.put(ALICE, 5, 10**18)
    with pytest.raises(leaf) as caught:
        validate_tx(world.env, tx(**{"nonce": 5, **fields}), world.state, 20_000_000)
    assert type(caught.value) is leaf
    assert str(caught.value).startswith(text)


def test_a_contract_cannot_send_but_a_delegated_account_can(world: Any, tx: Any) -> None:
    world.state.put(ALICE, 0, 10**21, b"\x00")
    with pytest.raises(errors.SenderNotEOA, match=r"^sender not an eoa: address 0x"):
        validate_tx(world.env, tx(), world.state, 30_000_000)
    world.state.put(ALICE, 0, 10**21, b"\xef\x01\x00" + bytes(20))
    validate_tx(world.env, tx(), world.state, 30_000_000)


def test_the_last_nonce_is_never_used(world: Any, tx: Any) -> None:
    world.state.put(ALICE, 2**64 - 1, 10**21)
    with pytest.raises(errors.NonceOverflow, match=r"^nonce has max value"):
        validate_tx(world.env, tx(nonce=2**64 - 1), world.state, 30_000_000)


def test_a_queue_may_look_past_a_nonce_gap(world: Any, tx: Any) -> None:
    check_sender(tx(nonce=3), world.state, allow_nonce_gap=True)


def test_intrinsic_gas_adds_up() -> None:
    assert intrinsic_gas(b"\0\1", create=False) == 21_000 + 4 + 16
    assert intrinsic_gas(b"\1" * 33, create=True) == 21_000 + 32_000 + 33 * 16 + 2 * 2
    entry = AccessTuple(ALICE, (bytes(32), bytes(32)))
    assert intrinsic_gas(b"", create=False, access_list=(entry,)) == 21_000 + 2_400 + 2 * 1_900
    auth = Authorization(0, ALICE, 0, 0, 1, 1)
    assert intrinsic_gas(b"", create=False, authorizations=(auth, auth)) == 21_000 + 50_000
    assert floor_gas(b"\0\1") == 21_000 + 10 + 40
