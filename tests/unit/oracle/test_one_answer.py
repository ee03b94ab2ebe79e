"""Shares of one answer of a claim, made by anybody from chain and blobs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from openledger.attribution_oracle.one_answer import checked, shares_of_answers  # noqa: E402
from openledger.attribution_oracle.payment import Receipt  # noqa: E402
from openledger.attribution_oracle.serve import attribution  # noqa: E402
from openledger.primitives.errors import NotFound, OracleError  # noqa: E402
from openledger.primitives.types import to_checksum  # noqa: E402

APPLES, METALS = b"\x01" * 20, b"\x02" * 20


def test_answers_are_those_that_the_claim_pays_for_and_each_has_its_own_shares(world: Any) -> None:
    bundle, answers = checked(world.job, world.blobs, world.known)
    assert [(a.session, a.index) for a in answers] == [(1, 1), (1, 2), (2, 0)]
    apples, metals = shares_of_answers(bundle, answers, [0, 2])
    assert (apples.number, metals.number) == (0, 2)
    for one in (apples, metals):
        assert sum(ppm for _, ppm in one.shares) + one.unattributed == 1_000_000
    assert dict(apples.shares)[APPLES] > 3 * dict(apples.shares).get(METALS, 0)
    assert dict(metals.shares)[METALS] > 3 * dict(metals.shares).get(APPLES, 0)


def test_they_are_what_the_model_server_says_in_its_receipt(world: Any) -> None:
    bundle, answers = checked(world.job, world.blobs, world.known)
    (one,) = shares_of_answers(bundle, answers, [0])
    given = answers[0]
    receipt = Receipt("id", given.session, given.index, world.job.model, given.query, given.answer, given.price, 0)
    served = attribution(world.bundle, receipt)
    assert {p["contributor"]: p["ppm"] for p in served["contributors"]} == {
        to_checksum(who): ppm for who, ppm in one.shares
    }
    assert served["unattributed"] == one.unattributed


def test_an_answer_that_the_claim_does_not_have_is_told(world: Any) -> None:
    bundle, answers = checked(world.job, world.blobs, world.known)
    with pytest.raises(NotFound, match="has 3 answers"):
        list(shares_of_answers(bundle, answers, [3]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"index_root": "0x" + "11" * 32}, "index root"),
        ({"weights_hash": "11" * 32}, "weights"),
        ({"settlements": ()}, "other sessions"),
    ],
)
def test_what_is_not_on_chain_is_not_scored(world: Any, change: dict[str, Any], words: str) -> None:
    with pytest.raises(OracleError, match=words):
        checked(replace(world.job, **change), world.blobs, world.known)
