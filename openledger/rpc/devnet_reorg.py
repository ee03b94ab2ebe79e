"""``anvil_reorg``: other blocks in the place of the newest ones, as on a chain that has chosen another branch."""

from __future__ import annotations

import logging
from typing import Annotated, Any

from openledger.abci_app.decoder import decode_signed
from openledger.primitives.errors import OpenLedgerError
from openledger.primitives.types import Address
from openledger.rpc.backend import Backend
from openledger.rpc.devnet_accounts import Wallet
from openledger.rpc.devnet_args import CountArg, parse_count
from openledger.rpc.errors import SERVER_ERROR, RpcError, invalid_params
from openledger.rpc.eth_calls import EthCalls
from openledger.rpc.params import BlockRef, parse_data, parse_object
from openledger.rpc.ports import Devnet

log = logging.getLogger(__name__)

Given = bytes | dict[str, Any]
"""Raw bytes, or a transaction object."""


def parse_pairs(value: Any) -> list[tuple[int, Given]]:
    """(block, counted from 0, transaction) out of anvil's pairs of a transaction and a block, by block. Raises
    ValueError, or OpenLedgerError for malformed hex."""
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise ValueError("a list of pairs: a transaction, and the number of a new block, counted from 0")
    pairs = [(parse_count(n), parse_data(tx) if isinstance(tx, str) else parse_object(tx)) for tx, n in value]
    return sorted(pairs, key=lambda pair: pair[0])


PairsArg = Annotated[list[tuple[int, Given]], parse_pairs]


class AnvilReorg:
    """anvil's name."""

    def __init__(self, backend: Backend, devnet: Devnet, wallet: Wallet, calls: EthCalls) -> None:
        self._backend = backend
        self._devnet = devnet
        self._wallet = wallet
        self._calls = calls

    async def reorg(self, depth: CountArg, transactions: PairsArg = ()) -> None:  # type: ignore[assignment]
        """Put ``depth`` new blocks in the place of the newest ones: pairs of a transaction (raw, or an object) and the
        number of its block, counted from 0. What was in the old blocks is in none, unless it is named here; the mempool
        stays. All is refused where a transaction cannot be read or completed; one that cannot run there is left out."""
        height, first = self._backend.head().number, self._backend.app.genesis.initial_height - 1
        if height - depth < first:
            text = f"Reorg depth must not exceed current chain height: current height {height}, depth {depth}"
            raise invalid_params(text)
        branch: list[list[bytes]] = [[] for _ in range(depth)]
        nonces: dict[Address, int] = {}
        for number, given in transactions:
            if number >= depth:
                text = "Block number for reorg tx will exceed the reorged chain height."
                raise invalid_params(f"{text} Block number {number} must not exceed (depth-1) {depth - 1}")
            branch[number].append(await self._raw(given, height - depth, nonces))
        for refusal in await self._devnet.reorg(branch):
            log.warning("a transaction of the reorg is in no block: %s", refusal.message)

    async def _raw(self, given: Given, common: int, nonces: dict[Address, int]) -> bytes:
        """Raw bytes; an object is completed for the state after block ``common`` and the transactions before it."""
        if isinstance(given, bytes):
            tx = decode_signed(given, solo=True)
            nonces[tx.sender] = tx.nonce + 1
            return given
        sender, at = self._wallet.sender(given), BlockRef(number=common)
        account = self._backend.state(at).account(sender)
        nonce = nonces.get(sender, account.nonce if account else 0)
        whole = {**given, "from": "0x" + sender.hex(), "nonce": hex(nonce)}
        try:
            whole["gas"] = whole.get("gas") or await self._calls.estimate_gas(whole, at)
        except (OpenLedgerError, RpcError) as err:
            hint = {"hint": 'name its "gas": without, it is tried on the state below the new blocks'}
            raise RpcError(SERVER_ERROR, f"a transaction of the reorg needs a gas limit: {err.message}", hint) from None
        nonces[sender] = nonce + 1
        return await self._wallet.raw(whole)
