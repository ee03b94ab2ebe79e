"""Proposals and votes as JSON views, each open one with what its effect would change now, tried on a fork."""

from __future__ import annotations

from collections.abc import Sequence

from openledger.abci_app.action import BlockContext
from openledger.abci_app.modules.governance import records
from openledger.abci_app.modules.governance.effects import Simulation, read_effect, simulate
from openledger.abci_app.modules.governance.records import Argument, Proposal
from openledger.abci_app.modules.governance.upgrade import plan, upgrades_done
from openledger.abci_app.modules.staking.choices import choice, choices
from openledger.abci_app.modules.staking.polls import Count, count
from openledger.abci_app.upgrades import UPGRADES
from openledger.abci_app.views import MAX_LIST, View
from openledger.genesis.params import BOUNDS
from openledger.primitives.fields import to_json
from openledger.primitives.types import ZERO_ADDRESS, Address, to_checksum
from openledger.state.ports import StateReader


def _context(state: StateReader, height: int, time: int, chain_id: int) -> BlockContext:
    return BlockContext(height, time, ZERO_ADDRESS, chain_id, records.params(state))


def simulate_proposal(
    state: StateReader, name: str, arguments: Sequence[Argument], height: int, time: int, chain_id: int = 0
) -> View:
    """What an effect would do in block ``height`` at Unix second ``time``: its ``changes`` (name, before, after, as
    text), and in ``refusal`` why it could not be done, empty where it could. Raises MalformedAction."""
    found = simulate(state, _context(state, height, time, chain_id), read_effect(name, arguments))
    return _effect(name, arguments) | _simulated(found)


def _effect(name: str, arguments: Sequence[Argument]) -> View:
    return {"name": name, "arguments": {a.name: a.value for a in arguments}}


def _simulated(found: Simulation) -> View:
    changes = [{"name": n, "before": before, "after": after} for n, (before, after) in found.changes.items()]
    return {"changes": changes, "refusal": found.refusal}


def _votes(state: StateReader, number: int, record: Proposal) -> View:
    """In wei of stake: as it would be counted now, or as it was counted at the end."""
    found = Count((record.yes, record.no, record.abstain, record.veto), record.bonded)
    if record.status == records.VOTING:
        found = count(state, number)
    names = [*records.OPTION_NAMES.values(), "bonded"]
    return dict(zip(names, (hex(n) for n in (*found.weights, found.bonded)), strict=True))


def _proposal(state: StateReader, number: int, record: Proposal) -> View:
    return {
        "id": number,
        "proposer": to_checksum(record.proposer),
        "title": record.title,
        "summary": record.summary,
        "effect": _effect(record.effect, record.arguments),
        "status": records.STATUS_NAMES[record.status],
        "deposit": hex(record.deposit),
        "needed": hex(record.needed),
        "submitted": record.submitted,
        "deadline": record.deadline,
        "votes": _votes(state, number, record),
        "failure": record.failure,
    }


def get_proposal(state: StateReader, proposal: int, height: int, time: int, chain_id: int = 0) -> View:
    """A proposal, who has deposited, and while it is open what its effect would do in block ``height`` at ``time``.
    Raises NotFound."""
    record = records.must_proposal(state, proposal)
    view = _proposal(state, proposal, record)
    if record.is_open:
        view["effect"] = simulate_proposal(state, record.effect, record.arguments, height, time, chain_id)
    view["deposits"] = {to_checksum(a): hex(wei) for a, wei in records.deposits(state, proposal)}
    return view


def list_proposals(state: StateReader, start: int = 1, limit: int = 100) -> list[View]:
    """Proposals by id, from ``start`` on."""
    found: list[View] = []
    for rest, record in records.PROPOSALS.items(state, start=start):
        if len(found) == min(limit, MAX_LIST):
            break
        found.append(_proposal(state, int.from_bytes(rest, "big"), record))
    return found


def list_votes(state: StateReader, proposal: int, start: Address, limit: int = 100) -> View:
    """What accounts have voted, by account, from ``start`` on. Raises NotFound."""
    records.must_proposal(state, proposal)
    found: View = {}
    for voter, option in choices(state, proposal, start):
        if len(found) == min(limit, MAX_LIST):
            break
        found[to_checksum(voter)] = records.OPTION_NAMES[option]
    return found


def get_vote(state: StateReader, proposal: int, voter: Address) -> str | None:
    """What one account has voted; None for nothing. Raises NotFound."""
    records.must_proposal(state, proposal)
    return records.OPTION_NAMES.get(choice(state, proposal, voter))


def get_upgrades(state: StateReader) -> View:
    """The planned upgrade, whether this program knows it, and those that were made."""
    wanted = plan(state)
    return {
        "plan": None if wanted is None else to_json(wanted) | {"known": wanted.name in UPGRADES},
        "done": [to_json(found) for found in upgrades_done(state)],
        "known": list(UPGRADES),
    }


def get_bounds() -> View:
    """Least and largest value that a vote may give each parameter that is a number, as decimal text."""
    return {name: {"least": str(least), "most": str(most)} for name, (least, most) in BOUNDS.items()}
