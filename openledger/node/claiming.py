"""A claim from settling to its verdict, over hours and interruptions: what is settled and unclaimed is asked of the
chain, and the scores, which must wait for the reveal, are on the disk before the claim is sent.

settle -> the epoch closes -> scores kept, fsynced -> attribution.claim -> reveal: scores published -> verdict
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openledger.abci_app.modules.attribution.records import CLAIMED
from openledger.abci_app.modules.models.records import SETTLED
from openledger.node.operator import FINAL, Report, quiet, wait_until
from openledger.node.oracle_findings import write_synced
from openledger.primitives.errors import NodeUnreachable, OpenLedgerError
from openledger.primitives.hashing import sha256
from openledger.primitives.types import to_hex

if TYPE_CHECKING:
    from openledger.abci_app.events import Event
    from openledger.rpc.client import Client

LOOKED_AT = 1_000_000
"""Blocks that are looked through for what an interrupted run has left."""


class Scores:
    """Scores of claims whose reveal has not come: a private file each, named by its hash."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, scores: bytes) -> None:
        """On the disk when this returns."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_synced(self._folder / sha256(scores).hex(), scores.hex())

    def get(self, name: str) -> bytes | None:
        """The scores of this hash (0x hex); None where they are not here, or damaged."""
        try:
            found = bytes.fromhex((self._folder / name.removeprefix("0x")).read_text())
        except (FileNotFoundError, ValueError):
            return None
        return found if to_hex(sha256(found)) == name else None

    def any(self) -> bool:
        """Whether some are kept."""
        return self._folder.is_dir() and any(self._folder.iterdir())

    def forget(self, name: str) -> None:
        """The claim is decided."""
        (self._folder / name.removeprefix("0x")).unlink(missing_ok=True)


def _numbers(client: Client, event: Event, model: int, topic: int) -> list[int]:
    """What stands in a topic of the events of a model, each once, ascending."""
    head = int(client.call("eth_blockNumber"), 16)
    wanted = {"address": to_hex(event.address), "topics": [to_hex(event.topic), None, f"0x{model:064x}"]}
    try:
        begin = hex(head - LOOKED_AT) if head > LOOKED_AT else "earliest"
        found = client.call("eth_getLogs", {**wanted, "fromBlock": begin})
    except OpenLedgerError:  # a node that began later than that
        found = client.call("eth_getLogs", {**wanted, "fromBlock": "earliest"})
    return sorted({int(log["topics"][topic], 16) for log in found})


def unclaimed(client: Client, model: int, sessions: Collection[int]) -> list[int]:
    """Epochs whose next unclaimed answers are of these sessions, the oldest first."""
    found = []
    for epoch in _numbers(client, SETTLED, model, 3):
        record = client.call("openledger_getSettlements", model, epoch)
        first = int(record["claimed"])
        if first < int(record["count"]) and record["settlements"][first]["session"] in sessions:
            found.append(epoch)
    return found


def undecided(client: Client, model: int, scores: Scores) -> list[int]:
    """Claims over the model that have no verdict yet, and whose scores are kept here."""
    if not scores.any():
        return []
    records = [client.call("openledger_getClaim", number) for number in _numbers(client, CLAIMED, model, 1)]
    return [int(r["id"]) for r in records if r["status"] not in FINAL and scores.get(r["scores"]) is not None]


def ended(client: Client, epoch: int) -> bool:
    """Whether an epoch has closed."""
    return int(client.call("openledger_getEpoch")["number"]) > epoch


def waits(client: Client, model: int, epoch: int) -> bool:
    """Whether settled answers of an epoch are unclaimed."""
    found = client.call("openledger_getSettlements", model, epoch)
    return int(found["claimed"]) < int(found["count"])


def follow(
    client: Client, numbers: Sequence[int], scores: Scores, seconds: float = math.inf, report: Report = quiet
) -> list[dict[str, Any]]:
    """Wait for the verdicts, publishing kept scores in the reveal and never before. The claims' records at the end."""
    told: dict[int, str] = {}

    def step(number: int) -> dict[str, Any]:
        record: dict[str, Any] = client.call("openledger_getClaim", number)
        status = str(record["status"])
        if told.get(number) != status:
            if status == "reveal" and (kept := scores.get(record["scores"])) is not None:
                client.put_blob(kept)
            told[number] = status
            report(", ".join(told[n] for n in sorted(told)))
        if status in FINAL:
            scores.forget(record["scores"])
        return record

    def all_decided() -> list[dict[str, Any]] | None:
        try:
            records = [step(number) for number in numbers]
        except NodeUnreachable:  # it may be started again before the reveal is over
            report("the node does not answer")
            return None
        return records if all(r["status"] in FINAL for r in records) else None

    found: list[dict[str, Any]] = wait_until(
        f"the verdict on claim {', '.join(map(str, numbers))}", all_decided, seconds
    )
    return found


__all__ = ["Scores", "ended", "follow", "unclaimed", "undecided", "waits"]
