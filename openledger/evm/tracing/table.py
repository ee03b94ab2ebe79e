"""The tracers by name, and their options as clients write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openledger.evm.tracing.call_tracer import CallTracer
from openledger.evm.tracing.erc7562 import Erc7562Tracer, PreimageTracer, ignored_opcodes
from openledger.evm.tracing.flat import FlatTracer
from openledger.evm.tracing.four_byte import FourByteTracer
from openledger.evm.tracing.mux import MuxTracer
from openledger.evm.tracing.prestate import PrestateOptions, PrestateTracer
from openledger.evm.tracing.struct_log import StructLogger, StructLogOptions
from openledger.evm.tracing.tracer import Budget, TraceBounds, Tracer
from openledger.primitives.errors import CallFailed

TRACERS = (
    "", "callTracer", "flatCallTracer", "prestateTracer", "4byteTracer", "erc7562Tracer", "keccak256PreimageTracer",
    "muxTracer", "noopTracer",
)  # fmt: skip
MOST_AT_ONCE = 8


def make_tracer(name: str, config: Mapping[str, Any], bounds: TraceBounds) -> tuple[Tracer, Budget]:
    """A tracer for one run. Raises CallFailed for an unknown name or an option of another type."""
    budget = Budget(bounds)
    if name == "":
        return StructLogger(budget, _struct_options(config)), budget
    if name == "muxTracer":
        if len(config) > MOST_AT_ONCE or not all(isinstance(c, Mapping | None) for c in config.values()):
            raise CallFailed(f"muxTracer takes an object of at most {MOST_AT_ONCE} tracers with their configs")
        return MuxTracer({inner: _named(inner, options or {}, budget) for inner, options in config.items()}), budget
    return _named(name, config, budget), budget


def _named(name: str, config: Mapping[str, Any], budget: Budget) -> Tracer:
    if name == "callTracer":
        return CallTracer(budget, only_top=_flag(config, "onlyTopCall"), with_log=_flag(config, "withLog"))
    if name == "flatCallTracer":
        parity, precompiles = _flag(config, "convertParityErrors"), _flag(config, "includePrecompiles")
        return FlatTracer(budget, parity=parity, precompiles=precompiles)
    if name == "prestateTracer":
        options = PrestateOptions(
            diff=_flag(config, "diffMode"),
            code=not _flag(config, "disableCode"),
            storage=not _flag(config, "disableStorage"),
            empty=_flag(config, "includeEmpty"),
        )
        if options.diff and options.empty:
            raise CallFailed("cannot use diffMode with includeEmpty")
        return PrestateTracer(budget, options)
    if name == "4byteTracer":
        return FourByteTracer()
    if name == "erc7562Tracer":
        return Erc7562Tracer(budget, with_log=_flag(config, "withLog"), ignored=ignored_opcodes(config))
    if name == "keccak256PreimageTracer":
        return PreimageTracer(budget)
    if name == "noopTracer":
        return Tracer()
    raise CallFailed(f"tracer not found: {name[:60]!r}", "known: " + ", ".join(t for t in TRACERS if t))


def _struct_options(config: Mapping[str, Any]) -> StructLogOptions:
    limit = config.get("limit") or 0
    if not isinstance(limit, int) or limit < 0:
        raise CallFailed("limit is a number of bytes")
    return StructLogOptions(
        memory=_flag(config, "enableMemory"),
        stack=not _flag(config, "disableStack"),
        storage=not _flag(config, "disableStorage"),
        return_data=_flag(config, "enableReturnData"),
        limit=limit,
    )


def _flag(config: Mapping[str, Any], name: str) -> bool:
    value = config.get(name)
    if value is not None and not isinstance(value, bool):
        raise CallFailed(f"{name} is true or false")
    return bool(value)
