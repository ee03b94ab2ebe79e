"""Who of a claim's validators looks at what, so that together they see enough while a third of the power does nothing.

A lie that one validator sees is named and looked at by all. So it is the network that must look, and two ways lead
there (docs/adr/0082-looking-together.md):

dealt   each part (a segment of the run, a row of a small index) goes to validators with a third of the power or more.
        Whoever holds less than a third cannot have all of them: one honest validator sees each part, always.
drawn   each validator draws by a seed that nobody else knows. Cheaper where there are many, and a matter of chance.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

MISSED = 0.01
"""Probability with which something that is drawn for is seen by nobody: one of the segments, or any of ``WRONG``."""
WRONG = 0.05
"""The part of the rows that is wrong."""


@dataclass(frozen=True)
class Crowd:
    """The powers of a claim's validators, the ``place`` of the one that looks among them, and what all of them deal by:
    ``lot`` is the same for all. Without powers, or where one holds more than two thirds, each looks as if alone."""

    powers: tuple[int, ...]
    place: int
    lot: bytes

    @property
    def lookers(self) -> int:
        """See ``lookers``; 1 for who looks alone."""
        return lookers(self.powers) if 0 <= self.place < len(self.powers) else 1

    def segments(self, secret: bytes, count: int) -> list[int]:
        """Which of ``count`` segments to replay, counted from 0, ascending."""
        if self.lookers < 2:
            return list(range(count))
        if self.deals(count):
            return self.mine(b"segments", count)
        return drawn(secret, count, self.lookers)

    def deals(self, count: int) -> bool:
        """True where segments are dealt: where that asks for no more than drawing does."""
        return count > 1 and dealt_part(self.powers, count) <= chance(count, self.lookers)

    def mine(self, what: bytes, parts: int) -> list[int]:
        """The parts that are dealt to this one, ascending."""
        dealt = deal(self.lot + what, self.powers, parts)
        return [part for part, members in enumerate(dealt) if self.place in members]


def lookers(powers: Sequence[int]) -> int:
    """The fewest validators that hold more than two thirds of the power: as many work at least, when a third does not.
    Who splits himself into many does not change it. 1 where nobody has any."""
    held = 0
    for count, power in enumerate(sorted(powers, reverse=True), 1):
        held += power
        if 3 * held > 2 * sum(powers):
            return count
    return 1


@lru_cache(8)
def deal(lot: bytes, powers: tuple[int, ...], parts: int) -> tuple[frozenset[int], ...]:
    """For each part the places of those who look at it: as many as hold a third of the power together, taken from
    all in an order by ``lot``, and again in another order when all had their turn. So equal ones get equally much."""
    found: list[frozenset[int]] = []
    deck: list[int] = []
    rounds, whole = 0, sum(powers)
    for _ in range(parts):
        chosen: set[int] = set()
        held = 0
        while 3 * held < whole:
            at = next((at for at, place in enumerate(deck) if place not in chosen), None)
            if at is None:
                deck += _order(lot + rounds.to_bytes(4, "big"), len(powers))
                rounds += 1
                continue
            place = deck.pop(at)
            chosen.add(place)
            held += powers[place]
        found.append(frozenset(chosen))
    return tuple(found)


def _order(lot: bytes, count: int) -> list[int]:
    return sorted(range(count), key=lambda place: hashlib.sha256(lot + place.to_bytes(4, "big")).digest())


def dealt_part(powers: tuple[int, ...], parts: int) -> float:
    """Which part of the work a validator has on the average where it is dealt. By a fixed lot, so that all say the
    same."""
    dealt = deal(b"", powers, parts)
    return sum(map(len, dealt)) / (len(powers) * parts)


def chance(segments: int, lookers: int) -> float:
    """The probability p with which a validator draws a given segment, such that ``lookers`` of them miss none of K with
    a probability of 99 %: (1 - p)^lookers = MISSED / K. 1 where there is one of either."""
    if lookers < 2 or segments < 2:
        return 1.0
    return 1.0 - float((MISSED / segments) ** (1.0 / lookers))


def drawn(secret: bytes, segments: int, lookers: int) -> list[int]:
    """Numbers of the segments that ``secret`` draws, counted from 0, ascending: floor or ceiling of p x segments of
    them."""
    draw = random.Random(secret)  # noqa: S311 - the seed carries the secrecy
    wanted = chance(segments, lookers) * segments
    count = int(wanted) + (draw.random() < wanted % 1)
    return sorted(draw.sample(range(segments), min(count, segments)))


def even_rows(lookers: int, chance: float = 1.0) -> int:
    """How many rows each of ``lookers`` draws uniformly, where it looks at the place of the lie with probability
    ``chance``: the fewest e such that all miss ``WRONG`` of the rows with probability MISSED at most,
    (1 - chance (1 - (1 - WRONG)^e))^lookers <= MISSED. Raises ValueError where no number is enough."""
    passes = (MISSED ** (1.0 / lookers) - (1.0 - chance)) / chance
    if passes <= 0:
        raise ValueError(f"{lookers} validators that look with probability {chance} miss more than {MISSED}")
    return max(1, math.ceil(math.log(passes) / math.log(1.0 - WRONG)))


__all__ = ["Crowd", "chance", "deal", "dealt_part", "drawn", "even_rows", "lookers"]
