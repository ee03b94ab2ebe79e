"""The pay rule against those who bend it, on matrices whose truth is known: each contributor's rows help the answers
about his subject, and noise is added."""

from __future__ import annotations

import hashlib
import random
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openledger.attribution_oracle import known, plain, prose
from openledger.attribution_oracle.bench import rewards
from openledger.attribution_oracle.known import known_parts
from openledger.attribution_oracle.near import FirstCommits, Known, size_of, words_of
from openledger.attribution_oracle.pay import Table, lengths
from openledger.primitives.errors import OracleError

PEOPLE, EACH, ANSWERS = 8, 16, 24


@pytest.fixture(autouse=True, scope="module")
def texts_compared_once() -> Iterator[None]:
    """The comparison of the same texts is not what most of these tests are about."""
    found = cache(lambda texts, order: known_parts(texts, order))

    def once(texts: Sequence[str], order: Sequence[int]) -> tuple[Known, ...]:
        return found(tuple(texts), tuple(order))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("openledger.attribution_oracle.rewards.known_parts", once)
        yield


class World:
    """Scores [answers, rows], groups, texts of honest contributors."""

    def __init__(self, seed: int, noise: float = 0.6) -> None:
        self.draw, self.words = np.random.default_rng(seed), random.Random(seed)
        vocabulary = [f"{a}{b}{c}" for a in "bdfgklm" for b in "aeiou" for c in ("ra", "no", "ti", "sel", "vu")]
        self.vocabulary = [*vocabulary, "the", "of", "and", "to", "in"]
        self.groups = np.repeat(np.arange(PEOPLE), EACH)
        self.texts = [self.text() for _ in self.groups]
        subject = np.arange(ANSWERS) % PEOPLE
        worth = 0.3 + self.draw.random(len(self.groups))
        self.scores = (subject[:, None] == self.groups[None, :]) * worth
        self.scores = self.scores + noise * self.draw.normal(size=self.scores.shape) / 3

    def text(self) -> str:
        return " ".join(self.words.choices(self.vocabulary, k=50))

    def pay(self) -> Any:
        return rewards(self.scores, self.groups, np.arange(len(self.texts)), self.texts)

    def attacked(self, columns: Any, texts: list[str], identities: int = 1, first: bool = False) -> Any:
        """Shares when attackers add rows, committed last or first."""
        scores = np.concatenate([self.scores, columns], axis=1)
        groups = np.concatenate([self.groups, PEOPLE + np.arange(len(texts)) % identities])
        order = np.arange(len(groups)) - (10**6 * (np.arange(len(groups)) >= len(self.texts)) if first else 0)
        return rewards(scores, groups, order, self.texts + texts)

    def victims(self, person: int = 2) -> tuple[Any, list[str]]:
        chosen = self.groups == person
        return self.scores[:, chosen], [t for t, c in zip(self.texts, chosen, strict=True) if c]


def taken(shares: Any) -> float:
    """The attackers' part of the pay."""
    return float(shares[PEOPLE:].sum() / shares.sum())


def rank(one: Any, other: Any) -> float:
    places = [np.argsort(np.argsort(v)) for v in (one, other)]
    return float(np.corrcoef(*places)[0, 1])


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("identities", [1, 5])
def test_copies_with_or_without_sybils_earn_nothing_and_their_source_is_paid(seed: int, identities: int) -> None:
    world = World(seed)
    honest = world.pay()
    columns, texts = world.victims()
    shares = world.attacked(np.tile(columns, identities), texts * identities, identities)
    assert taken(shares) == 0.0
    assert rank(np.delete(shares[:PEOPLE], 2), np.delete(honest, 2)) >= 0.9
    assert 0.98 * honest[2] <= shares[2] <= 1.2 * honest[2]


def paraphrase(world: World, text: str, every: int) -> str:
    """Every n-th word another one, left out, or one more."""
    out: list[str] = []
    for i, word in enumerate(text.split()):
        other = world.words.choice(world.vocabulary)
        out += [word] if i % every else [[other], [], [other, word]][world.words.randrange(3)]
    return " ".join(out)


@pytest.mark.parametrize("every", [10, 5, 4])
def test_paraphrases_earn_next_to_nothing(every: int) -> None:
    world = World(4)
    columns, texts = world.victims()
    changed = [paraphrase(world, text, every) for text in texts]
    assert taken(world.attacked(columns, changed)) <= 0.03


def test_noise_around_a_copy_other_order_of_its_parts_and_mosaics_are_seen_through() -> None:
    world = World(5)
    columns, texts = world.victims()
    others = world.victims(3)[1]
    noise = " ".join(world.words.choices(world.vocabulary, k=15))
    for changed in (
        [f"{noise} {t} {noise}" for t in texts],
        [" ".join(t.split()[25:] + t.split()[:25]) for t in texts],
        [" ".join(t.split()[:25] + o.split()[:25]) for t, o in zip(texts, others, strict=True)],
        [" ".join(" ".join(t.split()[k : k + 10]) for t in texts[i : i + 5]) for i in range(10) for k in (0, 20)],
        [t.upper().replace(" ", " * ") for t in texts],
    ):
        grown = np.tile(columns, 2)[:, : len(changed)]
        assert taken(world.attacked(grown, changed)) <= 0.03, changed[0]


LATIN, CYRILLIC = "aeopctiABEKMHOPCTX", "аеорстіАВЕКМНОРСТХ"
DISGUISES: dict[str, Callable[[str], str]] = {
    "letters that look alike": lambda text: text.translate(str.maketrans(LATIN, CYRILLIC)),
    "armenian and phonetic letters": lambda text: text.translate(str.maketrans("aeougi", "ɑ℮օսɡı")),
    "small capitals": lambda text: text.translate(str.maketrans("abdefiklmnorstuv", "ᴀʙᴅᴇꜰɪᴋʟᴍɴᴏʀꜱᴛᴜᴠ")),
    "signs that show nothing": lambda text: "\u200b".join(text),
    "letters that show nothing": lambda text: "".join(c + "\u3164\uffa0\u115f"[n % 3] for n, c in enumerate(text)),
    "marks on letters": lambda text: "".join(c + "\u0301\u034f" * (n % 3 == 0) for n, c in enumerate(text)),
    "wide letters": lambda text: "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in text),
    "no spaces": lambda text: text.replace(" ", ""),
    "words shuffled": lambda text: " ".join(random.Random(1).sample(text.split(), len(text.split()))),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_copy_in_disguise_earns_nothing(disguise: str) -> None:
    """The words of these worlds are common to all rows; five in six of each row are made rare, as in real texts."""
    world = World(16)
    world.texts = [" ".join(w if i % 6 == 0 else f"{w}{n}" for i, w in enumerate(t.split()))
                   for n, t in enumerate(world.texts)]  # fmt: skip
    columns, texts = world.victims()
    assert taken(world.attacked(columns, [DISGUISES[disguise](text) for text in texts])) <= 0.005


def test_a_disguised_copy_of_a_paraphrase_is_found_though_a_paraphrase_owns_nothing() -> None:
    world, first = World(18), FirstCommits()
    text = " ".join(f"{word}{n % 7}" for n, word in enumerate(world.text().split()))
    other = paraphrase(world, text, 7)
    assert first.add(0, text).ppm == 0
    assert first.add(1, other).ppm == 1_000_000
    found = first.add(2, "".join(w + " " * (n % 2) for n, w in enumerate(other.split())))
    assert (found.ppm, found.sources[0][0]) == (1_000_000, 0)


def test_where_a_script_has_no_spaces_two_signs_are_a_word() -> None:
    assert [size_of(text) for text in ("three short words", "日本語", "語 of 日", "")] == [3, 2, 2, 0]
    first = FirstCommits()
    assert first.add(0, "設定ファイルを読むことができる。").ppm == 0
    assert first.add(1, "新しい鍵を作ることができる。").ppm == 0  # shares runs of four signs, as any two sentences
    found = first.add(2, "さて、設定ファイルを読むことができるのだ。")
    assert (found.ppm, found.sources[0][0]) == (1_000_000, 0)


def test_words_are_compared_without_what_a_person_does_not_see() -> None:
    assert words_of("Naïve САТ, o\u200bdd ﬁsh") == ["naive", "cat", "odd", "fish"]
    assert words_of("日本") == ["日", "本"]


def test_what_a_word_is_does_not_hang_on_the_python_that_a_validator_runs() -> None:
    """Python 3.12 knows 4,489 signs more than 3.11: there they were letters, here they parted words."""
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    known = [(sign, unicodedata.category(sign)) for sign in plain.NEWER.sub("", every)]
    told = "".join(sign + kind for sign, kind in known if kind != "Cn")
    assert hashlib.sha256(told.encode()).hexdigest()[:16] == "5ff72fbe9b303b7a"
    for sign in ("\U00031350", "\U0001e030", "\u0ece", "\U0002ebf0"):
        assert words_of(f"a{sign}b") == ["a", "b"]
        assert prose._tokens(f"{sign}") == [plain.NO_SIGN]


@pytest.mark.parametrize("pieces", [2, 5])
def test_cutting_ones_rows_into_pieces_pays_no_more(pieces: int) -> None:
    """Each piece of as much influence as the whole row had."""
    world = World(17)
    before, (columns, texts) = world.pay(), world.victims()
    size = -(-50 // pieces)
    cut = [" ".join(t.split()[at : at + size]) for t in texts for at in range(0, 50, size)]
    rest = world.groups != 2
    groups = np.concatenate([world.groups[rest], np.full(len(cut), 2)])
    scores = np.concatenate([world.scores[:, rest], np.repeat(columns, pieces, axis=1)], axis=1)
    kept = [t for t, other in zip(world.texts, rest, strict=True) if other]
    shares = rewards(scores, groups, np.arange(len(groups)), kept + cut)
    assert shares[2] / shares.sum() <= 1.02 * before[2] / before.sum()


def test_the_middle_word_stands_where_it_stood_when_rows_are_cut() -> None:
    assert lengths([40, 40, 20, 20]).tolist() == [1.0, 1.0, 0.5, 0.5]
    assert lengths([40, 40, 20, 20, *[1] * 40]).tolist()[:4] == [1.0, 1.0, 0.5, 0.5]
    assert lengths([0, 0]).tolist() == [1.0, 1.0]
    assert lengths([]).size == 0


def test_rows_between_two_others_do_not_chain_them_together() -> None:
    """Each row has a quarter of the words of the one before: no row's credit moves, however long the chain."""
    world = World(6)
    texts = [world.text()]
    for _ in range(20):
        texts.append(" ".join(texts[-1].split()[38:] + world.text().split()[:38]))
    first = FirstCommits()
    assert all(first.add(row, text).ppm < 100_000 for row, text in enumerate(texts))


def test_a_models_next_claim_does_not_compare_its_rows_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    plain = FirstCommits.add

    def counting(first: FirstCommits, row: int, text: str) -> Known:
        asked.append(row)
        return plain(first, row, text)

    monkeypatch.setattr(FirstCommits, "add", counting)
    known.forget()
    texts = [World(9).text() for _ in range(3)]
    before = known_parts(texts, [2, 0, 1])
    assert known_parts(list(texts), (2, 0, 1)) == before
    assert asked == [2, 0, 1]
    known_parts(texts, [0, 1, 2])
    assert asked[3:] == [0, 1, 2]
    known.forget()
    assert known_parts(texts, [2, 0, 1]) == before
    assert asked[6:] == [2, 0, 1]


def test_a_thousand_copies_do_not_hide_their_source_among_themselves() -> None:
    world = World(7)
    first = FirstCommits()
    assert first.add(0, world.texts[0]).ppm == 0
    for row in range(1, 1000):
        found = first.add(row, paraphrase(world, world.texts[0], 10))
        assert [source for source, _ in found.sources] == [0]


def test_a_list_of_common_pairs_committed_first_takes_no_credit() -> None:
    world = World(8)
    pairs = [" ".join(t.split()[i : i + 2]) for t in world.texts for i in range(0, 48, 2)]
    world.words.shuffle(pairs)
    lists = [" ".join(pairs[i : i + 150]) for i in range(0, len(pairs), 150)]
    shares = world.attacked(np.zeros((ANSWERS, len(lists))), lists, first=True)
    assert taken(shares) <= 0.02


@pytest.mark.parametrize("size", [0.01, 1.0, 100.0, 1e6])
def test_garbage_of_any_size_is_paid_no_more_than_two_percent(size: int) -> None:
    world = World(9)
    honest = world.pay()
    bad = []
    for seed in range(8):
        noise = np.random.default_rng(seed).normal(size=(ANSWERS, EACH)) * 0.2 * size
        shares = world.attacked(noise, [world.text() for _ in range(EACH)])
        bad.append(taken(shares))
        assert rank(shares[:PEOPLE], honest) >= 0.9
    assert np.mean(bad) <= 0.02


@pytest.mark.parametrize("factor", [10, 1000])
def test_a_row_scaled_up_gains_no_more_than_two_percent(factor: int) -> None:
    world = World(10)
    honest = world.pay()
    for row in range(0, len(world.texts), 7):
        larger = World(10)
        larger.scores[:, row] *= factor
        shares = larger.pay()
        who = world.groups[row]
        assert shares[who] / shares.sum() - honest[who] / honest.sum() <= 0.02


@pytest.mark.parametrize("factor", [3, 100, 1000])
@pytest.mark.parametrize("answers", [6, ANSWERS, 300])
def test_all_of_ones_rows_scaled_up_gain_no_more_than_two_percent(answers: int, factor: int) -> None:
    honest, larger = World(10), World(10)
    for world in (honest, larger):
        noise = np.random.default_rng(1).normal(size=(answers, len(world.groups))) / 5
        world.scores = np.tile(world.scores, (-(-answers // ANSWERS), 1))[:answers] + noise
    larger.scores[:, larger.groups == 3] *= factor
    before, after = honest.pay(), larger.pay()
    assert after[3] / after.sum() - before[3] / before.sum() <= 0.02


@pytest.mark.parametrize("answers", [1, 2, 3, 4, 5])
def test_few_answers_bound_what_scaling_up_gains(answers: int) -> None:
    gains = []
    for person in range(PEOPLE):
        paid = []
        for factor in (1, 1000):
            world = World(10)
            world.scores = world.scores[:answers]
            world.scores[:, world.groups == person] *= factor
            shares = world.pay()
            paid.append(shares[person] / shares.sum())
        gains.append(paid[1] - paid[0])
    assert max(gains) <= 0.02


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(0, PEOPLE - 1), st.floats(1e-3, 1e3), st.integers(0, 99))
def test_of_few_answers_who_makes_his_rows_larger_gains_nothing_where_their_norms_are_known(
    answers: int, person: int, factor: float, seed: int
) -> None:
    world = World(seed)
    mine, rows = world.groups == person, len(world.groups)
    words = tuple(Known(0, (), 50) for _ in world.texts)
    paid = []
    for louder in (1.0, factor):
        claim = Table(answers, rows, np.where(mine, louder, 1.0))
        for number, scores in enumerate(world.scores[:answers]):
            claim.add(number, np.where(mine, louder, 1.0) ** min(1.0, (3 / answers) ** 3) * scores, 1 / answers)
        paid.append(claim.pay(words, range(rows)))
    assert paid[1] == pytest.approx(paid[0], rel=1e-6, abs=2)


def test_of_one_answer_who_mattered_is_paid_more_where_norms_are_known() -> None:
    scores, texts = [[9.0, 0.1, -0.1, 0.2]], ["apple tree", "iron ore", "blue lake", "red fox"]
    words = tuple(Known(0, (), 2) for _ in texts)
    claim = Table(1, 4, np.ones(4))
    claim.add(0, np.array(scores[0]), 1.0)
    best, *others = claim.pay(words, range(4))
    assert best > 3 * max(others)
    shares = rewards(scores, [0, 1, 2, 3], [0, 1, 2, 3], texts)
    assert shares[0] < 1.2 * shares[3]


@pytest.mark.parametrize("seed", [10, 19, 20])
def test_who_matters_more_in_the_same_answers_is_paid_more(seed: int) -> None:
    """One contributor's rows larger and larger in all answers, nothing else changed."""
    paid = []
    for factor in (0.5, 1.0, 1.5, 3.0):
        world = World(seed)
        world.scores[:, world.groups == 3] *= factor
        paid.append(world.pay()[3])
    assert paid == sorted(paid)
    assert paid[3] > 1.03 * paid[1]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, PEOPLE - 1), st.integers(2, EACH), st.integers(0, 99))
def test_splitting_oneself_over_identities_changes_nothing(person: int, identities: int, seed: int) -> None:
    world = World(seed)
    before = world.pay()
    mine = np.flatnonzero(world.groups == person)
    world.groups[mine] = np.where(np.arange(len(mine)) % identities, PEOPLE - 1 + np.arange(len(mine)) % identities,
                                  person)  # fmt: skip
    after = world.pay()
    together = after[person] + after[PEOPLE:].sum()
    assert together == pytest.approx(before[person], rel=1e-9)


def test_what_a_copy_takes_from_its_source_comes_back() -> None:
    """A model that has learned a text twice divides the influence between the two rows."""
    world = World(12)
    honest = world.pay()
    columns, texts = world.victims()
    world.scores[:, world.groups == 2] /= 4
    shares = world.attacked(np.tile(columns / 4, 3), texts * 3, 3)
    assert taken(shares) == 0.0
    assert shares[2] / shares.sum() == pytest.approx(honest[2] / honest.sum(), rel=0.15)


@pytest.mark.parametrize("times", [1, 5])
def test_copying_oneself_pays_no_more_than_a_fifth_on_top(times: int) -> None:
    world = World(13)
    honest = world.pay()
    columns, texts = world.victims()
    shares = world.attacked(np.tile(columns, times), texts * times)
    assert (shares[2] + shares[PEOPLE:].sum()) / shares.sum() <= 1.2 * honest[2] / honest.sum()


@pytest.mark.parametrize("text", ["again " * 60, "to be or not to be that is it " * 8, "ha. " * 9])
def test_saying_it_again_and_again_earns_nothing(text: str) -> None:
    world = World(15)
    columns, _ = world.victims()
    assert taken(world.attacked(columns, [f"{text} {i}" for i in range(EACH)])) <= 0.02


def test_copies_that_pull_the_other_way_do_not_drag_their_source_down() -> None:
    world = World(14)
    honest = world.pay()
    columns, texts = world.victims()
    shares = world.attacked(-3 * columns, texts)
    assert shares[2] / shares.sum() >= 0.95 * honest[2] / honest.sum()


def test_who_was_first_is_the_order_of_commits_and_not_of_rows() -> None:
    scores, texts = np.ones((3, 2)), ["a sentence that two people have committed"] * 2
    assert rewards(scores, [0, 1], [5, 4], texts).tolist() == pytest.approx([0.0, 1.0], abs=0.2)
    assert rewards(scores, [0, 1], [4, 5], texts)[1] == 0.0


def test_a_difference_between_machines_stays_as_small_as_it_was() -> None:
    world = World(11)
    before = world.pay()
    world.scores = world.scores * (1 + 1e-7 * world.draw.normal(size=world.scores.shape))
    assert np.abs(world.pay() - before).sum() <= 2e-6


def test_small_claims_and_empty_ones_are_paid() -> None:
    assert rewards(np.zeros((0, 2)), [0, 1], [0, 1], ["a", "b"]).tolist() == [0.0, 0.0]
    assert rewards(np.zeros((3, 2)), [0, 1], [0, 1], ["a", "b"]).tolist() == [0.0, 0.0]
    one = rewards([[9.0, 0.1, -0.1]], [0, 1, 1], [0, 1, 2], ["apple tree", "iron ore", "blue lake"])
    assert one[0] > one[1] > 0.0
    assert rewards(np.zeros((2, 0)), [], [], []).size == 0


@pytest.mark.parametrize(
    ("scores", "groups", "order", "texts"),
    [
        ([[float("nan")]], [0], [0], ["a"]),
        ([[float("inf")]], [0], [0], ["a"]),
        ([1.0], [0], [0], ["a"]),
        ([[1.0]], [0, 1], [0], ["a"]),
        ([[1.0]], [-1], [0], ["a"]),
        ([[1.0]], [0.5], [0], ["a"]),
        ([[1.0]], [0], [[0]], ["a"]),
        ([[1.0]], [0], [0], []),
        ([[1.0]], [0], [0], [7]),
        ([["x"]], [0], [0], ["a"]),
        ([[1.0], [1.0, 2.0]], [0], [0], ["a"]),
        ([[1.0 + 2.0j]], [0], [0], ["a"]),
        ([[10**400]], [0], [0], ["a"]),
        ([[1.0]], [10**12], [0], ["a"]),
        ([[1.0]], [0], [0], None),
        ([[1.0]], [0], [0], "a"),
    ],
)
def test_what_is_no_score_matrix_is_refused(scores: Any, groups: Any, order: Any, texts: Any) -> None:
    with pytest.raises(OracleError):
        rewards(scores, groups, order, texts)


@pytest.mark.parametrize("scores", [[[1e200, 1e-115, 1e-115]], [[1e160, 1.0, -1.0]] * 5, [[1e308, 5e-324, 0.0]]])
def test_a_row_that_is_away_from_all_others_earns_as_one_that_is_far(scores: list[list[float]]) -> None:
    texts = ["apple tree in bloom", "iron ore and copper", "blue lake by night"]
    far = [[1e90 if s > 1e100 else np.sign(s) for s in row] for row in scores]
    assert rewards(scores, [0, 1, 2], [0, 1, 2], texts) == pytest.approx(rewards(far, [0, 1, 2], [0, 1, 2], texts))


def test_clocks_that_count_nanoseconds_tell_who_was_first() -> None:
    now = 1_764_201_600_000_000_000
    texts = ["the quick brown fox jumps over the lazy dog today"] * 2
    assert rewards([[1.0, 1.0]], [0, 1], [now + 1, now], texts).tolist()[0] == 0.0


@pytest.mark.parametrize("answers", [4, 5, 7, 130])
def test_the_last_bit_of_norms_and_scores_which_machines_round_differently_moves_no_pay(answers: int) -> None:
    """Roots and powers of fractions are libraries' affair, and so is the order in which products are added."""
    draw = np.random.default_rng(answers)
    for rows in (1, 2, 40):
        norms = np.exp(8 * draw.normal(size=rows)) * (np.arange(rows) % 5 != 4)
        scores = draw.normal(size=(answers, rows)) * norms
        texts = [Known(0 if row % 3 else 400_000, ((0, 1),) if row and not row % 3 else (), 20) for row in range(rows)]
        earned = []
        for sizes, off in ((norms, 0.0), (np.nextafter(norms, np.inf) * (norms > 0), 0.0), (norms, 2.0**-52)):
            table = Table(answers, rows, sizes)
            for number, answer in enumerate(scores * (1 + off * draw.choice([-1, 0, 1], scores.shape))):
                table.add(number, answer, 1 / answers)
            earned.append(np.array(table.pay(texts, range(rows))))
        assert rows < 40 or sum(earned[0]) > 10**7
        assert max(abs(other - earned[0]).max() for other in earned) <= 1
