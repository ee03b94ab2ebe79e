"""``web3_`` and ``rpc_``: the client's name, keccak256, and the list of namespaces."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from openledger.primitives.hashing import keccak256
from openledger.primitives.types import to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.params import DataArg


class Web3:
    """Facts about this program."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def client_version(self) -> str:
        """Name and version of this program."""
        return self._backend.client_version

    def sha3(self, data: DataArg) -> str:
        """keccak256, as Ethereum means it."""
        return to_hex(keccak256(data))


class Rpc:
    """What this server offers. ``describe`` makes the OpenRPC document."""

    NAMES: ClassVar[dict[str, str]] = {"discover": "rpc.discover"}

    def __init__(self, prefixes: Iterable[str], describe: Callable[[], dict[str, Any]]) -> None:
        self._prefixes = sorted(set(prefixes))
        self._describe = describe

    def modules(self) -> dict[str, str]:
        """Namespaces with their version."""
        return dict.fromkeys(self._prefixes, "1.0")

    def discover(self) -> dict[str, Any]:
        """The OpenRPC document of this server."""
        return self._describe()
