"""The upgrades that this program knows, by the names that proposals give them.

A version that changes what a block does adds its entry here, asks ``upgrade.done`` where old and new rules differ, and
so follows a chain on both sides of the height. There has been none so far.
"""

from __future__ import annotations

from openledger.abci_app.modules.governance.upgrade import Migration

UPGRADES: dict[str, Migration] = {}
