"""Texts written in other signs, and texts that a chain of letters or words has said, among real paragraphs."""

from __future__ import annotations

import random
import string
import time
import unicodedata
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openledger.attribution_oracle.chains import Chains
from openledger.attribution_oracle.forms import written
from openledger.attribution_oracle.known import known_parts
from openledger.attribution_oracle.mosaics import Mosaics
from openledger.attribution_oracle.near import FirstCommits, words_of
from openledger.attribution_oracle.plain import normal, plain_of

EACH, HONEST = 12, 120
LETTERS = string.ascii_lowercase
OTHERS = "".join(random.Random(1).sample(LETTERS, 26))


def exchanged(said: str, meant: str) -> Callable[[str], str]:
    return lambda text: text.translate(str.maketrans(said + said.upper(), meant + meant.upper()))


def by_word(change: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: " ".join(change(word) for word in text.split())


def strewn(text: str, signs: str) -> str:
    chance = random.Random(text)
    return "".join(sign + chance.choice(["", *signs]) for sign in text)


def without_vowels(text: str) -> str:
    return "".join(sign for sign in text if sign not in "aeiou")


shifted = exchanged(LETTERS, LETTERS[3:] + LETTERS[:3])
WRITTEN: dict[str, Callable[[str], str]] = {
    "letters shifted": shifted,
    "letters by others": exchanged(LETTERS, OTHERS),
    "digits for letters": exchanged("aeiost", "431057"),
    "vowels exchanged": exchanged("aeiou", "eioua"),
    "letters by sound": exchanged("abcdefghijklmnopqrstuvwxyz", "абкдефгхийклмнопкрстуввксз"),
    "vowels left out": without_vowels,
    "words backwards": by_word(lambda word: word[::-1]),
    "rows backwards": lambda text: text[::-1],
    "a letter after": by_word(lambda word: word + "x"),
    "a letter before": by_word(lambda word: "q" + word),
    "letters twice": lambda text: "".join(sign * 2 for sign in text),
    "pig latin": by_word(lambda word: word[1:] + word[0] + "ay"),
    "letters shifted, and fillers": lambda text: strewn(shifted(text), "\u115f\u1160\u0301\u200b"),
    "letters shifted, and newer signs": lambda text: strewn(shifted(text), "\U00031350\u0ece"),
    "as HTML": lambda text: "".join(f"&#{ord(sign)};" if at % 3 else sign for at, sign in enumerate(text)),
    "as HTML of HTML": lambda text: "".join(
        f"&amp;#x{ord(sign):x};" if at % 3 else sign for at, sign in enumerate(text)
    ),
    "as JSON": lambda text: "".join(f"\\u{ord(sign):04x}" if at % 2 else sign for at, sign in enumerate(text)),
    "as of a URL": lambda text: "".join(
        f"%{byte:02X}" if at % 2 else chr(byte) for at, byte in enumerate(text.encode("ascii", "ignore"))
    ),
    "other words by a dictionary": by_word(
        lambda word: "".join(random.Random(word.strip(",.;:")).choices(LETTERS, k=7))
    ),
    "letters stirred": by_word(lambda word: "".join(random.Random(word).sample(word, len(word)))),
}


@pytest.fixture(scope="module")
def paragraphs() -> list[str]:
    with np.load(Path(__file__).with_name("attacked_speeches.npz"), allow_pickle=False) as file:
        found: list[str] = file["texts"].tobytes().decode().split("\n\n")[:HONEST]
    return found


@pytest.mark.parametrize("way", WRITTEN)
def test_a_copy_in_other_signs_is_a_copy_of_the_row_that_it_was_made_of(paragraphs: list[str], way: str) -> None:
    copies = [WRITTEN[way](text) for text in paragraphs[24:36]]
    found = known_parts([*paragraphs, *copies], range(HONEST + EACH))[HONEST:]
    assert np.mean([part.ppm for part in found]) >= 950_000
    assert all(max(part.sources, key=lambda s: s[1])[0] == 24 + n for n, part in enumerate(found) if part.sources)
    assert sum(bool(part.sources) for part in found) >= EACH - 2


@pytest.mark.parametrize("words", [1, 2, 4])
def test_two_rows_in_turns_are_a_copy_of_both_or_pieces_of_both(paragraphs: list[str], words: int) -> None:
    mixed = []
    for number in range(24, 36):
        first, second = (paragraphs[n].split()[:44] for n in (number, number + 20))
        starts = range(0, 44, words)
        mixed.append(" ".join(word for at in starts for part in (first, second) for word in part[at : at + words]))
    found = known_parts([*paragraphs, *mixed], range(HONEST + EACH))[HONEST:]
    assert min(part.ppm for part in found) >= 950_000
    for number, part in enumerate(found, 24):
        assert words == 2 or {number, number + 20} <= {row for row, _ in part.sources}


def test_signs_escaped_again_and_again_are_looked_at_so_often_and_no_further() -> None:
    text = "a"
    for _ in range(3):
        text = "".join(f"&#{ord(sign)};" for sign in text)
    assert plain_of(text) == "a"
    assert plain_of("".join(f"&#{ord(sign)};" for sign in text)) == "&#97;"
    assert plain_of(r"\ud83d\ude00 \ud800 50%ff %zz &thing; &lt;") == "\U0001f600 \ufffd 50\ufffd %zz &thing; <"


@pytest.mark.parametrize("escape", [r"\u", r"\x", "%"])
def test_digits_of_other_scripts_are_no_escape(escape: str) -> None:
    """They are no code: such a row ended every look at its datanet."""
    text = escape + "\u0661\u0662\u0663\u0664"
    assert plain_of(text) == text


def test_what_follows_a_template_is_nobodys_copy_in_other_signs() -> None:
    chance, first = random.Random(2), FirstCommits()
    names = ["Anna", "Boris", "Greta", "Jonas", "Pavel", "Quinn"]
    for row in range(60):
        city = "".join(chance.choices(LETTERS, k=6))
        text = f"{chance.choice(names)} of {city}: born {chance.randrange(1900, 2000)}, " + ", ".join(
            f"{what} {chance.randrange(10, 99)}"
            for what in ("height", "weight", "pulse", "size of shoes", "age at school")
        )
        assert not any(owners for owners, _ in first._forms.known(written(plain_of(text), words_of(text)))), row
        first.add(row, text)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(LETTERS, min_size=1, max_size=12), min_size=12, max_size=30), st.permutations(list(LETTERS)))
def test_no_exchange_of_letters_nor_what_is_added_to_every_word_changes_the_form(
    words: list[str], meant: Sequence[str]
) -> None:
    forms = [form for _, form in written(" ".join(words), words).forms]
    other = exchanged(LETTERS, "".join(meant))
    for change in (other, lambda word: word + "zz", lambda word: word * 2, lambda word: word[::-1]):
        assert [form for _, form in written(" ".join(map(change, words)), words).forms] == forms
    assert [form for _, form in written(" ".join(words[::-1]), words).forms] == forms[::-1]


def chain(texts: Sequence[str], size: int, letters: bool, seed: int) -> list[str]:
    """Each letter, or word, one that has followed the ``size`` before it."""
    chance, following = random.Random(seed), dict[tuple[str, ...], list[str]]()
    parts: Sequence[str] = " ".join(texts) if letters else " ".join(texts).split()
    for at in range(len(parts) - size):
        following.setdefault(tuple(parts[at : at + size]), []).append(parts[at + size])
    rows = []
    for _ in range(EACH):
        row = list(chance.choice(list(following)))
        while len(row) < (260 if letters else 45):
            row.append(chance.choice(following.get(tuple(row[-size:]), list(parts))))
        rows.append(("" if letters else " ").join(row))
    return rows


@pytest.mark.parametrize(("size", "letters"), [(2, True), (3, True), (4, True), (5, True), (1, False)])
def test_what_a_chain_of_letters_or_words_has_said_is_nobodys(paragraphs: list[str], size: int, letters: bool) -> None:
    rows = chain(paragraphs, size, letters, 5)
    found = np.array([part.ppm for part in known_parts([*paragraphs, *rows], range(HONEST + EACH))]) / 1e6
    assert found[HONEST:].mean() >= 0.85
    assert found[:HONEST].mean() <= 0.03


def mosaic(texts: Sequence[str], size: int, seed: int) -> list[str]:
    """Pieces of ``size`` words of any rows."""
    chance, rows, said = random.Random(seed), [], [text.split() for text in texts]
    for _ in range(EACH):
        row: list[str] = []
        while len(row) < 42:
            of = chance.choice(said)
            at = chance.randrange(max(1, len(of) - size))
            row += of[at : at + size]
        rows.append(" ".join(row))
    return rows


@pytest.mark.parametrize("size", [2, 3, 4, 5, 8])
def test_what_is_made_of_pieces_of_other_rows_is_nobodys_however_short_they_are(
    paragraphs: list[str], size: int
) -> None:
    rows = mosaic(paragraphs, size, size)
    found = np.array([part.ppm for part in known_parts([*paragraphs, *rows], range(HONEST + EACH))]) / 1e6
    assert found[HONEST:].mean() >= 0.97
    assert found[:HONEST].mean() <= 0.03


def test_words_in_other_words_places_are_strangers_to_each_other(paragraphs: list[str]) -> None:
    """Only some of the words, and some words for two: no pattern of theirs is left."""
    words = sorted({word.strip(",.;:").lower() for text in paragraphs for word in text.split()})
    places = dict(zip(words, random.Random(3).choices(words, k=len(words)), strict=True))
    chance = random.Random(4)
    rows = [
        " ".join(
            word for w in text.split() for word in (places.get(w.strip(",.;:").lower(), w),) if chance.random() < 0.8
        )
        for text in paragraphs[24:36]
    ]
    found = [part.ppm for part in known_parts([*paragraphs, *rows], range(HONEST + EACH))][HONEST:]
    assert np.mean(found) >= 850_000


def test_prose_after_many_forms_is_not_taken_for_strangers(paragraphs: list[str]) -> None:
    """Forms say the same again and again: what is usual there is not asked of prose."""
    chance = random.Random(8)
    forms = [
        f"Name: {chance.choice(LETTERS)}{n} Kind: form State: ready Owner: the office of the town Size: {n * 7}"
        for n in range(40)
    ]
    mosaics, mapped = Mosaics(), dict[str, int]()
    ids = [[mapped.setdefault(word, len(mapped)) for word in words_of(text)] for text in [*forms, *paragraphs]]
    taken = []
    for words in ids:
        ppm, put = mosaics.look(words)
        mosaics.add(put, ppm < 1_000_000)
        taken.append(ppm)
    assert np.mean(taken[len(forms) :]) <= 20_000


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), max_size=14), min_size=2, max_size=6))
def test_what_is_counted_of_a_mosaic_is_what_sets_of_runs_say(rows: list[list[int]]) -> None:
    mosaics = Mosaics()
    said = set[tuple[int, ...]]()
    for row in rows:
        _, put = mosaics.look(row)
        for size, bare in zip((2, 3, 4), put.bare, strict=True):
            covered = {
                at + n for at in range(len(row) - size + 1) if tuple(row[at : at + size]) in said for n in range(size)
            }
            assert bare == len(row) - len(covered)
        pairs = {(a, b) for a, b in pairwise(row) if (a,) in said and (b,) in said}
        assert (put.neighbours, put.met) == (len(pairs), len(pairs & said))
        mosaics.add(put, True)
        said |= {tuple(row[at : at + size]) for size in (1, 2, 3, 4) for at in range(len(row) - size + 1)}


def test_a_copy_of_a_row_that_a_chain_might_have_said_is_still_a_copy(paragraphs: list[str]) -> None:
    said = chain(paragraphs, 4, True, 6)
    found = known_parts([*paragraphs, *said, *said], range(HONEST + 2 * EACH))[HONEST + EACH :]
    assert all(part.ppm == 1_000_000 for part in found)


def test_where_words_have_no_order_no_chain_is_sought() -> None:
    chance = random.Random(7)
    words = ["".join(chance.choices(LETTERS, k=chance.randint(3, 9))) for _ in range(400)]
    texts = [" ".join(chance.choices(words, k=40)) for _ in range(120)]
    assert sum(part.ppm for part in known_parts(texts, range(120))) == 0


class Naive:
    """The same counts, with sets."""

    def __init__(self, longest: int) -> None:
        self.longest, self.said = longest, set[tuple[int, ...]]()

    def new(self, signs: Sequence[int]) -> list[int]:
        runs = {
            tuple(signs[at : at + size]) for size in range(1, self.longest + 1) for at in range(len(signs) - size + 1)
        }
        fresh = [run for run in runs if run not in self.said
                 and (len(run) == 1 or (run[1:] in self.said and run[:-1] in self.said))]  # fmt: skip
        self.said |= runs
        return [sum(len(run) == size for run in fresh) for size in range(self.longest + 1)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), max_size=30), max_size=12))
def test_new_runs_are_those_whose_shorter_parts_were_said_and_looking_changes_nothing(rows: list[list[int]]) -> None:
    chains, naive = Chains(5, (1, 3)), Naive(5)
    for row in rows:
        (ppm, looked), again = chains.look(row), chains.look(row)
        assert (ppm, looked[1]) == (again[0], again[1][1])
        assert 0 <= ppm <= 1_000_000
        assert looked[1] == naive.new(row)
        chains.add(looked, True)


@pytest.mark.parametrize(
    "row", ["a" + "\u0315" * 40_000 + "\u0316" * 40_000, "\u302e\u1baa" * 25_000], ids=["unseen", "seen"]
)
def test_marks_out_of_order_in_a_row_cost_no_square_of_their_number(paragraphs: list[str], row: str) -> None:
    began = time.process_time()
    known_parts([*paragraphs[:4], row], range(5))
    assert time.process_time() - began < 2.5


@settings(deadline=None, max_examples=200)
@given(
    st.text(
        st.sampled_from("aé\u0301\u0316\u0315ﬁ\u00a0\u2000 \n가\u1100\u1161か\u3099\ufdfa\u00a8中\u1baa"), max_size=300
    )
)
def test_the_words_of_a_text_are_in_the_normal_form_of_the_whole_text(text: str) -> None:
    for form in ("NFKC", "NFKD"):
        assert normal(form, text).split() == unicodedata.normalize(form, text).split()
