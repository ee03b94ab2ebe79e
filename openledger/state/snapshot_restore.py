"""A snapshot becomes a database again: entries are written chunk by chunk, tries are built beside them, and at the end
everything must come to the state root that the consensus engine vouches for.

Nothing that comes in is trusted: entries ascend strictly, each is in its one canonical form, headers are linked, codes
have their hashes, every storage root is recomputed. What is wrong raises InvalidSnapshot, and ``abort`` leaves an empty
database. Memory is bounded by one chunk and the trie nodes that it touches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from openledger.primitives.blocks import EMPTY_TRIE_ROOT, Header, SealedBlock
from openledger.primitives.errors import InvalidRlp, InvalidSnapshot
from openledger.primitives.hashing import KECCAK_EMPTY, keccak256
from openledger.primitives.types import MODULE_ADDRESSES, Address, to_hex
from openledger.state import layout
from openledger.state.blocks import block_entries
from openledger.state.commitment import encode_leaf, encode_slot
from openledger.state.fasttrie import update
from openledger.state.snapshot_format import HEADERS, Entry, Manifest, unpack_block, unpack_chunk
from openledger.state.store import StateStore

_MODULES = frozenset(MODULE_ADDRESSES)
_MOST_PENDING = 100_000

Rebuild = Callable[[Header, Sequence[bytes], Sequence[list[object]]], SealedBlock]
"""The last block out of its header, transactions and bare receipts, when they have the roots in the header."""

CheckHistory = Callable[[Callable[[Address, int], int], Sequence[Header]], None]
"""Compares the headers (ascending, the newest last) with what the state says of them; reads (address, slot)."""


class Restoration:
    """One restore into ``store``, of which block 0 stays. ``apply`` the chunks in order, then ``finish``."""

    def __init__(self, store: StateStore, manifest: Manifest) -> None:
        self.manifest = manifest
        self.next = 0
        self._store = store
        self._genesis = store.block(0)
        self._last = b""
        self._pending: dict[bytes, bytes | None] = {}
        self._leaves: list[Entry] = []
        self._root = EMPTY_TRIE_ROOT
        self._slots: list[Entry] = []
        self._owner = b""
        self._owner_root = EMPTY_TRIE_ROOT
        self._with_storage = 0
        self._storages = 0
        self._codes: set[bytes] = set()
        self._headers: list[Header] = []
        self._body: bytes | None = None
        self._counts = dict.fromkeys(b"abcrsy", 0)
        self._bytes = 0

    # --- chunks ---------------------------------------------------------------------------------------------------

    def apply(self, raw: bytes) -> None:
        """The next chunk, whose hash was checked. Raises InvalidSnapshot; ``abort`` must follow then."""
        if self.next == 0:
            self._store.begin_restore()
        self.next += 1
        takes = {
            b"a": self._account, b"b": self._header, b"c": self._code, b"r": self._record, b"s": self._slot,
            b"y": self._block,
        }  # fmt: skip
        for key, value in unpack_chunk(raw):
            table = key[:1]
            take = takes.get(table)
            if take is None or key <= self._last:
                raise InvalidSnapshot("the entries of a snapshot do not ascend, or are of an unknown table")
            if table != self._last[:1]:
                self._next_table()
            self._last = key
            self._counts[key[0]] += 1
            self._bytes += len(key) + len(value)
            if self._bytes > self.manifest.size:
                raise InvalidSnapshot(f"the snapshot holds more than the {self.manifest.size} bytes its manifest says")
            take(key, value)
        self._flush()

    def _next_table(self) -> None:
        """Accounts are read while storage is checked, and a storage ends where its table does."""
        self._end_storage()
        self._flush()

    def _flush(self) -> None:
        """Write what has gathered, and the trie nodes above it."""
        self._grow_storage()
        if self._leaves:
            grown = update(lambda path: self._get(layout.ACCOUNT_NODE + path), self._leaves)
            self._root, self._leaves = grown.root, []
            self._pending.update((layout.ACCOUNT_NODE + path, blob) for path, blob in grown.nodes.items())
        self._save()

    def _save(self) -> None:
        puts = [(key, value) for key, value in self._pending.items() if value is not None]
        self._store.kv.write(puts, [key for key, value in self._pending.items() if value is None])
        self._pending = {}

    def _get(self, key: bytes) -> bytes | None:
        return self._pending[key] if key in self._pending else self._store.kv.get(key)

    # --- entries --------------------------------------------------------------------------------------------------

    def _account(self, key: bytes, value: bytes) -> None:
        if len(key) != 21 or len(value) < 41:
            raise InvalidSnapshot("an account of the snapshot is malformed")
        account, root = layout.decode_account(value), layout.storage_root_of(value)
        if layout.encode_account(account, root) != value:
            raise InvalidSnapshot("an account of the snapshot is not in its canonical form")
        if account.code_hash != KECCAK_EMPTY:
            self._codes.add(account.code_hash)
        self._with_storage += root != EMPTY_TRIE_ROOT
        self._leaves.append((keccak256(key[1:]), encode_leaf(account, root)))
        self._pending[key] = value

    def _header(self, key: bytes, value: bytes) -> None:
        expected = max(0, self.manifest.height - HEADERS + 1) + len(self._headers)
        header = _decode_header(value)
        if key[1:] != layout.height_key(expected) or header.number != expected or expected > self.manifest.height:
            raise InvalidSnapshot("the headers of the snapshot are not those of the last heights")
        if self._headers and header.parent_hash != self._headers[-1].hash:
            raise InvalidSnapshot(f"header {expected} of the snapshot does not follow the one before")
        self._headers.append(header)
        self._pending[key] = value
        self._pending[layout.BLOCK_HASH + keccak256(value)] = key[1:]

    def _code(self, key: bytes, value: bytes) -> None:
        if key[1:] not in self._codes or keccak256(value) != key[1:]:
            raise InvalidSnapshot("a code of the snapshot has another hash, or belongs to no account")
        self._pending[key] = value

    def _record(self, key: bytes, value: bytes) -> None:
        module = key[1:21]
        if module not in _MODULES or len(key) < 22:
            raise InvalidSnapshot("a record of the snapshot belongs to no module")
        self._own(module)
        slot = keccak256(key[21:])
        kept = keccak256(value).lstrip(b"\x00")
        self._pending[key] = value
        self._pending[layout.STORAGE + module + slot] = kept
        self._slots.append((keccak256(slot), encode_slot(kept)))

    def _slot(self, key: bytes, value: bytes) -> None:
        address = key[1:21]
        if len(key) != 53 or address in _MODULES or not 0 < len(value) <= 32 or value[0] == 0:
            raise InvalidSnapshot("a storage slot of the snapshot is malformed")
        self._own(address)
        self._slots.append((keccak256(key[21:]), encode_slot(value)))
        self._pending[key] = value

    def _block(self, key: bytes, value: bytes) -> None:
        if key[1:] != layout.height_key(self.manifest.height):
            raise InvalidSnapshot("the snapshot has another block than its last one")
        self._body = value

    # --- storage tries --------------------------------------------------------------------------------------------

    def _own(self, address: Address) -> None:
        """The next slot belongs to this account."""
        if address != self._owner:
            self._end_storage()
            self._owner = address

    def _grow_storage(self) -> None:
        if not self._slots:
            return
        prefix = layout.STORAGE_NODE + self._owner
        grown = update(lambda path: self._get(prefix + path), self._slots)
        self._owner_root, self._slots = grown.root, []
        self._pending.update((prefix + path, blob) for path, blob in grown.nodes.items())

    def _end_storage(self) -> None:
        """All slots of an account are here: they must have the root that the account names."""
        if not self._owner:
            return
        self._grow_storage()
        if self._owner_root != layout.storage_root_of(self._get(layout.ACCOUNT + self._owner)):
            raise InvalidSnapshot(f"the storage of {to_hex(self._owner)} does not have the root of its account")
        self._storages += 1
        if len(self._pending) > _MOST_PENDING:
            self._save()
        self._owner, self._owner_root = b"", EMPTY_TRIE_ROOT

    # --- the end --------------------------------------------------------------------------------------------------

    def finish(self, rebuild: Rebuild, check_history: CheckHistory) -> Header:
        """All chunks were applied: check the whole, and make it the head. Raises InvalidSnapshot."""
        self._end_storage()
        self._flush()
        m, c = self.manifest, self._counts
        counted = (c[ord("a")], c[ord("b")], c[ord("c")], c[ord("r")], c[ord("s")], self._bytes)
        if counted != (m.accounts, m.headers, m.codes, m.records, m.slots, m.size):
            raise InvalidSnapshot("the snapshot does not hold what its manifest says")
        if self._root != m.state_root:
            raise InvalidSnapshot(f"the snapshot gives state root {to_hex(self._root)}, not {to_hex(m.state_root)}")
        if self._storages != self._with_storage or c[ord("c")] != len(self._codes):
            raise InvalidSnapshot("the snapshot lacks storage or codes of its accounts")
        head = self._check_headers()
        check_history(self._read, self._headers)
        if self._body is None:
            raise InvalidSnapshot("the snapshot lacks its last block")
        block = rebuild(head, *unpack_block(self._body))
        writes: dict[bytes, bytes | None] = dict(block_entries(block))
        if self._genesis is not None:
            writes.update(block_entries(self._genesis))
        self._store.finish_restore(writes, head)
        return head

    def _check_headers(self) -> Header:
        if not self._headers or self._headers[-1].number != self.manifest.height:
            raise InvalidSnapshot("the snapshot lacks headers")
        head, first = self._headers[-1], self._headers[0]
        if head.state_root != self.manifest.state_root:
            raise InvalidSnapshot("the last header of the snapshot has another state root")
        if first.number == 0 and self._genesis is not None and first.hash != self._genesis.hash:
            raise InvalidSnapshot("the snapshot begins with another genesis block")
        return head

    def _read(self, address: Address, slot: int) -> int:
        return int.from_bytes(self._store.kv.get(layout.storage_key(address, slot)) or b"", "big")

    def abort(self) -> None:
        """Leave an empty database; genesis must be committed again."""
        if self.next:
            self._store.abort_restore()


def _decode_header(raw: bytes) -> Header:
    """Raises InvalidSnapshot for anything but the RLP of a header of this chain's form."""
    try:
        header = Header.decode(raw)
        canonical = header.encode()
    except (InvalidRlp, ValueError, TypeError, IndexError):
        raise InvalidSnapshot("a header of the snapshot is malformed") from None
    if canonical != raw:
        raise InvalidSnapshot("a header of the snapshot is malformed")
    sizes = [len(header.coinbase), len(header.bloom), len(header.nonce), len(header.extra_data)]
    hashes = (header.parent_hash, header.state_root, header.transactions_root, header.receipts_root, header.prevrandao)
    if sizes != [20, 256, 8, 0] or any(len(h) != 32 for h in hashes):
        raise InvalidSnapshot("a header of the snapshot is malformed")
    return header


__all__ = ["CheckHistory", "Rebuild", "Restoration"]
