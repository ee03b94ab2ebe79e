"""A language that hardly anybody else speaks: its words are not known, but they are spelt as words are."""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openledger.attribution_oracle.known import known_parts
from openledger.attribution_oracle.spelling import elsewhere, numbered, spelt_alike

HONEST = 120
KOREAN = (
    "새침하게 흐린 품이 눈이 올 듯하더니 눈은 아니 오고 "
    "얼다가 만 비가 추적추적 내리었다. 이날이야말로 동소문 안에서 인력거꾼 "
    "노릇을 하는 김 첨지에게는 오래간만에도 닥친 운수 좋은",
    "날이었다. 문안에(거기도 문밖은 아니지만) 들어간답시는 앞집 마나님을 전찻길까지 모셔다 "
    "드린 것을 비롯으로 행여나 손님이 있을까 하고 정류장에서 어정어정하며 "
    "내리는 사람 하나하나에게 거의 비는 듯한 눈결을 보내고",
    "있다가 마침내 교원인 듯한 양복장이를 동광학교(東光學校)까지 태워다 주기로 되었다. "
    "첫번에 삼십 전, 둘째 번에 오십 전 - 아침 "
    "댓바람에 그리 흔치 않은 일이었다. 그야말로 재수가 옴붙어서",
    "근 열흘 동안 돈 구경도 못한 김 첨지는 십 "
    "전짜리 백통화 서 푼, 또는 다섯 푼이 찰깍하고 손바닥에 "
    "떨어질 제 거의 눈물을 흘릴 만큼 기뻤었다. 더구나",
    "이날 이때에 이 팔십 전이라는 돈이 그에게 얼마나 유용한지 "
    "몰랐다. 컬컬한 목에 모주 한 잔도 적실 수 있거니와 "
    "그보다도 앓는 아내에게 설렁탕 한 그릇도 사다줄 수",
    "있음이다. 그의 아내가 기침으로 쿨럭거리기는 벌써 달포가 넘었다. 조밥도 "
    "굶기를 먹다시피 하는 형편이니 물론 약 한 첩 써 "
    "본 일이 없다. 구태여 쓰려면 못 쓸 바도",
    "아니로되 그는 병이란 놈에게 약을 주어 보내면 재미를 붙여서 "
    "자꾸 온다는 자기의 신조(信條)에 어디까지 충실하였다. 따라서 의사에게 보인 "
    "적이 없으니 무슨 병인지는 알 수 없으되 반듯이",
    "누워 가지고, 일어나기는 새로 모로도 못 눕는걸 보면 중증은 "
    "중증인 듯. 병이 이대도록 심해지기는 열흘 전에 조밥을 먹고 "
    "체한 때문이다. 그때도 김 첨지가 오래간만에 돈을 얻어서",
    "좁쌀 한 되와 십 전짜리 나무 한 단을 사다 "
    "주었더니 김 첨지의 말에 의지하면 그 오라질 년이 천방지축(天方地軸)으로 "
    "남비에 대고 끓였다. 마음은 급하고 불길은 달지 않아",
    "채 익지도 않은 것을 그 오라질 년이 숟가락은 고만두고 "
    "손으로 움켜서 두 뺨에 주먹덩이 같은 혹이 불거지도록 누가 "
    "빼앗을 듯이 처박질 하더니만 그날 저녁부터 가슴이 땅긴다,",
)
"""The beginning of A Lucky Day (Hyun Jin-geon, 1924)."""


@pytest.fixture(scope="module")
def paragraphs() -> list[str]:
    with np.load(Path(__file__).with_name("attacked_speeches.npz"), allow_pickle=False) as file:
        found: list[str] = file["texts"].tobytes().decode().split("\n\n")[:HONEST]
    return found


def taken(paragraphs: list[str], rows: Sequence[str]) -> float:
    found = known_parts([*paragraphs, *rows], range(HONEST + len(rows)))[HONEST:]
    return float(np.mean([part.ppm for part in found]) / 1e6)


def test_ten_rows_of_a_language_that_nobody_else_speaks_keep_most_of_themselves(paragraphs: list[str]) -> None:
    assert taken(paragraphs, KOREAN) <= 0.15


def test_what_is_not_spelt_as_words_are_is_nobodys_though_nobody_has_its_words(paragraphs: list[str]) -> None:
    chance = random.Random(1)
    letters = Counter(sign for row in KOREAN for sign in row)
    drawn = ["".join(chance.choices(list(letters), list(letters.values()), k=200)) for _ in KOREAN]
    stirred = [" ".join("".join(chance.sample(word, len(word))) for word in row.split()[::-1]) for row in drawn]
    followers: dict[str, list[str]] = {}
    said = unicodedata.normalize("NFKD", " ".join(KOREAN))
    for before, after in pairwise(said):
        followers.setdefault(before, []).append(after)
    chained = []
    for _ in KOREAN:
        row = said[0]
        while len(row) < 300:
            row += chance.choice(followers[row[-1]])
        chained.append(row)
    syllables = ["".join(chr(chance.randrange(0xAC00, 0xD7A3)) + " " * (n % 3 == 2) for n in range(90)) for _ in KOREAN]
    for rows in (drawn, stirred, chained, syllables):
        assert taken(paragraphs, rows) >= 0.7


def naive(texts: Sequence[str], counts: Sequence[bool], row: int) -> list[tuple[int, ...]]:
    """How often the middle sign, the first two, the last two and all three stand in other rows that count."""
    others = [
        (a, b, c)
        for n, text in enumerate(texts)
        if n != row and counts[n]
        for a, b, c in zip(text, text[1:], text[2:], strict=False)
    ]
    one, two, more = Counter(b for _, b, _ in others), Counter(o[:2] for o in others), Counter(others)
    last = Counter(o[1:] for o in others)
    return [
        (one[b], two[a, b], last[b, c], more[a, b, c])
        for a, b, c in zip(*(texts[row][n:] for n in range(3)), strict=False)
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text("abc", max_size=9), st.booleans()), min_size=1, max_size=5))
def test_bits_of_spelling_are_what_counting_says_and_hang_on_no_other_row_than_those_that_count(
    rows: list[tuple[str, bool]],
) -> None:
    texts, counts = [text for text, _ in rows], [counted for _, counted in rows]
    kinds = len({sign for text in texts for sign in text[1:-1]})
    for number, bits in enumerate(spelt_alike(texts, counts)):
        expected = []
        for alone, before, after, every in naive(texts, counts, number):
            by_one = (after + 0.1) / (alone + 0.1 * kinds)
            expected.append(np.log2((every / by_one + 2) / (before + 2)) if before else 0.0)
        assert abs(bits / 2**16 - (np.mean(expected) if expected else 0.0)) <= 0.2


def test_elsewhere_leaves_out_what_the_row_itself_says() -> None:
    row, what = np.array([0, 0, 1, 1, 2]), numbered(np.array([7, 7, 7, 9, 9]))
    assert elsewhere(row, what, np.arange(5)).tolist() == [1, 1, 2, 1, 1]
    assert elsewhere(row, what, np.array([0, 3])).tolist() == [0, 0, 1, 0, 1]
