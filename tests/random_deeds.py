"""What somebody may do next on a chain, for each kind of action: mostly such as would be done. None where there is
nothing of the kind to be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from escrows import numbered
from harness import ACCOUNTS
from random_mempools import KEYS

from openledger.abci_app.action import Action
from openledger.abci_app.modules.attribution.challenge import AttributionChallenge
from openledger.abci_app.modules.attribution.challenge_index import AttributionChallengeIndex
from openledger.abci_app.modules.attribution.claim import AttributionClaim, coverage
from openledger.abci_app.modules.attribution.records import ACCEPTED, CLAIMS, Share
from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.promise import DatanetPromise
from openledger.abci_app.modules.datanets.records import COUNT, DATANETS, Part, must_datanet, must_version
from openledger.abci_app.modules.datanets.review import DatanetReview
from openledger.abci_app.modules.datanets.reviews import must_review, status_of
from openledger.abci_app.modules.datanets.set_policy import DatanetSetPolicy
from openledger.abci_app.modules.governance.deposit import GovDeposit
from openledger.abci_app.modules.governance.propose import GovPropose
from openledger.abci_app.modules.governance.records import DEPOSIT, PROPOSALS, VOTING, Argument, params
from openledger.abci_app.modules.governance.vote import GovVote
from openledger.abci_app.modules.models.close import InferenceClose
from openledger.abci_app.modules.models.open import InferenceOpen
from openledger.abci_app.modules.models.publish import ModelPublish
from openledger.abci_app.modules.models.records import LEDGERS, MODELS, SESSIONS, DataRef, contributors, epoch
from openledger.abci_app.modules.models.retire import ModelRetire
from openledger.abci_app.modules.models.settle import InferenceSettle
from openledger.abci_app.modules.rewards.claim import RewardsClaim
from openledger.abci_app.modules.rewards.records import rewards
from openledger.abci_app.modules.staking.create import ValidatorCreate, key_proof_message
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.modules.staking.delegations import delegations, settle_all
from openledger.abci_app.modules.staking.edit import ValidatorEdit
from openledger.abci_app.modules.staking.reads import voting_stake
from openledger.abci_app.modules.staking.records import operated_by, validator, validators
from openledger.abci_app.modules.staking.redelegate import StakeRedelegate
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.abci_app.modules.staking.unjail import ValidatorUnjail
from openledger.primitives.amounts import GWEI, OPEN
from openledger.primitives.attribution import Voucher, promise_digest, score_leaf
from openledger.primitives.hashing import ZERO_HASH, merkle_root
from openledger.primitives.keys import ed25519_public, ed25519_sign, join_signature, sign_digest
from openledger.primitives.types import (
    ZERO_ADDRESS,
    Address,
)
from openledger.state.overlay import Overlay

if TYPE_CHECKING:
    from random_people import World

CHANGES = (
    ("model_bond", (0, OPEN, 10 * OPEN)), ("claim_bond", (OPEN // 10, 3 * OPEN)), ("challenge_bond", (OPEN, 2 * OPEN)),
    ("challenge_seconds", (0, 4, 10)), ("mint_per_epoch", (0, 10**9, 1_000 * OPEN)), ("mint_factor", (0, 900_000)),
    ("work_price", (0, GWEI)), ("slash_verdict", (1_000, 300_000)), ("epoch_seconds", (5, 9)),
    ("unbonding_seconds", (60, 70)), ("max_settlements", (16, 20)), ("claim_grace_epochs", (0, 2)),
    ("slash_double_sign", (10_000, 900_000)), ("appeal_seconds", (0, 20)), ("drawn_rows", (1, 2)),
    ("reserve", (10**20, 10**18)), ("max_validators", (2, 9)), ("power_unit", (OPEN, 2 * OPEN)),
    ("max_unbondings_per_block", (1, 5)), ("max_open_claims_per_block", (1, 64)), ("min_verdicts", (0, 900_000)),
    ("slash_downtime", (0, 100_000)), ("base_fee_floor", (1, GWEI)), ("min_self_bond", (10 * OPEN, 30 * OPEN)),
    ("split_pool", (500, 1_000)), ("max_votes_open", (1, 32)), ("gov_deposit", (OPEN, 10 * OPEN)),
)  # fmt: skip


def scores(rows: int) -> list[int]:
    return [10**7 * (row + 1) for row in range(rows)]


def some(world: World, count: int) -> int | None:
    """A number from 1 to ``count``."""
    return world.draw.randint(1, count) if count else None


def policy(world: World) -> dict[str, Any]:
    draw = world.draw
    if draw.random() < 0.6:
        return {"policy": draw.choice(("open", "open", "invited"))}
    reviewers = tuple(sorted(draw.sample([*world.people(), *world.contracts], 4)))
    return {"policy": "reviewed", "review_quorum": draw.choice((1, 2)), "bond": draw.choice((0, 1, OPEN)),
            "stake": draw.choice((0, 1, OPEN)), "reviewers": reviewers}  # fmt: skip


def create(world: World, me: Address) -> Action | None:
    if COUNT.get(world.state) > 5:
        return None
    return DatanetCreate("d", **policy(world))


def set_policy(world: World, me: Address) -> Action | None:
    mine = [n for n in range(1, COUNT.get(world.state) + 1) if must_datanet(world.state, n).owner == me]
    return DatanetSetPolicy(world.draw.choice(mine), **policy(world)) if mine else None


def promise(world: World, me: Address) -> Action | None:
    blob, salt = world.draw.randbytes(32), world.draw.randbytes(32)
    world.salts[blob] = (me, salt)
    return DatanetPromise(promise_digest(me, blob, salt))


def commit(world: World, me: Address) -> Action | None:
    datanet, draw = some(world, COUNT.get(world.state)), world.draw
    if datanet is None:
        return None
    found = must_datanet(world.state, datanet)
    old = must_version(world.state, datanet, found.head).rows if found.head else 0
    promised = [(blob, salt) for blob, (who, salt) in world.salts.items() if who == me]
    blob, salt = draw.choice(promised) if promised and draw.random() < 0.5 else (draw.randbytes(32), ZERO_HASH)
    part = Part(me, blob, draw.randint(1, 5))
    return DatanetCommit(
        datanet, found.head, draw.randbytes(32), old + part.rows, (part,), salts=(salt,), bond=found.bond
    )


def review(world: World, me: Address) -> Action | None:
    pending = [
        (n, v) for n in range(1, COUNT.get(world.state) + 1)
        for v in range(1, DATANETS.must(world.state, n).versions + 1) if status_of(world.state, n, v) == 1
    ]  # fmt: skip
    if not pending:
        return None
    datanet, version = world.draw.choice(pending)
    stake = must_review(world.state, datanet, version).stake
    return DatanetReview(datanet, version, world.draw.random() < 0.6, "because", stake)


def publish(world: World, me: Address) -> Action | None:
    ready = [n for n in range(1, COUNT.get(world.state) + 1) if must_datanet(world.state, n).head]
    if not ready or (len(numbered(world.state)) > 5 and world.draw.random() < 0.8):
        return None
    chosen = world.draw.sample(ready, min(len(ready), world.draw.choice((1, 2))))
    data = tuple(DataRef(n, must_datanet(world.state, n).head) for n in chosen)
    rows = sum(must_version(world.state, ref.datanet, ref.version).rows for ref in data)
    base, h = world.draw.choice(("openledger/tiny-v1", "other")), bytes(32)
    price = world.draw.choice((1, 7, OPEN // 100, OPEN))
    return ModelPublish("m", base, data, h, h, h, h, h, rows, "gradient-dot", 5, 4, 0, price)


def retire(world: World, me: Address) -> Action | None:
    mine = [int.from_bytes(n, "big") for n, m in MODELS.items(world.state) if m.owner == me]
    return ModelRetire(world.draw.choice(mine)) if mine and world.draw.random() < 0.2 else None


def open_session(world: World, me: Address) -> Action | None:
    model = some(world, len(list(MODELS.items(world.state))))
    if model is None:
        return None
    price = MODELS.must(world.state, model).price
    return InferenceOpen(
        model, price * world.draw.randint(1, 20) + world.draw.choice((0, 1)), world.time + world.draw.choice((5, 60))
    )


def settle(world: World, me: Address) -> Action | None:
    secrets = dict(ACCOUNTS)
    for rest, session in sorted(SESSIONS.items(world.state), key=lambda _: world.draw.random()):
        number, owner = int.from_bytes(rest, "big"), MODELS.must(world.state, session.model).owner
        answers = session.answers + world.draw.choice((1, 1, 3))
        if owner != me or session.consumer not in secrets or answers * session.price > session.deposit:
            continue
        voucher = Voucher(number, answers * session.price, answers, bytes(32))
        signature = join_signature(*sign_digest(secrets[session.consumer], voucher.digest(world.genesis.evm_chain_id)))
        close = world.draw.random() < 0.3
        return InferenceSettle(number, voucher.cumulative, answers, bytes(32), signature, close)
    return None


def close(world: World, me: Address) -> Action | None:
    mine = [int.from_bytes(n, "big") for n, s in SESSIONS.items(world.state) if s.consumer == me]
    return InferenceClose(world.draw.choice(mine)) if mine else None


def claim(world: World, me: Address) -> Action | None:
    state, now, draw = world.state, params(world.state), world.draw
    for rest, book in LEDGERS.items(state):
        model, number = int.from_bytes(rest[:8], "big"), int.from_bytes(rest[8:], "big")
        mine = MODELS.must(state, model).owner == me or draw.random() < 0.3
        if book.claimed == book.count or number >= epoch(state).number or not mine:
            continue
        people = draw.sample(sorted(contributors(state, model)), draw.randint(0, len(contributors(state, model))))
        left, shares = 1_000_000, []
        for who in sorted(people):
            shares.append(Share(who, draw.randint(1, max(1, left // 2))))
            left -= shares[-1].ppm
        covered, rows = coverage(state, now, model, number), MODELS.must(state, model).rows
        root = merkle_root([score_leaf(row, score) for row, score in enumerate(scores(rows))])
        return AttributionClaim(
            model, number, covered.first, covered.last, tuple(shares), left, bytes(32), root, bytes(32)
        )
    return None


def challenge(world: World, me: Address) -> Action | None:
    found = [int.from_bytes(n, "big") for n, c in CLAIMS.items(world.state) if c.status == ACCEPTED and c.vests]
    if not found:
        return None
    number = world.draw.choice(found)
    people = sorted(contributors(world.state, CLAIMS.must(world.state, number).model))
    return AttributionChallenge(number, 0, world.draw.choice([ZERO_ADDRESS, *people]))


def challenge_index(world: World, me: Address) -> Action | None:
    model = some(world, len(list(MODELS.items(world.state))))
    return (
        AttributionChallengeIndex(model, 0, world.draw.choice((0, 1))) if model and world.draw.random() < 0.3 else None
    )


def take(world: World, me: Address) -> Action | None:
    if not rewards(world.state, me).available + settle_all(Overlay(world.state), me).available:
        return None
    return RewardsClaim(world.draw.choice((0, 0, 1, 1_000)))


def join(world: World, me: Address) -> Action | None:
    seed = world.draw.choice(KEYS)
    proof = ed25519_sign(seed, key_proof_message(world.genesis.evm_chain_id, me))
    if world.draw.random() < 0.7 or operated_by(world.state, me) is not None:
        return None
    return ValidatorCreate(ed25519_public(seed), proof, world.draw.choice((10, 25)) * OPEN, "v")


def edit(world: World, me: Address) -> Action | None:
    if operated_by(world.state, me) is None:
        return None
    return ValidatorEdit("named", world.draw.random() < 0.9, world.draw.choice((2**32 - 1, 100_000, 110_000)))


def unjail(world: World, me: Address) -> Action | None:
    seat = operated_by(world.state, me)
    return ValidatorUnjail() if seat is not None and seat.jailed and not seat.tombstoned else None


def operator(world: World) -> Address:
    return world.draw.choice([v.operator for v in validators(world.state)])


def delegate(world: World, me: Address) -> Action | None:
    return StakeDelegate(operator(world), world.draw.choice((OPEN // 1_000, OPEN + 1, 5 * OPEN)))


def undelegate(world: World, me: Address) -> Action | None:
    mine = [validator(world.state, address) for address, _ in delegations(world.state, me)]
    if not mine:
        return None
    return StakeUndelegate(
        world.draw.choice([v.operator for v in mine if v]), world.draw.choice((0, 0, 1, OPEN // 7, OPEN))
    )


def redelegate(world: World, me: Address) -> Action | None:
    mine = [validator(world.state, address) for address, _ in delegations(world.state, me)]
    source, target = world.draw.choice([v.operator for v in mine if v] or [me]), operator(world)
    return None if source == target else StakeRedelegate(source, target, world.draw.choice((0, 1, OPEN // 7, OPEN)))


def propose(world: World, me: Address) -> Action | None:
    draw = world.draw
    name, values = draw.choice(CHANGES)
    receiver = "0x" + draw.choice([*world.people(), *world.contracts]).hex()
    told: dict[str, dict[str, Any]] = {
        "text": {}, "params": {name: draw.choice(values)}, "upgrade": {"name": "u", "height": 10**9},
        "spend": {"receiver": receiver, "amount": draw.choice((1, 10**12))},
        "datanet.review": {"datanet": 1, "version": 1, "accept": draw.choice(("true", "false"))},
    }  # fmt: skip
    effect = draw.choice(("text", "params", "params", "params", "spend", "spend", "upgrade", "datanet.review"))
    arguments = tuple(Argument(n, str(v)) for n, v in told[effect].items())
    return GovPropose("t", "", effect, arguments, draw.choice((OPEN, 10 * OPEN, 11 * OPEN)))


def open_proposal(world: World, status: int) -> int:
    """One that takes deposits, or is voted on; 0 where there is none."""
    found = [int.from_bytes(n, "big") for n, p in PROPOSALS.items(world.state) if p.status == status]
    return world.draw.choice(found) if found else 0


def deposit(world: World, me: Address) -> Action | None:
    number = open_proposal(world, DEPOSIT)
    return GovDeposit(number, world.draw.choice((OPEN, 20 * OPEN))) if number else None


def vote(world: World, me: Address) -> Action | None:
    number = open_proposal(world, VOTING)
    if not number or not voting_stake(world.state, me):
        return None
    return GovVote(number, world.draw.choice(("yes", "yes", "yes", "yes", "no", "abstain", "no_with_veto")))


MAKERS: tuple[Callable[[World, Address], Action | None], ...] = (
    create, set_policy, promise, commit, commit, commit, review, review, publish, publish, retire,
    open_session, open_session, settle, settle, settle, settle, close, claim, claim, claim, claim, challenge, challenge,
    challenge_index, take, join, edit, unjail, delegate, undelegate, redelegate, propose, deposit, *(vote,) * 8,
)  # fmt: skip
