"""Rows in a writing of one's own, and rows made by machine: more attacks for ``attacks.py``.

What is written here is a copy to whoever knows how, and new words to a comparison of words; or text that chains of
letters and words say.
"""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Callable, Sequence

Rows = list[str]
Attack = Callable[[random.Random, Rows, Rows, Rows], Rows]
Write = Callable[[random.Random], Callable[[str], str]]
LETTERS = string.ascii_lowercase
SOUND = str.maketrans(
    {**dict(zip("abcdefghijklmnopqrstuvwxyz", "абкдефгхийклмнопкрстуввксз", strict=True)),
     **dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "АБКДЕФГХИЙКЛМНОПКРСТУВВКСЗ", strict=True))}
)  # fmt: skip
DIGITS = str.maketrans("aeiostAEIOST", "431057431057")


def written(write: Write) -> Attack:
    """A copy written in another way, the same for all rows."""

    def copied(chance: random.Random, victim: Rows, other: Rows, words: Rows) -> Rows:
        put = write(chance)
        return [put(text) for text in victim]

    return copied


def by_word(change: Callable[[random.Random, str], str]) -> Write:
    return lambda chance: lambda text: " ".join(change(chance, word) for word in text.split())


def exchanged(said: str, meant: str) -> Callable[[str], str]:
    table = str.maketrans(said + said.upper(), meant + meant.upper())
    return lambda text: text.translate(table)


def shifted(chance: random.Random) -> Callable[[str], str]:
    """Caesar's cipher."""
    by = chance.randrange(1, 26)
    return exchanged(LETTERS, LETTERS[by:] + LETTERS[:by])


def substituted(chance: random.Random) -> Callable[[str], str]:
    return exchanged(LETTERS, "".join(chance.sample(LETTERS, 26)))


def keyed(chance: random.Random) -> Callable[[str], str]:
    """Vigenère's cipher: each letter shifted by one of seven numbers in turn."""
    key = [chance.randrange(26) for _ in range(7)]

    def put(text: str) -> str:
        return "".join(
            chr((ord(c) - 97 + key[at % 7]) % 26 + 97) if c in LETTERS else c for at, c in enumerate(text.lower())
        )

    return put


def pig_latin(chance: random.Random, word: str) -> str:
    at = next((n for n, sign in enumerate(word) if sign.lower() in "aeiou"), 0)
    return word[at:] + word[:at] + "ay"


def by_dictionary(chance: random.Random, victim: Rows, other: Rows, words: Rows) -> Rows:
    """Every word by another one, the same for the same."""
    said = sorted({word for text in victim for word in text.split()})
    meant = dict(zip(said, chance.choices(words, k=len(said)), strict=True))
    return [" ".join(meant[word] for word in text.split()) for text in victim]


def sentences_of_both(chance: random.Random, victim: Rows, other: Rows, words: Rows) -> Rows:
    """Pieces of ten words of two contributors' rows, in any order."""
    pieces = [" ".join(said[at : at + 10]) for text in victim + other for said in [text.split()]
              for at in range(0, len(said), 10)]  # fmt: skip
    chance.shuffle(pieces)
    return [" ".join(pieces[number :: len(victim)]) for number in range(len(victim))]


def chain(size: int, letters: bool) -> Attack:
    """Letters, or words, each one that has followed the ``size`` before it in the honest rows."""

    def said(chance: random.Random, victim: Rows, other: Rows, words: Rows) -> Rows:
        parts: Sequence[str] = " ".join(words) if letters else words
        following: dict[tuple[str, ...], Rows] = {}
        for at in range(len(parts) - size):
            following.setdefault(tuple(parts[at : at + size]), []).append(parts[at + size])
        starts, found = list(following), []
        for _ in victim:
            row = list(chance.choice(starts))
            while len(row) < (260 if letters else 45):
                row.append(chance.choice(following.get(tuple(row[-size:])) or [chance.choice(parts)]))
            found.append(("" if letters else " ").join(row))
        return found

    return said


def invented(chance: random.Random, victim: Rows, other: Rows, words: Rows) -> Rows:
    """A language that nobody speaks: 150 words of its own, some of them often, some after each other."""
    made = ["".join(chance.choice("bdfgklmnprstvz") + chance.choice("aeiou") for _ in range(chance.randint(1, 4)))
            for _ in range(150)]  # fmt: skip
    after = {word: chance.sample(made, 6) for word in made}
    rows = []
    for _ in victim:
        row = [chance.choice(made)]
        while len(row) < 45:
            row.append(chance.choice(after[row[-1]] if chance.random() < 0.8 else made[:20]))
        rows.append(" ".join(row))
    return rows


WRITTEN: dict[str, Attack] = {
    "shifted letters": written(shifted),
    "letters by others": written(substituted),
    "letters by a key": written(keyed),
    "digits for letters": written(lambda chance: lambda text: text.translate(DIGITS)),
    "letters by sound": written(lambda chance: lambda text: text.translate(SOUND)),
    "vowels exchanged": written(lambda chance: exchanged("aeiou", "eioua")),
    "words written backwards": written(by_word(lambda chance, word: word[::-1])),
    "rows written backwards": written(lambda chance: lambda text: text[::-1]),
    "a letter after every word": written(by_word(lambda chance, word: word + "x")),
    "any letter after every word": written(by_word(lambda chance, word: word + chance.choice(LETTERS))),
    "a letter before every word": written(by_word(lambda chance, word: "q" + word)),
    "every letter twice": written(lambda chance: lambda text: "".join(sign * 2 for sign in text)),
    "a space after every letter": written(lambda chance: lambda text: " ".join(text.replace(" ", ""))),
    "pig latin": written(by_word(pig_latin)),
    "letters of words stirred": written(by_word(lambda chance, word: "".join(chance.sample(word, len(word))))),
    "base64": written(lambda chance: lambda text: base64.b64encode(text.encode()).decode()),
    "all words by dictionary": by_dictionary,
    "pieces of two": sentences_of_both,
    "two rows in one": lambda chance, victim, other, words: [
        f"{one} {two}" for one, two in zip(victim, other, strict=True)
    ],
}
MADE: dict[str, Attack] = {
    "letters chained by two": chain(2, True),
    "letters chained by three": chain(3, True),
    "letters chained by four": chain(4, True),
    "letters chained by five": chain(5, True),
    "words chained by two": chain(2, False),
    "an invented language": invented,
}
