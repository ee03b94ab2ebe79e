"""What attackers earn: real trainings with the attackers' rows among the honest ones, real scores, the pay rule.

    .venv/bin/python bench/attribution/attacks.py [--corpus speeches] [--seed 1] [--only copy,mosaic]

For each attack a rank-4 adapter of the built-in base is trained anew on 16 rows of each honest contributor and 16 or
more of the attacker, who commits last. Scores are the method's for held-out documents. "plain" divides each answer's
scores by the sum of their absolute values, sums over the answers and clips per row; "rule" is the product's.
Printed are the attacker's part of all pay, and the rank correlation of the honest contributors' pay with that of the
same training and scores when the attacker's columns are left out. A line takes about half a minute of one core.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable

import numpy as np
import torch
from corpora import CORPORA, Rows

from openledger.attribution_oracle import influence, lora
from openledger.attribution_oracle.bases import load_base
from openledger.attribution_oracle.bench import rewards
from openledger.attribution_oracle.ports import silent
from openledger.attribution_oracle.train import Settings, train

ROWS, QUERIES, LENGTH, VICTIM = 16, 24, 260, 2
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


def around(chance: random.Random, victim: Rows, other: Rows, words: Rows) -> Rows:
    return [" ".join([*chance.sample(words, 8), text, *chance.sample(words, 8)]) for text in victim]


def mosaic(chance: random.Random, victim: Rows, other: Rows, words: Rows) -> Rows:
    return [a[: len(a) // 2] + " " + b[: len(b) // 2] for a, b in zip(victim, other, strict=True)]


LATIN = """lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore
magna aliqua enim minim veniam quis nostrud exercitation ullamco laboris nisi aliquip ex ea commodo consequat"""
SIGNS = "ŒßÐþ€¥§¶µΩЖЩфђ"
ATTACKS: dict[str, Attack] = {
    "copy": lambda chance, victim, other, words: list(victim),
    "copy by 3 sybils": lambda chance, victim, other, words: victim * 3,
    "paraphrase 10 %": paraphrase(10),
    "paraphrase 20 %": paraphrase(5),
    "noise around a copy": around,
    "two halves": mosaic,
    "random words": garbage(lambda chance, words: " ".join(chance.choices(words, k=45))),
    "random letters": garbage(lambda chance, words: "".join(chance.choices("abcdefghijklmnopqrstuvwxyz ,.", k=LENGTH))),
    "one word": garbage(lambda chance, words: " ".join([chance.choice(words)] * 50)),
    "another language": garbage(lambda chance, words: " ".join(chance.choices(LATIN.split(), k=45))),
    "rare signs": garbage(lambda chance, words: "".join(chance.choices(SIGNS, k=60))),
}


def scored(texts: Rows, queries: Rows, seed: int) -> np.ndarray:
    """Train on the texts; the method's scores of all rows for the queries: [queries, rows]."""
    base, settings = load_base(), Settings(epochs=3, batch=8, lr=4e-3, warmup=4, lora=lora.LoraSettings(4, 8.0))
    trained = train(base, texts, seed, settings, silent)
    run = influence.Run.of(base, settings, trained.tensors, trained.receipt, texts)
    index = influence.make_index(run)
    method = influence.method(index.method)
    return np.stack([index.dot(method.answer_vector(run, q[:60], q[60:])) for q in queries])


def plain(scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Pay of the plain rule by contributor."""
    rows = np.maximum((scores / np.abs(scores).sum(axis=1, keepdims=True)).mean(axis=0), 0.0)
    return np.bincount(groups, rows)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of ranks."""
    return float(np.corrcoef(*(np.argsort(np.argsort(x)) for x in (one, other)))[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description="What attackers earn, by attack.")
    parser.add_argument("--corpus", choices=CORPORA, default="speeches")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="Attacks, by comma.")
    args = parser.parse_args()
    torch.set_num_threads(1)
    chance = random.Random(args.seed)
    people = [[text[:LENGTH] for text in person] for person in CORPORA[args.corpus](chance)]
    honest = [text for person in people for text in person[:ROWS]]
    queries = [text for person in people for text in person[ROWS : ROWS + 3]]
    chance.shuffle(queries)
    words = sorted({word for text in honest for word in text.split()})
    victim, other = people[VICTIM][:ROWS], people[VICTIM + 1][:ROWS]
    print(f"{args.corpus}, seed {args.seed}, {influence.DEFAULT_METHOD}")
    print(f"| {'attack':<20} | plain  | rule   | order | seconds |\n| --- | --- | --- | --- | --- |")
    for name in args.only.split(",") if args.only else ATTACKS:
        began, bad = time.monotonic(), ATTACKS[name](chance, victim, other, words)
        texts = honest + bad
        groups = np.repeat(np.arange(len(people)), ROWS)
        groups = np.concatenate([groups, len(people) + np.arange(len(bad)) // ROWS])
        scores, order = scored(texts, queries[:QUERIES], args.seed), np.arange(len(texts))
        before = rewards(scores[:, : len(honest)], groups[: len(honest)], order[: len(honest)], honest)
        shares, simple = rewards(scores, groups, order, texts), plain(scores, groups)
        lost = [float(s[len(people) :].sum() / s.sum()) * 100 for s in (simple, shares)]
        same = correlation(shares[: len(people)], before)
        seconds = time.monotonic() - began
        print(f"| {name:<20} | {lost[0]:4.1f} % | {lost[1]:4.1f} % | {same:5.2f} | {seconds:7.0f} |", flush=True)


if __name__ == "__main__":
    main()
