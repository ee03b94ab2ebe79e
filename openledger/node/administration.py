"""What the operator's commands need of a running node: where it answers, and the secret that it believes.

home/admin.json    {"url": "http://127.0.0.1:8545", "secret": "..."}, readable by the node's user only; written at
                   each start, removed at a clean stop
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openledger.node.snapshotting import Snapshotter
from openledger.primitives.errors import InvalidJson
from openledger.primitives.jsonio import read_json
from openledger.primitives.types import to_hex
from openledger.state.snapshot_format import FORMAT, Manifest
from openledger.state.store import StateStore

FILE = "admin.json"
_CREATE_SECONDS = 20.0
_PRUNE_HEIGHTS, _PRUNE_STEPS = 16, 64


def manifest_json(manifest: Manifest) -> dict[str, Any]:
    """A snapshot as people and programs see it; ``size`` in bytes before compression."""
    return {
        "height": manifest.height,
        "format": FORMAT,
        "hash": to_hex(manifest.hash),
        "stateRoot": to_hex(manifest.state_root),
        "chunks": len(manifest.chunks),
        "size": manifest.size,
        "accounts": manifest.accounts,
        "slots": manifest.slots,
        "records": manifest.records,
        "codes": manifest.codes,
    }


@dataclass(frozen=True)
class Door:
    """How to reach a running node."""

    url: str
    secret: str


def read_door(folder: Path) -> Door | None:
    """The door of the node that runs (or was killed) in this folder."""
    try:
        data = read_json((folder / FILE).read_bytes())
        return Door(str(data["url"]), str(data["secret"]))
    except (OSError, InvalidJson, KeyError, TypeError):
        return None


class Administration:
    """Implements ``rpc.admin.AdminActions``."""

    def __init__(self, folder: Path, store: StateStore, snapshots: Snapshotter) -> None:
        self._path = folder / FILE
        self._store = store
        self._snapshots = snapshots
        self._secret = secrets.token_hex(32)

    def open(self, url: str) -> None:
        """Tell who may read the folder where the node answers."""
        part = self._path.with_suffix(".part")
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"url": url, "secret": self._secret}, file)
        part.replace(self._path)

    def close(self) -> None:
        """The node stops."""
        self._path.unlink(missing_ok=True)

    def is_secret(self, text: str) -> bool:
        return hmac.compare_digest(text.encode("utf-8", "replace"), self._secret.encode())

    async def create_snapshot(self) -> dict[str, Any]:
        """What the snapshot holds, or only its ``height`` while it is still being written."""
        made = await self._snapshots.create(_CREATE_SECONDS)
        return {"height": made} if isinstance(made, int) else manifest_json(made)

    async def prune(self, keep: int) -> dict[str, Any]:
        """Some heights at a time: blocks are made in between, and who asked asks again until ``target`` is reached."""
        for _ in range(_PRUNE_STEPS):
            oldest = self._store.prune(keep, _PRUNE_HEIGHTS)
            await asyncio.sleep(0)
        target = max(oldest, self._store.height - max(1, keep))
        return {"oldestState": oldest, "target": target, "height": self._store.height}
