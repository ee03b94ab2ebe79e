"""The tracers by name, and their options as clients write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openledger.evm.tracing.call_tracer import CallTracer
from openledger.evm.tracing.four_byte import FourByteTracer
from openledger.evm.tracing.prestate import PrestateOptions, PrestateTracer
from openledger.evm.tracing.struct_log import StructLogger, StructLogOptions
from openledger.evm.tracing.tracer import Budget, TraceBounds, Tracer
from openledger.primitives.errors import CallFailed

TRACERS = ("", "callTracer", "prestateTracer", "4byteTracer", "noopTracer")


def make_tracer(name: str, config: Mapping[str, Any], bounds: TraceBounds) -> tuple[Tracer, Budget]:
    """A tracer for one run. Raises CallFailed for an unknown name or an option of another type."""
    budget = Budget(bounds)
    if name == "":
        return StructLogger(budget, _struct_options(config)), budget
    if name == "callTracer":
        only_top, with_log = _flag(config, "onlyTopCall"), _flag(config, "withLog")
        return CallTracer(budget, only_top=only_top, with_log=with_log), budget
    if name == "prestateTracer":
        options = PrestateOptions(
            diff=_flag(config, "diffMode"),
            code=not _flag(config, "disableCode"),
            storage=not _flag(config, "disableStorage"),
            empty=_flag(config, "includeEmpty"),
        )
        if options.diff and options.empty:
            raise CallFailed("cannot use diffMode with includeEmpty")
        return PrestateTracer(budget, options), budget
    if name == "4byteTracer":
        return FourByteTracer(), budget
    if name == "noopTracer":
        return Tracer(), budget
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
