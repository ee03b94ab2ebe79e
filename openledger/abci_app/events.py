"""Events of native work as Ethereum logs, so that ordinary indexers see them (Solidity's event ABI)."""

from __future__ import annotations

from typing import Any

from eth_abi.abi import encode

from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Address, Log

EVENTS: dict[bytes, Event] = {}
"""All declared events by topic 0, for readers and for the reference page."""


class Event:
    """``Event(address, "Name", "type [indexed] name", ...)``; value types only may be indexed (at most three)."""

    def __init__(self, address: Address, name: str, *fields: str) -> None:
        parsed = [f.split() for f in fields]
        self.address = address
        self.name = name
        self.fields = [(p[-1], p[0], len(p) == 3) for p in parsed]
        self.signature = f"{name}({','.join(t for _, t, _ in self.fields)})"
        self.topic = keccak256(self.signature.encode())
        EVENTS[self.topic] = self

    def log(self, *values: Any) -> Log:
        """The log of one occurrence; values in the order of the fields, addresses as 20 bytes."""
        topics, types, data = [self.topic], [], []
        for (_, kind, indexed), value in zip(self.fields, values, strict=True):
            if indexed:
                topics.append(encode([kind], [value]))
            else:
                types.append(kind)
                data.append(value)
        return Log(self.address, tuple(topics), encode(types, data))
