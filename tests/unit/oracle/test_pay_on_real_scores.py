"""The pay rule on what real trainings gave, and what rows must look like to count as language.

The stored matrices are of one training: 12 rows each of ten contributors (paragraphs of State of the Union addresses,
CC0), and after them 12 rows each of eight attackers, in the order of ``GARBAGE``; scores of 20 held-out documents by
`attribute` and by gradient dot, in parts of each answer's largest. ``bench/attribution/attacks.py`` makes such ones.
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openledger.attribution_oracle.bench import rewards
from openledger.attribution_oracle.known import known_parts
from openledger.attribution_oracle.near import FirstCommits
from openledger.attribution_oracle.pay import Table
from openledger.attribution_oracle.prose import spoken

PEOPLE, EACH, HONEST = 10, 12, 120
GARBAGE = (
    "random words", "random letters", "another language", "rare signs", "shuffled words", "stirred words", "mixture",
    "loud words",
)  # fmt: skip
METHODS = ("path", "gradient_dot")


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    with np.load(Path(__file__).with_name("attacked_speeches.npz"), allow_pickle=False) as file:
        found: dict[str, Any] = {name: file[name] for name in file.files}
    found["texts"] = found["texts"].tobytes().decode().split("\n\n")
    for method in METHODS:
        alone = found[method][:, :HONEST].astype(float)
        found[f"honest {method}"] = pay(alone, found["groups"][:HONEST], found["texts"][:HONEST])
    return found


def pay(scores: Any, groups: Any, texts: list[str]) -> Any:
    return rewards(scores, groups, np.arange(len(texts)), texts)


def rank(one: Any, other: Any) -> float:
    return float(np.corrcoef(*(np.argsort(np.argsort(v)) for v in (one, other)))[0, 1])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_earns_at_most_two_percent_and_the_honest_keep_their_order(
    stored: dict[str, Any], name: str, method: str
) -> None:
    scores, texts, first = stored[method].astype(float), stored["texts"], HONEST + EACH * GARBAGE.index(name)
    kept = [*range(HONEST), *range(first, first + EACH)]
    shares = pay(scores[:, kept], np.minimum(stored["groups"][kept], PEOPLE), [texts[row] for row in kept])
    assert shares[PEOPLE] / shares.sum() <= 0.02
    assert rank(shares[:PEOPLE], stored[f"honest {method}"]) >= 0.9


@pytest.mark.parametrize("factor", [3, 10, 100, 1000])
@pytest.mark.parametrize("answers", [6, 8, 20])
@pytest.mark.parametrize("method", METHODS)
def test_all_of_ones_rows_scaled_up_gain_no_more_than_two_percent_of_the_pay(
    stored: dict[str, Any], method: str, answers: int, factor: int
) -> None:
    scores, groups = stored[method][:answers, :HONEST].astype(float), stored["groups"][:HONEST]
    known = known_parts(stored["texts"][:HONEST], range(HONEST)) if "known" not in stored else stored["known"]
    stored["known"] = known

    def paid(table: Any) -> Any:
        claim = Table(*table.shape)
        for number, scored in enumerate(table):
            claim.add(number, scored, 1 / answers)
        return np.bincount(groups, claim.pay(known, range(HONEST)))

    before = paid(scores)
    for person in range(PEOPLE):
        louder = scores.copy()
        louder[:, groups == person] *= factor
        after = paid(louder)
        assert after[person] / after.sum() - before[person] / before.sum() <= 0.02, person


@pytest.mark.parametrize("kind", ["float64", "float32", "bfloat16", "int64"])
def test_tensors_of_any_kind_are_read_as_numbers(stored: dict[str, Any], kind: str) -> None:
    torch, texts, groups = pytest.importorskip("torch"), stored["texts"][:HONEST], stored["groups"][:HONEST]
    scores = torch.tensor(stored["path"][:, :HONEST].astype(float) * 64).round().to(getattr(torch, kind))
    found = rewards(scores, torch.tensor(groups), torch.arange(HONEST), texts)
    assert found.tolist() == pay(scores.double().numpy(), groups, texts).tolist()


@pytest.fixture
def paragraphs(stored: dict[str, Any]) -> list[str]:
    return list(stored["texts"][:HONEST])


def lost(honest: list[str], bad: list[str]) -> tuple[float, float]:
    """How much of the rows is no language, of the honest and of the bad."""
    found = np.array(spoken(honest + bad, [True] * (len(honest) + len(bad)))[1]) / 1e6
    return float(found[: len(honest)].mean()), float(found[len(honest) :].mean()) if bad else 0.0


def test_paragraphs_are_language_and_words_letters_and_signs_at_random_are_not(paragraphs: list[str]) -> None:
    chance = random.Random(7)
    words = sorted({word for text in paragraphs for word in text.split()})
    assert lost(paragraphs, [])[0] <= 0.02
    for make in (
        lambda: " ".join(chance.choices(words, k=50)),
        lambda: "".join(chance.choices("abcdefghijklmnopqrstuvwxyz ", k=250)),
        lambda: "".join(chance.choices("§¶µΩЖЩфђ", k=60)),
        lambda: "",
    ):
        found = [lost(paragraphs, [make() for _ in range(EACH)]) for _ in range(4)]
        assert np.mean([bad for _, bad in found]) >= 0.9
        assert max(honest for honest, _ in found) <= 0.02


def test_words_drawn_as_often_as_they_are_said_and_words_shuffled_are_found_mostly(paragraphs: list[str]) -> None:
    chance = random.Random(7)
    said = [word for text in paragraphs for word in text.split()]
    before = lost(paragraphs, [])[0]
    drawn = [" ".join(chance.choices(said, k=50)) for _ in range(2 * EACH)]
    mixed = [" ".join(chance.sample(t.split(), len(t.split()))) for t in paragraphs[: 2 * EACH]]
    for rows in (drawn, mixed):
        after, bad = lost(paragraphs, rows)
        assert bad >= 0.75
        assert after <= before + 0.01


def test_words_chained_by_what_has_followed_what_are_nobodys(paragraphs: list[str]) -> None:
    chance, following = random.Random(8), dict[str, list[str]]()
    said = [word for text in paragraphs for word in text.split()]
    for word, after in itertools.pairwise(said):
        following.setdefault(word, []).append(after)

    def chain() -> str:
        words = [chance.choice(said)]
        while len(words) < 45:
            words.append(chance.choice(following.get(words[-1], said)))
        return " ".join(words)

    found = known_parts([*paragraphs, *(chain() for _ in range(EACH))], range(HONEST + EACH))
    assert min(part.ppm for part in found[HONEST:]) == 1_000_000
    assert all(not part.sources for part in found[HONEST:])
    assert np.mean([part.ppm for part in found[:HONEST]]) <= 30_000


def test_rows_that_are_a_part_of_longer_ones_are_no_splices() -> None:
    first = FirstCommits()
    assert first.add(0, "the house by the river was sold twice last year").ppm == 0
    assert first.add(1, "the river").sources
    assert first.add(2, "year").ppm == 0


def test_short_rows_of_language_are_not_taken_for_noise(paragraphs: list[str]) -> None:
    cut = [" ".join(t.split()[at : at + 15]) for t in paragraphs[: 2 * EACH] for at in (0, 15)]
    assert lost(paragraphs[2 * EACH :], cut)[1] <= 0.25


def test_a_language_of_rare_words_is_known_by_endings_that_agree() -> None:
    """No two words stand together twice; what agrees in German or Russian are the endings."""
    chance = random.Random(11)

    def stem() -> str:
        return "".join(chance.choice(letters) for letters in ("bdfgklmn", "aeiou", "rstvz", "aeiou", "klmnp"))

    def sentence() -> str:
        ending = chance.choice(("ej", "um", "is", "ota"))
        return " ".join([*(stem() + ending for _ in range(3)), stem() + "et"])

    honest = [" ".join(sentence() for _ in range(11)) for _ in range(80)]
    mixed = [" ".join(chance.sample(text.split(), len(text.split()))) for text in honest[:EACH]]
    taken, found = lost(honest, mixed)
    assert taken <= 0.03
    assert found >= 0.85


def test_garbage_committed_twice_does_not_vouch_for_itself(paragraphs: list[str]) -> None:
    chance = random.Random(9)
    words = sorted({word for text in paragraphs for word in text.split()})
    rows = [" ".join(chance.choices(words, k=50)) for _ in range(EACH)]
    found = known_parts([*paragraphs, *rows, *rows], range(HONEST + 2 * EACH))
    assert np.mean([part.ppm for part in found[HONEST:]]) >= 900_000


def test_where_no_row_has_any_order_nothing_is_said_about_anybody() -> None:
    chance = random.Random(10)
    words = [f"{a}{b}" for a in "bdfgklm" for b in "aeiou"]
    assert spoken([" ".join(chance.choices(words, k=40)) for _ in range(60)], [True] * 60)[1] == [0] * 60
    assert spoken([], [])[1] == []
    assert spoken(["a sentence that stands alone"], [True])[1] == [0]
    assert spoken(["yes", "no", "perhaps"], [True] * 3)[1] == [0] * 3


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize(("corpus", "seed"), [("speeches", 11), ("manuals", 12)])
def test_attackers_in_fresh_trainings_earn_what_they_may(
    corpus: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "bench" / "attribution"))
    import attacks  # type: ignore[import-not-found]

    bench = attacks.Bench(corpus, seed, rows=12, epochs=3, context=48)
    people = len(bench.people)
    for name in attacks.ATTACKS:
        bad = bench.attacker(name)
        groups = np.concatenate([bench.groups, people + np.arange(len(bad)) // bench.rows])
        texts = bench.honest + bad
        bound = 0.02 if name in attacks.GARBAGE else 0.03 if "paraphrase" in name else 0.005
        most = attacks.LOOSE.get(name, bound)
        scores = bench.scored(texts, groups, seed)["path"]
        shares = pay(scores, groups, texts)
        without = pay(scores[:, : len(bench.honest)], bench.groups, bench.honest)
        assert shares[people:].sum() / shares.sum() <= most, name
        assert rank(shares[:people], without) >= 0.9, name
