"""What the oracle has found, on disk before anybody hears of it: a restart says the same again."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openledger.abci_app.modules.attribution.messages import MAX_REASON
from openledger.primitives.attribution import Verdict
from openledger.primitives.hashing import keccak256
from openledger.state.disk import sync_folder

log = logging.getLogger("openledger.oracle")


@dataclass(frozen=True)
class Finding:
    """A verdict of ours on one attempt of a claim, with the salt that hides it until the reveal, and the index rows
    named by others that we have looked at, each with its segment."""

    verdict: Verdict
    salt: bytes
    rows: tuple[tuple[int, int], ...] = ()

    @property
    def reason(self) -> str:
        """The reason as it travels: short, and only for a no."""
        return "" if self.verdict.valid else self.verdict.reason.encode()[:MAX_REASON].decode(errors="ignore")

    def unseen(self, named: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """Those of the named rows that our yes has not looked at; a no stands as it is."""
        return tuple(row for row in named if row not in self.rows) if self.verdict.valid else ()

    def salt_of(self, look: int) -> bytes:
        """The salt of a look: the second one's follows from the first one's, and says nothing about it."""
        return keccak256(b"openledger.look" + self.salt)[: len(self.salt)] if look else self.salt

    def to_json(self) -> str:
        return json.dumps({"verdict": json.loads(self.verdict.to_json()), "salt": self.salt.hex(), "rows": self.rows})

    @classmethod
    def from_json(cls, text: str) -> Finding:
        """Raises ValueError, KeyError or TypeError for anything that ``to_json`` did not write."""
        data = dict(json.loads(text))
        rows = tuple((int(row), int(segment)) for row, segment in data.get("rows", ()))
        return cls(Verdict.from_json(json.dumps(data["verdict"])), bytes.fromhex(data["salt"]), rows)


def spoken(verdict: Verdict) -> str:
    """A verdict for the log, with what of the training run was replayed for it."""
    said = f"{'yes' if verdict.valid else 'no'} ({verdict.reason})"
    if not verdict.segments:
        return said
    which = ", ".join(map(str, verdict.replayed)) or "none"
    return f"{said}; replayed segments: {which} of {verdict.segments}"


def write_synced(path: Path, text: str) -> None:
    """Write a file whole or not at all; file and folder are on the disk when this returns."""
    part = path.with_suffix(".part")
    with part.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


class FindingStore:
    """Findings by (claim, attempt), one file each in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self) -> dict[tuple[int, int], Finding]:
        """All that was found before. A file that the disk has spoilt is left out: the claim is verified anew, and what
        state holds of us already stays as it is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        found: dict[tuple[int, int], Finding] = {}
        for path in sorted(self.folder.glob("*-*.json")):
            try:
                claim, attempt = path.stem.split("-")
                found[int(claim), int(attempt)] = Finding.from_json(path.read_text())
            except (ValueError, KeyError, TypeError) as err:
                log.warning("%s is damaged (%s); its claim is verified anew", path.name, err)
        return found

    def path(self, key: tuple[int, int]) -> Path:
        return self.folder / f"{key[0]}-{key[1]}.json"

    def save(self, key: tuple[int, int], finding: Finding) -> None:
        """On the disk, file and folder, before anybody hears of it."""
        write_synced(self.path(key), finding.to_json())

    def delete(self, key: tuple[int, int]) -> None:
        self.path(key).unlink(missing_ok=True)
