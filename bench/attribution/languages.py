"""What the comparison of texts takes from honest people, in any language, and what it finds of garbage made of theirs.

    .venv/bin/python bench/attribution/languages.py FOLDER [--rows 12] [--seed 1]

Each file of the folder is a contributor (UTF-8), each paragraph of at least 120 signs a row, cut to 420; with wide
signs (Chinese, Japanese, Thai) a third of that. No scores, no training: printed is what part of the rows is known or no
language, the contributor who loses most, and what is kept of 20 rows that are added last.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from openledger.attribution_oracle.known import known_parts
from openledger.attribution_oracle.near import WIDE

LEAST, MOST, ADDED = 120, 420, 20


def rows(path: Path) -> list[str]:
    """Paragraphs of a file, long enough, each once."""
    found = []
    for part in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
        text = " ".join(part.split())
        smaller = 3 if 3 * len(WIDE.findall(text)) > len(text) else 1
        if len(text) >= LEAST // smaller:
            found.append(text[: MOST // smaller])
    return list(dict.fromkeys(found))


def shuffled(chance: random.Random, text: str) -> str:
    """Words, or wide signs, in another order."""
    apart = WIDE.sub(r" \1 ", text).split()
    chance.shuffle(apart)
    return ("" if WIDE.search(text) else " ").join(apart)


ADDITIONS: dict[str, Callable[[random.Random, str], str]] = {
    "copies": lambda chance, text: text,
    "copies without spaces": lambda chance, text: "".join(text.split()),
    "words shuffled": shuffled,
    "letters shuffled": lambda chance, text: "".join(chance.sample(text, len(text))),
}


def lost(texts: list[str]) -> np.ndarray:
    """Percent of each row that is not its own."""
    return np.array([known.ppm for known in known_parts(texts, range(len(texts)))]) / 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=12, help="of a contributor")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    people = [own[: args.rows] for path in sorted(args.folder.iterdir()) if len(own := rows(path)) >= args.rows]
    if not people:
        parser.error(f"no file of {args.folder} has {args.rows} paragraphs of {LEAST} signs: name a folder of texts")
    texts = [text for own in people for text in own]
    honest = lost(texts)
    each = honest.reshape(len(people), args.rows).mean(axis=1)
    print(
        f"{len(people)} contributors, {len(texts)} rows: {honest.mean():.1f} % lost, who loses most {each.max():.1f} %"
    )
    for name, change in ADDITIONS.items():
        added = [change(chance, text) for text in chance.choices(texts, k=ADDED)]
        print(f"{name}: {100 - lost(texts + added)[len(texts) :].mean():.0f} % kept")


if __name__ == "__main__":
    main()
