"""Reading and writing safetensors with distrust: nothing is unpickled, and a file is used only when its names, shapes,
types and values are what was expected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from openledger.primitives.errors import DecodingError, InvalidModel
from openledger.primitives.jsonio import read_json

NOTE = "openledger"
MAX_HEADER = 4 << 20
"""Bytes of a header: some thirty thousand tensors. A parser makes forty times as many of a hostile one."""
OUTPUTS = 4
"""Outputs of the generator for each value of its counter."""


def dump(tensors: Mapping[str, Tensor], note: Mapping[str, Any] | None = None) -> bytes:
    """Safetensors bytes, the same for the same content. ``note`` is JSON kept in the header."""
    plain = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    metadata = {NOTE: json.dumps(note, sort_keys=True, separators=(",", ":"))} if note is not None else None
    return safetensors.torch.save(plain, metadata=metadata)


def note_of(raw: bytes, what: str) -> dict[str, Any]:
    """The note in the header. Raises InvalidModel when the file or its note is malformed."""
    try:
        note = read_json(read_json(_header(raw))["__metadata__"][NOTE])
    except (ValueError, KeyError, TypeError, OverflowError, DecodingError):
        raise InvalidModel(f"the {what} has no readable header") from None
    if not isinstance(note, dict):
        raise InvalidModel(f"the {what} has no readable header")
    return note


def _header(raw: bytes) -> bytes:
    """Raises ValueError when it is cut off or too long."""
    size = int.from_bytes(raw[:8], "little")
    if size > min(MAX_HEADER, len(raw) - 8):
        raise ValueError("the header is cut off, or too long")
    return raw[8 : 8 + size]


def load(raw: bytes, what: str) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises InvalidModel when it is corrupt or cut off, or holds NaN or
    infinity."""
    try:
        _header(raw)
        tensors = safetensors.torch.load(raw)
    except (SafetensorError, ValueError, KeyError, RuntimeError, OverflowError) as err:
        raise InvalidModel(f"the {what} is not a readable safetensors file: {err}") from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InvalidModel(f"the {what} holds NaN or infinity in {name!r}")
    return tensors


def load_like(raw: bytes, shapes: Mapping[str, tuple[int, ...]], what: str) -> dict[str, Tensor]:
    """Tensors as fp32 whose names and shapes are exactly ``shapes``. Raises InvalidModel naming the first
    difference."""
    tensors = load(raw, what)
    for name in shapes:
        if name not in tensors:
            raise InvalidModel(f"the {what} lacks {name!r}")
    for name, tensor in tensors.items():
        if name not in shapes:
            raise InvalidModel(f"the {what} holds {name!r}, which the model does not have")
        if tuple(tensor.shape) != shapes[name] or not tensor.is_floating_point():
            raise InvalidModel(f"{name!r} of the {what} has the shape {tuple(tensor.shape)}, not {shapes[name]}")
    found = {name: tensors[name].to(torch.float32) for name in shapes}
    for name, tensor in found.items():
        if tensors[name].dtype == torch.float64 and not bool(torch.isfinite(tensor).all()):
            raise InvalidModel(f"the {what} holds numbers in {name!r} that are too large for fp32")
    return found


def uniform(seed: int, label: str, count: int) -> Tensor:
    """``count`` fp32 numbers in [-1, 1) that follow from (seed, label) alone, on every machine: Philox4x64-10 with
    the key sha256(label)[:8] (big-endian) * 2^64 + seed; each 64-bit output gives its upper 24 bits / 2^23 - 1."""
    return torch.from_numpy((_raw(seed, label, count) >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - 1)


def signs(seed: int, label: str, count: int, first: int = 0) -> Tensor:
    """``count`` fp32 numbers, 1 or -1, that follow from (seed, label): the bits of the outputs of the generator of
    ``uniform``, the lowest of each first; a set bit is 1. ``first`` of them are left out."""
    block, within = divmod(first, OUTPUTS * 64)
    raw = _raw(seed, label, (within + count + 63) // 64, block).astype("<u8").view(np.uint8)
    eight = torch.index_select(_signs_of_bytes(), 0, torch.from_numpy(raw).int())
    return eight.view(-1)[within : within + count]


@lru_cache(1)
def _signs_of_bytes() -> Tensor:
    """fp32 [256, 8]: 1 for each set bit of a byte, else -1, the lowest first. Looking them up takes a sixth of
    the time of unpacking them."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    return torch.from_numpy(bits.astype(np.float32) * 2 - 1)


def order(seed: int, label: str, count: int) -> list[int]:
    """A permutation of ``count`` numbers: sorted by the outputs of the generator of ``uniform``."""
    return [int(i) for i in np.argsort(_raw(seed, label, count), kind="stable")]


def _raw(seed: int, label: str, count: int, block: int = 0) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Outputs of the generator, from its ``block`` of ``OUTPUTS`` on."""
    key = (int.from_bytes(sha256(label.encode()).digest()[:8], "big") << 64) | (seed & (2**64 - 1))
    return np.asarray(np.random.Philox(key=key).advance(block).random_raw(count), dtype=np.uint64)


__all__ = ["dump", "load", "load_like", "note_of", "order", "signs", "uniform"]
