"""From a diff to a state root: ``prepare`` reads head state, computes everything a commit writes, and writes nothing.

An account is the leaf rlp([nonce, balance, storage root, code hash]) under keccak256(address); a slot is rlp(value)
under keccak256(slot as 32 bytes). Storage without an account is a fault of the program: ``InconsistentDiff``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from openledger.primitives.blocks import EMPTY_TRIE_ROOT
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Account, Address, Hash32, to_hex
from openledger.state import layout
from openledger.state.fasttrie import update
from openledger.state.ports import Diff, KeyValue
from openledger.state.trie import TrieUpdate, rlp_bytes, rlp_list


class InconsistentDiff(RuntimeError):
    """A diff that no correct program makes, such as storage without an account. Stops the node."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The root after a diff on top of block ``number - 1``, and what to write: new values (None deletes) of flat keys
    and trie nodes, with the values they had before. It stays valid until the next commit or rollback."""

    state_root: Hash32
    number: int
    generation: int
    diff: Diff
    flat: dict[bytes, bytes | None] = field(default_factory=dict)
    flat_before: dict[bytes, bytes | None] = field(default_factory=dict)
    nodes: dict[bytes, bytes | None] = field(default_factory=dict)
    nodes_before: dict[bytes, bytes | None] = field(default_factory=dict)


def encode_leaf(account: Account, storage_root: Hash32) -> bytes:
    """The account as the trie holds it."""
    nonce, balance = layout.encode_quantity(account.nonce), layout.encode_quantity(account.balance)
    return rlp_list(rlp_bytes(nonce) + rlp_bytes(balance) + b"\xa0" + storage_root + b"\xa0" + account.code_hash)


def encode_slot(value: bytes) -> bytes:
    """A storage value (shortest big-endian bytes) as the trie holds it; empty (delete) for zero."""
    return rlp_bytes(value) if value else b""


def prepare(kv: KeyValue, diff: Diff, number: int, generation: int, root: Hash32) -> Prepared:
    """Compute the state after ``diff`` on top of the head state, whose root is ``root``. Pure.

    Raises InconsistentDiff for storage of an account that does not exist.
    """
    work = Prepared(root, number, generation, diff)
    by_account: dict[Address, dict[int, int]] = {}
    for (address, slot), value in diff.storage.items():
        by_account.setdefault(address, {})[slot] = value
    leaves: list[tuple[bytes, bytes]] = []
    for address in sorted(diff.accounts.keys() | by_account.keys() | diff.wiped):
        leaf = _account(kv, work, diff, address, by_account.get(address, {}))
        if leaf is not None:
            leaves.append((keccak256(address), leaf))
    for (module, key), record in sorted(diff.records.items(), key=lambda item: item[0]):
        flat_key = layout.record_key(module, key)
        _write(work, flat_key, kv.get(flat_key), record)
    for code_hash, code in diff.codes.items():
        work.flat[layout.CODE + code_hash] = code
    if not leaves:
        return work
    get = kv.get
    result = update(lambda path: get(layout.ACCOUNT_NODE + path), leaves)
    _take_nodes(work, layout.ACCOUNT_NODE, result)
    return replace(work, state_root=result.root)


def _write(work: Prepared, key: bytes, before: bytes | None, value: bytes | None) -> None:
    if value != before:
        work.flat[key] = value
        work.flat_before[key] = before


def _take_nodes(work: Prepared, prefix: bytes, result: TrieUpdate) -> None:
    work.nodes.update((prefix + path, blob) for path, blob in result.nodes.items())
    before = {prefix + path: blob for path, blob in result.before.items()}
    before.update((key, work.nodes_before[key]) for key in before.keys() & work.nodes_before.keys())  # wiped above
    work.nodes_before.update(before)


def _account(kv: KeyValue, work: Prepared, diff: Diff, address: Address, slots: dict[int, int]) -> bytes | None:
    """Write one touched account; its new trie leaf, empty when deleted, None when nothing changed."""
    key = layout.account_key(address)
    before = kv.get(key)
    old = None if before is None else layout.decode_account(before)
    account = diff.accounts.get(address, old)
    if account is None:
        if any(slots.values()):
            raise InconsistentDiff(f"storage is written for {to_hex(address)}, which is no account")
        if before is None:
            return None
        _wipe(kv, work, address)
        _write(work, key, before, None)
        return b""
    root = layout.storage_root_of(before)
    if address in diff.wiped:
        _wipe(kv, work, address)
        root = EMPTY_TRIE_ROOT
    if slots:
        root = _storage(kv, work, address, slots, address in diff.wiped, root)
    value = layout.encode_account(account, root)
    if value == before:
        return None
    _write(work, key, before, value)
    return encode_leaf(account, root)


def _storage(
    kv: KeyValue, work: Prepared, address: Address, slots: dict[int, int], wiped: bool, root: Hash32
) -> Hash32:
    """Write changed slots and storage trie nodes of one account; the new storage root."""
    changes: list[tuple[bytes, bytes]] = []
    for slot in sorted(slots):
        key = layout.storage_key(address, slot)
        value = layout.encode_quantity(slots[slot]) or None
        before = kv.get(key)
        if wiped:
            if value is not None:
                work.flat[key] = value
                work.flat_before[key] = before
        elif value == before:
            continue
        else:
            _write(work, key, before, value)
        changes.append((keccak256(slot.to_bytes(32, "big")), encode_slot(value or b"")))
    if not changes:
        return root
    prefix = layout.STORAGE_NODE + address
    result = update((lambda path: None) if wiped else (lambda path: kv.get(prefix + path)), changes)
    _take_nodes(work, prefix, result)
    return result.root


def _wipe(kv: KeyValue, work: Prepared, address: Address) -> None:
    """Delete every slot and storage trie node of an account."""
    for prefix, new, old in (
        (layout.STORAGE + address, work.flat, work.flat_before),
        (layout.STORAGE_NODE + address, work.nodes, work.nodes_before),
    ):
        for key, value in kv.iterate(prefix, layout.after(prefix)):
            new[key] = None
            old[key] = value
