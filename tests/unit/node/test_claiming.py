"""A claim over hours and interruptions: its scores are never lost, and nothing settled stays unclaimed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from openledger.node import claiming
from openledger.node.claiming import Scores
from openledger.primitives.errors import NodeUnreachable, OpenLedgerError
from openledger.primitives.hashing import sha256
from openledger.primitives.types import to_hex

SCORES = b"scores of a claim"
NAME = to_hex(sha256(SCORES))


class Node:
    """Model 3 has settlements in epochs 4, 5 and 6, and claims 1 to 3. Claim 2 takes the ways of ``statuses``."""

    def __init__(self, *statuses: str) -> None:
        self.statuses, self.blobs, self.refused = list(statuses), list[bytes](), 0
        self.settlements = {4: (1, [8]), 5: (0, [8, 9]), 6: (0, [7])}

    def put_blob(self, blob: bytes) -> None:
        self.blobs.append(blob)

    def call(self, method: str, *params: Any) -> Any:
        if method == "eth_blockNumber":
            return hex(5_000_000)
        if method == "eth_getLogs":
            if params[0]["fromBlock"] != "earliest":
                self.refused += 1
                raise OpenLedgerError("pruned history unavailable")
            assert params[0]["topics"][1:] == [None, f"0x{3:064x}"]
            settled = params[0]["topics"][0] == to_hex(claiming.SETTLED.topic)
            return [{"topics": ["0x", hex(n), "0x3", hex(n)]} for n in ([4, 6, 5, 5] if settled else [1, 2, 3])]
        if method == "openledger_getSettlements":
            claimed, sessions = self.settlements[params[1]]
            return {"claimed": claimed, "count": len(sessions), "settlements": [{"session": n} for n in sessions]}
        assert method == "openledger_getClaim"
        if params[0] != 2:
            return {"id": params[0], "status": "accepted" if params[0] == 1 else "voting", "scores": "0x" + "11" * 32}
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status == "away":
            raise NodeUnreachable("no node answers")
        return {"id": 2, "status": status, "scores": NAME}


def test_what_is_settled_and_unclaimed_is_found_again_where_its_answers_are() -> None:
    node: Any = Node("voting")
    assert claiming.unclaimed(node, 3, {8, 9}) == [5]
    assert claiming.unclaimed(node, 3, {7, 8}) == [5, 6]
    assert node.refused == 2, "a node that began later is asked for what it has"


def test_a_claim_is_taken_up_again_where_its_scores_are(tmp_path: Path) -> None:
    node: Any = Node("voting")
    scores = Scores(tmp_path / "scores")
    assert claiming.undecided(node, 3, scores) == []
    assert node.refused == 0, "nothing is asked where nothing is kept"
    scores.keep(SCORES)
    assert claiming.undecided(node, 3, scores) == [2]
    (tmp_path / "scores" / NAME[2:]).write_text("damaged")
    assert claiming.undecided(node, 3, scores) == []


def test_scores_are_published_in_the_reveal_and_kept_until_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the node is away for a while, and when a claim is revealed twice."""
    monkeypatch.setattr("openledger.node.operator._POLL_SECONDS", 0)
    scores, said = Scores(tmp_path), list[str]()
    scores.keep(SCORES)
    node: Any = Node("pending", "voting", "away", "reveal", "reveal", "voting", "reveal", "accepted")
    seen = []

    def report(text: str) -> None:
        said.append(text)
        seen.append((text, len(node.blobs), scores.get(NAME) is not None))

    (record,) = claiming.follow(node, [2], scores, report=report)
    assert record["status"] == "accepted"
    assert said == ["pending", "voting", "the node does not answer", "reveal", "voting", "reveal", "accepted"]
    assert [count for _, count, _ in seen] == [0, 0, 0, 1, 1, 2, 2]
    assert all(kept for _, _, kept in seen)
    assert scores.get(NAME) is None
