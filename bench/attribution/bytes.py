"""How small may an index row be? LDS of path influence against bytes a row, for every compression that was tried.

    .venv/bin/python bench/attribution/bytes.py --worlds manuals-11-lora manuals-11-full [--subsets 40]
        [--cache FOLDER] [--svg FILE]

A world is corpus-seed-kind. Each is trained, its rows are made once (2 draws, no retrainings, as for a published
index), the truth by retraining as in lds.py; then every compression gives its scores. Bytes are those of a row, and
beside them the bytes a row of what all rows share (a basis), which is spread over more rows in a larger index. All of
it is kept in ``--cache``, so that the next run is quick.
"""

from __future__ import annotations

import argparse
import math
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import lds
import numpy as np
import torch
from torch import Tensor

from openledger.attribution_oracle.gradients import Gradients
from openledger.attribution_oracle.index import Index, entries_of, small
from openledger.attribution_oracle.path import Steps, path_rows

GROUP = 64
SIDE = 1024


@dataclass
class Rows:
    """Rows, gradients of the training rows and of the queries at the end, all [any, parameters]; the tensors' shapes;
    the truth by rows and by contributors, each (kept, outcomes)."""

    rows: Tensor
    held: Tensor
    asked: Tensor
    shapes: list[tuple[int, ...]]
    truths: list[tuple[np.ndarray, np.ndarray]]
    groups: np.ndarray

    def parts(self, vectors: Tensor) -> list[tuple[Tensor, tuple[int, ...]]]:
        """The vectors tensor by tensor."""
        return list(zip(torch.split(vectors, [math.prod(s) for s in self.shapes], 1), self.shapes, strict=True))


@dataclass(frozen=True)
class Found:
    """Scores [rows, queries] (larger = raised the loss), ``size`` bytes a row, and the bytes that all rows share."""

    family: str
    what: str
    size: float
    scores: Tensor
    shared: float = 0.0


def made(name: str, subsets: int, cache: Path) -> Rows:
    """A world, from the cache as far as it is there."""
    corpus, seed, kind = name.split("-")

    def kept(file: str, make: Callable[[], object]) -> object:
        path = cache / file
        if not path.exists():
            half = path.with_suffix(".part")
            with half.open("wb") as out:
                pickle.dump(make(), out)
            half.rename(path)
        with path.open("rb") as source:
            return pickle.load(source)  # this program's own file

    world = kept(f"world-{name}.pkl", lambda: lds.world(corpus, int(seed), kind == "full"))
    assert isinstance(world, lds.World)
    truths = kept(f"truth-{name}.pkl", lambda: [lds.truth(world, subsets, by) for by in (False, True)])
    g = Gradients(world.model, lds.losses)
    shapes = [tuple(p.shape) for p in world.model.parameters() if p.requires_grad]

    def vectors() -> list[np.ndarray]:
        start = g.vector(world.run["start"])
        found, _ = path_rows(g, start, world.train, Steps.of(world.run, len(world.train)), 2, 0)
        return [x.numpy() for x in (found, g.rows(g.now(), world.train), g.rows(g.now(), world.query))]

    rows, held, asked = (torch.from_numpy(x) for x in kept(f"rows-{name}.pkl", vectors))  # type: ignore[attr-defined]
    return Rows(rows, held, asked, shapes, truths, world.groups)  # type: ignore[arg-type]


def rounded(vectors: Tensor, bits: int, group: int = 0) -> Tensor:
    """With so many bits an entry and one scale a row, or one in each ``group`` entries; one bit is the sign."""
    wide = vectors.shape[1]
    group = group or wide
    cut = torch.nn.functional.pad(vectors, (0, -wide % group)).view(len(vectors), -1, group)
    if bits == 1:
        back = cut.sign() * cut.abs().mean(2, keepdim=True)
    else:
        most = 2 ** (bits - 1) - 1
        step = cut.abs().amax(2, keepdim=True).clamp(min=1e-30) / most
        back = (cut / step).round().clamp(-most, most) * step
    return back.reshape(len(vectors), -1)[:, :wide]


def whole(data: Rows) -> Iterator[Found]:
    """All entries, in fewer bits."""
    wide = data.rows.shape[1]
    yield Found("all entries", "fp32", 4 * wide, data.rows @ data.asked.T)
    yield Found("all entries", "int8", wide, rounded(data.rows, 8) @ data.asked.T)
    yield Found("all entries", "int4", wide / 2, rounded(data.rows, 4) @ data.asked.T)
    for bits in (4, 3, 2, 1):
        size = wide * bits / 8 + 2 * wide / GROUP
        yield Found(
            "all entries", f"{bits} bits, groups of {GROUP}", size, rounded(data.rows, bits, GROUP) @ data.asked.T
        )


def largest(data: Rows) -> Iterator[Found]:
    """The product's own: a row's largest entries, int8, with their places."""
    wide = data.rows.shape[1]
    for row_bytes in (1 << p for p in range(12, 18)):
        if row_bytes < wide:
            rows = small(data.rows, entries_of(row_bytes, wide))
            index = Index("", rows.q, rows.scale, rows.at, wide)
            scores = torch.from_numpy(np.stack([index.dot(asked) for asked in data.asked], 1))
            yield Found("largest entries", f"{index.entries} of them", row_bytes, scores)


def shared_places(data: Rows) -> Iterator[Found]:
    """The same entries of all rows: those with the largest product of mean squares of rows and gradients."""
    energy = data.rows.square().mean(0) * data.held.square().mean(0)
    order = energy.argsort(descending=True)
    for share in (0.01, 0.02, 0.05, 0.1, 0.2, 0.4):
        kept = order[: int(share * len(order))]
        yield Found(
            "same entries of all", f"{share:.0%}", len(kept), rounded(data.rows[:, kept], 8) @ data.asked[:, kept].T
        )


def random_projection(data: Rows) -> Iterator[Found]:
    """Onto random directions, which follow from a seed."""
    chance = torch.Generator().manual_seed(1)
    for entries in (1024, 4096) if data.rows.shape[1] > 1e5 else (1024, 4096, 16384):
        scores = torch.zeros(len(data.rows), len(data.asked))
        for _ in range(entries // 256):
            some = torch.randn(data.rows.shape[1], 256, generator=chance)
            scores += (data.rows @ some) @ (data.asked @ some).T / entries
        yield Found("random projection", str(entries), entries, scores)


def over_rows(vectors: Tensor) -> Tensor:
    """Directions over rows, the strongest first, [rows, rows]."""
    return torch.linalg.eigh((vectors @ vectors.T).double())[1].flip(1).float()


def pca(data: Rows) -> Iterator[Found]:
    """Principal components of the rows, and in the metric of gradients; of all parameters, and tensor by tensor."""
    count, wide = data.rows.shape
    exact = data.rows @ data.asked.T
    for metric, name in ((False, "PCA"), (True, "PCA in the gradients' metric")):
        axes = over_rows(data.rows @ data.held.T if metric else data.rows)
        for entries in (8, 16, 32, 64, 96):
            some = axes[:, :entries]
            yield Found(name, str(entries), entries, some @ (some.T @ exact), entries * wide / count)
        pieces = [
            (over_rows(r @ h.T if metric else r), r @ a.T)
            for (r, _), (h, _), (a, _) in zip(*(data.parts(x) for x in (data.rows, data.held, data.asked)), strict=True)
        ]
        for entries in (4, 16, 32):
            scores = sum((a[:, :entries] @ (a[:, :entries].T @ s) for a, s in pieces), torch.zeros(()))
            yield Found(f"{name}, by tensor", str(entries), entries * len(pieces), scores, entries * wide / count)


def low_rank(data: Rows) -> Iterator[Found]:
    """A row's part of each matrix as a product of two thin ones, int8."""
    for rank in (1, 2, 3) if data.rows.shape[1] < 1e5 else (1, 4, 16):
        scores, size = torch.zeros(len(data.rows), len(data.asked)), 0
        for (part, shape), (asked, _) in zip(data.parts(data.rows), data.parts(data.asked), strict=True):
            size += part.shape[1] if min(shape) <= rank or len(shape) < 2 else rank * sum(shape)
            for at in range(0, len(part), 16):
                some = part[at : at + 16]
                if len(shape) > 1 and min(shape) > rank:
                    u, s, v = torch.svd_lowrank(some.view(-1, *shape), q=min(rank + 8, min(shape)), niter=3)
                    some = ((u[..., :rank] * s[:, None, :rank]) @ v[..., :rank].transpose(1, 2)).reshape(len(some), -1)
                scores[at : at + 16] += some @ asked.T
        yield Found("low-rank factors", f"rank {rank}", size, scores)


def eigenbasis(data: Rows) -> Iterator[Found]:
    """Directions of the covariance of the training rows' gradients, side by side of each matrix (K-FAC), those with the
    largest product of eigenvalues; 8 bits, and 4 bits in groups."""
    turned: list[list[Tensor]] = [[], []]
    energies, shared = [], 0.0
    for (held, shape), *both in zip(*(data.parts(x) for x in (data.held, data.rows, data.asked)), strict=True):
        matrix = held.reshape(len(held), shape[0], -1).double()
        left = torch.einsum("nab,ncb->ac", matrix, matrix) if shape[0] <= SIDE and len(shape) > 1 else None
        values, one = torch.linalg.eigh(left) if left is not None else (matrix.square().sum((0, 2)), None)
        others, other = torch.linalg.eigh(torch.einsum("nab,nac->bc", matrix, matrix))
        energies.append(
            (values.clamp(min=0)[:, None] * others.clamp(min=0)).reshape(-1) / others.sum().clamp(min=1e-30)
        )
        shared += 4 * (other.numel() + (0 if one is None else one.numel()))
        for (part, _), to in zip(both, turned, strict=True):
            some = part.reshape(len(part), shape[0], -1) @ other.float()
            to.append((some if one is None else one.float().T @ some).reshape(len(part), -1))
    rows, asked = (torch.cat(parts, 1) for parts in turned)
    order = torch.cat(energies).argsort(descending=True)
    for size in (1 << p for p in range(10, 17)):
        for bits, name in ((8, "gradients' directions, 8 bits"), (4, "gradients' directions, 4 bits")):
            kept = order[: int(size / (bits / 8 + (2 / GROUP if bits < 8 else 0)))]
            if len(kept) < len(order):
                back = rounded(rows[:, kept], bits, GROUP if bits < 8 else 0)
                yield Found(name, str(len(kept)), size, back @ asked[:, kept].T, shared / len(rows))


def per_contributor(data: Rows) -> Iterator[Found]:
    """One sum a contributor, shared evenly among the rows."""
    of = torch.from_numpy(data.groups)
    sums = torch.zeros(int(of.max()) + 1, data.rows.shape[1]).index_add_(0, of, data.rows)
    counts = torch.bincount(of)
    mean = sums / counts[:, None]
    yield Found(
        "sums per contributor",
        "int8",
        data.rows.shape[1] / float(counts.float().mean()),
        rounded(mean, 8)[of] @ data.asked.T,
    )


FAMILIES = (whole, largest, shared_places, low_rank, eigenbasis, pca, per_contributor, random_projection)
SHOWN = {
    "all entries": "#222222", "largest entries": "#d55e00", "gradients' directions, 4 bits": "#0072b2",
    "gradients' directions, 8 bits": "#56b4e9", "same entries of all": "#009e73", "low-rank factors": "#cc79a7",
    "random projection": "#999999",
}  # fmt: skip


def drawing(panels: dict[str, list[tuple[Found, float, float]]]) -> str:
    """The plot: bytes a row (logarithmic) against LDS over rows, a panel a world."""
    wide, high, parts = 330, 260, []
    for number, (name, found) in enumerate(panels.items()):
        sizes = [f.size for f, _, _ in found if f.family in SHOWN]
        low, top = math.log2(min(sizes)) - 0.3, math.log2(max(sizes)) + 0.3
        left = 50 + number * (wide + 50)

        def x(size: float, low: float = low, top: float = top, left: int = left) -> float:
            return left + wide * (math.log2(size) - low) / (top - low)

        def y(value: float) -> float:
            return 30 + high * (1 - max(0.0, value))

        parts.append(f'<text x="{left}" y="20" font-weight="bold">{name}</text>')
        for level in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
            parts.append(f'<path d="M{left} {y(level):.0f}h{wide}" stroke="#ddd"/>')
            parts.append(f'<text x="{left - 24}" y="{y(level) + 4:.0f}">{level}</text>')
        for power in range(math.ceil(low), math.floor(top) + 1, 2):
            label = f"{2**power} B" if power < 10 else f"{2 ** (power - 10)} KiB"
            parts.append(f'<text x="{x(2.0**power):.0f}" y="{high + 46}" text-anchor="middle">{label}</text>')
        for family, colour in SHOWN.items():
            line = sorted((f.size, value) for f, value, _ in found if f.family == family)
            places = " ".join(f"{x(size):.1f},{y(value):.1f}" for size, value in line)
            parts.append(f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
            parts += [
                f'<circle cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="2.5" fill="{colour}"/>'
                for p in places.split()
            ]
    for number, (family, colour) in enumerate(SHOWN.items()):
        at = 50 + 250 * (number % 4), high + 70 + 18 * (number // 4)
        parts.append(f'<circle cx="{at[0]}" cy="{at[1] - 4}" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{at[0] + 9}" y="{at[1]}">{family}</text>')
    size = f'width="{60 + len(panels) * (wide + 50)}" height="{high + 110}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"])


def main() -> None:
    """Print a table a world, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", nargs="+", default=["manuals-11-lora", "speeches-12-lora", "manuals-11-full"])
    parser.add_argument("--subsets", type=int, default=40)
    parser.add_argument("--cache", type=Path, default=Path(os.environ.get("TMPDIR", "/tmp")) / "openledger-bytes")
    parser.add_argument("--svg", type=Path)
    asked = parser.parse_args()
    asked.cache.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    panels = {}
    for name in asked.worlds:
        data = made(name, asked.subsets, asked.cache)
        subsets = "/".join(str(len(kept)) for kept, _ in data.truths)
        print(f"\n{name}: {len(data.rows)} rows of {data.rows.shape[1]} parameters, {subsets} retrainings")
        print(f"{'compression':34} {'':26} {'bytes a row':>11} {'shared':>9} {'rows':>6} {'contributors':>12}")
        panels[name] = []
        for family in FAMILIES:
            for found in family(data):
                rows, people = (lds.lds(-found.scores.double().numpy().T, *truth) for truth in data.truths)
                panels[name].append((found, rows, people))
                sizes = f"{found.size:11.0f} {found.shared:9.0f}"
                print(f"{found.family:34} {found.what:26} {sizes} {rows:6.3f} {people:12.3f}", flush=True)
    if asked.svg:
        asked.svg.write_text(drawing(panels), encoding="utf-8")


if __name__ == "__main__":
    main()
