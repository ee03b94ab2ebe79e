"""A base model as a folder in Hugging Face's form: which of its files count, the name that follows from them, and what
is refused before anything is loaded. Needs neither torch nor transformers.

``config.json``, ``tokenizer.json``, and ``model.safetensors``, or ``model.safetensors.index.json`` with the files
that it names. Nothing else counts; pickles and Python files in the folder are never opened. The
digest is the sha256 of these files' lines (sha256, two blanks, name) as sha256sum writes them, sorted by name; so
whoever has the same bytes has the same base, wherever they came from.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openledger.primitives.errors import DecodingError, InvalidModel
from openledger.primitives.jsonio import read_json

PREFIX = "hf:"
CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer.json", "model.safetensors"
INDEX = WEIGHTS + ".index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
LIMITS = {CONFIG: 1 << 20, TOKENIZER: 64 << 20, INDEX: 16 << 20}
"""Most bytes of a file that is read whole."""
MAX_HEADER = 64 << 20
CHUNK = 1 << 20
FLOATS = ("F64", "F32", "F16", "BF16")


def is_name(text: str) -> bool:
    """Whether it is the name of such a base: ``hf:`` and 64 hex digits."""
    return re.fullmatch(re.escape(PREFIX) + "[0-9a-f]{64}", text) is not None


@dataclass(frozen=True)
class Folder:
    """A folder whose form was looked at. ``size`` is its weights' bytes in fp32."""

    path: Path
    digest: str
    config: Mapping[str, Any]
    tokenizer: str
    weights: tuple[str, ...]
    size: int

    @property
    def name(self) -> str:
        """By which the chain knows the base."""
        return PREFIX + self.digest


def read_folder(path: Path) -> Folder:
    """Look at a folder and hash its files. Raises InvalidModel naming what is missing, malformed or not allowed."""
    if not path.is_dir():
        raise InvalidModel(
            f"there is no folder {path}", "name a folder with config.json, tokenizer.json, *.safetensors"
        )
    if (path / "adapter_config.json").exists():
        raise InvalidModel(
            f"{path} holds an adapter, not a base", "name the folder of the model that it was trained on"
        )
    config = _config(path)
    if not (path / TOKENIZER).is_file():
        hint = f"save it in the form of the tokenizers library: tokenizer.save_pretrained({str(path)!r})"
        raise InvalidModel(f"{path} has no {TOKENIZER}", hint)
    index = (path / INDEX).is_file() and not (path / WEIGHTS).is_file()
    weights = _shards(path) if index else (WEIGHTS,)
    if not index and not (path / WEIGHTS).is_file():
        raise _no_weights(path)
    size = 4 * sum(_numbers(path / name) for name in weights)
    named = sorted([CONFIG, TOKENIZER, *([INDEX] if index else []), *weights])
    lines = "".join(f"{_sha256(path / name)}  {name}\n" for name in named)
    digest = hashlib.sha256(lines.encode()).hexdigest()
    return Folder(path, digest, config, _text(path / TOKENIZER), weights, size)


def stamp(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of a folder's files: as long as they stay, it need not be hashed again."""
    try:
        found = [(p.name, p.stat()) for p in path.iterdir() if p.suffix in (".json", ".safetensors")]
    except OSError:
        return ()
    return tuple(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in found))


def _no_weights(path: Path) -> InvalidModel:
    pickled = sorted(p.name for p in path.iterdir() if p.suffix in PICKLES)
    if pickled:
        return InvalidModel(
            f"{path} has its weights as a pickle ({pickled[0]}), which could run code and is never opened",
            "save the model again as safetensors: model.save_pretrained(FOLDER)",
        )
    return InvalidModel(
        f"{path} has neither {WEIGHTS} nor {INDEX}", "save the model with model.save_pretrained(FOLDER)"
    )


def _text(path: Path) -> str:
    most = LIMITS[path.name]
    try:
        if path.stat().st_size > most:
            raise InvalidModel(f"{path} is larger than {most >> 20} MB")
        return path.read_bytes().decode()
    except OSError as err:
        raise InvalidModel(f"{path} cannot be read: {err.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidModel(f"{path} is not UTF-8 text") from None


def _object(path: Path) -> dict[str, Any]:
    try:
        found = read_json(_text(path))
    except DecodingError as err:
        raise InvalidModel(f"{path} is not JSON: {err}") from None
    if not isinstance(found, dict):
        raise InvalidModel(f"{path} holds no JSON object")
    return found


def _config(path: Path) -> dict[str, Any]:
    if not (path / CONFIG).is_file():
        raise InvalidModel(f"{path} has no {CONFIG}", "name a folder in Hugging Face's form")
    config = _object(path / CONFIG)
    if not isinstance(config.get("model_type"), str):
        raise InvalidModel(f"{path / CONFIG} names no model_type")
    if _holds(config, "auto_map"):
        raise InvalidModel(
            f"{path / CONFIG} asks for code of its own (auto_map), and no code of a model is ever run",
            "take a model that transformers itself knows",
        )
    if _holds(config, "quantization_config"):
        raise InvalidModel(f"the weights of {path} are quantised", "take the model in fp32, fp16 or bf16")
    return {k: v for k, v in config.items() if not k.startswith("_")}


def _holds(data: Any, name: str) -> bool:
    """Whether the key stands anywhere in it."""
    if isinstance(data, dict):
        return name in data or any(_holds(v, name) for v in data.values())
    return isinstance(data, list) and any(_holds(v, name) for v in data)


def _shards(path: Path) -> tuple[str, ...]:
    """Files that the index names."""
    found = _object(path / INDEX).get("weight_map")
    if not isinstance(found, dict) or not found or not all(isinstance(name, str) for name in found.values()):
        raise InvalidModel(f"{path / INDEX} has no weight_map")
    names = sorted(set(found.values()))
    for name in names:
        if not name.endswith(".safetensors") or Path(name).name != name:
            raise InvalidModel(f"{path / INDEX} names {name!r}, which is no safetensors file beside it")
        if not (path / name).is_file():
            raise InvalidModel(f"{path} lacks {name}, which {INDEX} names", "load the folder again")
    held = {name: set(_header(path / name)) for name in names}
    missing = next((tensor for tensor, name in found.items() if tensor not in held[name]), None)
    if missing is not None:
        raise InvalidModel(f"{found[missing]} lacks {missing!r}, which {INDEX} puts there", "load the folder again")
    return tuple(names)


def _header(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file by name. Raises InvalidModel when the file is not whole."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > MAX_HEADER:
                raise InvalidModel(f"{path} is not a safetensors file")
            header = read_json(file.read(size))
            tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
            end = max((int(entry["data_offsets"][1]) for entry in tensors.values()), default=0)
            there = path.stat().st_size - 8 - size
    except OSError as err:
        raise InvalidModel(f"{path} cannot be read: {err.strerror}") from None
    except (DecodingError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise InvalidModel(f"{path} is not a safetensors file, or is cut off", "load it again") from None
    if end != there:
        raise InvalidModel(f"{path} is cut off: it has {there} bytes of weights, not {end}", "load it again")
    return tensors


def _numbers(path: Path) -> int:
    """How many numbers a file holds. Raises InvalidModel for 8-bit ones."""
    total = 0
    for name, entry in _header(path).items():
        kind, shape = entry.get("dtype"), entry.get("shape")
        if (
            not isinstance(kind, str)
            or not isinstance(shape, list)
            or not all(type(n) is int and n >= 0 for n in shape)
        ):
            raise InvalidModel(f"{path} is not a safetensors file: {name!r} has no type and shape")
        if kind.startswith("F8"):
            raise InvalidModel(f"{path} holds {name!r} in 8 bits", "take the model in fp32, fp16 or bf16")
        total += math.prod(shape) if kind in FLOATS else 0
    return total


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as err:
        raise InvalidModel(f"{path} cannot be read: {err.strerror}") from None
    return digest.hexdigest()


__all__ = ["PREFIX", "Folder", "is_name", "read_folder", "stamp"]
