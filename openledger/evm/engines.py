"""Choosing an engine. Both give the same bytes; the native one is there when its extension module is built."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Literal, TypeAlias

from openledger.evm.engine import EvmEngine
from openledger.evm.precompiles import PRECOMPILES, NativePrecompile
from openledger.evm.validate import Fork
from openledger.primitives.errors import MissingExtra
from openledger.primitives.types import Address

EngineName: TypeAlias = Literal["auto", "revm", "py-evm"]
ENGINE_NAMES: tuple[EngineName, ...] = ("auto", "revm", "py-evm")


def native_available() -> bool:
    """True when the extension module of the native engine is installed."""
    return importlib.util.find_spec("openledger_native") is not None


def load_engine(
    name: str = "auto",
    *,
    fork: Fork = Fork.PRAGUE,
    precompiles: Mapping[Address, NativePrecompile] = PRECOMPILES,
    cache_bytes: int | None = None,
) -> EvmEngine:
    """The engine of that name; ``auto`` is the native one where it is built, else py-evm. ``cache_bytes`` bounds what
    the native engine remembers between blocks. Raises MissingExtra for ``revm`` when it is not built, ValueError for a
    name that is none of ENGINE_NAMES."""
    if name not in ENGINE_NAMES:
        raise ValueError(f"there is no engine {name!r}")
    if name == "py-evm" or (name == "auto" and not native_available()):
        from openledger.evm.pyevm import PyEvmEngine

        return PyEvmEngine(fork=fork, precompiles=precompiles)
    if not native_available():
        raise MissingExtra("the native engine is not built", "build it with: make native")
    from openledger.evm.native import CACHE_BYTES, NativeEngine

    bound = CACHE_BYTES if cache_bytes is None else cache_bytes
    return NativeEngine(fork=fork, precompiles=precompiles, cache_bytes=bound)
