"""Challenges of published indexes as JSON views; ``queries`` answers with them."""

from __future__ import annotations

from itertools import islice

from openledger.abci_app.modules.attribution.index_challenges import (
    INDEX_CHALLENGES,
    OUTCOME_NAMES,
    IndexChallenge,
    must_index_challenge,
)
from openledger.abci_app.modules.attribution.records import STATUS_NAMES, Accused
from openledger.abci_app.views import MAX_LIST, View
from openledger.primitives.fields import to_json
from openledger.state.ports import StateReader


def _view(number: int, record: IndexChallenge) -> View:
    names = {"status": STATUS_NAMES[record.status], "outcome": OUTCOME_NAMES[record.outcome]}
    return {"id": number} | to_json(record) | {"bond": hex(record.bond)} | names


def spot(found: IndexChallenge | Accused) -> View:
    """Where a row of an index is said to be wrong: ``row``, and ``segment`` where it is one of the training run."""
    return {"row": found.row} | ({"segment": found.segment} if found.segment else {})


def get_index_challenge(state: StateReader, challenge: int) -> View:
    """A challenge of a model's index. Raises NotFound."""
    return _view(challenge, must_index_challenge(state, challenge))


def list_index_challenges(state: StateReader, start: int = 1, limit: int = 100) -> list[View]:
    """Challenges of indexes by number, from ``start`` on, at most ``limit``."""
    found = INDEX_CHALLENGES.items(state, start=start)
    return [_view(int.from_bytes(rest, "big"), record) for rest, record in islice(found, min(limit, MAX_LIST))]
