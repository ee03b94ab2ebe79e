"""The one door to the database of a chain: state at any kept height, blocks, proofs, commit, rollback, pruning.

Layout of the keys: ``layout.py``. A commit is one atomic synced batch. Writers call from one thread; readers may
call from any.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from openledger.primitives.blocks import EMPTY_TRIE_ROOT, Header, Receipt, SealedBlock
from openledger.primitives.errors import (
    CorruptDatabase,
    ForkUnsupported,
    StatePruned,
    StateRestoring,
    StorageError,
    UnknownBlock,
    WrongDataFolder,
)
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Address, Hash32
from openledger.state import commitment, layout
from openledger.state.blocks import FoundLog, RecentHashes, block_entries, find_logs, read_block, read_receipts
from openledger.state.check import Integrity, check_state
from openledger.state.commitment import Prepared
from openledger.state.logindex import Topics
from openledger.state.ports import Diff, KeyValue
from openledger.state.proof import AccountProof, prove_account
from openledger.state.reader import HeightReader
from openledger.state.reindex import check_whole
from openledger.state.undo import undo
from openledger.state.wiping import RESTORING, finish_wiping, wipe

FORMAT = b"3"
"""Of the database and of the records in it: a version that reads or writes others has another."""
_ANOTHER = "run that version, or begin anew: `devnet --fresh`; networks: a new genesis, new homes. Nothing is removed"
PROOF_WINDOW = 128
_REMEMBERED_HASHES = 512
_PRUNE_PER_COMMIT = 16
_OLDEST = ("oldest_state", "oldest_proof", "oldest_block")


class StateStore:
    """A chain's database over any ``KeyValue``.

    ``archive`` keeps the reverse diffs of all blocks; otherwise ``keep`` (default 128, at least 1) heights before the
    head stay readable. Blocks, receipts and indexes are always kept. ``partial``: some accounts come from elsewhere (a
    fork), so the trie knows only what changed here. ``first`` is the height of the first block. A commit is on the
    disk when it returns, unless ``sync`` is set to False. Raises CorruptDatabase when head cannot be read.
    """

    def __init__(
        self, kv: KeyValue, *, archive: bool = True, keep: int | None = None, partial: bool = False, first: int = 0
    ) -> None:
        self.kv = kv
        self.partial, self._first = partial, first
        self.sync = True
        self.lock = threading.RLock()
        self.generation = 0
        self._latest: tuple[int, Diff] | None = None
        self._keep: int | None = None if archive else max(1, PROOF_WINDOW if keep is None else keep)
        self._hashes: dict[int, Hash32] = {}
        self._restoring = False
        finish_wiping(kv)
        self._oldest = {n: int.from_bytes(self.meta(n) or b"", "big") for n in _OLDEST}
        self._head = self._read_head()

    def close(self) -> None:
        """Close the key-value store below."""
        with self.lock:
            self.kv.close()

    def _read_head(self) -> Header | None:
        raw = self.kv.get(layout.META + b"head")
        if raw is None:
            return None
        check_whole(self.kv)
        header = self.header(int.from_bytes(raw, "big"))
        if header is None:
            raise CorruptDatabase("the newest block is not in the database", "restore a snapshot, or sync again")
        return header

    # --- identity ------------------------------------------------------------------------------------------------

    def bind(self, chain_id: str, genesis_hash: bytes) -> None:
        """Tie the database to one chain, or check that it is tied to this one. Raises WrongDataFolder."""
        wanted = {"format": FORMAT, "chain_id": chain_id.encode(), "genesis": genesis_hash}
        found = {name: self.meta(name) for name in wanted}
        if all(value is None for value in found.values()) and self._head is None:
            self.kv.write([(layout.META + name.encode(), value) for name, value in wanted.items()])
        elif found["format"] != FORMAT:
            raise WrongDataFolder("the data folder was written by another version of this node", _ANOTHER)
        elif found != wanted:
            other = (found["chain_id"] or b"?").decode(errors="replace")
            what = f"chain {other}" if other != chain_id else f"another genesis of chain {other}"
            raise WrongDataFolder(f"the data folder belongs to {what}", "use another --home, or start with --fresh")

    def meta(self, name: str) -> bytes | None:
        """A fact kept beside the chain."""
        return self.kv.get(layout.META + name.encode())

    def note(self, name: str, value: bytes) -> None:
        """Keep a fact beside the chain."""
        self.kv.write([(layout.META + name.encode(), value)], sync=self.sync)

    def flush(self) -> None:
        """Bring everything written so far to the disk; needed where ``sync`` is off. From any thread."""
        self.kv.write([(layout.META + b"flushed", b"")])

    # --- state -----------------------------------------------------------------------------------------------------

    def head(self) -> Header | None:
        """Header of the newest block; None before genesis."""
        return self._head

    @property
    def height(self) -> int:
        """Number of the newest block; one less than the first before genesis."""
        return self._first - 1 if self._head is None else self._head.number

    def oldest_state(self) -> int:
        """The lowest height that ``reader`` answers for. Raises StateRestoring while there is none."""
        if self._restoring:
            raise StateRestoring("this node is restoring a snapshot", "wait until it is done; `openledger status` says")
        return self._oldest["oldest_state"]

    def states_kept(self) -> int | None:
        """How many heights before the head stay readable; None for all."""
        return self._keep

    def oldest_proof(self) -> int:
        """The lowest height that ``proof`` answers for."""
        return max(self._oldest["oldest_proof"], self.oldest_state())

    def oldest_block(self) -> int:
        """The lowest height from which on every block is here; above 0 after a snapshot was restored."""
        return self._oldest["oldest_block"]

    def reader(self, height: int | None = None) -> HeightReader:
        """State after block ``height`` (None: head, or the empty state before genesis).

        Raises StatePruned below the oldest height kept, UnknownBlock above head, StateRestoring.
        """
        with self.lock:
            height, oldest = self.height if height is None else height, self.oldest_state()
            if height > self.height or height < min(0, self.height):
                raise UnknownBlock(f"there is no block {height}, the newest is {self.height}")
            if height != self.height and height < oldest:
                raise StatePruned(
                    f"the state of block {height} is pruned, the oldest kept is {oldest}", "ask an archive node"
                )
            return HeightReader(self.kv, self, height, at_head=height == self.height)

    def proof(self, address: Address, slots: Sequence[int] = (), height: int | None = None) -> AccountProof:
        """Merkle proofs of an account and slots (EIP-1186), at head or one of the last 128 blocks.

        Raises StatePruned for older heights, UnknownBlock above head, ForkUnsupported where ``partial``.
        """
        if self.partial:
            raise ForkUnsupported("a forked devnet has no proofs", "ask the chain it was forked from")
        with self.lock:
            reader = self.reader(height)
            if reader.height != self.height and reader.height < self.oldest_proof():
                raise StatePruned(
                    f"no proof for block {reader.height}, the oldest with proofs is {self.oldest_proof()}",
                    f"proofs are kept for the last {PROOF_WINDOW} blocks",
                )
            return prove_account(self.kv, reader, address, slots, at_head=reader.height == self.height)

    def committed(self, generation: int) -> Diff | None:
        """The diff whose commit made ``generation`` of the one before, if that was the last write."""
        latest = self._latest
        return latest[1] if latest is not None and latest[0] == generation else None

    # --- writing -----------------------------------------------------------------------------------------------------

    def prepare(self, diff: Diff) -> Prepared:
        """The state root of head + ``diff``, and what its commit will write. Writes nothing; several diffs may be
        prepared on one head. Raises commitment.InconsistentDiff for storage without an account."""
        root = EMPTY_TRIE_ROOT if self._head is None else self._head.state_root
        return commitment.prepare(self.kv, diff, self.height + 1, self.generation, root)

    def commit(
        self, block: SealedBlock, prepared: Prepared, diff: Diff, meta: Mapping[str, bytes] | None = None
    ) -> None:
        """Write block, state, reverse diffs, indexes and ``meta`` in one atomic synced batch.

        Raises StorageError when block, prepared state, diff and head do not belong together; nothing is written then.
        """
        with self.lock:
            self._check_commit(block, prepared, diff)
            number = block.number
            writes: dict[bytes, bytes | None] = {**prepared.flat, **prepared.nodes}
            writes.update(block_entries(block))
            writes[layout.META + b"head"] = layout.height_key(number)
            writes.update((layout.META + name.encode(), value) for name, value in (meta or {}).items())
            if self._head is not None:
                self._write_history(writes, number, layout.CHANGED, prepared.flat_before)
                self._write_history(writes, number, layout.CHANGED_NODES, prepared.nodes_before)
            elif number > 0:
                self._oldest = dict.fromkeys(_OLDEST, number)
                writes.update((layout.META + name.encode(), layout.height_key(number)) for name in _OLDEST)
            self._prune(writes, number, layout.CHANGED_NODES, "oldest_proof", PROOF_WINDOW)
            if self._keep is not None:
                self._prune(writes, number, layout.CHANGED, "oldest_state", self._keep)
            self._write(writes)
            self._latest = (self.generation, diff)
            self._head = block.header
            self._remember(number, block.hash)

    def _check_commit(self, block: SealedBlock, prepared: Prepared, diff: Diff) -> None:
        if prepared.generation != self.generation:
            raise StorageError("this state was prepared on another head")
        if prepared.diff is not diff and prepared.diff != diff:
            raise StorageError("this state was prepared from another diff")
        if block.number != self.height + 1 or block.number != prepared.number:
            raise StorageError(f"block {block.number} does not follow block {self.height}")
        if block.header.state_root != prepared.state_root:
            raise StorageError(f"block {block.number} has another state root than its prepared state")
        if self._head is not None and block.header.parent_hash != self._head.hash:
            raise StorageError(f"block {block.number} has another parent than block {self.height}")

    def _write(self, writes: Mapping[bytes, bytes | None]) -> None:
        """One batch. Readers of the old head leave it before the first byte changes."""
        self.generation += 1
        puts = [(key, value) for key, value in writes.items() if value is not None]
        self.kv.write(puts, [key for key, value in writes.items() if value is None], sync=self.sync)

    def _write_history(
        self, writes: dict[bytes, bytes | None], number: int, table: bytes, before: Mapping[bytes, bytes | None]
    ) -> None:
        height, history_key = layout.height_key(number), layout.history_key
        keys = [history_key(key) + height for key in before]
        writes.update(zip(keys, map(layout.encode_before, before.values()), strict=True))
        writes[table + height] = layout.join_keys(keys)

    def _prune(self, writes: dict[bytes, bytes | None], head: int, table: bytes, name: str, keep: int) -> None:
        """Drop reverse diffs that are older than ``keep`` heights before head, some per call."""
        oldest = self._oldest[name]
        target = min(head - keep, oldest + _PRUNE_PER_COMMIT)
        if target <= oldest:
            return
        for height in range(oldest + 1, target + 1):
            key = table + layout.height_key(height)
            for old in layout.split_keys(self.kv.get(key) or b""):
                writes[old] = None
            writes[key] = None
        writes[layout.META + name.encode()] = layout.height_key(target)
        self._oldest[name] = target  # first, so that no reader meets a history half gone

    def prune(self, keep: int, most: int | None = None) -> int:
        """Drop the reverse diffs of heights more than ``keep`` (at least 1) before head, batch by batch, whatever mode
        the store is in; about ``most`` heights when that is given. The oldest height that is readable then; blocks and
        receipts stay."""
        with self.lock:
            first = self.oldest_state()
            while (oldest := self.oldest_state()) < self.height - max(1, keep):
                if most is not None and oldest - first >= most:
                    break
                writes: dict[bytes, bytes | None] = {}
                self._prune(writes, self.height, layout.CHANGED, "oldest_state", max(1, keep))
                puts = [(key, value) for key, value in writes.items() if value is not None]
                self.kv.write(puts, [key for key, value in writes.items() if value is None])
            return self.oldest_state()

    def rollback(self, to: int | None = None) -> Header:
        """Undo the blocks above height ``to`` (default: the newest only) in one synced batch; ``meta`` stays.

        The new head. Raises StatePruned when the reverse diffs are gone or there is nothing before genesis,
        UnknownBlock for a height not below head, CorruptDatabase when the older header's root does not come back.
        """
        with self.lock:
            head, to = self._head, self.height - 1 if to is None else to
            if head is None or to < 0:
                raise StatePruned("there is no block to go back to")
            if to >= head.number:
                raise UnknownBlock(f"block {to} is not below {head.number}")
            if (before := self.header(to)) is None or to < self.oldest_state():
                raise StatePruned(f"the state of block {to} is pruned", "restore a snapshot")
            writes = undo(self.kv, head, before, self.generation, check_root=not self.partial)
            if self._oldest["oldest_proof"] > to:
                self._oldest["oldest_proof"] = to
                writes[layout.META + b"oldest_proof"] = layout.height_key(to)
            self._write(writes)
            self._head = before
            self._hashes.clear()
            return before

    # --- replaced as a whole, see snapshot_restore.py ---------------------------------------------------------------

    def begin_restore(self) -> None:
        """Empty the database; until ``finish_restore`` or ``abort_restore`` readers raise StateRestoring. When the
        process ends in between, the next one finds an empty database."""
        with self.lock:
            self.generation += 1
            self._restoring = True
            self._latest = None
            self.kv.write([(RESTORING, b"\x01")])
            wipe(self.kv)

    def finish_restore(self, writes: Mapping[bytes, bytes | None], head: Header) -> None:
        """What is in the database now, together with ``writes``, is the state after block ``head``."""
        with self.lock:
            found = dict(writes) | {RESTORING: None, layout.META + b"head": layout.height_key(head.number)}
            found.update((layout.META + name.encode(), layout.height_key(head.number)) for name in _OLDEST)
            self._write(found)
            self._oldest = dict.fromkeys(_OLDEST, head.number)
            self._head, self._restoring = head, False
            self._hashes.clear()

    def abort_restore(self) -> None:
        """Empty again, as before genesis."""
        with self.lock:
            wipe(self.kv)
            self._write({RESTORING: None})
            self._oldest = dict.fromkeys(_OLDEST, 0)
            self._head, self._restoring = None, False
            self._hashes.clear()

    def verify(self) -> Integrity:
        """Recompute the state root, every trie node and every record's slot from the flat tables, and compare.

        What was counted. Raises CorruptDatabase naming the first difference. Reads the whole state.
        """
        with self.lock:
            return check_state(self.kv, self._head)

    # --- blocks ---------------------------------------------------------------------------------------------

    def header(self, number: int) -> Header | None:
        """Header of a height, or None."""
        raw = None if number < 0 else self.kv.get(layout.HEADER + layout.height_key(number))
        return None if raw is None else Header.decode(raw)

    def block(self, number: int) -> SealedBlock | None:
        """Block of a height, or None."""
        return None if number < 0 else read_block(self.kv, number)

    def block_by_hash(self, block_hash: Hash32) -> SealedBlock | None:
        """Block of a hash, or None."""
        number = self.block_number(block_hash)
        return None if number is None else read_block(self.kv, number)

    def block_number(self, block_hash: Hash32) -> int | None:
        """Height of a block hash, or None."""
        raw = self.kv.get(layout.BLOCK_HASH + block_hash)
        return None if raw is None else int.from_bytes(raw, "big")

    def block_hash(self, number: int) -> Hash32 | None:
        """Hash of the block at a height, or None."""
        known = self._hashes.get(number)
        if known is not None:
            return known
        raw = None if number < 0 else self.kv.get(layout.HEADER + layout.height_key(number))
        if raw is None:
            return None
        block_hash = keccak256(raw)
        self._remember(number, block_hash)
        return block_hash

    def _remember(self, number: int, block_hash: Hash32) -> None:
        with self.lock:
            if len(self._hashes) > _REMEMBERED_HASHES:
                self._hashes.clear()
            self._hashes[number] = block_hash

    def recent_hashes(self, number: int) -> Callable[[int], Hash32 | None]:
        """What BLOCKHASH answers inside block ``number``: hashes of the 256 blocks before it, else None."""
        return RecentHashes(self.block_hash, number)

    def transaction(self, tx_hash: Hash32) -> tuple[int, int] | None:
        """(block number, index in the block) of a transaction, or None."""
        raw = self.kv.get(layout.TRANSACTION + tx_hash)
        return None if raw is None else (int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big"))

    def receipts(self, number: int) -> tuple[Receipt, ...]:
        """Receipts of the block at a height; empty when there is none."""
        return read_receipts(self.kv, number)

    def logs(
        self,
        first: int,
        last: int,
        addresses: Sequence[Address] = (),
        topics: Topics = (),
        limit: int | None = None,
        look: Callable[[], None] = lambda: None,
    ) -> Iterator[FoundLog]:
        """Logs of blocks first..last (inclusive) as (block, transaction index, log index in the block, log).

        ``addresses`` empty: any. ``topics[i]`` None or empty: any, else the alternatives for that position. Stops after
        ``limit`` logs; ``look`` is called now and then, and may raise to end a long search. Raises StatePruned for
        blocks that are not here.
        """
        if first < (oldest := self.oldest_block()) and last > 0:
            raise StatePruned(f"logs of blocks before {oldest} are not kept here", f"ask from {hex(oldest)} on")
        return islice(find_logs(self.kv, first, min(last, self.height), addresses, topics, look), limit)
