"""``eth_``: what this node is and has. Fork configuration (EIP-7910) and which heights it can answer for."""

from __future__ import annotations

import zlib

from openledger.evm.predeploys import HISTORY_ADDRESS
from openledger.primitives.types import (
    ATTRIBUTION_ADDRESS,
    DATANETS_ADDRESS,
    GOVERNANCE_ADDRESS,
    MODELS_ADDRESS,
    OUTBOX_ADDRESS,
    STAKING_ADDRESS,
    to_hex,
)
from openledger.rpc.backend import Backend
from openledger.rpc.formats import Json, quantity
from openledger.state.store import PROOF_WINDOW

PRAGUE_BLOB_FRACTION = 5_007_716
ETHEREUM_PRECOMPILES = (
    "ECREC", "SHA256", "RIPEMD160", "ID", "MODEXP", "BN254_ADD", "BN254_MUL", "BN254_PAIRING", "BLAKE2F",
    "KZG_POINT_EVALUATION", "BLS12_G1ADD", "BLS12_G1MSM", "BLS12_G2ADD", "BLS12_G2MSM", "BLS12_PAIRING_CHECK",
    "BLS12_MAP_FP_TO_G1", "BLS12_MAP_FP2_TO_G2",
)  # fmt: skip
"""Names of EIP-7910, at the addresses from 1 on."""
OWN_PRECOMPILES = {
    "OPENLEDGER_DATANETS": DATANETS_ADDRESS,
    "OPENLEDGER_MODELS": MODELS_ADDRESS,
    "OPENLEDGER_ATTRIBUTION": ATTRIBUTION_ADDRESS,
    "OPENLEDGER_STAKING": STAKING_ADDRESS,
    "OPENLEDGER_GOVERNANCE": GOVERNANCE_ADDRESS,
}


class EthNode:
    """Configuration and reach of this node."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def config(self) -> Json:
        """EIP-7910: the rules in force (Prague since genesis), with no fork ahead."""
        genesis = self._backend.app.store.block_hash(0) or b""
        precompiles = {name: bytes([*bytes(19), n]) for n, name in enumerate(ETHEREUM_PRECOMPILES, 1)}
        current = {
            "activationTime": 0,
            "blobSchedule": {"baseFeeUpdateFraction": PRAGUE_BLOB_FRACTION, "max": 0, "target": 0},
            "chainId": quantity(self._backend.chain_id),
            "forkId": to_hex(zlib.crc32(genesis).to_bytes(4, "big")),
            "precompiles": {name: to_hex(address) for name, address in (precompiles | OWN_PRECOMPILES).items()},
            "systemContracts": {
                "HISTORY_STORAGE_ADDRESS": to_hex(HISTORY_ADDRESS),
                "OPENLEDGER_OUTBOX": to_hex(OUTBOX_ADDRESS),
            },
        }
        return {"current": current, "next": None, "last": None}

    def capabilities(self) -> Json:
        """Which heights the node answers for: the oldest of each kind, and how far back they are kept."""
        store, head = self._backend.app.store, self._backend.head()
        kept = store.states_kept()
        blocks = {"disabled": False, "oldestBlock": quantity(store.oldest_block())}
        return {
            "head": {"number": quantity(head.number), "hash": to_hex(head.hash)},
            "state": _resource(store.oldest_state(), kept),
            "tx": blocks,
            "logs": blocks,
            "receipts": blocks,
            "blocks": blocks,
            "stateproofs": _resource(store.oldest_proof(), PROOF_WINDOW),
        }


def _resource(oldest: int, kept: int | None) -> Json:
    found: Json = {"disabled": False, "oldestBlock": quantity(oldest)}
    if kept is not None:
        found["deleteStrategy"] = {"type": "window", "retentionBlocks": quantity(kept)}
    return found
