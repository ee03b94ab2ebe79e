"""What a consumer can see for himself before he pays: that an answer is the model's own, and who earns by it.

The model is that of the chain: its files and data have the hashes there, its index is the published one. So a server
that sells another model's words, or tells another story of who made them, is not paid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from openledger.attribution_oracle.claims import Answer
from openledger.attribution_oracle.one_answer import AnswerShares, shares_of
from openledger.attribution_oracle.openai import read_ask
from openledger.attribution_oracle.serve import run_model
from openledger.attribution_oracle.verify import SHARES_TOLERANCE
from openledger.primitives.errors import DecodingError, VoucherInvalid
from openledger.primitives.types import Address, parse_address

if TYPE_CHECKING:
    from openledger.attribution_oracle.bundle import Bundle


class AnswerCheck:
    """A ``consumer.Check`` against ``bundle``; ``found`` is what it has found of the answer that it saw last."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.found: AnswerShares | None = None

    def __call__(self, body: bytes, receipt: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
        """Raises VoucherInvalid where the answer is not the model's, or its attribution is not the index's."""
        again, _, _ = run_model(self.bundle, read_ask(body, chat=False), lambda piece: None)
        if again != receipt["answer"]:
            raise VoucherInvalid(
                "the model on the chain answers otherwise; nothing was paid for it",
                "a close choice between two words can fall otherwise on another processor: ask for fewer --tokens",
            )
        answer = Answer(receipt["session"], receipt["index"], receipt["query"], again, int(receipt["price"]))
        self.found = shares_of(self.bundle, answer)
        own, (said, rest) = dict(self.found.shares), _said(shown)
        apart = abs(self.found.unattributed - rest)
        apart += sum(abs(own.get(who, 0) - said.get(who, 0)) for who in own.keys() | said.keys())
        if apart > 2 * SHARES_TOLERANCE:
            raise VoucherInvalid(
                f"the server tells of shares that are {apart // 2} ppm from those of the published index, where"
                f" {SHARES_TOLERANCE} may be; nothing was paid for it"
            )


def _said(shown: Mapping[str, Any]) -> tuple[dict[Address, int], int]:
    """What a server says of an answer: shares and what is unattributed, in ppm. Raises VoucherInvalid."""
    try:
        attribution = shown["attribution"]
        people = {parse_address(one["contributor"]): int(one["ppm"]) for one in attribution["contributors"]}
        return people, int(attribution["unattributed"])
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError, DecodingError):
        raise VoucherInvalid("the server shows no attribution of its answer; nothing was paid for it") from None


__all__ = ["AnswerCheck"]
