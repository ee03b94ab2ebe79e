"""``openledger proof challenge``: of a claim or of a published index, never of both and never of nothing."""

from __future__ import annotations

from typing import Any

import pytest

from openledger.abci_app.modules.attribution.challenge import AttributionChallenge
from openledger.abci_app.modules.attribution.challenge_index import AttributionChallengeIndex
from openledger.node.cli.common import App
from openledger.node.cli.root import run
from openledger.primitives.types import ZERO_ADDRESS

WHO = "0x" + "11" * 20


@pytest.mark.parametrize(
    "arguments",
    ["", "1", "--model 1", "1 --model 1 --row 3", "1 --row 3 --share " + WHO, "--model 1 --share " + WHO,
     "--model 1 --row 3 --share " + WHO, "1 --row 3 --segment 2", "--model 1 --row 3 --segment 255"],
)  # fmt: skip
def test_what_names_nothing_or_two_things_is_one_sentence_and_exit_code_2(
    arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["proof", "challenge", *arguments.split()]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "action"),
    [
        ("4 --row 3", AttributionChallenge(4, 3, ZERO_ADDRESS)),
        ("4 --share " + WHO, AttributionChallenge(4, 0, b"\x11" * 20)),
        ("--model 2 --row 3", AttributionChallengeIndex(2, 3)),
        ("--model 2 --row 0 --segment 5", AttributionChallengeIndex(2, 0, 5)),
    ],
)
def test_what_is_sent_is_what_was_named(arguments: str, action: object, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    def send(app: App, what: Any, signer: Any) -> dict[str, Any]:
        sent.append(what)
        return {"logs": [{"topics": ["0x", "0x9"]}], "transactionHash": "0x"}

    monkeypatch.setattr(App, "send", send)
    monkeypatch.setattr(App, "signer", lambda app: None)
    assert run(["proof", "challenge", *arguments.split()]) == 0
    assert sent == [action]
