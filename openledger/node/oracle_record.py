"""How the verifications of a node have ended since its start: counted for metrics, and for people in a sentence."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from typing import Any

from openledger.primitives.attribution import Verdict

log = logging.getLogger("openledger.oracle")

YES, NO, ASIDE, FAILED, TIME, MEMORY = "yes", "no", "aside", "failed", "time", "memory"
KEPT = 5
"""Ends without a verdict that are remembered with their reason."""
REASONS = 256


class Record:
    """Turns by how they ended, claims that closed without a verdict, and why."""

    def __init__(self) -> None:
        self.turns: Counter[str] = Counter()
        """``yes``, ``no``, ``aside`` (goes on later), ``failed``, or killed for ``time`` or ``memory``."""
        self.silent = 0
        """Claims that closed while this node had no verdict on them."""
        self.seconds = 0.0
        """Spent in turns."""
        self.segments: Counter[str] = Counter(replayed=0, left=0)
        """Segments of training runs, over all verdicts: replayed for them, or left to others or known to be right."""
        self._recent: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._reasons: dict[int, str] = {}

    def verdict(self, claim: int, found: Verdict) -> None:
        """A turn has ended with a yes or a no."""
        self.turns[YES if found.valid else NO] += 1
        self.segments["replayed"] += len(found.replayed)
        self.segments["left"] += found.segments - len(found.replayed)
        self._reasons.pop(claim, None)
        if not found.valid:
            self._remember(claim, NO, found.reason)

    def aside(self, claim: int, at: str) -> None:
        """A turn was too short."""
        self.turns[ASIDE] += 1
        self._because(claim, f"it was not done, and stood at {at}")

    def failed(self, claim: int, ended: str, reason: str) -> None:
        """A turn has brought nothing; ``ended`` is ``failed``, ``time`` or ``memory``."""
        self.turns[ended] += 1
        self._because(claim, reason)
        self._remember(claim, ended, reason)

    def missing(self, claim: int, reason: str) -> None:
        """Its blobs are not here; no turn was spent."""
        self._because(claim, reason)

    def closed(self, claim: int) -> None:
        """The vote has ended before this node had a verdict."""
        self.silent += 1
        why = self._reasons.pop(claim, "its turn had not come")
        log.warning("claim %s closed without a verdict of this node: %s", claim, why)
        self._remember(claim, "silence", why)

    def told(self) -> dict[str, Any]:
        """For openledger_getNodeStatus; ``recent`` has the newest last, ``time`` in Unix seconds."""
        ends = {name: self.turns[name] for name in (YES, NO, ASIDE, FAILED, TIME, MEMORY)}
        return ends | {"silence": self.silent, "recent": list(self._recent)}

    def _because(self, claim: int, reason: str) -> None:
        self._reasons.pop(claim, None)
        self._reasons[claim] = reason
        if len(self._reasons) > REASONS:
            del self._reasons[next(iter(self._reasons))]

    def _remember(self, claim: int, ended: str, reason: str) -> None:
        self._recent.append({"claim": claim, "ended": ended, "reason": reason[:300], "time": int(time.time())})


def in_words(told: dict[str, Any]) -> str:
    """What ``Record.told`` says, for people."""
    words = [f"{told[YES]} yes", f"{told[NO]} no", f"{told['silence']} silent"]
    turns = [(ASIDE, "put aside"), (FAILED, "failed"), (TIME, "killed for time"), (MEMORY, "killed for memory")]
    lost = [f"{told[name]} {word}" for name, word in turns if told[name]]
    return ", ".join(words) + (f"; turns without a verdict: {', '.join(lost)}" if lost else "")


def last_trouble(told: dict[str, Any]) -> str:
    """The newest end without a yes, in one sentence; empty where all said yes."""
    if not told["recent"]:
        return ""
    last = told["recent"][-1]
    killed = f"was killed for {last['ended']} on"
    what = {NO: "said no to", "silence": "was silent on", FAILED: "failed on"}.get(last["ended"], killed)
    return f"it {what} claim {last['claim']}: {last['reason']}"


__all__ = ["FAILED", "MEMORY", "TIME", "Record", "in_words", "last_trouble"]
