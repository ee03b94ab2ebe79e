"""Attribution against the truth: LDS over rows and over contributors, by retraining on random halves.

    .venv/bin/python bench/attribution/lds.py [--corpus manuals] [--seeds 1,2] [--full] [--subsets 40] [--plot lds.svg]

A model is fine-tuned on a small corpus (rank-4 LoRA, or all weights). Then it is retrained many times, each time
without a random half of the rows, or of the contributors, left out of every batch of the same run. LDS is the Spearman
correlation, over these subsets, of the summed scores of the rows that stayed with minus the loss of a held-out
document, averaged over documents. Its error is the jackknife's over subsets; that of a mean over seeds adds those of
the seeds in squares and does not hold what seeds differ by. Costs are CPU seconds of one thread, relative to one
fine-tune; beside them stand the milliseconds that a query takes once all else is ready.

``--base FOLDER`` takes a model in Hugging Face's form in place of the built-in one; ``--rows``, ``--people``,
``--queries``, ``--epochs``, ``--context`` and ``--lr`` make the world small enough for it. Corpora: see corpora.py.

EK-FAC runs where kronfluence is installed (see peers.py) and is skipped elsewhere.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from corpora import CORPORA
from ldsplot import Bars, bars
from peers import Missing, ekfac
from torch import Tensor

from openledger.attribution_oracle import lora
from openledger.attribution_oracle.attribute import prepared
from openledger.attribution_oracle.bases import Base, load_base
from openledger.attribution_oracle.folders import read_folder
from openledger.attribution_oracle.gradients import Gradients
from openledger.attribution_oracle.model import pad
from openledger.attribution_oracle.path import Effects, Moments, Steps, retrained, walk
from openledger.attribution_oracle.replayed import Trainable
from openledger.attribution_oracle.replayed import trainable_losses as losses
from openledger.attribution_oracle.train import Settings, plan, start_tensors

CONTEXT, ROWS, QUERIES = 64, 16, 24
MODELS, SIDE = 4, 32


@dataclass(frozen=True)
class Size:
    """Of a world: rows of a contributor, contributors (None: all), queries, tokens of a row, epochs, learning rate
    (None: the usual one)."""

    rows: int = ROWS
    people: int | None = None
    queries: int = QUERIES
    context: int = CONTEXT
    epochs: int = 4
    lr: float | None = None


def untrained(full: bool, seed: int, base: Base | None = None) -> Trainable:
    """A base (None: the built-in one) with a fresh adapter, or with all weights to be trained."""
    base = base or load_base()
    adapter = lora.LoraSettings(rank=4, alpha=8.0, targets=base.targets)
    settings = Settings(kind="full" if full else "lora", lora=adapter)
    return Trainable(base, settings, start_tensors(base, base.build(), seed, settings))


@dataclass
class World:
    """A trained model and its run."""

    model: Trainable
    train: Tensor
    query: Tensor
    groups: np.ndarray
    run: dict[str, Any]
    seconds: float
    asking: float = 0.0
    """Seconds that the last method took to score all queries, without what it does once."""

    def after(self, kept: np.ndarray) -> np.ndarray:
        """Losses of the queries after training on the kept rows."""
        gradients, steps = Gradients(self.model, losses), Steps.of(self.run, len(self.train))
        theta = retrained(gradients, gradients.vector(self.run["start"]), self.train, steps, kept.tolist())
        return gradients.losses(theta, self.query).numpy()


def world(name: str, seed: int, full: bool, size: Size = Size(), base: Base | None = None) -> World:
    """Train on rows of each contributor of a corpus."""
    chance = random.Random(seed)
    people = CORPORA[name](chance)[: size.people]
    texts = [t for person in people for t in person[: size.rows]]
    groups = np.repeat(np.arange(len(people)), size.rows)
    asked = [t for person in people for t in person[size.rows : size.rows + 3]]
    chance.shuffle(asked)
    return trained(texts, asked[: size.queries], groups, seed, full, size, base)


def trained(
    texts: Sequence[str], asked: Sequence[str], groups: np.ndarray, seed: int, full: bool = False, size: Size = Size(),
    base: Base | None = None,
) -> World:  # fmt: skip
    """Train on the texts, whose contributors are ``groups``; ``asked`` are the queries."""
    model = untrained(full, seed, base)
    tokenizer = (base or load_base()).tokenizer
    train, query = (pad([tokenizer.document(t) for t in some], size.context) for some in (texts, asked))
    lr = size.lr or (5e-4 if full else 4e-3)
    batches, lrs = plan(len(train), seed, Settings(epochs=size.epochs, batch=8, lr=lr, warmup=4))
    start = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = {"kind": "adam", "b1": 0.9, "b2": 0.99, "eps": 1e-6}
    run = {"start": start, "batches": batches, "lrs": lrs, "optimizer": optimizer}
    gradients, before = Gradients(model, losses), time.process_time()
    final = retrained(gradients, gradients.now(), train, Steps.of(run, len(train)), [True] * len(train))
    seconds = time.process_time() - before
    at = 0
    for parameter in (p for p in model.parameters() if p.requires_grad):
        parameter.data.copy_(final[at : at + parameter.numel()].view_as(parameter))
        at += parameter.numel()
    return World(model, train, query, groups, run, seconds)


def rank(x: np.ndarray) -> np.ndarray:
    """Ranks along the first axis."""
    return np.argsort(np.argsort(x, axis=0), axis=0)


def lds(scores: np.ndarray, kept: np.ndarray, outcomes: np.ndarray) -> float:
    """``scores`` [queries, rows], ``kept`` [subsets, rows], ``outcomes`` losses [subsets, queries]."""
    told, true = rank(kept.astype(float) @ scores.T), rank(-outcomes)
    return float(np.mean([np.corrcoef(told[:, q], true[:, q])[0, 1] for q in range(told.shape[1])]))


def jackknife(scores: np.ndarray, kept: np.ndarray, outcomes: np.ndarray) -> float:
    """Standard error of ``lds`` over subsets."""
    count = len(kept)
    left = [lds(scores, np.delete(kept, i, 0), np.delete(outcomes, i, 0)) for i in range(count)]
    return math.sqrt((count - 1) * float(np.var(left)))


def truth(made: World, subsets: int, by_contributor: bool, of_any_size: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Random halves, or parts from a quarter to nearly all, and what came of them."""
    rng, lines, outcomes = np.random.default_rng(5), [], []
    units = made.groups if by_contributor else np.arange(len(made.groups))
    for number in range(subsets):
        count = units.max() + 1
        size = int(rng.integers(max(2, count // 4), count)) if of_any_size else count // 2
        chosen = rng.permutation(count)[:size]
        lines.append(np.isin(units, chosen))
        outcomes.append(made.after(lines[-1]))
        print(f"\r{number + 1}/{subsets} retrainings ", end="", flush=True)
    print("\r" + " " * 30, end="\r")
    return np.stack(lines), np.stack(outcomes)


def gradients_at_the_end(made: World, theta: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Of rows and queries at the final weights, or at others."""
    g = Gradients(made.model, losses)
    rows = g.rows(g.now() if theta is None else theta, made.train)
    return rows, answered(made, rows, theta)


def answered(made: World, index: Tensor, theta: Tensor | None = None) -> Tensor:
    """Gradients of the queries, timed together with their product with an index [rows, parameters]."""
    g, before = Gradients(made.model, losses), time.process_time()
    asked = g.rows(g.now() if theta is None else theta, made.query)
    torch.mm(asked, index.T)
    made.asking = time.process_time() - before
    return asked


def gradient_dot(made: World) -> np.ndarray:
    """TracIn at the last checkpoint."""
    rows, asked = gradients_at_the_end(made)
    return (asked @ rows.T).numpy()


def datainf(made: World) -> np.ndarray:
    """DataInf (Kwon et al. 2023, equation 5), over all parameters as one layer."""
    rows, asked = gradients_at_the_end(made)
    square = rows.square().sum(1)
    damp = 0.1 * float(square.mean()) / rows.shape[1]
    inner = rows @ rows.T
    solved = (rows - (inner / (damp + square)[None, :]) @ rows / len(rows)) / damp
    return (asked @ solved.T).numpy()


def trak(made: World, theta: Tensor | None = None, dimensions: int = 512) -> np.ndarray:
    """TRAK of one model: random projection, then the inverse of the projected gradients' covariance."""
    rows, asked = gradients_at_the_end(made, theta)
    sketch = torch.randn(rows.shape[1], dimensions, generator=torch.Generator().manual_seed(0)) / dimensions**0.5
    p, q = rows @ sketch, asked @ sketch
    covariance = p.T @ p / len(p)
    covariance += 0.1 * covariance.diagonal().mean() * torch.eye(dimensions)
    return (q @ torch.linalg.solve(covariance, p.T)).numpy()


def trak_of_several(made: World) -> np.ndarray:
    """The mean over ``MODELS`` models, each trained on a random half of the rows (Park et al. 2023, section 3.2)."""
    rng, gradients, steps = np.random.default_rng(7), Gradients(made.model, losses), Steps.of(made.run, len(made.train))
    start, total, asking = gradients.vector(made.run["start"]), np.zeros((len(made.query), len(made.train))), 0.0
    for _ in range(MODELS):
        kept = np.zeros(len(made.train), dtype=bool)
        kept[rng.permutation(len(kept))[: len(kept) // 2]] = True
        total += trak(made, retrained(gradients, start, made.train, steps, kept.tolist()))
        asking += made.asking
    made.asking = asking
    return total / MODELS


def projected(made: World, vectors: Tensor) -> list[Tensor]:
    """LoGra's sides of each trained matrix, random, of at most ``SIDE``: [rows, entries] a matrix."""
    found, at = [], 0
    for number, p in enumerate(p for p in made.model.parameters() if p.requires_grad):
        g = vectors[:, at : at + p.numel()].view(len(vectors), *p.shape)
        at += p.numel()
        if p.dim() != 2:
            continue
        draw = torch.Generator().manual_seed(number)
        out, inside = (torch.randn(n, SIDE, generator=draw) / n**0.5 if n > SIDE else None for n in p.shape)
        g = g if inside is None else g @ inside
        g = g if out is None else out.T @ g
        found.append(g.flatten(1))
    return found


def logra(made: World) -> np.ndarray:
    """LoGra (Choe et al. 2024): gradients projected on both sides of each matrix, through the inverse of their Fisher
    matrix there, drawn with a coin a token."""
    g = Gradients(made.model, losses)
    rows, drawn = (projected(made, x) for x in g.drawn(g.now(), made.train, 1, 0, "logra"))
    solved = []
    for own, curved in zip(rows, drawn, strict=True):
        fisher = curved.T @ curved / len(curved)
        fisher += 0.1 * fisher.diagonal().mean().clamp(min=1e-30) * torch.eye(len(fisher))
        solved.append(torch.linalg.solve(fisher, own.T))
    before = time.process_time()
    asked = projected(made, g.rows(g.now(), made.query))
    scores = sum((q @ r for q, r in zip(asked, solved, strict=True)), torch.zeros(len(made.query), len(made.train)))
    made.asking = time.process_time() - before
    return scores.numpy()


def ours(**options: int) -> Callable[[World], np.ndarray]:
    """Path influence, in two steps: what is done once, then the queries."""

    def scored(made: World) -> np.ndarray:
        index = prepared(made.model, losses, made.train, made.groups, made.run, **options)
        before = time.process_time()
        scores = index.scores(made.query)
        made.asking = time.process_time() - before
        return scores

    return scored


def undecayed(made: World) -> np.ndarray:
    """Path influence without decay, each layer with its own mean of second moments: "path-undecayed", in fp32."""
    gradients, steps = Gradients(made.model, losses), Steps.of(made.run, len(made.train))
    sizes: dict[str, int] = {}
    for name, p in made.model.named_parameters():
        if p.requires_grad:
            sizes[name.rpartition("_")[0]] = sizes.get(name.rpartition("_")[0], 0) + p.numel()
    effects = Effects(len(made.train), Moments(gradients.vector(made.run["start"]), steps), layers=list(sizes.values()))
    walk(gradients, effects, made.train, torch.arange(len(made.train)), 0, 1)
    return -(answered(made, effects.u) @ effects.u.T).numpy()


def damped(made: World) -> np.ndarray:
    """EK-FAC with a tenth of the mean eigenvalue as damping."""
    return ekfac(made, None)


METHODS: dict[str, Callable[[World], np.ndarray]] = {
    "gradient dot": gradient_dot,
    "DataInf": datainf,
    "TRAK, 1 model": trak,
    f"TRAK, {MODELS} models": trak_of_several,
    "LoGra": logra,
    "EK-FAC": ekfac,
    "EK-FAC, damping 0.1 mean": damped,
    "path, no decay": ours(draws=0, retrainings=0),
    "path, no decay, by layer": undecayed,
    "path, 1 draw": ours(draws=1, retrainings=0),
    "path, 3 draws": ours(retrainings=0),
    "attribute": ours(),
}


@dataclass(frozen=True)
class Line:
    """What a method reached in one world: (LDS, error) over rows and over contributors."""

    rows: tuple[float, float]
    contributors: tuple[float, float]
    cost: float
    each: float


def measured(made: World, subsets: int, chosen: Sequence[str], of_any_size: bool = False) -> dict[str, Line]:
    """All chosen methods in one world. What is missing is said and left out."""
    truths = [truth(made, subsets, by, of_any_size) for by in (False, True)]
    found = {}
    for name in chosen:
        before = time.process_time()
        try:
            scores = METHODS[name](made)
        except Missing as why:
            print(f"{name:32} {why}")
            continue
        cost, each = (time.process_time() - before) / made.seconds, 1e3 * made.asking / len(made.query)
        rows, contributors = ((lds(scores, *t), jackknife(scores, *t)) for t in truths)
        found[name] = Line(rows, contributors, cost, each)
        show(name, found[name])
    return found


def show(name: str, line: Line) -> None:
    """One line of the table."""
    told = " ".join(f"{value:6.3f} +- {error:.3f}" for value, error in (line.rows, line.contributors))
    print(f"{name:32} {told} {line.cost:16.1f} {line.each:10.1f}", flush=True)


def mean(lines: Sequence[Line]) -> Line:
    """Over seeds."""

    def of(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
        values, errors = np.array(pairs).T
        return float(values.mean()), math.sqrt(float((errors**2).sum())) / len(errors)

    cost, each = (float(np.mean(x)) for x in ([line.cost for line in lines], [line.each for line in lines]))
    return Line(of([line.rows for line in lines]), of([line.contributors for line in lines]), cost, each)


def main() -> None:
    """Print a table for each seed and their mean; draw the mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", choices=CORPORA, default="manuals")
    parser.add_argument("--seeds", default="1", help="numbers with commas between them")
    parser.add_argument("--full", action="store_true", help="train all weights instead of an adapter")
    parser.add_argument("--subsets", type=int, default=40, help="retrainings for each of the two truths")
    parser.add_argument("--any-size", action="store_true", help="subsets from a quarter to nearly all, not halves")
    for field in fields(Size):
        parser.add_argument(f"--{field.name}", type=float if field.name == "lr" else int, default=field.default)
    parser.add_argument("--base", type=Path, help="a folder in Hugging Face's form (default: the built-in base)")
    parser.add_argument("--methods", default="", help="some of them, with ; between them (default: all)")
    parser.add_argument("--plot", help="an SVG file to write")
    asked = parser.parse_args()
    chosen = [name.strip() for name in asked.methods.split(";")] if asked.methods else list(METHODS)
    if unknown := set(chosen) - set(METHODS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {'; '.join(METHODS)}")
    torch.set_num_threads(1)
    size, base = Size(**{f.name: getattr(asked, f.name) for f in fields(Size)}), None
    if asked.base:
        from openledger.attribution_oracle.hf import load_hf

        base = load_hf(read_folder(asked.base))
    seeds, found = [int(seed) for seed in asked.seeds.split(",")], list[dict[str, Line]]()
    for seed in seeds:
        made = world(asked.corpus, seed, asked.full, size, base)
        print(f"seed {seed}: {len(made.train)} rows of {made.groups.max() + 1} contributors; "
              f"one fine-tune {made.seconds:.1f} s of CPU")  # fmt: skip
        print(f"{'method':32} {'rows':>15} {'contributors':>15} {'cost, fine-tunes':>16} {'ms a query':>10}")
        found.append(measured(made, asked.subsets, chosen, asked.any_size))
    means = {name: mean([lines[name] for lines in found]) for name in chosen if name in found[0]}
    if len(seeds) > 1:
        print("mean")
        for name, line in means.items():
            show(name, line)
    if asked.plot:
        kind = "all weights" if asked.full else "LoRA"
        title = f"LDS, {asked.corpus}, {kind}, seeds {asked.seeds}, {asked.subsets} subsets"
        drawn = bars(title, [Bars(name, (line.rows, line.contributors)) for name, line in means.items()])
        Path(asked.plot).write_text(drawn, "utf-8")


if __name__ == "__main__":
    main()
