"""What greedy agents earn: the chain's own actions, votes, payout and slashes on overlays of one state; agents decide.

    .venv/bin/python bench/attribution/economy.py [--seed 1] [--steps 60] [--trials 40] [--plots docs/lab]
    .venv/bin/python bench/attribution/economy.py --only squatters      # trains models: half a minute a line

self-payers  consumer, owner, contributors, claimant and a part of the power in one hand climb towards the best plan:
             fees, names of contributors and validators, unattributed part, claims an epoch, whose rows, who votes
lazy         validators that save themselves the work of verifying, among honest ones, on true and on false claims
grinders     who may try again (salts, seeds, promises, roots of scores), and what trying brings
squatters    who commits texts before, after or on the way of their author, under the pay rule, with real trainings
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from claim_money import Money, someone
from harness import Harness, ScriptedOracle

from openledger.abci_app.modules.attribution.challenge import AttributionChallenge
from openledger.abci_app.modules.attribution.draws import LEAD, batches, counted, hear_promise
from openledger.abci_app.modules.attribution.messages import Message, Promise, decode_extension, own_bytes
from openledger.abci_app.modules.attribution.records import ACCEPTED, CLAIMS, LAPSED, REFUSED, REVEAL, YES
from openledger.abci_app.modules.attribution.voting import advance, hear
from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.promise import DatanetPromise
from openledger.abci_app.modules.datanets.records import Part
from openledger.abci_app.modules.rewards.payout import settle
from openledger.abci_app.modules.staking.records import operated_by
from openledger.genesis.params import Params
from openledger.node.oracle_seeds import Seeds
from openledger.primitives.amounts import OPEN, PPM
from openledger.primitives.attribution import block_rows, drawn_rows, promise_digest, score_leaf
from openledger.primitives.hashing import keccak256, merkle_root
from openledger.primitives.keys import consensus_address
from openledger.primitives.types import ZERO_ADDRESS, Address, Hash32
from openledger.state.ports import StateReader

NETWORK = Params()
POWER = 3_000

# --- self-payers --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What a coalition decides. ``price`` is the power of two of an answer's price in wei; parts are in ppm."""

    price: int = 60
    answers: int = 1
    names: int = 1
    validators: int = 1
    others: int = 1
    unattributed: int = 0
    honest: int = 0
    claims: int = 1
    one_epoch: bool = True


CHOICES: dict[str, Sequence[int]] = {
    "price": range(1, 80), "answers": range(1, 6), "names": range(1, 9), "validators": range(1, 41),
    "others": range(1, 41), "unattributed": range(0, PPM, 1_000), "honest": range(0, PPM, 1_000),
    "claims": range(1, 4), "one_epoch": (False, True),
}  # fmt: skip


def parts(whole: int, count: int) -> list[int]:
    """``whole`` in ``count`` nearly equal parts, none of them 0."""
    return [whole // count + (i < whole % count) for i in range(count)]


def self_payment(plan: Plan, params: Params, power: int, voting: int = POWER, pool: bool = True) -> float:
    """What a coalition with ``power`` of 3,000 units wins, in parts of the fees that it pays. ``voting`` units of power
    vote on claims, all of the coalition's among them; ``pool``: what goes to the community pool counts as its own."""
    ours = [f"our{i}" for i in range(min(plan.validators, power))]
    theirs = [f"other{i}" for i in range(min(plan.others, voting - power))]
    members = [(name, part, True) for names, whole in ((ours, power), (theirs, voting - power))
               for name, part in zip(names, parts(whole, len(names)), strict=True)]  # fmt: skip
    members += [("idle", POWER - voting, False)] if voting < POWER else []
    world = Money(params, params.base_fee_floor)
    world.seat(members)
    us = [someone(f"us{i}") for i in range(plan.names)]
    coalition = [someone("consumer"), someone("owner"), *us, *(someone(name) for name in ours)]
    world.fund(coalition)
    before = world.wealth(coalition, pool)
    shared = (PPM - plan.unattributed) * (PPM - plan.honest) // PPM
    shares = dict(zip(us, parts(shared, plan.names), strict=False)) if shared else {}
    shares[someone("honest")] = PPM - plan.unattributed - shared
    models = [world.publish(someone("owner"), 2**plan.price, shares) for _ in range(plan.claims)]
    fees = 0
    for group in [models] if plan.one_epoch else [[model] for model in models]:
        bought = [(model, world.buy("consumer", model, plan.answers)) for model in group]
        world.close()
        for model, epoch in bought:
            number = world.claim(someone("owner"), model, epoch, shares)
            world.vote(number, {someone(name): YES for name, _, votes in members if votes})
            world.end(number, ACCEPTED)
            fees += CLAIMS.must(world.state, number).fee
        world.close()
    for _ in range(3):
        world.wait(params.challenge_seconds + 1)
    return (world.wealth(coalition, pool) - before) / fees


def climb(value: Callable[[Plan], float], seed: int, steps: int) -> tuple[float, Plan]:
    """The best that ``steps`` tries find: every fourth is a new random plan, the others change a thing or two."""
    chance = random.Random(seed)
    best, plan = value(Plan()), Plan()
    for step in range(steps):
        chosen = CHOICES if step % 4 == 0 else chance.sample(list(CHOICES), chance.choice((1, 1, 2)))
        tried = replace(plan, **{name: chance.choice(CHOICES[name]) for name in chosen})
        found = value(tried)
        if found > best:
            best, plan = found, tried
    return best, plan


def self_payers(seed: int, steps: int, plots: Path | None) -> None:
    powers = (0, 300, 600, 1_000, 1_200, 1_300, 1_400, 1_500, 2_000, 3_000)
    print(f"\nSelf-payers, network parameters, {steps} tries each, seed {seed}: best gain in % of the fees paid")
    print("| part of the power | with the pool | without |\n| --- | --- | --- |")
    lines: dict[str, list[float]] = {"pool theirs": [], "pool not theirs": []}
    for power in powers:
        for line, pool in zip(lines.values(), (True, False), strict=True):
            best, _ = climb(lambda plan, n=power, p=pool: self_payment(plan, NETWORK, n, pool=p), seed, steps)
            line.append(100 * best)
        print(
            f"| {power / 30:5.1f} % | " + " | ".join(f"{line[-1]:+.3f}" for line in lines.values()) + " |", flush=True
        )
    print(
        "\nA third of the power with the pool, of all power a part votes on claims; and at the edge of the joint bound"
    )
    print("| votes | network parameters | mint factor at the edge |\n| --- | --- | --- |")
    edge = replace(NETWORK, mint_factor=999_999)
    edge.validate()
    for voting in (3_000, 2_700, 2_400, 2_310, 2_100, 1_800, 1_500, 1_200, 1_000):
        best = [climb(lambda plan, v=voting, p=params: self_payment(plan, p, 1_000, v), seed, steps)[0]
                for params in (NETWORK, edge)]  # fmt: skip
        print(f"| {voting / 30:5.1f} % | {best[0]:+.2e} | {best[1]:+.2e} |", flush=True)
    if plots:
        svg(plots / "economy-self-payers.svg", "Best gain of self-payers, % of the fees they pay",
            "part of the power, %", [p / 30 for p in powers], lines)  # fmt: skip


# --- lazy voters --------------------------------------------------------------------------------------------------


class Remembered(Seeds):
    """Seeds whose roots are not computed again for each block."""

    def __init__(self, secret: bytes) -> None:
        super().__init__(secret)
        self.known: dict[int, Hash32] = {}

    def root(self, validator: Address, batch: int) -> Hash32:
        if batch not in self.known:
            self.known[batch] = super().root(validator, batch)
        return self.known[batch]


class Agent(ScriptedOracle):
    """A validator with a strategy; ``truth`` are the scores that work would find, by claim."""

    def __init__(self, name: str, strategy: str) -> None:
        super().__init__(consensus_address(keccak256(b"validator" + name.encode())))
        self.seeds = SEEDS.setdefault(self.address, Remembered(b"secret" + self.address))
        self.name, self.strategy = name, strategy
        self.truth: dict[int, list[int]] = {}
        self.named: dict[int, int] = {}
        self.mode = {"silent": "silent", "copy": "copy", "blind no": "no"}.get(strategy, "yes")

    def see(self, number: int, truth: list[int], claimed: list[int], named: int | None = None) -> None:
        """A claim, or (``named``) a challenge of one of its rows, that the honest look at."""
        self.scores[number], self.truth[number] = claimed, truth
        if self.strategy == "honest":
            self.mode = "yes" if truth == claimed else "no"
        if self.strategy == "two rows" and named is not None:
            self.mode = "yes" if truth[named] == claimed[named] else "no"

    def _own(self, state: StateReader, number: int) -> list[tuple[int, bytes]]:
        shown, rows = super()._own(state, number), CLAIMS.must(state, number).rows
        if self.strategy == "guess zero" and CLAIMS.must(state, number).attempt == 0:
            return [(block, bytes(len(own))) for block, own in shown]
        if self.strategy == "second try" and CLAIMS.must(state, number).attempt == 0:
            return [(block, own_bytes([10**9] * len(block_rows(block, rows)))) for block, _ in shown]
        if self.strategy in ("honest", "two rows"):
            return [(b, own_bytes(self.truth[number][row] for row in block_rows(b, rows))) for b, _ in shown]
        return shown

    def _message(self, state: StateReader, number: int) -> Message | None:
        claim = CLAIMS.must(state, number)
        if self.strategy == "second try" and claim.status == REVEAL and claim.attempt == 0:
            return None
        return super()._message(state, number)


SEEDS: dict[Address, Remembered] = {}
"""Kept from court to court: what draws the rows of a claim is new with its scores."""
LAZY = ("silent", "copy", "blind no", "guess zero", "two rows", "second try")
SEATS = 12
HONEST = NETWORK.split_stakers * 1_000 * OPEN // 10_000 // SEATS
"""Wei that an honest validator has of a claim over 1,000 OPEN."""


class Court:
    """Twelve validators of equal power, ``lazy`` of them with a strategy, and one model of strangers' rows."""

    def __init__(self, strategy: str, lazy: int, seed: int, rows: int = 100, zero: float = 0.5) -> None:
        self.chance, self.rows = random.Random(seed), rows
        self.world = Money(NETWORK)
        self.agents = [Agent(f"v{i}", strategy if i < lazy else "honest") for i in range(SEATS)]
        for agent in self.agents:
            agent.neighbour = self.agents[-1]
        self.world.seat([(agent.name, 10_000, True) for agent in self.agents])
        self.world.fund([someone("owner"), someone("consumer"), someone("challenger")])
        self.model = self.world.publish(someone("owner"), 1_000 * OPEN, [someone("writer"), someone("thief")], rows)
        paid = [0 if self.chance.random() < zero else self.chance.randint(10**5, 10**7) for _ in range(rows)]
        self.truth = [score * 10**9 // max(1, sum(paid)) for score in paid]
        self.height = self.world.height
        self.blocks(LEAD + 2)

    def blocks(self, count: int, seconds: int = 600) -> None:
        """Blocks in which the validators are heard and claims move on."""
        world = self.world
        for _ in range(count):
            world.height, world.time = world.height + 1, world.time + seconds
            heard = [
                (a.address, decode_extension(a.extension(world.state, world.height, a.address))) for a in self.agents
            ]
            said = [(address, message) for address, messages in heard for message in messages]
            hear(world.state, world.ctx, said)
            ended, _ = advance(world.state, world.ctx)
            settle(world.state, world.ctx, ended)

    def judge(self, number: int) -> int:
        """Blocks until a claim has ended; how it has."""
        for _ in range(60):
            if CLAIMS.must(self.world.state, number).status in (ACCEPTED, REFUSED, LAPSED):
                break
            self.blocks(1)
        return CLAIMS.must(self.world.state, number).status

    def claim(self, stolen: int = 0) -> int:
        """A claim of the owner's over 1,000 OPEN; in a false one ``stolen`` rows, the thief's, have most of the pay."""
        world, claimed = self.world, list(self.truth)
        for row in self.chance.sample(range(self.rows), stolen):
            claimed[row] += 10**9 // stolen
        shares = {someone("thief"): PPM} if stolen else {someone("writer"): PPM}
        epoch = world.buy("consumer", self.model)
        world.close()
        root = merkle_root([score_leaf(row, score) for row, score in enumerate(claimed)])
        number = world.claim(someone("owner"), self.model, epoch, shares, root)
        for agent in self.agents:
            agent.see(number, self.truth, claimed)
        return number

    def challenge(self, number: int) -> int:
        """Somebody names a row that is wrong; how the claim stands then."""
        agent = self.agents[0]
        named = next(r for r in range(self.rows) if agent.truth[number][r] != agent.scores[number][r])
        self.world.act(someone("challenger"), AttributionChallenge(number, named, ZERO_ADDRESS))
        for agent in self.agents:
            agent.see(number, self.truth, agent.scores[number], named)
        return self.judge(number)

    def pay(self, agent: Agent) -> int:
        """Wei that a validator has earned."""
        return self.world.earned(someone(agent.name))

    def stake(self, agent: Agent) -> int:
        found = operated_by(self.world.state, someone(agent.name))
        return found.stake if found else 0


def pay_of(strategy: str, seed: int, trials: int, zero: float = 0.5, lazy: int = 1) -> float:
    """What a lazy validator earns of true claims, in parts of what an honest one would."""
    found = 0.0
    for trial in range(trials):
        court = Court(strategy, lazy, seed * 1_000 + trial, zero=zero)
        court.judge(court.claim())
        found += court.pay(court.agents[0]) / HONEST
    return found / trials


def outcome(strategy: str, lazy: int, seed: int, stolen: int) -> str:
    """How a claim ends, and what the first validator has of it (honest: 1); a false one with a challenge where it is
    accepted."""
    court = Court(strategy, lazy, seed)
    names = {ACCEPTED: "accepted", REFUSED: "refused", LAPSED: "lapsed"}
    number = court.claim(stolen)
    ended = court.judge(number)
    if stolen:
        return names[ended] if ended != ACCEPTED else "undone" if court.challenge(number) == REFUSED else "paid"
    return f"{names[ended]} {court.pay(court.agents[0]) / HONEST:.2f}"


def lazy_voters(seed: int, trials: int, plots: Path | None) -> None:
    zeros = (0.0, 0.25, 0.5, 0.75, 0.9)
    print(f"\nPay of one lazy validator of twelve, honest = 1; {trials} true claims each, seed {seed}")
    print("| rows that score 0 | " + " | ".join(f"{z:.0%}" for z in zeros) + " |\n| --- |" + " --- |" * len(zeros))
    lines: dict[str, list[float]] = {}
    for strategy in ("honest", *LAZY):
        lines[strategy] = [pay_of(strategy, seed, trials if strategy == "guess zero" else 2, z) for z in zeros]
        print(f"| {strategy} | " + " | ".join(f"{v:.2f}" for v in lines[strategy]) + " |", flush=True)
    for stolen in (0, 5):
        print(f"\n{'False claims, 5 of 100 rows inflated' if stolen else 'True claims'}, by lazy validators of twelve")
        print("| strategy | " + " | ".join(map(str, range(0, 13, 2))) + " |\n| --- |" + " --- |" * 7)
        for strategy in LAZY:
            ends = [Counter(outcome(strategy, n, seed + t, stolen) for t in range(3)) for n in range(0, 13, 2)]
            print(f"| {strategy} | " + " | ".join("/".join(sorted(e)) for e in ends) + " |", flush=True)
    if plots:
        svg(plots / "economy-lazy.svg", "Pay of one lazy validator of twelve, honest = 1", "rows that score zero, %",
            [z * 100 for z in zeros], lines)  # fmt: skip


# --- grinders -----------------------------------------------------------------------------------------------------


def ground_seeds(claims: int, rows: int, easy: int) -> tuple[float, float]:
    """(hits when the root of scores is the known one, hits when it is another): parts of ``claims`` whose seeds were
    ground for drawing rows below ``easy``."""
    validator, old, new = b"v" * 20, keccak256(b"known scores"), keccak256(b"new scores")
    hits = [0, 0]
    for claim in range(claims):
        tries = (keccak256(b"try" + claim.to_bytes(4, "big") + n.to_bytes(4, "big")) for n in range(10**6))
        seed = next(s for s in tries if max(drawn_rows(claim, validator, s, old, rows, 2)) < easy)
        for i, root in enumerate((old, new)):
            hits[i] += max(drawn_rows(claim, validator, seed, root, rows, 2)) < easy
    return hits[0] / claims, hits[1] / claims


def promise_counts(held_back: int) -> bool:
    """Whether a promise that is made when a claim is seen counts for it, where it is held back for so many blocks."""
    world, validator = Money(NETWORK), b"v" * 20
    batch = batches(world.state)[0]
    seen = world.height
    world.height += 1
    list(hear_promise(world.state, world.ctx, validator, Promise(batch, Seeds(b"ground").root(validator, batch))))
    return counted(world.state, validator, batch * 256 + 1, seen + held_back) is not None


def ground_roots(tries: int, validators: int, rows: int, false_rows: int) -> tuple[float, float]:
    """A claimant tries so many roots of scores and takes the one that suits seeds of his own making best: (validators
    that draw a false row by his seeds, by the seeds that count)."""
    people = [bytes([i]) * 20 for i in range(validators)]

    def seen(secret: bytes, root: bytes) -> int:
        seeds = Seeds(secret)
        return sum(min(drawn_rows(1, v, seeds.seed(v, 1), root, rows, 2)) < false_rows for v in people)

    roots = [keccak256(n.to_bytes(4, "big")) for n in range(tries)]
    best = min(roots, key=lambda root: seen(b"his", root))
    real = [seen(keccak256(b"theirs" + bytes([n])), best) for n in range(50)]
    return seen(b"his", best) / validators, sum(real) / len(real) / validators


def grinders(seed: int, claims: int) -> None:
    del seed
    print("\nGrinders\n| who | what | comes to |\n| --- | --- | --- |")
    for easy in (30, 50, 80):
        known, new = ground_seeds(claims, 100, easy)
        print(f"| validator | seeds for {easy} of 100 rows, {claims} claims | {known:.2f} with the root it ground for, "
              f"{new:.2f} with the next; chance {(easy / 100) * (easy - 1) / 99:.2f} |")  # fmt: skip
    first = next(n for n in range(20) if promise_counts(n))
    print(f"| validator | promises when it sees the claim | counts when the claim is held back {first} blocks |")
    own, real = ground_roots(500, 12, 100, 5)
    print(f"| claimant | 500 roots of scores, 5 rows false | {own:.2f} draw one by guessed seeds, {real:.3f} truly: "
          f"chance {1 - 95 * 94 / (100 * 99):.3f} |", flush=True)  # fmt: skip


# --- squatters ----------------------------------------------------------------------------------------------------


def scored(texts: Sequence[str], queries: Sequence[str], seed: int) -> Any:
    """Train an adapter on the texts; gradient dot scores of all rows for the queries: [queries, rows]."""
    import numpy as np

    from openledger.attribution_oracle import influence, lora, methods
    from openledger.attribution_oracle.bases import load_base
    from openledger.attribution_oracle.ports import silent
    from openledger.attribution_oracle.train import Settings, train

    base, settings = load_base(), Settings(epochs=3, batch=8, lr=4e-3, warmup=4, lora=lora.LoraSettings(4, 8.0))
    trained = train(base, list(texts), seed, settings, silent)
    run = influence.Run.of(base, settings, trained.tensors, trained.receipt, list(texts))
    index = methods.make_index(run)
    chosen = methods.method(methods.DEFAULT_METHOD)
    return np.stack([index.dot(chosen.answer_vector(run, q[:60], q[60:])) for q in queries])


def promised_order(people: int, author: int) -> list[int]:
    """Places of so many people's rows and, last, of a squatter's, as the chain gives them when the author promises, the
    squatter sees the rows on their way and commits them, and then all the people commit."""
    chain, salt = Harness(), keccak256(b"salt")
    names = [someone(f"person {number}") for number in range(people)] + [someone("squatter")]
    blobs = [keccak256(name) for name in names]
    blobs[people] = blobs[author]
    chain.act(0, DatanetCreate("texts", policy="invited"))
    chain.act(0, DatanetPromise(promise_digest(names[author], blobs[author], salt)))
    for version, who in enumerate([people, *range(people)]):
        salts = (salt,) if who == author else ()
        part = Part(names[who], blobs[who], 1)
        assert chain.act(0, DatanetCommit(1, version, bytes(32), version + 1, (part,), salts=salts)).status == 1
    parts = chain.query("get_commit", 1, people + 1)["parts"]
    place = {part["contributor"].lower(): int(part["place"]) for part in parts}
    return [place["0x" + name.hex()] for name in names]


def squatters(seed: int) -> None:
    """Needs torch. The author is one of ten, 16 rows each; the squatter commits first, on the way or last."""
    import numpy as np
    from corpora import CORPORA

    from openledger.attribution_oracle.bench import rewards as shares_of

    chance, rows = random.Random(seed), 16
    people = [[text[:260] for text in person] for person in CORPORA["speeches"](chance)]
    honest = [text for person in people for text in person[:rows]]
    queries = [text for person in people for text in person[rows : rows + 3]]
    chance.shuffle(queries)
    words = sorted({word for text in honest for word in text.split()})
    author, at = people[2][:rows], len(people)
    changed = [" ".join(chance.choice(words) if chance.random() < 0.1 else w for w in t.split()) for t in author]
    public = [text for person in people for text in person[rows + 3 :]][:rows]
    print(f"\nSquatters, speeches, seed {seed}, % of all pay\n| who commits | author | squatter |\n| --- | --- | --- |")
    known: dict[tuple[str, ...], Any] = {}
    for name, theirs, first in (
        ("nobody", [], False), ("a copy, before him", author, True),
        ("a copy, before him; he had promised it", author, None), ("a copy, after him", author, False),
        ("one word in ten another, before him", changed, True),
        ("one word in ten another, before him; he had promised his", changed, None),
        ("half of it, before him", author[::2], True),
        ("half of it, before him; he had promised it", author[::2], None),
        ("other texts, before all", public, True),
    ):  # fmt: skip
        texts, numbers = honest + theirs, np.arange(len(honest) + len(theirs))
        groups = np.concatenate([np.repeat(np.arange(at), rows), np.full(len(theirs), at)])
        if first is None:
            order = np.array(promised_order(at, 2))[groups]
        else:  # when it was committed
            order = np.where(numbers < len(honest), numbers, numbers - 10_000 if first else numbers)
        if tuple(texts) not in known:
            known[tuple(texts)] = scored(texts, queries[:24], seed)
        scores = known[tuple(texts)]
        pay = shares_of(scores, groups, order, texts)
        squatter = pay[at] / pay.sum() if theirs else 0.0
        print(f"| {name} | {pay[2] / pay.sum():.1%} | {squatter:.1%} |", flush=True)
        if not theirs:
            zero = np.mean(shares_of(scores, numbers, order, texts) < 2e-6)
            print(f"| (rows that score zero within the tolerance: {zero:.0%}) | | |", flush=True)


# --- plots --------------------------------------------------------------------------------------------------------


def svg(path: Path, title: str, label: str, xs: Sequence[float], lines: dict[str, list[float]]) -> None:
    """Lines over ``xs``, as a small picture."""
    colours = ("#1b6ca8", "#c0392b", "#27824f", "#8e44ad", "#b9770e", "#2c3e50", "#7f8c8d")
    low, high = min(min(v) for v in lines.values()), max(max(v) for v in lines.values())
    low, high = min(low, 0.0), max(high, 0.0) or 1.0

    def x(value: float) -> float:
        return 60 + 480 * (value - xs[0]) / (xs[-1] - xs[0])

    def y(value: float) -> float:
        return 300 - 250 * (value - low) / (high - low)

    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 350" font-family="sans-serif" font-size="12">',
           '<rect width="720" height="350" fill="#fff"/>', f'<text x="60" y="24" font-size="14">{title}</text>',
           f'<line x1="60" x2="540" y1="{y(0):.1f}" y2="{y(0):.1f}" stroke="#999"/>']  # fmt: skip
    for tick in xs:
        out.append(f'<text x="{x(tick):.1f}" y="318" text-anchor="middle">{tick:.3g}</text>')
    for tick in (low, (low + high) / 2, high):
        out.append(f'<text x="54" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.3g}</text>')
    for number, (name, values) in enumerate(lines.items()):
        colour = colours[number % len(colours)]
        points = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(xs, values, strict=True))
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.append(f'<text x="552" y="{60 + 18 * number}" fill="{colour}">{name}</text>')
    out.append(f'<text x="300" y="340" text-anchor="middle">{label}</text></svg>\n')
    path.write_text("\n".join(out))


def main() -> None:
    parser = argparse.ArgumentParser(description="What greedy agents earn.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=60, help="Tries of each self-payer.")
    parser.add_argument("--trials", type=int, default=40, help="Claims of each lazy validator.")
    parser.add_argument("--plots", type=Path, help="Folder for the pictures.")
    parser.add_argument("--only", default="self-payers,lazy,grinders")
    args = parser.parse_args()
    runs: dict[str, Callable[[], None]] = {
        "self-payers": lambda: self_payers(args.seed, args.steps, args.plots),
        "lazy": lambda: lazy_voters(args.seed, args.trials, args.plots),
        "grinders": lambda: grinders(args.seed, args.trials * 5),
        "squatters": lambda: squatters(args.seed),
    }
    for name in args.only.split(","):
        runs[name]()


if __name__ == "__main__":
    main()
