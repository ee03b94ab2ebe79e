"""A node as ``openledger start`` runs it, with what a test needs: ``node.py HOME``. ``script.json`` in the home names
its oracle's words and byzantine roles; see oracle.py, roles.py and points.py. ``CLOCK_SKEW`` (``-300s``) shifts its
clock; see clock.py and skewed.py. Nothing of this is in the product."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from network.clock import shift
from network.oracle import scripted
from network.points import Points
from network.roles import Script, byzantine
from network.spec import Role

from openledger.abci_app import application
from openledger.abci_app.modules.governance.records import params, set_params
from openledger.abci_app.modules.governance.upgrade import Migration
from openledger.abci_app.upgrades import UPGRADES
from openledger.node import config, network, oracle_bridge, wiring
from openledger.node.logging import setup
from openledger.state.overlay import Overlay

SCRIPT = "script.json"
KNOWS = "KNOWS"
"""Environment variable: names of the upgrades that this node's program knows, all with the same migration."""


def migrate(state: Overlay) -> None:
    """An upgrade that shows in the state."""
    set_params(state, replace(params(state), max_outbox_actions=17))


def main(home: Path) -> None:
    """Run until SIGTERM."""
    shift()
    script = json.loads((home / SCRIPT).read_text())
    roles = Script(home, tuple(Role(**role) for role in script["byzantine"]))
    node: list[wiring.Node] = []
    points = Points(home, lambda: getattr(node[0].engine, "pid", 0) if node else 0)
    worker, bridge = scripted(tuple(script["oracle"]))
    oracle_bridge.OracleWorker = worker  # type: ignore[misc]
    oracle_bridge.OracleBridge = bridge  # type: ignore[misc]
    wiring.oracle_state = lambda config, lite: (True, "scripted")
    points.install()
    UPGRADES.update({name: Migration(migrate) for name in os.environ.get(KNOWS, "").split()})
    application.Application = byzantine(roles)  # type: ignore[misc]
    settings = config.load(home)
    setup(settings.log)
    node.append(network.network_node(home, settings))
    wiring.run_loop(node[0].run(lambda ready: print(f"Ready: {ready.url}", flush=True)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
