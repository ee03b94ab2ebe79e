"""Whether what an index' int8 rows leave out tells who has made a row again from who guesses.

    .venv/bin/python bench/attribution/residuals.py [--rows 60] [--seed 1]

An entry is q x scale; what is left of the fp32 value, in steps of the scale, is a residual between -1/2 and 1/2, said
in one of 16 levels. Prints how often the levels of one row are right when said by an honest machine with other kernels,
by one that computes in bfloat16, and by whoever guesses what is likeliest for that q; for entries by the size of q. And
of how many entries each must be right, so that the first is told from the others.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from costs import texts

from openledger.attribution_oracle import corpus, factory
from openledger.attribution_oracle.bundle import VersionData
from openledger.attribution_oracle.index import quantise
from openledger.attribution_oracle.influence import GradientDot, Run
from openledger.attribution_oracle.ports import silent
from openledger.primitives.attribution import PartFacts
from openledger.primitives.types import to_hex
from openledger.state.blobs import BlobStore
from tests.unit.oracle.test_numerics import OtherKernels

LEVELS = 16
NEAR = 1
"""Levels by which an honest one may differ."""
SURE = 1e-6


def levels(vectors: Tensor, q: Tensor, scale: Tensor) -> Tensor:
    """The level of each entry's residual, [rows, entries]."""
    left = vectors.double() / scale[:, None].double() - q.double()
    return ((left + 0.5) * LEVELS).floor().clamp(0, LEVELS - 1).long()


def right(said: Tensor, true: Tensor) -> Tensor:
    """Where what was said is near enough; the highest level is next to the lowest."""
    apart = (said - true).abs()
    return torch.minimum(apart, LEVELS - apart) <= NEAR


def guess(q: Tensor, true: Tensor) -> Tensor:
    """The likeliest level for each q, known from all rows: more than any guesser knows."""
    said = torch.zeros_like(true)
    for value in q.unique():
        here = q == value
        counts = torch.bincount(true[here], minlength=LEVELS)
        said[here] = int((counts + counts.roll(1) + counts.roll(-1)).argmax())
    return said


def entries_needed(honest: float, other: float) -> int | None:
    """Fewest entries, and the best bar for right ones among them, so that an honest one is refused and the other passes
    with probability SURE at most."""
    for count in range(1, 257):
        for bar in range(count + 1):
            passes = [
                sum(math.comb(count, k) * p**k * (1 - p) ** (count - k) for k in range(bar, count + 1))
                for p in (honest, other)
            ]
            if passes[0] >= 1 - SURE and passes[1] <= SURE:
                return count
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    factory.set_threads(1)
    blobs = BlobStore("memory://residuals")
    wanted = texts(options.rows, options.seed)
    part = PartFacts(to_hex(bytes(20)), "0x" + blobs.put(corpus.to_lines(wanted)), len(wanted), 0)
    model = factory.train_model(blobs, (VersionData(1, 1, (part,)),), seed=options.seed)
    trained = model.trained
    run = Run.of(trained.base, trained.settings, trained.tensors, trained.receipt, model.texts, torch.device("cpu"))
    numbers = range(options.rows)
    rows = GradientDot().row_vectors(run, numbers, silent)
    q, scale = quantise(rows)
    true = levels(rows, q, scale)
    with OtherKernels() as other:
        honest = torch.cat([GradientDot().row_vectors(run, [number], silent) for number in numbers])
    if not other.seen:
        raise SystemExit("the other kernels were not used")
    with torch.autocast("cpu", torch.bfloat16):
        rough = GradientDot().row_vectors(run, numbers, silent).float()
    said = {"other kernels": levels(honest, q, scale), "bfloat16": levels(rough, q, scale), "guess": guess(q, true)}
    size = q.abs().long()
    for name, chosen in {"q = 0": size == 0, "|q| 1 to 3": (size > 0) & (size < 4), "|q| >= 4": size >= 4}.items():
        found = {who: float(right(levels_, true)[chosen].double().mean()) for who, levels_ in said.items()}
        exact = float((said["other kernels"] == true)[chosen].double().mean())
        print(json.dumps({
            "entries": name, "part": round(float(chosen.double().mean()), 3), "honest_exact": exact,
            **{f"right_{who}": round(p, 6) for who, p in found.items()},
            "needed_against_guess": entries_needed(found["other kernels"], found["guess"]),
            "needed_against_bfloat16": entries_needed(found["other kernels"], found["bfloat16"]),
        }), flush=True)  # fmt: skip
    apart = (honest - rows).norm(dim=1) / rows.norm(dim=1)
    far = (rough - rows).norm(dim=1) / rows.norm(dim=1)
    print(json.dumps({"apart": float(apart.max()), "apart_bfloat16": float(far.max()), "dim": rows.shape[1]}))


if __name__ == "__main__":
    main()
