"""The doctor's look at the state: everything hashed is recomputed from the flat tables."""

from __future__ import annotations

from dataclasses import dataclass

from openledger.primitives.blocks import EMPTY_TRIE_ROOT, Header
from openledger.primitives.errors import CorruptDatabase
from openledger.primitives.hashing import KECCAK_EMPTY, keccak256
from openledger.primitives.types import MODULE_ADDRESSES, Address, to_hex
from openledger.state import layout
from openledger.state.commitment import encode_leaf, encode_slot
from openledger.state.fasttrie import update
from openledger.state.ports import KeyValue

_HINT = "restore a snapshot, or sync again from the network"


@dataclass(frozen=True, slots=True)
class Integrity:
    """What a check covered. ``height`` is -1 for an empty database."""

    height: int
    state_root: bytes
    accounts: int
    slots: int
    records: int


def check_state(kv: KeyValue, head: Header | None) -> Integrity:
    """Compare flat tables, tries, records and codes with each other and with head's state root.

    Raises CorruptDatabase naming the first difference.
    """
    leaves: list[tuple[bytes, bytes]] = []
    slots = 0
    for key, raw in kv.iterate(layout.ACCOUNT, layout.after(layout.ACCOUNT)):
        address = key[1:]
        account = layout.decode_account(raw)
        if account.code_hash != KECCAK_EMPTY and kv.get(layout.CODE + account.code_hash) is None:
            raise CorruptDatabase(f"the code of account {to_hex(address)} is missing", _HINT)
        root = layout.storage_root_of(raw)
        if root != EMPTY_TRIE_ROOT:
            slots += _check_storage(kv, address, root)
        leaves.append((keccak256(address), encode_leaf(account, root)))
    found = update(_nothing, leaves)
    expected = EMPTY_TRIE_ROOT if head is None else head.state_root
    if found.root != expected:
        raise CorruptDatabase(f"the accounts give state root {to_hex(found.root)}, not {to_hex(expected)}", _HINT)
    _check_nodes(kv, layout.ACCOUNT_NODE, found.nodes, "the account trie")
    if sum(1 for _ in kv.iterate(layout.STORAGE, layout.after(layout.STORAGE))) != slots:
        raise CorruptDatabase("there are storage slots without an account", _HINT)
    return Integrity(-1 if head is None else head.number, found.root, len(leaves), slots, _check_records(kv))


def _check_storage(kv: KeyValue, address: Address, root: bytes) -> int:
    prefix = layout.STORAGE + address
    changes = [(keccak256(key[21:]), encode_slot(raw)) for key, raw in kv.iterate(prefix, layout.after(prefix))]
    found = update(_nothing, changes)
    if found.root != root:
        raise CorruptDatabase(f"the storage of {to_hex(address)} does not have the root of its account", _HINT)
    _check_nodes(kv, layout.STORAGE_NODE + address, found.nodes, f"the storage trie of {to_hex(address)}")
    return len(changes)


def _check_nodes(kv: KeyValue, prefix: bytes, expected: dict[bytes, bytes | None], name: str) -> None:
    """The stored nodes must be exactly the expected ones."""
    count = 0
    for key, blob in kv.iterate(prefix, layout.after(prefix)):
        if expected.get(key[len(prefix) :]) != blob:
            raise CorruptDatabase(f"{name} has a wrong node at path {key[len(prefix) :].hex()[1::2]}", _HINT)
        count += 1
    if count != len(expected):
        raise CorruptDatabase(f"{name} lacks {len(expected) - count} nodes", _HINT)


def _check_records(kv: KeyValue) -> int:
    """Every record is in its slot, and the accounts of native modules have no other slots."""
    counts = dict.fromkeys(MODULE_ADDRESSES, 0)
    for key, record in kv.iterate(layout.RECORD, layout.after(layout.RECORD)):
        module = key[1:21]
        slot = int.from_bytes(keccak256(key[21:]), "big")
        raw = kv.get(layout.storage_key(module, slot))
        if raw != layout.encode_quantity(int.from_bytes(keccak256(record), "big")):
            raise CorruptDatabase(f"a record of module {to_hex(module)} is not the one in its storage slot", _HINT)
        counts[module] = counts.get(module, 0) + 1
    for module, count in counts.items():
        prefix = layout.STORAGE + module
        if sum(1 for _ in kv.iterate(prefix, layout.after(prefix))) != count:
            raise CorruptDatabase(f"records of module {to_hex(module)} are missing", _HINT)
    return sum(counts.values())


def _nothing(path: bytes) -> bytes | None:
    return None


__all__ = ["Integrity", "check_state"]
