"""EK-FAC, LoGra and DataInf: gradients at the final weights through three forms of inverse curvature.

All three look at the trained weights alone, where path influence looks at the run; a validator computes their factors
once a model from rows, weights and seed, and nothing has to be committed beside the index.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from openledger.attribution_oracle import lora
from openledger.attribution_oracle.curvature import Preconditioned, damping, drawn
from openledger.attribution_oracle.influence import GradientDot, Run
from openledger.attribution_oracle.ports import Progress
from openledger.attribution_oracle.tensors import uniform
from openledger.primitives.errors import InvalidModel

LARGEST = 1 << 28
"""Entries of the gradients that DataInf keeps."""
SPAN = 1.1
"""Tokens, relative to the widest side of outputs, from which on EK-FAC's draws span that side. Below, a part of its
basis is left to rounding, and rows of honest machines are 2 to 8 % apart (docs/lab/tolerances.md)."""
SIDE = 32
"""LoGra's projected inputs, and outputs, of a tensor."""


def spans(lengths: Iterable[int], context: int, shapes: Iterable[Sequence[int]]) -> tuple[int, int]:
    """Tokens that rows of these lengths predict, and how many EK-FAC asks for where tensors have these ``shapes``
    [out, in]."""
    return sum(min(length, context) - 1 for length in lengths), math.ceil(SPAN * max(shape[0] for shape in shapes))


def tensors_of(run: Run, vectors: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Names of the adapter's tensors, and their part of ``vectors`` [rows, parameters] as [rows, out, in]."""
    at = 0
    for name, shape in lora.shapes(run.model, run.settings.lora).items():
        yield name, vectors[:, at : at + math.prod(shape)].reshape(-1, *shape)
        at += math.prod(shape)


@dataclass(frozen=True)
class Basis:
    """Of one tensor W [out, in]: eigenvectors ``q_in`` [in, in] and ``q_out`` [out, out] as columns, and ``inverse``
    [out, in], one over damped curvature along them."""

    q_in: Tensor
    q_out: Tensor
    inverse: Tensor

    def rotated(self, g: Tensor) -> Tensor:
        """g [rows, out, in] in the basis."""
        return self.q_out.T @ g @ self.q_in


class EkFac(Preconditioned[list[Basis]]):
    """Kronecker-factored curvature with corrected eigenvalues (George et al. 2018, arXiv 1806.03884; Grosse et al.
    2023, arXiv 2308.03296): the basis comes from the covariances of inputs and of output gradients, curvature along
    it from second draws."""

    name = "ek-fac"
    cost = (
        "index: about 1.2 fine-tunes (three forward and backward passes a row, an eigendecomposition a tensor side), "
        "for a verifier once per model; answer: one pass, then rows x dim multiplications"
    )

    def factors(self, run: Run, progress: Progress) -> list[Basis]:
        shapes = lora.shapes(run.model, run.settings.lora).values()
        tokens, needed = spans(map(len, run.rows), run.model.config.context, shapes)
        if tokens < needed:
            raise InvalidModel(
                f"rows of {tokens} tokens are too few for ek-fac, which needs {needed} here: machines would not agree",
                "take path-influence or gradient-dot (--method)",
            )
        sides: list[tuple[Tensor, Tensor]] = []
        for batch in drawn(run, "ek-fac.basis", progress):
            some = [(_gram(seen.x), _gram(seen.d)) for seen in batch]
            sides = [(a + c, b + d) for (a, b), (c, d) in zip(sides, some, strict=True)] if sides else some
        flat = [Basis(_eigenvectors(a), _eigenvectors(b), torch.zeros(len(b), len(a))) for a, b in sides]
        squares = [basis.inverse.double() for basis in flat]
        for batch in drawn(run, "ek-fac.curvature", progress):
            for basis, seen, total in zip(flat, batch, squares, strict=True):
                total += basis.rotated(seen.rows().cpu()).double().square().sum(0)
        names = lora.shapes(run.model, run.settings.lora)
        return [
            Basis(basis.q_in, basis.q_out, _inverse(total / len(run.rows), name))
            for basis, total, name in zip(flat, squares, names, strict=True)
        ]

    def applied(self, run: Run, factors: list[Basis], gradients: Tensor) -> Tensor:
        done = [
            basis.q_out @ (basis.rotated(g) * basis.inverse) @ basis.q_in.T
            for basis, (_, g) in zip(factors, tensors_of(run, gradients), strict=True)
        ]
        return torch.cat([x.reshape(len(gradients), -1) for x in done], 1)


def _gram(some: Tensor) -> Tensor:
    """Sum over rows and tokens of the outer product, fp64 [dim, dim] on the CPU."""
    flat = some.reshape(-1, some.shape[-1])
    return (flat.T @ flat).double().cpu()


def _eigenvectors(covariance: Tensor) -> Tensor:
    vectors: Tensor = torch.linalg.eigh(covariance)[1]
    return vectors.float()


def _inverse(curvature: Tensor, name: str) -> Tensor:
    return (1.0 / (curvature + damping(float(curvature.mean()), name))).float()


class LoGra(Preconditioned[list[Tensor]]):
    """Gradients projected on both sides of each tensor, through the inverse of their Fisher matrix there (Choe et al.
    2024, arXiv 2405.13954). Sides of at most ``SIDE`` are left as they are. The projections follow from the seed."""

    name = "logra"
    cost = (
        "index: two forward and backward passes a row, for a verifier once per model; rows of at most 1,024 entries a "
        "tensor; answer: one pass, then rows x dim multiplications"
    )

    def dim(self, run: Run) -> int:
        return sum(min(a, SIDE) * min(b, SIDE) for a, b in lora.shapes(run.model, run.settings.lora).values())

    def factors(self, run: Run, progress: Progress) -> list[Tensor]:
        names = list(lora.shapes(run.model, run.settings.lora))
        fisher: list[Tensor] = []
        for batch in drawn(run, "logra", progress):
            some = [_gram(_projected(run, name, seen.rows().cpu())) for name, seen in zip(names, batch, strict=True)]
            fisher = [a + b for a, b in zip(fisher, some, strict=True)] if fisher else some
        found = []
        for name, total in zip(names, fisher, strict=True):
            mean = total / len(run.rows)
            damp = damping(float(mean.diagonal().mean()), name)
            found.append(torch.linalg.inv(mean + damp * torch.eye(len(mean), dtype=mean.dtype)).float())
        return found

    def applied(self, run: Run, factors: list[Tensor], gradients: Tensor) -> Tensor:
        parts = zip(factors, tensors_of(run, gradients), strict=True)
        return torch.cat([_projected(run, name, g) @ inverse for inverse, (name, g) in parts], 1)

    def answered(self, run: Run, query: str, answer: str) -> tuple[Tensor, float]:
        gradient, loss = super().answered(run, query, answer)
        return torch.cat([_projected(run, name, g) for name, g in tensors_of(run, gradient[None])], 1)[0], loss


def _projected(run: Run, name: str, g: Tensor) -> Tensor:
    """[rows, at most SIDE x SIDE] of g [rows, out, in]."""
    out, inside = g.shape[1:]
    if inside > SIDE:
        g = g @ _side(run.seed, f"logra.{name}.in", inside).T
    if out > SIDE:
        g = _side(run.seed, f"logra.{name}.out", out) @ g
    return g.reshape(len(g), -1)


def _side(seed: int, label: str, size: int) -> Tensor:
    found: Tensor = uniform(seed, label, SIDE * size).view(SIDE, size) * math.sqrt(3.0 / size)
    return found


class DataInf(Preconditioned[Tensor]):
    """The mean of the inverses in place of the inverse of the mean (Kwon et al. 2023, arXiv 2310.00902, equation 5),
    tensor by tensor: row i becomes (g_i - mean over j of g_j (g_j . g_i) / (l + g_j . g_j)) / l."""

    name = "datainf"
    cost = (
        "index: one forward and backward pass a row, rows x rows x dim multiplications, and all gradients in memory; "
        "answer: one pass, then rows x dim multiplications"
    )

    def dim(self, run: Run) -> int:
        size = super().dim(run)
        if len(run.rows) * size > LARGEST:
            raise InvalidModel(f"the gradients would have more than {LARGEST} entries", "take logra")
        return size

    def factors(self, run: Run, progress: Progress) -> Tensor:
        return GradientDot.row_vectors(self, run, range(len(run.rows)), progress)

    def applied(self, run: Run, factors: Tensor, gradients: Tensor) -> Tensor:
        done = []
        for (name, own), (_, others) in zip(tensors_of(run, gradients), tensors_of(run, factors), strict=True):
            g, all_g = own.flatten(1), others.flatten(1)
            sizes = all_g.square().sum(1)
            damp = damping(float(sizes.mean()) / g.shape[1], name)
            done.append((g - (g @ all_g.T / (damp + sizes)) @ all_g / len(all_g)) / damp)
        return torch.cat(done, 1)


__all__ = ["DataInf", "EkFac", "LoGra", "spans", "tensors_of"]
