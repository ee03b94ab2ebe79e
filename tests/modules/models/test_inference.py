"""inference.open, settle and close: the escrow, the voucher, and every way to cheat with them."""

from __future__ import annotations

import dataclasses

import pytest
from harness import ACCOUNTS, PRICE, Harness

from openledger.abci_app.modules.models.close import InferenceClose
from openledger.abci_app.modules.models.open import InferenceOpen
from openledger.primitives.amounts import OPEN
from openledger.primitives.types import ATTRIBUTION_ADDRESS, MODELS_ADDRESS


def deposits(chain: Harness) -> int:
    """Wei in the models' escrow, without the publisher's bond."""
    return chain.balance(MODELS_ADDRESS) - int(chain.query("get_model", 1)["bond"], 16)


@pytest.fixture
def session(chain: Harness) -> Harness:
    chain.publish()
    chain.act(5, InferenceOpen(1, OPEN, chain.time + 100))
    return chain


def test_the_fee_moves_from_the_session_to_the_claims_escrow_and_the_rest_stays(session: Harness) -> None:
    assert deposits(session) == OPEN
    session.act(4, session.voucher(1, 3))
    assert deposits(session) == OPEN - 3 * PRICE
    assert session.balance(ATTRIBUTION_ADDRESS) == 3 * PRICE
    view = session.query("get_session", 1)
    assert (view["answers"], view["settled"], view["status"]) == (3, hex(3 * PRICE), "open")


def test_a_later_voucher_settles_only_what_is_new(session: Harness) -> None:
    session.act(4, session.voucher(1, 3))
    session.act(4, session.voucher(1, 5))
    epoch = session.query("get_epoch")["number"]
    entries = [e for n in range(1, epoch + 1) for e in session.query("get_settlements", 1, n)["settlements"]]
    assert [(e["first"], e["last"]) for e in entries] == [(0, 3), (3, 5)]


def test_the_same_answers_are_never_settled_twice(session: Harness) -> None:
    voucher = session.voucher(1, 3)
    session.act(4, voucher)
    assert "no newer one" in session.refusal(4, voucher)
    assert session.balance(ATTRIBUTION_ADDRESS) == 3 * PRICE


def test_closing_gives_the_rest_back_at_once(session: Harness) -> None:
    before = session.balance(ACCOUNTS[5][0])
    session.act(4, dataclasses.replace(session.voucher(1, 3), close=True))
    assert session.balance(ACCOUNTS[5][0]) == before + OPEN - 3 * PRICE
    assert "is closed" in session.refusal(4, session.voucher(1, 5))


def test_settle_refusals(session: Harness) -> None:
    good = session.voucher(1, 3)
    cases = [
        (1, good, "only the owner of the model"),
        (4, session.voucher(1, 3, consumer=6), "not signed by the session's consumer"),
        (4, dataclasses.replace(good, receipts=bytes(32)), "not signed by the session's consumer"),
        (4, dataclasses.replace(good, cumulative=good.cumulative + 1), "cost"),
        (4, session.voucher(1, 11), "more than the deposit"),
        (4, dataclasses.replace(good, signature=b"short"), "a signature has 65 bytes"),
        (4, dataclasses.replace(good, session=9), "there is no session 9"),
    ]
    for sender, action, reason in cases:
        assert reason in session.refusal(sender, action)
    assert session.balance(ATTRIBUTION_ADDRESS) == 0


def test_answers_that_no_claim_could_ever_cover_are_not_settled() -> None:
    chain = Harness(work_per_epoch=12 * 3)
    chain.publish()
    chain.act(5, InferenceOpen(1, OPEN, chain.time + 1000))
    assert "more than can be verified" in chain.refusal(4, chain.voucher(1, 4))
    chain.act(4, chain.voucher(1, 3))
    assert chain.act(4, chain.voucher(1, 6)).status == 1


def test_open_refusals(session: Harness) -> None:
    now = session.time
    for action, reason in [
        (InferenceOpen(9, OPEN, now + 10), "there is no model 9"),
        (InferenceOpen(1, PRICE - 1, now + 10), "less than one answer"),
        (InferenceOpen(1, 20_000 * OPEN, now + 10), "insufficient balance for the deposit: 20,000 OPEN are needed, "),
        (InferenceOpen(1, OPEN, now), "in the future"),
        (InferenceOpen(1, OPEN, now + 400 * 86_400), "at most a year"),
    ]:
        assert reason in session.refusal(5, action)


def test_an_epoch_after_expiry_the_consumer_takes_the_rest_back(session: Harness) -> None:
    session.act(4, session.voucher(1, 3))
    assert "runs until" in session.refusal(5, InferenceClose(1))
    session.block(100 + session.genesis.params.epoch_seconds)
    assert "only the consumer" in session.refusal(4, InferenceClose(1))
    assert session.act(5, InferenceClose(1)).status == 1
    assert deposits(session) == 0
    assert "closed already" in session.refusal(5, InferenceClose(1))
    assert "there is no session 4" in session.refusal(5, InferenceClose(4))


def test_a_session_that_is_over_at_once_is_none_of_free_answers() -> None:
    """Its consumer chose the expiry, has the answers, and closes in the first block after it."""
    chain = Harness()
    chain.publish()
    expiry = chain.time + 15
    chain.act(5, InferenceOpen(1, 10 * PRICE, expiry))
    paid = chain.voucher(1, 10)
    chain.block(expiry - chain.time)
    assert "can be settled until" in chain.refusal(5, InferenceClose(1))
    assert chain.act(4, paid).status == 1
    assert chain.balance(ATTRIBUTION_ADDRESS) == 10 * PRICE
    chain.block(chain.genesis.params.epoch_seconds)
    assert chain.act(5, InferenceClose(1)).status == 1
