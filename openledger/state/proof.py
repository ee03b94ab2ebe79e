"""What ``eth_getProof`` answers with (EIP-1186)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Account, Address, Hash32
from openledger.state import layout
from openledger.state.ports import KeyValue
from openledger.state.reader import HeightReader, value_at
from openledger.state.trie import prove


@dataclass(frozen=True, slots=True)
class AccountProof:
    """What ``eth_getProof`` answers: the account (None when absent), its storage root, RLP nodes from the root down,
    and per asked slot (slot, value, nodes)."""

    account: Account | None
    storage_root: Hash32
    account_proof: list[bytes]
    storage: list[tuple[int, int, list[bytes]]]


def prove_account(
    kv: KeyValue, reader: HeightReader, address: Address, slots: Sequence[int], *, at_head: bool
) -> AccountProof:
    """Merkle proofs of an account and slots at the height of ``reader``, whose trie nodes must still be kept."""

    def loader(prefix: bytes) -> Callable[[bytes], bytes | None]:
        if at_head:
            return lambda path: kv.get(prefix + path)
        return lambda path: value_at(kv, prefix + path, reader.height)

    account_nodes = prove(loader(layout.ACCOUNT_NODE), keccak256(address))
    load = loader(layout.STORAGE_NODE + address)
    storage = [
        (slot, reader.storage(address, slot), prove(load, keccak256(slot.to_bytes(32, "big")))) for slot in slots
    ]
    return AccountProof(reader.account(address), reader.storage_root(address), account_nodes, storage)
