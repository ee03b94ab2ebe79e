"""A published model as blobs: one JSON manifest that names all other files by hash.

Manifest: ``{"format", "base", "base_hash", "config", "kind", "settings", "tokenizer", "weights", "receipt", "index",
"index_root", "method", "entries", "checkpoints", "rows", "data": [{"datanet", "version", "root", "parts":
[{"contributor", "blob", "rows", "height", "place"}]}]}``; hashes are sha256 in hex with 0x, except roots, which
are Merkle roots (keccak256). ``checkpoints`` lists the files of the run's checkpoints (``segments``), in order.
Nothing in a bundle is code, and nothing is unpickled. ``measured`` may be there too: how the owner measured the LDS;
nobody checks it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch

from openledger.attribution_oracle import lora
from openledger.attribution_oracle.bases import Base, load_base
from openledger.attribution_oracle.index import Checkpoint, Index
from openledger.attribution_oracle.influence import Run
from openledger.attribution_oracle.known import known_parts
from openledger.attribution_oracle.methods import method
from openledger.attribution_oracle.near import Known
from openledger.attribution_oracle.ports import Blobs, blob_name
from openledger.attribution_oracle.tensors import load_like
from openledger.attribution_oracle.train import Settings, Trained, read_receipt, receipt_bytes, rows_hash
from openledger.primitives.attribution import PartFacts, commit_order, row_leaf
from openledger.primitives.errors import DecodingError, InvalidModel
from openledger.primitives.hashing import merkle_root, sha256
from openledger.primitives.jsonio import read_json
from openledger.primitives.types import Address, from_hex, parse_address, to_hex

FORMAT = "openledger/bundle/1"
MAX_MANIFEST = 16 << 20


@dataclass(frozen=True)
class VersionData:
    """One datanet version that a model was trained on: its number, and its parts in order."""

    datanet: int
    version: int
    parts: tuple[PartFacts, ...]


@dataclass(frozen=True)
class Bundle:
    """A model in memory with everything its attribution needs. Rows are in training order."""

    run: Run
    index: Index
    index_root: bytes
    manifest: Mapping[str, Any]
    data: tuple[VersionData, ...]
    roots: tuple[bytes, ...]
    contributors: tuple[Address, ...]
    lines: tuple[bytes, ...]
    cuts: tuple[int, ...] = ()
    """Steps after which the run's checkpoints stand."""

    def checkpoint(self, blobs: Blobs, number: int) -> Checkpoint:
        """The checkpoint at the end of segment ``number``, counted from 0. Raises BlobNotFound, InvalidModel."""
        raw, index = blobs.get(blob_name(self.manifest["checkpoints"][number])), self.index
        return Checkpoint.load(raw, self.cuts[number], index.rows, index.dim, index.entries)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The rows' texts."""
        return tuple(text_of(line) for line in self.lines)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Row numbers, the earliest promise or commit first."""
        return commit_order(part for v in self.data for part in v.parts)

    @cached_property
    def known(self) -> tuple[Known, ...]:
        """For every row, what of its text earlier rows had already."""
        return known_parts(self.texts, self.order)


def text_of(line: bytes) -> str:
    """Text of one row's bytes. Raises InvalidModel unless they are the one canonical form ``{"text":"..."}``."""
    try:
        row = read_json(line, most=1)
        text = row["text"]
        canonical = json.dumps({"text": text}, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    except (ValueError, KeyError, TypeError, OverflowError, DecodingError):
        raise InvalidModel('a data row is not of the form {"text":"..."}') from None
    if not isinstance(text, str) or canonical != line:
        raise InvalidModel('a data row is not in the canonical form {"text":"..."}')
    return text


def read_data(
    blobs: Blobs, data: Sequence[VersionData]
) -> tuple[tuple[bytes, ...], tuple[Address, ...], tuple[bytes, ...]]:
    """Rows, their contributors, and the Merkle root of each version. Raises BlobNotFound, BlobCorrupt, InvalidModel."""
    lines: list[bytes] = []
    contributors: list[Address] = []
    roots: list[bytes] = []
    for version in data:
        begin = len(lines)
        for part in version.parts:
            found = blobs.get(blob_name(part.blob)).split(b"\n")
            if found.pop() != b"" or len(found) != part.rows:
                raise InvalidModel(f"the data blob {part.blob} does not hold {part.rows} whole lines")
            lines += found
            contributors += [parse_address(part.contributor)] * part.rows
        pairs = zip(contributors[begin:], lines[begin:], strict=True)
        roots.append(merkle_root([row_leaf(who, line) for who, line in pairs]))
    return tuple(lines), tuple(contributors), tuple(roots)


def row_leaves(contributors: Sequence[Address], lines: Sequence[bytes]) -> list[bytes]:
    """The datanet leaves of rows."""
    return [row_leaf(who, line) for who, line in zip(contributors, lines, strict=True)]


def publish_bundle(blobs: Blobs, trained: Trained, index: Index, data: Sequence[VersionData]) -> dict[str, Any]:
    """Put all files of a model and give the fields of ``model.publish`` but name and price: base, data (pairs of
    datanet
    and version), weights, bundle, receipt, index, index_root (32 bytes each), rows, method, base_loss, held_out_loss
    (micro-nats), lds (ppm, 0 = not measured). Raises InvalidModel when data and training do not belong together."""
    lines, contributors, roots = read_data(blobs, data)
    if trained.receipt["rows_hash"] != rows_hash([text_of(line) for line in lines]):
        raise InvalidModel("the model was not trained on the rows of these versions, in this order")
    root = index.root(row_leaves(contributors, lines))
    files = {
        "tokenizer": trained.base.tokenizer.json.encode(),
        "weights": trained.weights,
        "receipt": receipt_bytes({**trained.receipt, "data_roots": [to_hex(r) for r in roots]}),
        "index": index.dump(),
    }
    names = {what: "0x" + blobs.put(raw) for what, raw in files.items()}
    passed = ["0x" + blobs.put(checkpoint.dump()) for checkpoint in index.checkpoints]
    manifest = {
        "format": FORMAT,
        "base": trained.base.name,
        "base_hash": "0x" + trained.base.digest,
        "config": trained.base.config.to_json(),
        "kind": trained.settings.kind,
        "settings": asdict(trained.settings),
        **names,
        "index_root": to_hex(root),
        "method": index.method,
        "entries": index.entries,
        "checkpoints": passed,
        "rows": len(lines),
        "data": [{**asdict(v), "root": to_hex(r)} for v, r in zip(data, roots, strict=True)],
    }
    raw = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    blobs.put(raw)
    return {
        "base": trained.base.name,
        "data": tuple((v.datanet, v.version) for v in data),
        "weights": sha256(files["weights"]),
        "bundle": sha256(raw),
        "receipt": sha256(files["receipt"]),
        "index": sha256(files["index"]),
        "index_root": root,
        "rows": len(lines),
        "method": index.method,
        "base_loss": int(trained.receipt["base_loss"]),
        "held_out_loss": int(trained.receipt["held_out_loss"]),
        "lds": 0,
    }


def with_measurement(blobs: Blobs, name: str, how: Mapping[str, Any]) -> bytes:
    """Put a manifest again with how its LDS was measured; its hash."""
    manifest = read_json(blobs.get(blob_name(name)))
    raw = json.dumps({**manifest, "measured": dict(how)}, sort_keys=True, separators=(",", ":")).encode()
    blobs.put(raw)
    return sha256(raw)


def read_manifest(raw: bytes) -> tuple[dict[str, Any], tuple[VersionData, ...]]:
    """A manifest and its data versions. Raises InvalidModel."""
    try:
        if len(raw) > MAX_MANIFEST:
            raise ValueError("too large")
        manifest = read_json(raw)
        if manifest["format"] != FORMAT:
            raise ValueError(f"unknown format {manifest['format']!r}")
        for name in ("base", "base_hash", "kind", "tokenizer", "weights", "receipt", "index", "index_root", "method"):
            if not isinstance(manifest[name], str):
                raise TypeError(f"{name} must be text")
        for name in ("base_hash", "tokenizer", "weights", "receipt", "index", "index_root"):
            from_hex(manifest[name], 32)
        manifest["rows"] = int(manifest["rows"])
        manifest["entries"] = int(manifest.get("entries", 0))
        if not isinstance(manifest.setdefault("checkpoints", []), list):
            raise TypeError("checkpoints must be a list")
        for name in manifest["checkpoints"]:
            from_hex(name, 32)
        data = tuple(
            VersionData(
                int(v["datanet"]),
                int(v["version"]),
                tuple(
                    PartFacts(str(p["contributor"]), str(p["blob"]), int(p["rows"]), int(p["height"]), int(p["place"]))
                    for p in v["parts"]
                ),
            )
            for v in manifest["data"]
        )
        for part in (p for v in data for p in v.parts):
            from_hex(part.blob, 32)
            parse_address(part.contributor)
    except (ValueError, KeyError, TypeError, OverflowError, DecodingError) as err:
        raise InvalidModel(f"the model's manifest is malformed: {type(err).__name__} {err}") from None
    return manifest, data


def _check_base(manifest: Mapping[str, Any], blobs: Blobs, known: Mapping[str, Base] | None) -> Base:
    base, said = load_base(manifest["base"], known), manifest.get("config")
    context = said.get("context") if isinstance(said, dict) else None
    if type(context) is int and context != base.config.context:
        base = base.shown(context)
    if blob_name(manifest["base_hash"]) != base.digest or manifest.get("config") != base.config.to_json():
        raise InvalidModel(f"the manifest describes another {base.name} than the allow-listed one")
    if blobs.get(blob_name(manifest["tokenizer"])) != base.tokenizer.json.encode():
        raise InvalidModel(f"the tokenizer of the bundle is not that of {base.name}")
    return base


def load_bundle(
    blobs: Blobs, name: str, *, known: Mapping[str, Base] | None = None, device: torch.device | None = None
) -> Bundle:
    """A published model of its manifest's name (sha256 hex). Everything is checked against everything else, except what
    only the chain knows. Raises BlobNotFound, BlobCorrupt, InvalidModel."""
    manifest, data = read_manifest(blobs.get(blob_name(name)))
    base = _check_base(manifest, blobs, known)
    receipt = read_receipt(blobs.get(blob_name(manifest["receipt"])))
    settings = Settings.from_json(manifest.get("settings", {}))
    lines, contributors, roots = read_data(blobs, data)
    texts = [text_of(line) for line in lines]
    _check_receipt(manifest, receipt, settings, base, texts, roots)
    model = base.build()
    if settings.kind == "full":
        shapes = {n: tuple(t.shape) for n, t in base.weights.items()}
    else:
        shapes = lora.shapes(model, settings.lora)
    tensors = load_like(blobs.get(blob_name(manifest["weights"])), shapes, "weights file")
    run = Run.of(base, settings, tensors, receipt, texts, device)
    dim = method(manifest["method"]).dim(run)
    index = Index.load(blobs.get(blob_name(manifest["index"])), len(lines), dim, manifest["entries"])
    if index.method != manifest["method"]:
        raise InvalidModel("the index was built by another method than the manifest says")
    root = index.root(row_leaves(contributors, lines))
    if to_hex(root) != manifest["index_root"]:
        raise InvalidModel("the index does not have the Merkle root that the manifest names")
    cuts = method(index.method).cuts(run, index.entries)
    if len(cuts) != len(manifest["checkpoints"]):
        raise InvalidModel(f"the manifest names {len(manifest['checkpoints'])} checkpoints, the run has {len(cuts)}")
    return Bundle(run, index, root, manifest, data, roots, contributors, lines, cuts)


def _check_receipt(
    manifest: Mapping[str, Any], receipt: Mapping[str, Any], settings: Settings, base: Base, texts: Sequence[str],
    roots: Sequence[bytes],
) -> None:  # fmt: skip
    agrees = {
        "rows": receipt["rows"] == manifest["rows"] == len(texts) and len(texts) > 0,
        "the row texts": receipt.get("rows_hash") == rows_hash(texts),
        "the data roots": receipt.get("data_roots") == [to_hex(r) for r in roots],
        "the base": receipt.get("base_hash") == base.digest,
        "the context": receipt.get("context", base.config.context) == base.config.context,
        "the weights": receipt.get("final_hash") == blob_name(manifest["weights"]),
        "the settings": Settings.from_json(receipt.get("settings", {})) == settings,
        "the kind": manifest["kind"] == settings.kind,
    }
    wrong = [what for what, right in agrees.items() if not right]
    if wrong:
        raise InvalidModel(f"manifest, data and training receipt do not agree on {' and '.join(wrong)}")


__all__ = [
    "FORMAT", "Bundle", "VersionData", "load_bundle", "publish_bundle", "read_data", "read_manifest", "row_leaves",
    "text_of",
]  # fmt: skip
