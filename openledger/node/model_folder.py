"""The folder that ``model train`` writes and ``model publish`` reads: ``model.json``, with the fields of model.publish,
and the model's files under ``blobs``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openledger.primitives.errors import InvalidJson, NotFound
from openledger.primitives.jsonio import read_json
from openledger.primitives.types import to_hex

if TYPE_CHECKING:
    from openledger.state.blobs import BlobStore

NAME = "model.json"
_HASHES = ("weights", "bundle", "receipt", "index", "index_root")
_NUMBERS, _WORDS = ("rows", "base_loss", "held_out_loss", "lds"), ("base", "method")
_FILES = ("tokenizer", "weights", "receipt", "index")


def store(folder: Path) -> BlobStore:
    """The model's files."""
    from openledger.state.blobs import BlobStore

    return BlobStore(str(folder / "blobs"))


def write(folder: Path, fields: dict[str, Any]) -> Path | None:
    """Write ``model.json``. Another model's that was here is kept beside it, under the name that is given back."""
    path = folder / NAME
    text = json.dumps(fields, indent=2) + "\n"
    earlier = path.read_text(encoding="utf-8") if path.exists() else text
    kept = None
    if earlier != text:
        count = sum(1 for _ in folder.glob("model-*.json"))
        kept = path.replace(folder / f"model-{count + 1}.json")
    path.write_text(text, encoding="utf-8")
    return kept


def read(folder: Path) -> dict[str, Any]:
    """Fields of ``model.publish`` but name and price. Raises NotFound where there are none."""
    try:
        told = read_json((folder / NAME).read_bytes())
        fields: dict[str, Any] = {k: bytes.fromhex(told[k].removeprefix("0x")) for k in _HASHES}
        fields |= {k: int(told[k]) for k in _NUMBERS} | {k: str(told[k]) for k in _WORDS}
        fields["data"] = [(int(d), int(v)) for d, v in told["data"]]
    except (OSError, InvalidJson, ValueError, KeyError, TypeError, AttributeError):
        raise NotFound(f"{folder} holds no trained model", "openledger model train --output FOLDER") from None
    return fields


def files(folder: Path, fields: dict[str, Any]) -> list[str]:
    """Blobs of this model, and of no other that was trained into the folder before. Raises NotFound, BlobNotFound."""
    bundle = to_hex(fields["bundle"])
    try:
        manifest = read_json(store(folder).get(bundle.removeprefix("0x")))
        named = [manifest[name] for name in _FILES] + list(manifest.get("checkpoints", []))
        return [str(name).removeprefix("0x") for name in (bundle, *named)]
    except (InvalidJson, KeyError, TypeError, AttributeError):
        raise NotFound(f"the bundle {bundle} in {folder} names no files", "openledger model train again") from None
