"""Who asks with --verify pays only for the model's own words, and only where the server tells of its own shares."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch")

from openledger.attribution_oracle import one_answer, serve
from openledger.attribution_oracle.claims import shares_from_scores
from openledger.node import answer_check
from openledger.node.answer_check import AnswerCheck
from openledger.node.consumer import Session
from openledger.node.keystore import Signer
from openledger.primitives.errors import OracleError, VoucherInvalid
from openledger.primitives.keys import address_of_private_key
from tests.unit.oracle.shops import CHAIN, CONSUMER, PRICE, Shop

MODEL = 7


def session(shop: Shop) -> Session:
    signer = Signer("consumer", address_of_private_key(CONSUMER), CONSUMER)
    return Session(1, MODEL, PRICE, CHAIN, shop.url, 1_800_000_000, signer)


def check(made: Any) -> AnswerCheck:
    """Against the model as the chain and its blobs have it."""
    return AnswerCheck(one_answer.published(made.job, made.blobs, made.known))


async def bought(shop: Shop, found: Session, checked: AnswerCheck) -> None:
    await asyncio.to_thread(found.ask, "apple pear", checked, max_tokens=5)


async def test_an_honest_server_is_paid_and_the_shares_are_told(shop: Shop, made: Any) -> None:
    found, checked = session(shop), check(made)
    for answers in (1, 2):
        await bought(shop, found, checked)
        assert (found.paid, len(shop.serving.answers(1))) == (answers * PRICE, answers)
    ((voucher, _),) = shop.serving.vouchers()
    assert (voucher.cumulative, voucher.answers) == (2 * PRICE, 2)
    told = checked.found
    assert told is not None
    assert sum(ppm for _, ppm in told.shares) + told.unattributed == 1_000_000
    assert (told.shares, told.unattributed) == shares_from_scores(told.scores, made.bundle.contributors)


Lie = Callable[..., Any]


def other_words(real: Lie) -> Lie:
    """Words of another model, in a receipt that fits them."""

    def run(bundle: Any, ask: Any, emit: Any) -> Any:
        return real(bundle, replace(ask, seed=ask.seed + 1, temperature=2.0, top_p=1.0), emit)

    return run


def other_shares(real: Lie) -> Lie:
    """A hundredth of the first contributor's share goes to the last one."""

    def run(*given: Any) -> Any:
        told = real(*given)
        first, last = told["contributors"][0], told["contributors"][-1]
        moved = first["ppm"] // 100
        first["ppm"] -= moved
        if last is first:
            told["unattributed"] += moved
        else:
            last["ppm"] += moved
        return told

    return run


def nothing(real: Lie) -> Lie:
    return lambda *given: {"contributors": [5]}


@pytest.mark.parametrize(
    ("name", "lie", "sentence"),
    [
        ("run_model", other_words, "answers otherwise"),
        ("attribution", other_shares, "ppm from those of the published index"),
        ("attribution", nothing, "shows no attribution"),
    ],
)
async def test_a_server_that_lies_gets_no_voucher(
    shop: Shop, made: Any, monkeypatch: pytest.MonkeyPatch, name: str, lie: Any, sentence: str
) -> None:
    checked, found = check(made), session(shop)
    monkeypatch.setattr(serve, name, lie(getattr(serve, name)))
    with pytest.raises(VoucherInvalid, match=sentence) as raised:
        await bought(shop, found, checked)
    assert "nothing was paid" in str(raised.value)
    assert (found.paid, shop.serving.vouchers()) == (0, [])


def test_a_model_whose_files_are_not_those_on_chain_is_not_taken(made: Any) -> None:
    with pytest.raises(OracleError, match="index root"):
        one_answer.published(replace(made.job, index_root="0x" + "11" * 32), made.blobs, made.known)
    with pytest.raises(OracleError, match="Merkle root"):
        one_answer.published(replace(made.job, roots=("0x" + "22" * 32, *made.job.roots[1:])), made.blobs, made.known)


def test_shares_without_end_are_none() -> None:
    """Written as 1e999, which JSON does not forbid."""
    told = {"contributors": [], "unattributed": json.loads("1e999")}
    with pytest.raises(VoucherInvalid, match="shows no attribution"):
        answer_check._said({"attribution": told})
