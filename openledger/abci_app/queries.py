"""Native state as JSON views: what ``openledger_*`` answers and ABCI ``Query`` returns.

Amounts are hex quantities in wei, shares ppm integers, times Unix seconds, bytes 0x-hex, names camelCase.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from openledger.abci_app.action import action_class
from openledger.abci_app.challenge_views import get_index_challenge as get_index_challenge
from openledger.abci_app.challenge_views import list_index_challenges as list_index_challenges
from openledger.abci_app.challenge_views import spot
from openledger.abci_app.governance_views import list_proposals
from openledger.abci_app.modules.accounts import balance
from openledger.abci_app.modules.attribution import records as claims
from openledger.abci_app.modules.attribution.accusations import accused_by, named_rows
from openledger.abci_app.modules.attribution.claim import coverage
from openledger.abci_app.modules.attribution.index_challenges import Ballot, IndexChallenge, must_ballot
from openledger.abci_app.modules.datanets import records as datanets
from openledger.abci_app.modules.datanets import reviews
from openledger.abci_app.modules.datanets.promises import must_promise
from openledger.abci_app.modules.fees import records as fees
from openledger.abci_app.modules.governance import records as governance
from openledger.abci_app.modules.models import records as models
from openledger.abci_app.modules.rewards import records as rewards
from openledger.abci_app.modules.rewards.stakers import pots
from openledger.abci_app.modules.staking.delegations import settle_all
from openledger.abci_app.queries_staking import get_delegations as get_delegations
from openledger.abci_app.queries_staking import get_validator as get_validator
from openledger.abci_app.queries_staking import list_delegators as list_delegators
from openledger.abci_app.queries_staking import list_validators as list_validators
from openledger.abci_app.views import MAX_LIST, View
from openledger.genesis.params import Params
from openledger.primitives.attribution import NAMED_ROW, NAMED_SHARE, AttributionJob, PartFacts, SettlementFacts
from openledger.primitives.errors import DecodingError, NotFound
from openledger.primitives.fields import schema, to_json
from openledger.primitives.types import ZERO_ADDRESS, Address, Hash32, parse_address, to_checksum, to_hex
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


def module_of(kind: str) -> Address:
    """The address that a native transaction of this kind is shown as sent to. Raises UnknownAction."""
    return action_class(kind).MODULE


def _page(table: Any, state: StateReader, start: int, limit: int, view: Callable[[int, Any], View]) -> list[View]:
    found: list[View] = []
    for rest, record in table.items(state, start=start):
        if len(found) == min(limit, MAX_LIST):
            break
        found.append(view(int.from_bytes(rest, "big"), record))
    return found


# --- datanets ---------------------------------------------------------------------------------------------


def _datanet(number: int, record: datanets.Datanet) -> View:
    return {"id": number} | to_json(record) | {"bond": hex(record.bond), "stake": hex(record.stake)}


def get_datanet(state: StateReader, datanet: int) -> View:
    """Raises NotFound."""
    return _datanet(datanet, datanets.must_datanet(state, datanet))


def list_datanets(state: StateReader, start: int = 1, limit: int = 100) -> list[View]:
    return _page(datanets.DATANETS, state, start, limit, _datanet)


def get_commit(state: StateReader, datanet: int, version: int) -> View:
    """One version with its parts and the rows of each contributor. Raises NotFound."""
    record = datanets.must_version(state, datanet, version)
    rows: dict[str, int] = {}
    for part in record.parts:
        who = to_checksum(part.contributor)
        rows[who] = rows.get(who, 0) + part.rows
    status = reviews.STATUS_NAMES[reviews.status_of(state, datanet, version)]
    return {"datanet": datanet, "version": version} | to_json(record) | {"contributors": rows, "status": status}


def get_commits(state: StateReader, datanet: int) -> list[View]:
    """All versions, oldest first. Raises NotFound."""
    datanets.must_datanet(state, datanet)
    return [get_commit(state, datanet, number) for number, _ in datanets.versions(state, datanet)]


def get_review(state: StateReader, datanet: int, version: int) -> View:
    """The review of a version: rules, status, and what each reviewer has said. Raises NotFound."""
    record = reviews.must_review(state, datanet, version)
    said = [
        {"reviewer": to_checksum(who), "accept": found.accept, "reason": found.reason}
        for who, found in reviews.opinions(state, datanet, version)
    ]
    wei = {name: hex(getattr(record, name)) for name in ("bond", "stake")}
    status = reviews.STATUS_NAMES[record.status]
    return {"datanet": datanet, "version": version} | to_json(record) | wei | {"status": status, "opinions": said}


def get_promise(state: StateReader, digest: Hash32) -> View:
    """A promise, as long as it is not cleared. Raises NotFound."""
    return {"digest": to_hex(digest)} | to_json(must_promise(state, digest))


# --- models -----------------------------------------------------------------------------------------------


def _model(number: int, record: models.Model) -> View:
    return {"id": number} | to_json(record) | {"price": hex(record.price), "bond": hex(record.bond)}


def get_model(state: StateReader, model: int) -> View:
    """Raises NotFound."""
    return _model(model, models.must_model(state, model))


def list_models(state: StateReader, start: int = 1, limit: int = 100) -> list[View]:
    return _page(models.MODELS, state, start, limit, _model)


def get_session(state: StateReader, session: int) -> View:
    """Raises NotFound."""
    record = models.must_session(state, session)
    wei = {n: hex(getattr(record, n)) for n in ("price", "deposit", "settled")}
    return {"id": session} | to_json(record) | wei | {"status": "closed" if record.closed else "open"}


def get_settlements(state: StateReader, model: int, epoch: int) -> View:
    """What was settled for a model in an epoch, how much of it is claimed (``claimed`` settlements), and up to which
    one (``next``, exclusive) a claim made now would reach. Raises NotFound."""
    book = models.ledger(state, model, epoch)
    entries = models.settlements(state, model, epoch, 0, book.count)
    return {
        "model": model,
        "epoch": epoch,
        "count": book.count,
        "claimed": book.claimed,
        "next": coverage(state, governance.params(state), model, epoch).last,
        "amount": hex(book.amount),
        "settlements": [to_json(e) | {"amount": hex(e.amount)} for e in entries],
    }


def get_epoch(state: StateReader) -> View:
    """The running epoch."""
    return to_json(models.epoch(state))


# --- claims -----------------------------------------------------------------------------------------------


def _claim(number: int, record: claims.Claim) -> View:
    wei = {n: hex(getattr(record, n)) for n in ("fee", "bond", "work_fee", "minted")}
    shares = {to_checksum(s.contributor): s.ppm for s in record.shares}
    view = {"id": number} | to_json(record) | wei | {"workFee": wei["work_fee"], "shares": shares}
    del view["work_fee"]
    return view | {"status": claims.STATUS_NAMES[record.status]}


def _challenge(state: StateReader, claim: int) -> View | None:
    found = claims.CHALLENGES.get(state, claim)
    if found is None:
        return None
    of_share = found.contributor != ZERO_ADDRESS
    return {
        "challenger": to_checksum(found.challenger),
        "bond": hex(found.bond),
        "row": None if of_share else found.row,
        "contributor": to_checksum(found.contributor) if of_share else None,
        "outcome": claims.CHALLENGE_NAMES[found.outcome],
    }


def get_claim(state: StateReader, claim: int) -> View:
    """A claim, with its newest challenge. Raises NotFound."""
    return _claim(claim, claims.must_claim(state, claim)) | {"challenge": _challenge(state, claim)}


def list_claims(state: StateReader, start: int = 1, limit: int = 100) -> list[View]:
    return _page(claims.CLAIMS, state, start, limit, _claim)


def _named(state: StateReader, number: int, of: Ballot, member: claims.Member, said: claims.Vote) -> View | None:
    """What a validator has called wrong: ``row`` (and ``segment``), or ``share`` (an address, or "unattributed"). Who
    votes on a challenge of an index accuses nobody by himself: his no names the row that is challenged."""
    if isinstance(of, IndexChallenge):
        return spot(of) if said.verdict == claims.NO else None
    found = accused_by(state, number, member.address)
    if found is None:
        return None
    if found.kind == NAMED_ROW:
        return spot(found)
    return {"share": to_checksum(found.contributor) if found.kind == NAMED_SHARE else "unattributed"}


def get_verdicts(state: StateReader, claim: int) -> list[View]:
    """What each validator that decides the claim, or its newest challenge, has said; ``pot`` is what waits for the
    stakers of those who decided it at first, while the claim can be challenged. Those of them that have no vote any
    more have no power. Raises NotFound."""
    of = must_ballot(state, claim)
    waiting, cast = pots(state, claim), list(claims.votes(state, claim))
    voting = {member.address for member, _ in cast}
    first = claims.ELECTORATES.must(state, claim).members
    cast += [(replace(m, power=0), claims.Vote()) for m in first if m.address not in voting]
    return [
        {
            "validator": to_hex(member.address),
            "operator": to_checksum(member.operator),
            "power": member.power,
            "held": bool(said.held),
            "committed": bool(said.digest),
            "verdict": claims.VERDICT_NAMES[said.verdict],
            "reason": said.reason,
            "named": _named(state, claim, of, member, said),
            "pot": hex(waiting.get(member.address, 0)),
        }
        for member, said in cast
    ]


def model_blobs(state: StateReader, model: models.Model) -> list[str]:
    """Names of the blobs of a model: its files, and the rows that it was trained on. Raises NotFound."""
    versions = [datanets.must_version(state, ref.datanet, ref.version) for ref in model.data]
    return [model.bundle.hex(), model.index.hex(), *(part.blob.hex() for v in versions for part in v.parts)]


def attribution_job(state: StateReader, claim: int) -> AttributionJob:
    """Everything that a verifier needs to know about a claim, or about a challenge of an index, of which only the named
    row is looked at; but for its own seed, and its place among the electorate. Raises NotFound."""
    record = must_ballot(state, claim)
    job = replace(
        model_job(state, record.model),
        claim=claim,
        named=named_rows(state, claim),
        powers=tuple(member.power for member in claims.electorate(state, claim).members),
    )
    if not isinstance(record, claims.Claim):
        return job
    entries = models.settlements(state, record.model, record.epoch, record.first, record.last)
    return replace(
        job,
        settlements=tuple(SettlementFacts(e.session, e.first, e.last, e.amount, to_hex(e.receipts)) for e in entries),
        shares=tuple((to_hex(s.contributor), s.ppm) for s in record.shares),
        unattributed=record.unattributed,
        evidence_blob=record.evidence.hex(),
        scores_root=to_hex(record.scores_root),
        again=False,
    )


def model_job(state: StateReader, number: int) -> AttributionJob:
    """What a verifier needs to know of a model and its data, of no claim. Raises NotFound."""
    model = models.must_model(state, number)
    versions = [datanets.must_version(state, ref.datanet, ref.version) for ref in model.data]
    return AttributionJob(
        claim=0,
        model=number,
        method=model.method,
        bundle_blob=model.bundle.hex(),
        index_blob=model.index.hex(),
        index_root=to_hex(model.index_root),
        weights_hash=model.weights.hex(),
        receipt_hash=model.receipt.hex(),
        parts=tuple(
            PartFacts(to_hex(p.contributor), p.blob.hex(), p.rows, p.height, p.place) for v in versions for p in v.parts
        ),
        roots=tuple(to_hex(v.root) for v in versions),
        settlements=(),
        shares=(),
        unattributed=0,
        evidence_blob=bytes(32).hex(),
        scores_root=to_hex(bytes(32)),
        rows=model.rows,
        again=True,
        base=model.base,
    )


# --- rewards ----------------------------------------------------------------------------------------------


def get_rewards(state: StateReader, account: Address) -> View:
    """What an account has earned, taken, and can take. ``fees`` has what its stake has brought in it, which
    ``staking`` says alone."""
    record, staked = rewards.rewards(state, account), settle_all(Overlay(state), account)
    return {
        "account": to_checksum(account),
        "fees": hex(record.fees + staked.total),
        "staking": hex(staked.total),
        "minted": hex(record.minted),
        "taken": hex(record.taken + staked.taken),
        "locked": hex(record.locked),
        "available": hex(record.available + staked.available),
    }


def explain_reward(state: StateReader, account: Address) -> View:
    """From OPEN to claim to model and epoch: what each claim has brought an account."""
    found = []
    for number, earning in rewards.earnings(state, account):
        claim = claims.must_claim(state, number)
        ppm = next((s.ppm for s in claim.shares if s.contributor == account), 0)
        found.append(
            {
                "claim": number,
                "model": claim.model,
                "epoch": claim.epoch,
                "share": ppm,
                "fees": hex(earning.fees),
                "minted": hex(earning.minted),
                "settlements": [claim.first, claim.last],
                "evidence": to_hex(claim.evidence),
                "scores": to_hex(claim.scores),
                "scoresRoot": to_hex(claim.scores_root),
            }
        )
    return get_rewards(state, account) | {"claims": found}


# --- chain ------------------------------------------------------------------------------------------------


def get_supply(state: StateReader) -> View:
    """Wei in existence and how it came about; ``reserveLeft`` can still be minted."""
    record, params = fees.supply(state), governance.params(state)
    return {
        "total": hex(record.total),
        "genesis": hex(record.genesis),
        "minted": hex(record.minted),
        "burned": hex(record.burned),
        "edited": hex(record.edited),
        "editedAway": hex(record.edited_away),
        "cap": hex(params.cap),
        "reserve": hex(params.reserve),
        "reserveLeft": hex(params.reserve - record.minted),
        "communityPool": hex(balance(state, governance.POOL)),
    }


def get_params(state: StateReader) -> View:
    """All parameters; amounts of 256 bits as hex quantities."""
    record = governance.params(state)
    wei = [name for name, kind in schema(Params) if kind.kind == "uint256"]
    view = to_json(record, camel=False) | {n: hex(getattr(record, n)) for n in wei}
    return {_camel(name): value for name, value in view.items()}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


# --- ABCI Query -------------------------------------------------------------------------------------------


def _number(text: str) -> int:
    """An identifier. Raises ValueError for what cannot be one."""
    value = int(text)
    if not 0 <= value < 2**64:
        raise ValueError(f"{text} is not an identifier")
    return value


_PATHS: dict[str, Callable[..., object]] = {
    "datanet": lambda s, i: get_datanet(s, _number(i)),
    "commit": lambda s, i, v: get_commit(s, _number(i), _number(v)),
    "model": lambda s, i: get_model(s, _number(i)),
    "session": lambda s, i: get_session(s, _number(i)),
    "claim": lambda s, i: get_claim(s, _number(i)),
    "index_challenge": lambda s, i: get_index_challenge(s, _number(i)),
    "verdicts": lambda s, i: get_verdicts(s, _number(i)),
    "rewards": lambda s, a: get_rewards(s, parse_address(a)),
    "supply": get_supply,
    "params": get_params,
    "proposals": lambda s, i="1": list_proposals(s, _number(i)),
    "epoch": get_epoch,
}


def answer(state: StateReader, path: str) -> bytes:
    """JSON of a path such as ``/claim/3``. Raises NotFound, DecodingError."""
    name, *args = path.strip("/").split("/")
    handler = _PATHS.get(name)
    if handler is None:
        raise NotFound(f"there is no query path {path[:60]!r}", "known: /" + ", /".join(_PATHS))
    try:
        return json.dumps(handler(state, *args)).encode()
    except (ValueError, TypeError):
        raise DecodingError(f"query path {path[:60]!r} is malformed") from None
