"""A network as data: the TOML files in ``tests/e2e/networks``, read and checked. README.md there describes the fields.

An unknown field, node, action or role is an error with its name, so that a typo never makes a test weaker.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

ACTIONS = (
    "kill",
    "kill-cometbft",
    "kill-both",
    "restart",
    "pause",
    "disconnect",
    "partition",
    "delay",
    "upgrade",
    "kill-at",
    "kill-random",
    "vote",
    "halt",
    "return",
)
ROLES = (
    "garbage-extension",
    "oversized-extension",
    "late-extension",
    "forged-slot0",
    "invalid-proposal",
    "reject-proposals",
)
VERDICTS = ("yes", "no", "copy", "unrevealed", "silent")
KINDS = ("transfers", "contracts", "natives")
EXPECTATIONS = ("goes-on", "stops", "refuses", "")
T = TypeVar("T")


class WrongNetwork(Exception):
    """The file does not describe a network; the text says where."""


@dataclass(frozen=True)
class Role:
    """What a byzantine validator does from one height to another (both included)."""

    role: str
    start: int = 1
    end: int = 10**9


@dataclass(frozen=True)
class NodeSpec:
    """One node. ``twin_of`` makes it run with another node's validator key: equivocation. ``skew`` is how many seconds
    its clock is ahead (behind, where negative)."""

    name: str = ""
    power: int = 10
    follower: bool = False
    twin_of: str = ""
    start_at: int = 0
    cometbft: str = ""
    skew: int = 0
    oracle: tuple[str, ...] = ("yes",)
    byzantine: tuple[Role, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Perturbation:
    """Something that happens to nodes at a height; at 0, before their first start.

    ``seconds`` is how long they stay away, ``ms`` a delay one way; ``expect`` is what the others' chain does meanwhile,
    ``to`` the version that an upgrade brings, ``environment`` what changes at a new start. ``points``, ``who`` and
    ``times`` are those of kills.py. ``effect`` and ``arguments`` are what the operators of the nodes vote for.
    ``says`` is what a node that ends by itself says last.
    """

    at: int
    do: str
    nodes: tuple[str, ...]
    seconds: float = 0
    ms: int = 0
    expect: str = ""
    to: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    points: tuple[str, ...] = ()
    who: tuple[str, ...] = ()
    times: int = 0
    effect: str = ""
    arguments: dict[str, str] = field(default_factory=dict)
    says: str = ""


@dataclass(frozen=True)
class Load:
    """Transactions a second in all, of which kinds in turn, handed to which nodes (all, when empty)."""

    rate: float = 0
    kinds: tuple[str, ...] = KINDS
    to: tuple[str, ...] = ()
    claims: int = 0


@dataclass(frozen=True)
class Spec:
    """The whole file. ``until`` is the height that ends the run, ``seconds`` the longest that it may take."""

    name: str
    claim: str
    nodes: tuple[NodeSpec, ...]
    quick: bool = False
    until: int = 20
    seconds: float = 280
    commit_wait_ms: int = 20
    empty_block_ms: int = 300
    mempool: str = ""
    epoch_seconds: int = 2
    phase_seconds: int = 20
    voting_seconds: int = 60
    load: Load = Load()
    perturb: tuple[Perturbation, ...] = ()

    @property
    def needs_links(self) -> bool:
        """True when peers must talk through the runner's proxies."""
        return any(p.do in ("disconnect", "partition", "delay") for p in self.perturb)

    @property
    def roles(self) -> set[tuple[str, str]]:
        """(node, byzantine role) pairs, each of which has to act."""
        return {(node.name, role.role) for node in self.nodes for role in node.byzantine}


def load(path: Path) -> Spec:
    """The network of a file. Raises WrongNetwork."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as err:
        raise WrongNetwork(f"{path}: {err}") from None
    nodes = _nodes(data.pop("nodes", 4), data.pop("node", {}))
    perturb = tuple(_make(Perturbation, entry, "perturb") for entry in data.pop("perturb", []))
    made = _make(Load, data.pop("load", {}), "load")
    spec = _make(Spec, {"name": path.stem, **data, "nodes": nodes, "perturb": perturb, "load": made}, path.name)
    _check(spec)
    return spec


def _nodes(count: int, given: dict[str, dict[str, Any]]) -> tuple[NodeSpec, ...]:
    names = [f"node{i}" for i in range(count)]
    if strange := given.keys() - set(names):
        raise WrongNetwork(f"there is no {sorted(strange)[0]} among {count} nodes")
    found = []
    for name in names:
        entry = dict(given.get(name, {}))
        roles = tuple(_make(Role, role, f"{name}.byzantine") for role in entry.pop("byzantine", []))
        found.append(_make(NodeSpec, {**entry, "name": name, "byzantine": roles}, name))
    return tuple(found)


def _make(cls: type[T], values: dict[str, Any], where: str) -> T:
    """An instance; lists become tuples."""
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    if strange := values.keys() - known:
        raise WrongNetwork(f"{where} has no field {sorted(strange)[0]!r}; known: {', '.join(sorted(known))}")
    try:
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except TypeError as err:
        raise WrongNetwork(f"{where}: {err}") from None


def _one_of(value: str, choices: tuple[str, ...], where: str) -> None:
    if value not in choices:
        raise WrongNetwork(f"{where} is {value!r}, not one of {', '.join(choices)}")


def _check(spec: Spec) -> None:
    names = tuple(node.name for node in spec.nodes)
    for node in spec.nodes:
        for role in node.byzantine:
            _one_of(role.role, ROLES, f"{node.name}.byzantine")
        for verdict in node.oracle:
            _one_of(verdict, VERDICTS, f"{node.name}.oracle")
        if node.twin_of:
            _one_of(node.twin_of, names, f"{node.name}.twin_of")
    for kind in spec.load.kinds:
        _one_of(kind, KINDS, "load.kinds")
    for number, event in enumerate(spec.perturb):
        _one_of(event.do, ACTIONS, f"perturb {number}")
        _one_of(event.expect, EXPECTATIONS, f"perturb {number}: expect")
        for name in event.nodes:
            _one_of(name, names, f"perturb {number}")
        if event.at >= spec.until:
            raise WrongNetwork(f"perturb {number} is at {event.at}, after the end of the run at {spec.until}")
    for name in spec.load.to:
        _one_of(name, names, "load.to")
