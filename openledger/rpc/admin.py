"""``admin_``: what the operator asks of the running node, since only it may open its database.

Every method takes the node's secret first. It stands in the home folder, readable by the node's user only, so that who
may read the folder may administer the node, and nobody else, whatever the RPC listens on.
"""

from __future__ import annotations

from typing import Any

from openledger.primitives.errors import NotAllowed
from openledger.rpc.params import NumberArg, TextArg
from openledger.rpc.ports import AdminActions


class Admin:
    """The namespace."""

    def __init__(self, actions: AdminActions | None) -> None:
        self._actions = actions

    def _for(self, secret: str) -> AdminActions:
        """Raises NotAllowed."""
        if self._actions is None or not self._actions.is_secret(secret):
            raise NotAllowed("this is not the secret of this node", "it stands in admin.json in the node's home folder")
        return self._actions

    async def create_snapshot(self, secret: TextArg) -> Any:
        """Take a snapshot of the newest block now; what it holds, or only its height while it is being written."""
        return await self._for(secret).create_snapshot()

    async def prune(self, secret: TextArg, keep: NumberArg) -> Any:
        """Drop states of blocks more than ``keep`` (at least 1) before the newest, some at a time: call again until
        ``oldestState`` is ``target``."""
        return await self._for(secret).prune(keep)
