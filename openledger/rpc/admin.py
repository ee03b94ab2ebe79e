"""``admin_``: what the operator asks of the running node, since only it may open its database.

Every method takes the node's secret first. It stands in the home folder, readable by the node's user only, so that who
may read the folder may administer the node, and nobody else, whatever the RPC listens on.
"""

from __future__ import annotations

from typing import Any, Protocol

from openledger.primitives.errors import NotAllowed
from openledger.rpc.params import NumberArg, TextArg


class AdminActions(Protocol):
    """What the node does when it is asked."""

    def is_secret(self, text: str) -> bool: ...

    async def create_snapshot(self) -> dict[str, Any]: ...

    async def prune(self, keep: int) -> dict[str, Any]: ...


class Admin:
    """The namespace."""

    def __init__(self, actions: AdminActions) -> None:
        self._actions = actions

    def _check(self, secret: str) -> None:
        if not self._actions.is_secret(secret):
            raise NotAllowed("this is not the secret of this node", "it stands in admin.json in the node's home folder")

    async def create_snapshot(self, secret: TextArg) -> Any:
        """Take a snapshot of the newest block now; what it holds, or only its height while it is being written."""
        self._check(secret)
        return await self._actions.create_snapshot()

    async def prune(self, secret: TextArg, keep: NumberArg) -> Any:
        """Drop states of blocks more than ``keep`` (at least 1) before the newest, some at a time: call again until
        ``oldestState`` is ``target``."""
        self._check(secret)
        return await self._actions.prune(keep)
