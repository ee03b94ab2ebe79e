"""Attribution measured against the truth: a small model, retrained without some of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from openledger.attribution_oracle import attribute as attributing  # noqa: E402
from openledger.attribution_oracle import halves, path, rotated  # noqa: E402
from openledger.attribution_oracle.bench import attribute  # noqa: E402
from openledger.attribution_oracle.gradients import Gradients  # noqa: E402
from openledger.primitives.errors import OracleError  # noqa: E402

pytestmark = pytest.mark.torch
VOCABULARY, TIME = 25, 10


class Bigram(nn.Module):
    """Logits of the next token from the last one, through a narrow middle."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.embed = nn.Parameter(torch.randn(VOCABULARY, 8, generator=draw) * 0.5)
        self.head = nn.Parameter(torch.randn(8, VOCABULARY, generator=draw) * 0.5)

    def forward(self, ids: Tensor) -> Tensor:
        return torch.tanh(self.embed[ids]) @ self.head


def losses(model: nn.Module, ids: Tensor) -> Tensor:
    """Mean loss per token of each row."""
    found = functional.cross_entropy(model(ids[:, :-1]).transpose(1, 2), ids[:, 1:], reduction="none")
    mask = (ids[:, 1:] != 0).float()
    return (found * mask).sum(1) / mask.sum(1).clamp(min=1)


@dataclass
class World:
    """A trained model and everything ``attribute`` needs."""

    model: nn.Module
    train: Tensor
    query: Tensor
    groups: list[int]
    run: dict[str, Any]

    def retrain(self, kept: list[bool]) -> Tensor:
        """Losses of the queries when only these rows are trained on."""
        gradients = Gradients(self.model, losses)
        steps = path.Steps.of(self.run, len(self.train))
        theta = path.retrained(gradients, gradients.vector(self.run["start"]), self.train, steps, kept)
        return gradients.losses(theta, self.query)


def texts(rng: np.random.Generator, chain: np.ndarray, rows: int) -> list[list[int]]:
    """Rows of tokens that follow each other as ``chain`` has it; some are short."""
    found = []
    for _ in range(rows):
        row = [int(rng.integers(1, VOCABULARY))]
        while len(row) < TIME - int(rng.integers(0, 3)):
            row.append(1 + int(rng.choice(VOCABULARY - 1, p=chain[row[-1] - 1])))
        found.append(row + [0] * (TIME - len(row)))
    return found


def world(seed: int, people: int = 6, rows: int = 8, epochs: int = 6, batch: int = 6) -> World:
    """Contributors who share half of their habits."""
    rng = np.random.default_rng(seed)
    shared = rng.dirichlet(np.full(VOCABULARY - 1, 0.1), size=VOCABULARY - 1)
    train, query, groups = [], [], []
    for person in range(people):
        chain = 0.5 * shared + 0.5 * rng.dirichlet(np.full(VOCABULARY - 1, 0.1), size=VOCABULARY - 1)
        train += texts(rng, chain, rows)
        query += texts(rng, chain, 3)
        groups += [person] * rows
    return trained(seed, train, query, groups, epochs, batch)


def trained(
    seed: int, train: list[list[int]], query: list[list[int]], groups: list[int], epochs: int, batch: int
) -> World:
    """A model trained on these rows."""
    ids, rng = torch.tensor(train), np.random.default_rng(seed)
    batches = [list(map(int, part)) for _ in range(epochs) for part in rng.permutation(len(ids)).reshape(-1, batch)]
    model = Bigram(seed)
    run = {
        "start": {k: v.clone() for k, v in model.state_dict().items()},
        "batches": batches,
        "lrs": [0.02] * len(batches),
        "optimizer": {"kind": "adam", "b1": 0.9, "b2": 0.99, "eps": 1e-6},
    }
    gradients = Gradients(model, losses)
    steps = path.Steps.of(run, len(ids))
    theta = path.retrained(gradients, gradients.now(), ids, steps, [True] * len(ids))
    model.load_state_dict({"embed": theta[: VOCABULARY * 8].view(-1, 8), "head": theta[VOCABULARY * 8 :].view(8, -1)})
    return World(model, ids, torch.tensor(query), groups, run)


def rank(x: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(x))


def lds(scores: np.ndarray, kept: np.ndarray, outcomes: np.ndarray) -> float:
    """Mean over queries of the rank correlation of predicted and true losses over subsets."""
    told = kept.astype(float) @ scores.T
    pairs = [np.corrcoef(rank(told[:, q]), rank(-outcomes[:, q]))[0, 1] for q in range(scores.shape[0])]
    return float(np.mean(pairs))


def truth(made: World, subsets: int, by_person: bool, seed: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Random halves of the rows, or of the contributors, and the queries' losses after training on them."""
    rng = np.random.default_rng(seed)
    groups = np.array(made.groups)
    units = groups.max() + 1 if by_person else len(groups)
    kept = np.zeros((subsets, len(groups)), dtype=bool)
    for line in kept:
        chosen = rng.permutation(units)[: units // 2]
        line[:] = np.isin(groups if by_person else np.arange(units), chosen)
    return kept, np.stack([made.retrain(line.tolist()).numpy() for line in kept])


@pytest.fixture(scope="module")
def small() -> World:
    return world(1)


def scores_of(made: World, **options: Any) -> np.ndarray:
    return attribute(made.model, losses, made.train, made.query, made.groups, made.run, **options)


def test_scores_agree_with_retraining(small: World) -> None:
    scores = scores_of(small)
    assert scores.shape == (len(small.query), len(small.train))
    assert lds(scores, *truth(small, 16, by_person=True)) > 0.75
    assert lds(scores, *truth(small, 12, by_person=False)) > 0.75


def test_an_answer_is_owed_to_those_who_share_its_words() -> None:
    """Three contributors without a common token: what is asked in one's tokens only that one can have taught."""
    rng = np.random.default_rng(3)
    train, query, groups = [], [], []
    for person in range(3):
        chain = np.zeros((VOCABULARY - 1, VOCABULARY - 1))
        own = np.arange(8) + 8 * person
        chain[:, own] = rng.dirichlet(np.full(8, 0.3), size=VOCABULARY - 1)
        train += [[1 + int(own[0]), *row[1:]] for row in texts(rng, chain, 6)]
        query += [[1 + int(own[0]), *row[1:]] for row in texts(rng, chain, 2)]
        groups += [person] * 6
    made = trained(3, train, query, groups, epochs=4, batch=6)
    by_person = scores_of(made).reshape(len(made.query), 3, 6).sum(2)
    assert (by_person.argmax(1) == np.repeat(np.arange(3), 2)).all()


def test_the_path_is_the_derivative_of_the_run() -> None:
    """Without curvature in the way: one step, where U is known in closed form."""
    made = world(2, people=3, rows=2, epochs=1, batch=6)
    gradients = Gradients(made.model, losses)
    steps = path.Steps.of(made.run, 6)
    start = gradients.vector(made.run["start"])
    found, end = path.path_rows(gradients, start, made.train, steps, 1, 0)
    own = gradients.rows(start, made.train)
    mean = own.mean(0)
    push = (own - mean) / 6
    root = (mean.square() + 1e-12 + path.DAMPING * mean.square().mean()).sqrt()
    wanted = -0.02 * push / root + 0.02 * mean / (2 * root**3) * 2 * push * mean
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(end, gradients.now())


def test_adam_part_by_part_is_adam(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the formula over the whole vector."""
    monkeypatch.setattr(path, "PART", 7)
    gradients, steps = Gradients(small.model, losses), path.Steps.of(small.run, len(small.train))
    adam = path.Moments(gradients.vector(small.run["start"]), steps)
    theta, m, v = adam.theta, torch.zeros_like(adam.m), torch.zeros_like(adam.v)
    for count in range(1, 4):
        g = gradients.mean(theta, small.train[:6])
        m, v = m * 0.9 + g * (1 - 0.9), v * 0.99 + g * g * (1 - 0.99)
        root = (v / (1 - 0.99**count) + 1e-6**2).sqrt()
        theta = theta - 0.02 / (1 - 0.9**count) * m / root
        adam.step(g, 0.02)
        torch.testing.assert_close(adam.theta, theta)
        theta = adam.theta


def test_with_little_memory_the_path_says_nearly_the_same(small: World) -> None:
    gradients = Gradients(small.model, losses)
    steps = path.Steps.of(small.run, len(small.train))
    start = gradients.vector(small.run["start"])
    asked = gradients.rows(gradients.now(), small.query)
    lean, whole = (
        path.path_rows(gradients, start, small.train, steps, 2, 0, memory=memory)[0] for memory in (1 << 17, 1 << 30)
    )
    assert np.corrcoef((asked @ lean.T).flatten(), (asked @ whole.T).flatten())[0, 1] > 0.7
    with pytest.raises(OracleError, match="MiB"):
        path.path_rows(gradients, start, small.train, steps, 2, 0, memory=1 << 10)


def test_curvature_that_is_held_back_is_applied_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors of two steps, against the system as it is written; what they were kept in is used again."""
    monkeypatch.setattr(path, "BLOCK", 7)
    draw = torch.Generator().manual_seed(9)
    steps = path.Steps(((0, 1),) * 4, (0.1,) * 4, 0.9, 0.99, 1e-6)
    effects = path.Effects(3, path.Moments(torch.zeros(20), steps), lean=True, held=6)
    rates = torch.rand(4, 20, generator=draw)
    for turn in range(2):
        u, drawn = torch.randn(3, 20, generator=draw), torch.randn(2, 3, 20, generator=draw)
        effects.u.copy_(u)
        effects._hold(drawn[0], rates[2 * turn])
        assert torch.equal(effects.u, u)
        effects._hold(drawn[1], rates[2 * turn + 1])
        effects.decay()
        scaled = torch.cat([drawn[0] * rates[2 * turn], drawn[1] * rates[2 * turn + 1]])
        wanted = torch.linalg.solve(torch.eye(20) + scaled.T @ drawn.flatten(0, 1), u.T).T
        torch.testing.assert_close(effects.u, wanted, atol=1e-4, rtol=1e-4)


def test_what_waits_to_be_taken_from_u_is_what_would_have_been_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five times as many vectors as are held together, with pushes between them, and some left over."""
    draw = torch.Generator().manual_seed(10)
    steps = path.Steps(((0, 1),) * 11, (0.1,) * 11, 0.9, 0.99, 1e-6)
    own, drawn = (torch.randn(11, 2, 20, generator=draw) for _ in range(2))
    found = []
    for waiting in (1, 2, 4):
        monkeypatch.setattr(path, "WAITING", waiting)
        effects = path.Effects(3, path.Moments(torch.zeros(20), steps), lean=True, held=4, rough=True)
        for mine, curved in zip(own, drawn, strict=True):
            effects.adam.step(mine.mean(0), 0.1)
            effects.step(torch.tensor([0, 2]), mine, mine.mean(0), curved, 0.1)
        effects.decay()
        found.append(effects.u)
    assert float(found[0].norm()) > 1e-3
    for other in found[1:]:
        assert not torch.equal(other, found[0])
        assert float((other - found[0]).norm() / found[0].norm()) < 5e-3


def test_curvature_that_is_held_in_bfloat16_takes_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path, "BLOCK", 7)
    draw = torch.Generator().manual_seed(9)
    steps = path.Steps(((0, 1),) * 2, (0.1,) * 2, 0.9, 0.99, 1e-6)
    u, drawn, rate = (torch.randn(*shape, generator=draw) for shape in ((3, 20), (4, 20), (20,)))
    found = []
    for rough in (False, True):
        effects = path.Effects(3, path.Moments(torch.zeros(20), steps), lean=True, held=4, rough=rough)
        effects.u.copy_(u)
        effects._hold(drawn, rate.abs())
        effects.decay()
        found.append(effects.u)
    assert effects._drawn.dtype == torch.bfloat16
    assert 0 < float((found[0] - found[1]).norm() / (found[0] - u).norm()) < 0.02


class Attending(Bigram):
    """With torch's fused attention, which vmap cannot batch by itself, and logits in an output object's field."""

    def forward(self, ids: Tensor) -> Any:
        x = self.embed[ids]
        mixed = functional.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None], is_causal=True)
        return {"logits": torch.tanh(mixed[:, 0]) @ self.head}


def test_no_pass_uses_fused_attention_which_differs_between_machines(small: World) -> None:
    fused: list[bool] = []

    def theirs(model: nn.Module, ids: Tensor) -> Tensor:
        fused.append(torch.backends.cuda.flash_sdp_enabled())
        odds = model(ids)["logits"][:, :-1].transpose(1, 2)
        return functional.cross_entropy(odds, ids[:, 1:], reduction="none").mean(1)

    gradients = Gradients(Attending(1), theirs)
    for asked in (gradients.losses, gradients.rows, gradients.mean):
        fused.clear()
        asked(gradients.now(), small.train[:5])
        assert set(fused) == {False}, asked.__name__


def test_fused_attention_is_batched_and_its_logits_are_found(small: World) -> None:
    def theirs(model: nn.Module, ids: Tensor) -> Tensor:
        found = functional.cross_entropy(model(ids)["logits"][:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
        mask = (ids[:, 1:] != 0).float()
        return (found * mask).sum(1) / mask.sum(1)

    gradients = Gradients(Attending(1), theirs)
    own, drawn = gradients.drawn(gradients.now(), small.train[:5], 2, 0, "attending")
    assert drawn.shape == (10, gradients.size)
    assert gradients._together
    torch.testing.assert_close(own.mean(0), gradients.mean(gradients.now(), small.train[:5]))


class Unbatchable(Bigram):
    """A model that looks at its data, as vmap forbids, and hides its logits."""

    def forward(self, ids: Tensor) -> Any:
        if int(ids.sum()) < 0:
            return None
        return {"something": super().forward(ids)}


def test_a_model_that_cannot_be_batched_gets_the_same_gradients(small: World) -> None:
    strange = Unbatchable(1)
    strange.load_state_dict(small.model.state_dict())

    def theirs(model: nn.Module, ids: Tensor) -> Tensor:
        found = functional.cross_entropy(model(ids[:, :-1])["something"].transpose(1, 2), ids[:, 1:], reduction="none")
        mask = (ids[:, 1:] != 0).float()
        return (found * mask).sum(1) / mask.sum(1)

    ours, plain = Gradients(small.model, losses), Gradients(strange, theirs)
    torch.testing.assert_close(plain.rows(plain.now(), small.train[:9]), ours.rows(ours.now(), small.train[:9]))
    scores = attribute(strange, theirs, small.train, small.query[:2], small.groups, small.run, retrainings=2)
    assert scores.shape == (2, len(small.train))
    assert np.isfinite(scores).all()


def test_drawn_vectors_estimate_the_curvature(small: World) -> None:
    """Against the Gauss-Newton matrix itself, in a random direction."""
    gradients = Gradients(small.model, losses)
    theta, ids = gradients.now(), small.train[:4]
    way = torch.randn(gradients.size, generator=torch.Generator().manual_seed(5))
    _, drawn = gradients.drawn(theta, ids, 400, 7, "test")
    estimate = float((drawn @ way).square().mean())
    before, after = (gradients._losses(theta + step * way, ids)[1] for step in (-1e-2, 1e-2))
    moved = (after - before) / 2e-2
    odds = small.model(ids[:, :-1]).softmax(-1).detach()
    mask = (ids[:, 1:] != 0).float()
    spread = (odds * moved.square()).sum(-1) - (odds * moved).sum(-1).square()
    true = float(((spread * mask).sum(1) / mask.sum(1)).mean())
    assert estimate == pytest.approx(true, rel=0.1)


def test_scores_say_what_comes_of_there_being_more_rows(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a sixth to nearly all contributors are there, and none of a run's rows stands in for one that is missing."""
    people, rng = np.array(small.groups), np.random.default_rng(5)
    kept = np.stack([np.isin(people, rng.permutation(people.max() + 1)[:size]) for size in (1, 2, 3, 4, 5) * 4])
    outcomes = np.stack([small.retrain(line.tolist()).numpy() for line in kept])
    told = lds(scores_of(small), kept, outcomes)
    monkeypatch.setattr(attributing, "SHARED", 0.0)
    before = scores_of(small)
    assert told > lds(before, kept, outcomes) + 0.02
    assert told > 0.5


def test_being_there_counts_by_visits(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 7 is never met, row 0 twice as often: what all get alike is nothing for the one, double for the other."""
    run = {**small.run, "batches": [[0 if i == 7 else i for i in batch] for batch in small.run["batches"]]}
    given = (small.model, losses, small.train, small.query, small.groups, run)
    with_ = attribute(*given, retrainings=1)
    monkeypatch.setattr(attributing, "SHARED", 0.0)
    alike = with_ - attribute(*given, retrainings=1)
    assert not alike[:, 7].any()
    np.testing.assert_allclose(alike[:, 0], 2 * alike[:, 1], rtol=1e-3)
    np.testing.assert_allclose(alike[:, 2], alike[:, 1], rtol=1e-3)
    assert (alike[:, 1] > 0).all()


def test_a_query_is_answered_alike_whatever_else_is_asked(small: World) -> None:
    whole = scores_of(small, retrainings=1)
    alone = attribute(small.model, losses, small.train, small.query[3:4], small.groups, small.run, retrainings=1)
    np.testing.assert_allclose(alone[0], whole[3], atol=1e-4 * float(np.abs(whole[3]).max()))


def test_the_model_is_left_as_it_was(small: World) -> None:
    before = {k: v.clone() for k, v in small.model.state_dict().items()}
    scores_of(small, retrainings=0)
    assert all(torch.equal(v, before[k]) for k, v in small.model.state_dict().items())


def test_contributors_names_change_no_score(small: World) -> None:
    """One of them as four: exactly the same. (So the same input gives the same scores, too.)"""
    split = [g if g else 100 + number % 4 for number, g in enumerate(small.groups)]
    first, second = (
        attribute(small.model, losses, small.train, small.query[:4], groups, small.run, retrainings=3)
        for groups in (small.groups, split)
    )
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train": torch.zeros(0, 4, dtype=torch.long)}, "at least one row"),
        ({"query": torch.zeros(2, 4)}, "LongTensor"),
        ({"groups": [0, 1]}, "2 contributors"),
        ({"run": {"batches": [[0]], "lrs": []}}, "malformed"),
        ({"batches": [[10_000]]}, "does not exist|do not make a run"),
        ({"lrs": [float("nan")] * 48}, "out of range"),
        ({"optimizer": {"kind": "lion", "b1": 0.9, "b2": 0.9, "eps": 0.0}}, "lion"),
        ({"start": {}}, "lacks"),
        ({"start": None}, "start"),
        ({"start": {"embed": torch.full((VOCABULARY, 8), float("nan")), "head": torch.zeros(8, VOCABULARY)}}, "NaN"),
    ],
)
def test_bad_input_is_refused_in_words(small: World, change: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"train": small.train, "query": small.query, "groups": small.groups, "run": small.run}
    of_run = {k: v for k, v in change.items() if k not in given}
    given |= {k: v for k, v in change.items() if k in given}
    given["run"] = {**given["run"], **of_run}
    with pytest.raises(OracleError, match=words):
        attribute(small.model, losses, **given)


def test_a_model_with_nothing_to_attribute_is_refused(small: World) -> None:
    frozen = Bigram(1).requires_grad_(False)
    with pytest.raises(OracleError, match="requires grad"):
        attribute(frozen, losses, small.train, small.query, small.groups, small.run)


def told_apart(kept: np.ndarray, groups: np.ndarray) -> float:
    """1 for halves of the groups, 1 / 8 for random halves of rows where a group has 8."""
    signs, one = kept - kept.mean(0), np.eye(groups.max() + 1)[groups]
    return float(np.square(signs @ one).sum() / np.square(signs).sum() / one.sum(0).mean())


def test_halves_keep_half_of_the_rows_and_tell_those_apart_that_belong_together() -> None:
    """Six who share no word, eight rows each: in any order they mostly stay or go whole, without names."""
    rng, groups = np.random.default_rng(4), np.repeat(np.arange(6), 8)
    words = torch.from_numpy(rng.integers(1, 6, (48, 10)) + 6 * groups[:, None])
    for ordered in (np.arange(48), rng.permutation(48)):
        kept = halves.halves(words[ordered], 4, seed=0)
        assert (kept.sum(1) == 24).all()
        assert np.linalg.matrix_rank(kept - kept.mean(0)) == 3
        assert np.array_equal(kept, halves.halves(words[ordered], 4, seed=0))
        assert told_apart(kept, groups[ordered]) > 0.5


def test_where_words_tell_nothing_neighbours_mostly_stay_or_go_together() -> None:
    words = torch.from_numpy(np.random.default_rng(5).integers(1, 400, (96, 10)))
    assert told_apart(halves.halves(words, 4, seed=0), np.arange(96) // 16) > 0.3


def test_copies_stay_or_go_together(small: World) -> None:
    """Rows in another order, each of the first twelve there again at the end."""
    mixed = small.train[torch.randperm(len(small.train), generator=torch.Generator().manual_seed(2))]
    kept = halves.halves(torch.cat([mixed, mixed[:12]]), 4, seed=0)
    assert (kept[:, :12] == kept[:, -12:]).mean() > 0.75


def test_beyond_a_thousand_rows_neighbours_stay_together(monkeypatch: pytest.MonkeyPatch, small: World) -> None:
    monkeypatch.setattr(halves, "UNITS", 20)
    kept = halves.halves(small.train[:47], 3, seed=0)
    assert kept.shape == (3, 47)
    assert (kept[:, 0:45:3] == kept[:, 1:46:3]).all()
    assert (abs(kept.sum(1) - 23.5) <= 2).all()


def test_of_a_large_index_the_largest_entries_are_kept() -> None:
    rows = torch.tensor([[3.0, -4.0, 0.5, 1.0], [0.0, 0.0, 0.0, -2.0]])
    assert attributing.largest(rows, 0.5).tolist() == [[3.0, -4.0, 0.0, 0.0], [0.0, 0.0, 0.0, -2.0]]


def test_correction_recovers_what_the_rows_lack() -> None:
    """Rows that know nothing, and retrainings that tell all: the sums come out of those that always go together."""
    draw = torch.Generator().manual_seed(0)
    truth_, groups = torch.randn(4, 30, generator=draw), torch.arange(4).repeat_interleave(5)
    kept = torch.tensor([[bool(i >> k & 1) for k in range(4)] for i in range(1, 15)])
    moved = kept.float() @ truth_ + 3.0
    rows = halves.corrected(torch.zeros(20, 30), kept[:, groups], moved, ridge=1e-4)
    found = torch.zeros(4, 30).index_add_(0, groups, rows)
    torch.testing.assert_close(found - found.mean(0), truth_ - truth_.mean(0), atol=1e-2, rtol=1e-2)


def test_what_is_learnt_of_a_row_goes_to_rows_like_it() -> None:
    """Two rows of one direction and one of another: without the first, the weights moved along a third."""
    rows = torch.eye(3)[[0, 0, 1]].contiguous()
    kept, moved = (
        torch.tensor([[True, False, False], [False, False, False]]),
        torch.eye(3)[[2, 1]] * 2 - torch.eye(3)[1],
    )
    found = halves.corrected(rows.clone(), kept, moved)[:, 2]
    assert found[0] > found[1] > 0.2
    assert abs(float(found[2])) < 1e-6


def test_curvature_that_turns_into_a_diagonal_is_inverted_exactly() -> None:
    """Drawn vectors along pairs of directions of both sides, against the whole matrix; a vector's entry by entry."""
    draw = torch.Generator().manual_seed(6)
    left, right = (torch.linalg.qr(torch.randn(n, n, generator=draw))[0] for n in (4, 6))
    sizes = torch.arange(4.0)[:, None] * 2 + torch.arange(1.0, 7)
    drawn = torch.stack([sizes[i, j] * torch.outer(left[:, i], right[:, j]) for i in range(4) for j in range(6)])
    own, flat = torch.randn(5, 24, generator=draw), drawn.flatten(1)
    curvature = flat.T @ flat / len(flat)
    curvature += rotated.DAMPING * curvature.diagonal().mean() * torch.eye(24)
    found = flat[:5].clone()
    rotated._solve(found, own, flat, (4, 6))
    torch.testing.assert_close(found, torch.linalg.solve(curvature, own.T).T, atol=1e-3, rtol=1e-3)
    rotated._solve(found, own, flat, (24,))
    torch.testing.assert_close(found, own / (flat.square().mean(0) + 0.1 * flat.square().mean()))


def test_the_second_opinion_weighs_a_quarter_as_much() -> None:
    draw = torch.Generator().manual_seed(7)
    rows, own, solved = (torch.randn(6, 9, generator=draw) for _ in range(3))
    added = rows - rotated.joined(rows.clone(), own, solved)
    others = ~torch.eye(6, dtype=torch.bool)
    part = (own @ added.T)[others].std() / (own @ rows.T)[others].std()
    assert float(part) == pytest.approx(0.25, rel=1e-4)
    assert torch.linalg.matrix_rank(torch.stack([added.flatten(), solved.flatten()])) == 1


@pytest.mark.parametrize("rough", [False, True])
def test_a_large_index_has_the_second_opinion_beside_its_largest_entries(
    monkeypatch: pytest.MonkeyPatch, small: World, rough: bool
) -> None:
    gradients, seen, told = Gradients(small.model, losses), list[tuple[int, Tensor]](), list[int]()
    steps, start = path.Steps.of(small.run, len(small.train)), gradients.vector(small.run["start"])
    final = gradients.now()

    def solved(own: Tensor, drawn: Tensor, shapes: Any, widest: int) -> Tensor:
        assert own.dtype == drawn.dtype == (torch.bfloat16 if rough else torch.float32)
        assert len(drawn) == len(own) * path.LEAN_DRAWS
        seen.append((widest, rotated.solved(own.float(), drawn.float().clone(), shapes, widest)))
        return rotated.solved(own, drawn, shapes, widest)

    def index(join: Any) -> Tensor:
        monkeypatch.setattr(attributing, "joined", join)
        return attributing.influence_rows(
            gradients, start, final, small.train, steps, 2, None, 0,
            lambda done, total, what: told.append(total) if what == "retrainings" else None,
        )[0]  # fmt: skip

    monkeypatch.setattr(attributing, "is_lean", lambda *asked: True)
    monkeypatch.setattr(gradients, "bears_rounding", lambda *asked: rough)
    monkeypatch.setattr(attributing, "solved", solved)
    alone, whole = index(lambda rows, *opinion: rows), index(rotated.joined)
    assert float((alone != 0).float().mean()) == pytest.approx(attributing.KEPT, rel=0.1)
    assert set(told) == {attributing.ROUGH_HALVES if rough else attributing.LEAN_HALVES}
    assert [widest for widest, _ in seen] == [rotated.LEAN_WIDEST] * 2
    assert float(torch.cosine_similarity((alone - whole).flatten(), seen[1][1].flatten(), 0)) > 0.999


def test_rows_without_logits_are_gathered_with_one_vector_each() -> None:
    """Some of the rows are padding alone, so that no vector of curvature is drawn for them."""

    class Half:
        size = 4

        def drawn(self, theta: Tensor, ids: Tensor, draws: int, *rest: Any) -> tuple[Tensor, Tensor]:
            rows = ids[:, :1].float().expand(-1, 4)
            return rows, rows if not ids.any() else rows.repeat_interleave(draws, 0)

    ids = torch.cat([torch.zeros(rotated.BATCH, 2), torch.arange(1, 4)[:, None].expand(-1, 2)]).long()
    own, drawn = rotated.gathered(Half(), torch.zeros(4), ids, 2, 0)  # type: ignore[arg-type]
    assert own[:, 0].tolist() == ids[:, 0].tolist()
    assert drawn[:, 0].tolist() == [0] * rotated.BATCH + [1, 1, 2, 2, 3, 3]


def test_queries_lose_their_padding_only_where_it_does_not_count(small: World) -> None:
    def by_width(model: nn.Module, ids: Tensor) -> Tensor:
        return losses(model, ids) * ids.shape[1]

    wide = torch.cat([small.query, torch.zeros(len(small.query), 4, dtype=torch.long)], 1)
    for rule in (losses, by_width):
        gradients = Gradients(small.model, rule)
        theta = gradients.now()
        parts = list(gradients.trimmed(theta, wide))
        assert torch.cat([numbers for numbers, _ in parts]).sort().values.tolist() == list(range(len(wide)))
        assert {some.shape[1] for _, some in parts} == {TIME if rule is losses else TIME + 4}
        index = torch.randn(5, gradients.size, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(
            gradients.dotted(theta, wide, gradients.whole(index)), gradients.rows(theta, wide) @ index.T
        )
