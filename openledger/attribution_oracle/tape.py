"""The gradients of a replayed run, kept on disk: rows are then carried along it in as many passes as memory asks for,
and a replay that was killed goes on where it was.

Every call of the replay for gradients is one file, written under another name and renamed when it is whole. A pass
reads what is there and computes the rest; as the replay follows from its gradients alone, all passes are the same to
the bit. A file is ``OLTAPE01``, rows and vectors of curvature (4 bytes each, little-endian), parameters (8), CRC-32 of
the rest (4), then fp32 numbers.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from openledger.attribution_oracle.gradients import Room
from openledger.attribution_oracle.index import Checkpoint, Piece, Rows
from openledger.attribution_oracle.path import LEAN_DRAWS, Source, Steps, is_lean
from openledger.attribution_oracle.ports import Progress
from openledger.attribution_oracle.tensors import dump, load
from openledger.primitives.errors import OracleError

HEAD = struct.Struct("<8sIIQI")
MAGIC = b"OLTAPE01"
MEMORY = 1 << 30
SPARE = 64 << 20
WORK = 6
"""Copies of a batch's gradients and curvature that a step holds at its height (5.6 measured)."""
SHARE = 4
"""The part of the memory, as 1 / SHARE, that rows may take which go through the model together, if it is not one row
alone."""


@dataclass(frozen=True)
class Place:
    """Where the making of an index may keep what it has done (None: nowhere), and the bytes of memory for its rows."""

    folder: Path | None = None
    memory: int = MEMORY


class Passes:
    """Progress of one of several passes over a run."""

    def __init__(self, progress: Progress, number: int, count: int) -> None:
        self._progress, self._number, self._count = progress, number, count

    def __call__(self, done: int, total: int, what: str) -> None:
        self._progress(self._number * total + done, self._count * total, what)


class Tape:
    """Stands for ``Gradients`` in one pass over a run."""

    def __init__(self, gradients: Source, folder: Path) -> None:
        self._gradients, self._folder, self._call = gradients, folder, 0
        self.size = gradients.size

    def rows(self, theta: Tensor, ids: Tensor) -> Tensor:
        """As ``Gradients.rows``."""
        return self._next(len(ids), len(ids), lambda: self._gradients.rows(theta, ids)).to(theta.device)

    def drawn(
        self, theta: Tensor, ids: Tensor, draws: int, seed: int, label: str, into: Room | None = None
    ) -> tuple[Tensor, Tensor]:
        """As ``Gradients.drawn``; what is kept on disk has memory of its own."""
        at = len(ids)
        together = self._next(at, 0, lambda: torch.cat(self._gradients.drawn(theta, ids, draws, seed, label)))
        return together[:at].to(theta.device), together[at:].to(theta.device)

    def _next(self, rows: int, most: int, make: Callable[[], Tensor]) -> Tensor:
        """[rows and vectors of curvature, parameters]; ``most`` 0 = any number of them."""
        path = self._folder / f"step-{self._call:07}"
        self._call += 1
        if not path.exists():
            made = make()
            write_vectors(path, made, rows)
            return made
        kept = read_vectors(path, self.size)
        if len(kept) < rows or (most and len(kept) > most):
            raise damaged(path)
        return kept


def write_vectors(path: Path, vectors: Tensor, rows: int = 0) -> None:
    """Write fp32 [any, size] so that it is there whole or not at all. Raises OracleError when the disk does not take
    it."""
    body = vectors.detach().cpu().contiguous().numpy().astype("<f4", copy=False).data.cast("B")
    _whole(path, HEAD.pack(MAGIC, rows, len(vectors) - rows, vectors.shape[1], zlib.crc32(body)), body)


def _whole(path: Path, *parts: bytes | memoryview) -> None:
    half = path.with_name(path.name + ".part")
    with on_disk(path.parent):
        try:
            with half.open("wb") as file:
                for part in parts:
                    file.write(part)
        except OSError:
            half.unlink(missing_ok=True)
            raise
        half.rename(path)


def _read(path: Path) -> bytearray:
    with on_disk(path.parent):
        return bytearray(path.read_bytes())


def read_vectors(path: Path, size: int) -> Tensor:
    """fp32 [any, size]. Raises OracleError when the file was cut off or changed."""
    raw = _read(path)
    if len(raw) < HEAD.size:
        raise damaged(path)
    magic, rows, curved, width, crc = HEAD.unpack_from(raw)
    body = memoryview(raw)[HEAD.size :]
    if magic != MAGIC or width != size or len(body) != 4 * (rows + curved) * width or zlib.crc32(body) != crc:
        raise damaged(path)
    return torch.from_numpy(np.frombuffer(body, dtype="<f4").reshape(rows + curved, width))


def write_piece(path: Path, piece: Piece) -> None:
    """Write some rows of an index and of its checkpoints, as ``write_vectors``; ``path`` itself last of all."""
    for passed in piece.passed:
        _write(_beside(path, passed.step), passed.dump())
    rows = piece.rows
    _write(path, dump({"q": rows.q, "scale": rows.scale, **({} if rows.at is None else {"at": rows.at})}))


def read_piece(path: Path, rows: int, entries: int, parameters: int, cuts: Sequence[int]) -> Piece:
    """``rows`` rows of ``entries``, and checkpoints after ``cuts``. Raises OracleError when a file was cut off or
    changed."""
    found = load(_body(path), path.name)
    if not {"q", "scale"} <= set(found) or tuple(found["q"].shape) != (rows, entries):
        raise damaged(path)
    passed = [Checkpoint.load(_body(_beside(path, cut)), cut, rows, parameters, entries) for cut in cuts]
    return Piece(Rows(found["q"], found["scale"], found.get("at")), tuple(passed))


def _beside(path: Path, step: int) -> Path:
    return path.with_name(f"{path.name}-{step:07}")


def _write(path: Path, body: bytes) -> None:
    _whole(path, struct.pack("<I", zlib.crc32(body)), body)


def _body(path: Path) -> bytes:
    raw = _read(path)
    if len(raw) < 4 or zlib.crc32(raw[4:]) != int.from_bytes(raw[:4], "little"):
        raise damaged(path)
    return bytes(raw[4:])


def damaged(path: Path) -> OracleError:
    """What to say about a file that is not as it was written."""
    return OracleError(f"{path} is damaged", f"remove {path.parent}; the index is then made from its beginning")


@contextmanager
def on_disk(folder: Path) -> Iterator[None]:
    """Turns what a disk says into one sentence."""
    try:
        yield
    except OSError as err:
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OracleError(
                f"the disk of {folder} is full", "free some space and run it again: what is done is kept"
            ) from None
        raise OracleError(f"cannot keep the index's work in {folder}: {err.strerror or err}") from None


def room(folder: Path, steps: Steps, parameters: int, draws: int) -> None:
    """Make the folder. Raises OracleError when the whole tape will not fit on its disk."""
    vectors = sum(len(b) * (1 + (draws if n else 0)) for n, b in enumerate(steps.batches))
    with on_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        there = sum(entry.stat().st_size for entry in os.scandir(folder))
        free = shutil.disk_usage(folder).free
    missing = 4 * vectors * parameters + SPARE - there
    if missing > free:
        raise OracleError(
            f"the index's work needs {missing >> 20} MiB in {folder}, {free >> 20} are free", "take another --output"
        )


def passes(
    rows: Sequence[int], count: int, steps: Steps, parameters: int, draws: int, memory: int, even: bool = True,
    beside: int = 0,
) -> list[Sequence[int]]:  # fmt: skip
    """``rows`` of a run of ``count`` rows in as many parts as ``memory`` bytes ask for: ``even`` ones, or as large as
    they may be, so that those behind a part are the same when it is done and left out. A pass of the model takes
    ``beside`` bytes. Raises OracleError when not even one row fits beside what a step needs."""
    lean = alone(count, parameters, draws)
    batch = max(len(b) for b in steps.batches)
    step = beside + 4 * parameters * (WORK * batch * (1 + pace(count, parameters, draws)) + 12)
    each = 4 * parameters * (1 if lean else 3)
    fit = (memory - step) // each - 1
    if fit < 1:
        least = step + 2 * each
        need = -(-max(least, (least - beside) * SHARE // (SHARE - 1)) >> 20)
        raise OracleError(
            f"an index of {parameters} parameters needs {need} MiB of memory, {memory >> 20} are allowed",
            f"--memory {need}",
        )
    if even and rows:
        fit = -(-len(rows) // -(-len(rows) // fit))
    return [rows[at : at + fit] for at in range(0, len(rows), fit)]


def alone(count: int, parameters: int, draws: int) -> bool:
    """Whether U alone is kept of the rows; never where there is no curvature to be saved, for it loses much there."""
    return draws > 0 and is_lean(count, parameters)


def pace(count: int, parameters: int, draws: int) -> int:
    """Draws of curvature a row."""
    return min(draws, LEAN_DRAWS) if alone(count, parameters, draws) else draws


__all__ = ["MEMORY", "Passes", "Place", "Tape", "alone", "pace", "passes", "read_piece", "room", "write_piece"]
