"""What people are shown beside an answer: spans word by word, rows about the same things; nobody is paid for it."""

from __future__ import annotations

import random
import re

import pytest

np = pytest.importorskip("numpy")

from openledger.attribution_oracle import spans  # noqa: E402
from openledger.attribution_oracle.evidence import NOTE, Evidence, Likeness  # noqa: E402

ROWS = [
    "The cat sat on the mat, and the dog looked on.",
    "On Tuesday the cat sat on the mat again; nobody minded.",
    "Iron and copper are mined in the north of the country.",
]


def brute_force(answer: str, texts: list[str], shortest: int) -> list[tuple[str, int, int]]:
    """(words, times, row of the first) of the longest spans, without any index."""
    cut, rows = re.findall(r"\w+|[^\w\s]", answer), [re.findall(r"\w+|[^\w\s]", t) for t in texts]
    found, end = [], 0
    for at in range(len(cut)):
        for size in range(len(cut) - at, shortest - 1, -1):
            hits = [
                r for r, row in enumerate(rows) for i in range(len(row)) if row[i : i + size] == cut[at : at + size]
            ]
            if hits:
                if at + size > end:
                    end = at + size
                    found.append((" ".join(cut[at:end]), len(hits), hits[0]))
                break
    return found


def test_the_longest_span_is_found_where_it_stands() -> None:
    """White space does not count, capitals do: each row has one of two overlapping spans."""
    answer = "They say the cat  sat on the mat, or somewhere"
    (found,) = spans.find_spans([answer], ROWS)
    assert [(answer[s.begin : s.end], s.words, s.count) for s in found] == [
        ("the cat  sat on the mat", 6, 1),
        ("cat  sat on the mat,", 6, 1),
    ]
    first, second = (s.places[0] for s in found)
    assert (first.row, ROWS[1][first.begin : first.end]) == (1, "the cat sat on the mat")
    assert (second.row, ROWS[0][second.begin : second.end]) == (0, "cat sat on the mat,")


@pytest.mark.parametrize("seed", range(8))
def test_spans_are_those_of_a_search_without_an_index(seed: int) -> None:
    chance = random.Random(seed)
    words = ["a", "b", "c", "A", ",", "éa"]
    texts = [" ".join(chance.choices(words, k=chance.randrange(30))) for _ in range(12)]
    answers = [" ".join(chance.choices(words, k=chance.randrange(20))) for _ in range(3)]
    for block in (1, 40, 10**6):  # one row at a time, a few, all
        for answer, found in zip(answers, spans.find_spans(answers, texts, 2, block), strict=True):
            told = [
                (" ".join(re.findall(r"\w+|[^\w\s]", answer[s.begin : s.end])), s.count, s.places[0].row) for s in found
            ]
            assert told == brute_force(answer, texts, 2)


def test_a_span_never_runs_from_one_row_into_the_next() -> None:
    assert spans.find_spans(["looked on . On Tuesday the"], ROWS, 5) == [[]]


def test_one_word_said_again_and_again_is_searched_for_in_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its words once asked for all that follow it, word by word, which took minutes."""
    searched, plain = [], spans._Block._range

    def counted(block: spans._Block, wanted: bytes, length: int, low: int, high: int) -> tuple[int, int]:
        searched.append(length)
        return plain(block, wanted, length, low, high)

    monkeypatch.setattr(spans._Block, "_range", counted)
    (found,) = spans.find_spans(["a " * 3_000], ["a " * 20_000, "a b " * 10_000])
    assert [(s.words, s.count) for s in found] == [(3_000, 17_001)]
    assert len(searched) <= 40


def test_the_suffix_array_is_the_sorted_suffixes() -> None:
    words = np.array([2, 1, 2, 1, 2, 0, 2, 1, 0])
    wanted = sorted(range(len(words)), key=lambda i: words[i:].tolist())
    assert spans.suffix_array(words, 9).tolist() == wanted


def test_bm25_is_the_formula() -> None:
    """One word, held once by one row of three: idf ln(1 + 2.5 / 1.5) and the row's length against the mean."""
    texts = ["apple pear", "plum plum plum plum", "fig"]
    (best,) = Likeness(texts).best("apple", 5)
    mean = 7 / 3
    wanted = np.log(1 + 2.5 / 1.5) * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / mean))
    assert best.row == 0
    assert best.bm25 == pytest.approx(wanted)


def test_evidence_says_that_it_is_not_pay() -> None:
    shown = Evidence(ROWS, ["x", "y", "z"]).of([("Where is iron", " mined? In the north of the country, they say")])
    (found,) = shown
    assert found["note"] == NOTE
    assert "not pay" in NOTE
    assert found["spans"][0]["text"] == "the north of the country"
    assert found["spans"][0]["places"] == [{"row": 2, "owner": "z", "begin": 29, "end": 53}]
    assert found["similar"][0]["row"] == 2


@pytest.mark.parametrize("texts", [[], [""], ["   "]])
def test_nothing_is_found_in_nothing(texts: list[str]) -> None:
    assert (
        Evidence(texts, ["x"] * len(texts)).of([("a b", "c d e f g"), ("", "")], shortest=2)
        == [{"note": NOTE, "spans": [], "similar": []}] * 2
    )
