"""The engine that traces, and the bounds of one request."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Protocol

from openledger.abci_app.registry import PRECOMPILES
from openledger.evm.tracing.tracer import TraceBounds, Tracing, Watching
from openledger.rpc.backend import Backend


@dataclass(frozen=True, slots=True)
class Deadline:
    """True when called after ``until``, a time of the monotonic clock, which all processes of a machine share."""

    until: float

    def __call__(self) -> bool:
        return time.monotonic() > self.until


class Watcher(Tracing, Watching, Protocol):
    """An engine that runs the tracers of geth by name, and any other."""


class Watchers:
    """The node's own engine where it can trace, else the reference engine, made when it is first needed."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._reference: Watcher | None = None

    def engine(self) -> Watcher:
        """The one that traces."""
        engine: Any = self._backend.engine
        if hasattr(engine, "watch"):
            found: Watcher = engine
            return found
        if self._reference is None:
            from openledger.evm.pyevm import PyEvmEngine  # py-evm takes a second to import

            self._reference = PyEvmEngine(precompiles=dict(PRECOMPILES))
        return self._reference

    def bounds(self, seconds: float | None = None) -> TraceBounds:
        """Bounds of a request that begins now; ``seconds`` may shorten the settings' time."""
        settings = self._backend.settings
        most = settings.call_seconds
        until = time.monotonic() + (most if seconds is None else min(seconds, most))
        return TraceBounds(settings.trace_steps, settings.trace_bytes, Deadline(until))

    def call_bounds(self) -> TraceBounds:
        """Bounds of a call of which no opcode is told: the gas of a call bounds them."""
        return replace(self.bounds(), steps=self._backend.settings.call_gas)
