"""The index: the committed vectors of a model's rows, whole or their largest entries only.

A row is stored as int8 entries with one fp32 scale. Rows of more parameters than ``row_bytes`` allow keep the entries
of largest magnitude, with their places: what a row did to a model is concentrated in few weights, and the rest is
mostly noise (docs/lab/index-size.md). Which entries those are follows from the row itself, so a recheck needs nothing
but the recomputed row: no basis is chosen by anybody.

The file is safetensors: ``q`` int8 [rows, entries], ``scale`` fp32 [rows]; where entries were left out also ``low``
int16 [rows, entries], the lower 16 bits of the ascending places, and ``count`` int32 [rows, blocks], how many places
lie in each run of 65,536 parameters. All scores are summed in fp64. A checkpoint's file holds besides ``theta``, ``m``
and ``v``, fp32 [parameters] each: weights and Adam's moments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from openledger.attribution_oracle.tensors import dump, load, note_of
from openledger.primitives.errors import InvalidModel
from openledger.primitives.hashing import merkle_leaf, merkle_root

LEAST_BYTES, MOST_BYTES = 1 << 12, 1 << 24
BLOCK = 1 << 16
STRICT = 100.0
"""How much heavier than in a value an error weighs in the choice of what was left out."""


@dataclass(frozen=True)
class Rows:
    """Some rows of an index: ``q`` int8 [rows, entries], ``scale`` fp32 [rows], and ``at`` int32 [rows, entries], the
    ascending places of the entries; None where all entries are there."""

    q: Tensor
    scale: Tensor
    at: Tensor | None = None

    def dense(self, parameters: int) -> Tensor:
        """The same as fp32 [rows, parameters], with zeros where nothing was kept."""
        values = self.q.float() * self.scale[:, None]
        if self.at is None:
            return values
        return torch.zeros(len(values), parameters).scatter_(1, self.at.long(), values)


def gathered(pieces: Sequence[Rows]) -> Rows:
    """Some rows behind the others."""
    at = [piece.at for piece in pieces if piece.at is not None]
    q, scale = torch.cat([piece.q for piece in pieces]), torch.cat([piece.scale for piece in pieces])
    return Rows(q, scale, torch.cat(at) if at else None)


def entries_of(row_bytes: int, parameters: int) -> int:
    """How many entries a row of at most ``row_bytes`` keeps: all, when as many bytes suffice, else by the largest power
    of two in ``row_bytes``. Raises InvalidModel outside of 4 KiB to 16 MiB."""
    if not LEAST_BYTES <= row_bytes <= MOST_BYTES:
        raise InvalidModel(f"index rows of {row_bytes} bytes are not made", f"{LEAST_BYTES} to {MOST_BYTES}")
    if parameters <= row_bytes:
        return parameters
    power = 1 << row_bytes.bit_length() - 1
    return min(parameters, (power - 4 - 4 * _blocks(parameters)) // 3)


def bytes_of(entries: int, parameters: int) -> int:
    """Bytes of a row in the index's file."""
    return entries + 4 if entries == parameters else 3 * entries + 4 + 4 * _blocks(parameters)


def check_entries(entries: int, parameters: int) -> None:
    """Rows are whole, or as large as some power of two of bytes allows: nobody tries numbers of entries until one suits
    him. Raises InvalidModel."""
    powers = (1 << p for p in range(LEAST_BYTES.bit_length() - 1, MOST_BYTES.bit_length()))
    if entries != parameters and entries not in {entries_of(power, parameters) for power in powers}:
        raise InvalidModel(f"index rows of {entries} entries do not belong to a model of {parameters} parameters")


def _blocks(parameters: int) -> int:
    return -(-parameters // BLOCK)


def small(vectors: Tensor, entries: int) -> Rows:
    """The rows of fp32 [rows, parameters]. Of equal magnitudes the earlier is kept."""
    if entries == vectors.shape[1]:
        return Rows(*quantise(vectors))
    kept = torch.empty((len(vectors), entries), dtype=torch.long)
    for number, vector in enumerate(vectors):  # one by one, for memory
        kept[number] = _largest(vector, entries).sort().values
    q, scale = quantise(vectors.gather(1, kept))
    return Rows(q, scale, kept.to(torch.int32))


def _largest(vector: Tensor, entries: int) -> Tensor:
    sizes = vector.abs()
    least = sizes.topk(entries, sorted=False).values.amin()
    above = (sizes > least).nonzero()[:, 0]
    return torch.cat((above, (sizes == least).nonzero()[: entries - len(above), 0]))


def quantise(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """int8 entries and fp32 scales of fp32 [rows, dim]: scale = largest magnitude / 127; a zero row has scale 0."""
    scale = vectors.abs().amax(dim=1) / 127.0
    safe = torch.where(scale > 0, scale, torch.ones_like(scale))
    q = torch.round(vectors / safe[:, None]).clamp(-127, 127).to(torch.int8)
    return q, scale


@dataclass(frozen=True)
class Index:
    """The committed vectors (see ``Rows``); an entry is q * scale. ``parameters`` is the length of a whole vector.
    ``checkpoints`` are those of the run along which an index was just made; files of their own."""

    method: str
    q: Tensor
    scale: Tensor
    at: Tensor | None = None
    parameters: int = 0
    checkpoints: tuple[Checkpoint, ...] = ()

    @property
    def rows(self) -> int:
        return int(self.q.shape[0])

    @property
    def entries(self) -> int:
        """Entries of a row."""
        return int(self.q.shape[1])

    @property
    def dim(self) -> int:
        """Length of a whole vector."""
        return self.entries if self.at is None else self.parameters

    @classmethod
    def of(cls, method: str, rows: Rows, dim: int) -> Index:
        """Of its rows."""
        return cls(method, rows.q, rows.scale, rows.at, 0 if rows.at is None else dim)

    def taken(self, numbers: Sequence[int]) -> Rows:
        """Some of the rows."""
        chosen = torch.tensor(list(numbers), dtype=torch.long)
        return Rows(self.q[chosen], self.scale[chosen], None if self.at is None else self.at[chosen])

    def dump(self, more: Mapping[str, Tensor] | None = None) -> bytes:
        """The index file; with ``more`` tensors, a checkpoint's."""
        note: dict[str, Any] = {"method": self.method, "rows": self.rows, "dim": self.dim}
        tensors = {"q": self.q, "scale": self.scale, **(more or {})}
        if self.at is not None:
            note["entries"] = self.entries
            at = self.at.numpy()
            counts = np.stack([np.bincount(row >> 16, minlength=_blocks(self.dim)) for row in at])
            tensors["low"] = torch.from_numpy((at & 0xFFFF).astype(np.uint16).view(np.int16))
            tensors["count"] = torch.from_numpy(counts.astype(np.int32))
        return dump(tensors, note)

    @classmethod
    def load(cls, raw: bytes, rows: int, dim: int, entries: int = 0) -> Index:
        """Of its file; ``entries`` 0 = whole rows. Raises InvalidModel when corrupt, of another shape, with places that
        do not ascend, or with a scale below zero or not finite."""
        return cls._of_tensors(note_of(raw, "index"), load(raw, "index"), rows, dim, entries)

    @classmethod
    def _of_tensors(
        cls, note: Mapping[str, Any], tensors: Mapping[str, Tensor], rows: int, dim: int, entries: int
    ) -> Index:
        entries = entries or dim
        check_entries(entries, dim)
        wanted = {"q", "scale"} | ({"low", "count"} if entries < dim else set())
        if set(tensors) != wanted:
            raise InvalidModel(f"the index must hold {', '.join(sorted(wanted))}, and nothing else")
        q, scale = tensors["q"], tensors["scale"]
        if q.dtype != torch.int8 or scale.dtype != torch.float32:
            raise InvalidModel("the index must hold int8 entries and fp32 scales")
        if tuple(q.shape) != (rows, entries) or tuple(scale.shape) != (rows,):
            raise InvalidModel(f"the index has {tuple(q.shape)} entries, the model needs {(rows, entries)}")
        if bool((scale < 0).any()) or bool((q == -128).any()):
            raise InvalidModel("the index holds a negative scale or an entry of -128")
        at = _places(tensors["low"], tensors["count"], rows, entries, dim) if entries < dim else None
        return cls(str(note.get("method")), q, scale, at, 0 if at is None else dim)

    def root(self, row_leaves: Sequence[bytes]) -> bytes:
        """Merkle root over leaves (row number 8 bytes, data row's leaf 32, scale as little-endian fp32, entries, and
        where entries were left out their places, 4 bytes each, little-endian)."""
        if len(row_leaves) != self.rows:
            raise InvalidModel(f"the index has {self.rows} rows, the data {len(row_leaves)}")
        q, scales = self.q.numpy(), self.scale.numpy().astype("<f4")
        at = None if self.at is None else self.at.numpy().astype("<u4")
        return merkle_root(
            [
                merkle_leaf(
                    number.to_bytes(8, "big") + leaf + scales[number].tobytes() + q[number].tobytes()
                    + (b"" if at is None else at[number].tobytes())
                )
                for number, leaf in enumerate(row_leaves)
            ]
        )  # fmt: skip

    def dot(self, vector: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
        """fp64 [rows]: the score of every row for one answer's vector [dim]."""
        wide = vector.double().numpy()
        q, scale = self.q.numpy(), self.scale.numpy().astype(np.float64)
        if self.at is None:
            parts = [q[i : i + 64].astype(np.float64) @ wide for i in range(0, self.rows, 64)]
        else:
            at = self.at.numpy()
            parts = [(q[i : i + 64] * wide[at[i : i + 64]]).sum(1) for i in range(0, self.rows, 64)]
        return np.asarray(np.concatenate(parts) * scale, dtype=np.float64)

    def norms(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """fp64 [rows]: how long each row is, and so how large its score can be for any answer."""
        squares = [(self.q.numpy()[i : i + 64].astype(np.int64) ** 2).sum(1) for i in range(0, self.rows, 64)]
        return np.asarray(np.sqrt(np.concatenate(squares)) * self.scale.numpy().astype(np.float64))

    def error(self, number: int, vector: Tensor) -> float:
        """How far a committed row lies from the recomputed ``vector`` [dim], relative to it: what exceeds int8
        rounding, or the difference of scales, whichever is larger. An honest row of another machine stays below 1e-4.

        Where entries were left out, an entry that is larger than the smallest that should be kept and is not there, or
        that is there and smaller, counts by the difference, ``STRICT`` times: it would hide a whole entry."""
        size = float(vector.double().norm())
        scale = float(self.scale[number])
        own = float(vector.abs().amax()) / 127.0
        if size == 0.0 or own == 0.0:
            return 0.0 if scale == 0.0 or not bool(self.q[number].any()) else math.inf
        values, chosen = vector.double(), 0.0
        if self.at is not None:
            at = self.at[number].long()
            sizes = values.abs()
            least = sizes.topk(self.entries, sorted=False).values.amin()
            there = (least - sizes[at]).clamp(min=0.0)
            sizes[at] = 0.0
            chosen = math.hypot(float(there.norm()), float((sizes - least).clamp(min=0.0).norm())) * STRICT
            values = values[at]
        apart = (values - self.q[number].double() * scale).abs() - scale / 2
        return max(math.hypot(float(apart.clamp(min=0.0).norm()), chosen) / size, abs(scale - own) / own)


@dataclass(frozen=True)
class Checkpoint:
    """A training run after ``step`` steps: weights and Adam's moments, fp32 [parameters] each, and what each row has
    done to the weights up to there, as an index (see ``segments``)."""

    step: int
    theta: Tensor
    m: Tensor
    v: Tensor
    rows: Index

    def of(self, numbers: Sequence[int]) -> Checkpoint:
        """The same with some of the rows."""
        return replace(self, rows=Index.of(self.rows.method, self.rows.taken(numbers), self.rows.dim))

    def dump(self) -> bytes:
        """Its file: that of an index, with ``theta``, ``m`` and ``v`` besides."""
        return self.rows.dump({"theta": self.theta, "m": self.m, "v": self.v})

    @classmethod
    def load(cls, raw: bytes, step: int, rows: int, dim: int, entries: int) -> Checkpoint:
        """Of its file. Raises InvalidModel as ``Index.load``, and for weights or moments of another shape, or second
        moments below zero."""
        tensors, note = dict(load(raw, "checkpoint")), note_of(raw, "checkpoint")
        state = [tensors.pop(name, None) for name in ("theta", "m", "v")]
        found = [t for t in state if t is not None and t.dtype == torch.float32 and tuple(t.shape) == (dim,)]
        if len(found) < 3 or bool((found[2] < 0).any()):
            raise InvalidModel("a checkpoint must hold weights and two moments of every parameter in fp32")
        theta, m, v = found
        return cls(step, theta, m, v, Index._of_tensors(note, tensors, rows, dim, entries))


@dataclass(frozen=True)
class Piece:
    """Some rows of an index while it is made, and the same rows in the checkpoints of the run."""

    rows: Rows
    passed: tuple[Checkpoint, ...] = ()


def joined(method: str, pieces: Sequence[Piece], dim: int) -> Index:
    """The index of all pieces."""
    checkpoints = []
    for some in zip(*(piece.passed for piece in pieces), strict=True):
        rows = gathered([Rows(c.rows.q, c.rows.scale, c.rows.at) for c in some])
        checkpoints.append(replace(some[0], rows=Index.of(method, rows, dim)))
    whole = Index.of(method, gathered([piece.rows for piece in pieces]), dim)
    return replace(whole, checkpoints=tuple(checkpoints))


def _places(low: Tensor, count: Tensor, rows: int, entries: int, dim: int) -> Tensor:
    if low.dtype != torch.int16 or count.dtype != torch.int32:
        raise InvalidModel("the index must hold its places as 16-bit numbers, and their counts as 32-bit ones")
    if tuple(low.shape) != (rows, entries) or tuple(count.shape) != (rows, _blocks(dim)):
        raise InvalidModel("the index has places of another shape than its entries")
    counts = count.numpy().astype(np.int64)
    if bool((counts < 0).any()) or bool((counts.sum(1) != entries).any()):
        raise InvalidModel("the index counts more or fewer places than it has")
    starts = np.tile(np.arange(counts.shape[1]) << 16, rows)
    at = (np.repeat(starts, counts.reshape(-1)) + low.numpy().view(np.uint16).reshape(-1)).reshape(rows, entries)
    if bool((np.diff(at, axis=1) <= 0).any()) or bool((at[:, -1] >= dim).any()):
        raise InvalidModel("the index has places that do not ascend, or lie outside the model")
    return torch.from_numpy(at.astype(np.int32))


def row_error(index: Index, number: int, vector: Tensor) -> float:
    """``index.error(number, vector)``."""
    return index.error(number, vector)


__all__ = [
    "Checkpoint", "Index", "Piece", "Rows", "bytes_of", "check_entries", "entries_of", "gathered", "joined", "quantise",
    "row_error", "small",
]  # fmt: skip
