"""What attackers earn: real trainings with the attackers' rows among the honest ones, real scores, the pay rule.

    .venv/bin/python bench/attribution/attacks.py [--corpus speeches] [--seed 1] [--only copy,mosaic] [--together]
        [--rows 16] [--epochs 4] [--context 64] [--cache DIR]

For each attack a rank-4 adapter of the built-in base is trained anew on as many rows of each honest contributor as of
the attacker, who commits last. Scores are those of `attribute` ("path") and of gradient dot, for held-out documents.
With ``--together`` all attackers train in one run, which costs a tenth, and each is judged with the others' columns
left out.

Printed for each method: the attacker's part of all pay by the plain rule (each answer's scores divided by the sum of
their absolute values, summed over the answers, clipped per row) and by the product's; the rank correlation of the
honest contributors' pay with what it is when the attacker's columns are left out, and with what it is in a training
without any attacker. What noise alone makes of the latter stands in a line of its own: the honest rows trained by
another seed. Then: a contributor whose rows' scores are multiplied by 3 to 1000, and a contributor who splits himself
over five identities, with scores retaken.

Scores are kept in ``--cache``; a training and its scores cost some minutes of one core.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from corpora import CORPORA, Rows
from garbage import MADE, WRITTEN
from lds import QUERIES, Size, gradient_dot, losses, trained

from openledger.attribution_oracle.attribute import attribute
from openledger.attribution_oracle.bench import rewards

METHODS = ("path", "gradient dot")
VICTIM = 2
Scores = dict[str, np.ndarray]
Attack = Callable[[random.Random, Rows, Rows, Rows], Rows]


def paraphrase(every: int) -> Attack:
    """Every n-th word another, left out, or one more."""

    def changed(chance: random.Random, victim: Rows, other: Rows, words: Rows) -> Rows:
        out = []
        for text in victim:
            said: Rows = []
            for word in text.split():
                new = chance.choice(words)
                said += [word] if chance.random() >= 1 / every else chance.choice([[new], [], [new, word]])
            out.append(" ".join(said))
        return out

    return changed


def garbage(make: Callable[[random.Random, Rows], str]) -> Attack:
    """Rows that have nothing to do with the victim's."""
    return lambda chance, victim, other, words: [make(chance, words) for _ in victim]


def shuffled(chance: random.Random, victim: Rows, other: Rows, words: Rows) -> Rows:
    """Each row's words in another order."""
    return [" ".join(chance.sample(text.split(), len(text.split()))) for text in victim]


def stirred(chance: random.Random, victim: Rows, other: Rows, words: Rows) -> Rows:
    """All the victim's words, over all rows, in another order."""
    said = [word for text in victim for word in text.split()]
    chance.shuffle(said)
    return [" ".join(said[number :: len(victim)]) for number in range(len(victim))]


def around(chance: random.Random, victim: Rows, other: Rows, words: Rows) -> Rows:
    return [" ".join([*chance.sample(words, 8), text, *chance.sample(words, 8)]) for text in victim]


def mosaic(chance: random.Random, victim: Rows, other: Rows, words: Rows) -> Rows:
    return [a[: len(a) // 2] + " " + b[: len(b) // 2] for a, b in zip(victim, other, strict=True)]


def sentences(chance: random.Random, victim: Rows, other: Rows, words: Rows) -> Rows:
    """Sentences, or lines, in another order."""
    found = []
    for text in victim:
        parts = re.split(r"(?<=[.;:])\s+|\n", text)
        chance.shuffle(parts)
        found.append(" ".join(parts))
    return found


def dictionary(share: float) -> Attack:
    """The same word always by the same other one, for a share of all words: a translation that keeps the order."""

    def changed(chance: random.Random, victim: Rows, other: Rows, words: Rows) -> Rows:
        said = sorted({word for text in victim for word in text.split()})
        meant = dict(zip(said, chance.choices(words, k=len(said)), strict=True))
        spoken = {word: meant[word] if chance.random() < share else word for word in said}
        return [" ".join(spoken[word] for word in text.split()) for text in victim]

    return changed


def disguised(change: Callable[[random.Random, str], str]) -> Attack:
    """A copy that looks much the same to a person."""
    return lambda chance, victim, other, words: [change(chance, text) for text in victim]


def misspelt(chance: random.Random, text: str) -> str:
    """In every other word of four signs or more two of them change places."""
    said = []
    for word in text.split():
        at = chance.randrange(1, len(word) - 2) if len(word) > 3 and chance.random() < 0.5 else -1
        said.append(word if at < 0 else word[:at] + word[at + 1] + word[at] + word[at + 2 :])
    return " ".join(said)


def inserted(signs: str) -> Callable[[random.Random, str], str]:
    """One of these signs after every fourth."""
    return lambda chance, text: "".join(c + chance.choice(signs) if chance.random() < 0.25 else c for c in text)


def respaced(chance: random.Random, text: str) -> str:
    return "".join(chance.choice(("  ", "\n", "\t", "\u00a0", " ")) if c.isspace() else c for c in text)


def glued(chance: random.Random, text: str) -> str:
    """Every other space left out."""
    return "".join(c for c in text if not c.isspace() or chance.random() < 0.5)


def pieces(size: int) -> Attack:
    """Copies cut into rows of a few words."""

    def cut(chance: random.Random, victim: Rows, other: Rows, words: Rows) -> Rows:
        said = [text.split() for text in victim]
        return [" ".join(own[k : k + size]) for own in said for k in range(0, len(own), size)]

    return cut


def letters(chance: random.Random, words: Rows) -> str:
    return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz ,.", k=260))


def mixed(chance: random.Random, words: Rows) -> str:
    """A third each of random words, random letters, rare signs."""
    signs = "".join(chance.choices(SIGNS, k=20))
    return " ".join([*chance.choices(words, k=15), letters(chance, words)[:80], signs])


def loud(chance: random.Random, victim: Rows, other: Rows, words: Rows) -> Rows:
    """Rare signs after every fourth random word: large gradients."""
    found = []
    for _ in victim:
        said = chance.choices(words, k=40)
        found.append(" ".join(w if n % 4 else w + chance.choice(SIGNS) * 2 for n, w in enumerate(said)))
    return found


def chained(chance: random.Random, victim: Rows, other: Rows, words: Rows) -> Rows:
    """Each word one that follows the word before it somewhere in the honest rows: a Markov chain."""
    return [_chain(chance, words) for _ in victim]


def _chain(chance: random.Random, said: Rows) -> str:
    following: dict[str, Rows] = {}
    for one, after in itertools.pairwise(said):
        following.setdefault(one, []).append(after)
    words = [chance.choice(said)]
    while len(words) < 45:
        words.append(chance.choice(following.get(words[-1], said)))
    return " ".join(words)


CICERO = """Sed ut perspiciatis, unde omnis iste natus error sit voluptatem accusantium doloremque laudantium, totam rem
aperiam eaque ipsa, quae ab illo inventore veritatis et quasi architecto beatae vitae dicta sunt, explicabo. Nemo enim
ipsam voluptatem, quia voluptas sit, aspernatur aut odit aut fugit, sed quia consequuntur magni dolores eos, qui ratione
voluptatem sequi nesciunt, neque porro quisquam est, qui dolorem ipsum, quia dolor sit amet consectetur adipisci velit,
sed quia non numquam eius modi tempora incidunt, ut labore et dolore magnam aliquam quaerat voluptatem. Ut enim ad
minima veniam, quis nostrum exercitationem ullam corporis suscipit laboriosam, nisi ut aliquid ex ea commodi
consequatur? Quis autem vel eum iure reprehenderit, qui in ea voluptate velit esse, quam nihil molestiae consequatur,
vel illum, qui dolorem eum fugiat, quo voluptas nulla pariatur? At vero eos et accusamus et iusto odio dignissimos
ducimus, qui blanditiis praesentium voluptatum deleniti atque corrupti, quos dolores et quas molestias excepturi sint,
obcaecati cupiditate non provident, similique sunt in culpa, qui officia deserunt mollitia animi, id est laborum et
dolorum fuga. Et harum quidem rerum facilis est et expedita distinctio."""
SIGNS = "ŒßÐþ€¥§¶µΩЖЩфђ"
LIKENESS = str.maketrans("aceopxyiACEHKMOPTX", "асеорхуіАСЕНКМОРТХ")
"""Latin letters and the Cyrillic ones that look the same."""
COPIES: dict[str, Attack] = {
    "copy": lambda chance, victim, other, words: list(victim),
    "copy by 3 sybils": lambda chance, victim, other, words: victim * 3,
    "paraphrase 10 %": paraphrase(10),
    "paraphrase 20 %": paraphrase(5),
    "noise around a copy": around,
    "sentences in another order": sentences,
    "two halves": mosaic,
    "case": disguised(lambda chance, text: "".join(chance.choice((c.upper(), c.lower())) for c in text)),
    "white space": disguised(respaced),
    "spaces left out": disguised(glued),
    "zero-width signs": disguised(inserted("\u200b\u200c\u200d\u2060\u00ad\ufeff")),
    "combining marks": disguised(inserted("\u0301\u0323\u0336\u034f")),
    "letters that look alike": disguised(lambda chance, text: text.translate(LIKENESS)),
    "letters that change places": disguised(misspelt),
    "30 % by dictionary": dictionary(0.3),
    "pieces of 6 words": pieces(6),
}
GARBAGE: dict[str, Attack] = {
    "random words": garbage(lambda chance, words: " ".join(chance.choices(words, k=45))),
    "random letters": garbage(letters),
    "one word": garbage(lambda chance, words: " ".join([chance.choice(words)] * 50)),
    "another language": garbage(lambda chance, words: " ".join(chance.choices(CICERO.split(), k=45))),
    "rare signs": garbage(lambda chance, words: "".join(chance.choices(SIGNS, k=60))),
    "shuffled words": shuffled,
    "stirred words": stirred,
    "mixture": garbage(mixed),
    "loud words": loud,
    "words as often as said": garbage(lambda chance, said: " ".join(chance.choices(said, k=45))),
    "chained words": chained,
    "numbers": garbage(lambda chance, words: " ".join(str(chance.randrange(10**4)) for _ in range(40))),
}
GARBAGE |= WRITTEN | MADE
AS_SAID = ("words as often as said", "chained words", *MADE)
"""These are given all words as the honest rows say them, the others each word once."""
ATTACKS = COPIES | GARBAGE
LOOSE = {
    "letters that change places": 0.03,
    "30 % by dictionary": 0.03,
    "all words by dictionary": 0.06,
    "an invented language": 0.06,
}
"""Those that the rule does not find, and a bound on what they were seen to earn (docs/lab/attacks.md)."""


@dataclass
class Bench:
    """One corpus and seed, and how its models are trained."""

    corpus: str
    seed: int
    rows: int = 16
    epochs: int = 4
    context: int = 64
    cache: Path | None = None

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        people = CORPORA[self.corpus](chance)
        self.people = [person[: self.rows] for person in people]
        self.honest = [text for person in self.people for text in person]
        self.groups = np.repeat(np.arange(len(people)), self.rows)
        queries = [text for person in people for text in person[-2:]]
        chance.shuffle(queries)
        self.queries = queries[:QUERIES]
        self.words = sorted({word for text in self.honest for word in text.split()})

    def attacker(self, name: str) -> Rows:
        """The rows of an attack, the same whenever asked."""
        at = VICTIM + (list(COPIES).index(name) if name in COPIES else 0)  # copies of other rows each
        victim, other = (self.people[(at + step) % len(self.people)] for step in (0, 1))
        words = [word for text in self.honest for word in text.split()] if name in AS_SAID else self.words
        return ATTACKS[name](random.Random(f"{self.seed} {name}"), victim, other, words)

    def scored(self, texts: Sequence[str], groups: np.ndarray, seed: int) -> Scores:
        """Train on the texts; scores [queries, rows] by method."""
        told = [list(texts), self.queries, groups.tolist(), seed, self.epochs, self.context]
        name = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24] + ".npz"
        if self.cache and (self.cache / name).exists():
            return dict(np.load(self.cache / name))
        made = trained(texts, self.queries, groups, seed, size=Size(epochs=self.epochs, context=self.context))
        path = attribute(made.model, losses, made.train, made.query, made.groups, made.run)
        found = dict(zip(METHODS, (path, gradient_dot(made).astype(np.float64)), strict=True))
        if self.cache:
            np.savez(self.cache / name, **found)
        return found


def pay(scores: np.ndarray, groups: np.ndarray, texts: Sequence[str]) -> np.ndarray:
    """Shares by the product's rule, rows committed in their order."""
    return rewards(scores, groups, np.arange(len(texts)), texts)


def plain(scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Shares by the plain rule."""
    rows = np.maximum((scores / np.abs(scores).sum(axis=1, keepdims=True)).mean(axis=0), 0.0)
    return np.bincount(groups, rows)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of ranks."""
    return float(np.corrcoef(*(np.argsort(np.argsort(x)) for x in (one, other)))[0, 1])


def attacked(bench: Bench, names: Sequence[str], alone: Scores) -> None:
    """One training with these attackers; a line for each and method."""
    rows = {name: bench.attacker(name) for name in names}
    people, honest = len(bench.people), len(bench.honest)
    texts = [*bench.honest, *(text for own in rows.values() for text in own)]
    own = [(name, number) for name, own in rows.items() for number in range(len(own))]
    sybils = {key: n for n, key in enumerate(dict.fromkeys((name, k // bench.rows) for name, k in own))}
    groups = np.concatenate([bench.groups, [people + sybils[name, k // bench.rows] for name, k in own]]).astype(int)
    scores = bench.scored(texts, groups, bench.seed)
    for name in names:
        kept = np.array([*range(honest), *(honest + n for n, (whose, _) in enumerate(own) if whose == name)])
        for method, table in scores.items():
            some = (table[:, kept], groups[kept])
            without = pay(table[:, :honest], bench.groups, bench.honest)
            shares, simple = pay(*some, [texts[k] for k in kept]), plain(*some)
            lost = [float(s[people:].sum() / s.sum()) * 100 for s in (simple, shares)]
            trained_alone = pay(alone[method], bench.groups, bench.honest)
            order = [correlation(shares[:people], x) for x in (without, trained_alone)]
            print(f"| {name:<20} | {method:<12} | {lost[0]:4.1f} % | {lost[1]:5.2f} % | {order[0]:5.2f} |"
                  f" {order[1]:5.2f} |", flush=True)  # fmt: skip


def inflated(bench: Bench, alone: Scores) -> None:
    """Who multiplies his scores, of all his rows or of one: what his part of the pay grows by at most. How far the pay
    follows plain signed sums stands beside it."""
    for method, table in alone.items():
        before = pay(table, bench.groups, bench.honest)
        gains: dict[str, list[float]] = {"all": [], "one": []}
        for person, factor in itertools.product(range(len(bench.people)), (3, 100, 1000)):
            for what, rows in (("all", np.flatnonzero(bench.groups == person)), ("one", [person * bench.rows])):
                louder = table.copy()
                louder[:, rows] *= factor
                after = pay(louder, bench.groups, bench.honest)
                gains[what].append(float(after[person] / after.sum() - before[person] / before.sum()) * 100)
        told = ", ".join(f"{what} rows: {max(own):.2f} %, median {np.median(own):.2f} %" for what, own in gains.items())
        signed = np.bincount(bench.groups, (table / np.abs(table).sum(axis=1, keepdims=True)).mean(axis=0))
        print(
            f"scores times 3 to 1000, {method}: {told}; order of signed sums: {correlation(before, signed):.2f}",
            flush=True,
        )


def split(bench: Bench, alone: Scores, person: int = VICTIM, identities: int = 5) -> None:
    """The same rows, one contributor's under several names, scores retaken."""
    mine = np.flatnonzero(bench.groups == person)
    groups = bench.groups.copy()
    groups[mine] = np.where(np.arange(len(mine)) % identities, groups.max() + np.arange(len(mine)) % identities, person)
    again = bench.scored(bench.honest, groups, bench.seed)
    for method, table in alone.items():
        whole = [pay(t, bench.groups, bench.honest) for t in (table, again[method])]
        before, after = (float(shares[person] / shares.sum()) for shares in whole)
        change = (after / before - 1) * 100 if before else float("nan")
        print(f"split over {identities}, {method}: {100 * before:.2f} % -> {100 * after:.2f} % of all pay,"
              f" {change:+.1f} % of itself", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", choices=CORPORA, default="speeches")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="attacks, by comma, and 'inflated', 'split', 'noise'; default: all")
    parser.add_argument("--together", action="store_true", help="all attackers in one training")
    parser.add_argument("--rows", type=int, default=16, help="of a contributor")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--context", type=int, default=64, help="tokens of a row")
    parser.add_argument("--cache", type=Path, help="folder that keeps scores")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.cache:
        args.cache.mkdir(parents=True, exist_ok=True)
    bench = Bench(args.corpus, args.seed, args.rows, args.epochs, args.context, args.cache)
    chosen = args.only.split(",") if args.only else [*ATTACKS, "inflated", "split", "noise"]
    names = [name for name in chosen if name in ATTACKS]
    print(f"{args.corpus}, seed {args.seed}: {len(bench.honest)} rows of {len(bench.people)} contributors")
    alone = bench.scored(bench.honest, bench.groups, bench.seed)
    print("| attack | method | plain | rule | order, columns left out | order, trained without |")
    print("| --- " * 6 + "|")
    for some in [names] if args.together and names else [[name] for name in names]:
        attacked(bench, some, alone)
    if "inflated" in chosen:
        inflated(bench, alone)
    if "split" in chosen:
        split(bench, alone)
    if "noise" in chosen:
        other = bench.scored(bench.honest, bench.groups, bench.seed + 1000)
        for method, table in alone.items():
            shares = [pay(t, bench.groups, bench.honest) for t in (table, other[method])]
            print(f"order by another seed, {method}: {correlation(*shares):.2f}")


if __name__ == "__main__":
    main()
