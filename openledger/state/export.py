"""The state at one height as a stream of JSON objects, and as a file of them that proves itself.

    {"format": "openledger-state", "version": 1, "chain_id": ..., "height": ..., "state_root": "0x..", ...}
    {"account": "0x..", "nonce": 1, "balance": "10"}            then the slots of this account; "code" where it has some
    {"slots": {"0x0": "0x2a"}, "of": "0x.."}                    at most 500 a line; none for native modules
    {"record": ["0x<module>", "0x<key>", "0x<value>"]}
    {"end": {"accounts": 3, "slots": 1, "records": 1}}

JSON Lines in gzip, accounts by address, slots by number, records by module and key: equal states give equal files. The
slots of native modules follow from their records. Reading computes the state root and compares it with the first
line's, so that no byte of the state needs to be trusted. Documented in docs/reference/formats.md.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from openledger.primitives.blocks import EMPTY_TRIE_ROOT, Header
from openledger.primitives.errors import InvalidExport, OpenLedgerError
from openledger.primitives.hashing import KECCAK_EMPTY, keccak256
from openledger.primitives.jsonio import read_json
from openledger.primitives.types import MODULE_ADDRESSES, Account, Address, Hash32, from_hex, parse_address, to_hex
from openledger.state import layout
from openledger.state.commitment import encode_leaf, encode_slot
from openledger.state.fasttrie import update
from openledger.state.reader import HeightReader

Json = dict[str, Any]

FORMAT = "openledger-state"
VERSION = 2
SLOTS_PER_LINE = 500
PAGE_BYTES = 1024 * 1024
_MAX_LINE = 8 * 1024 * 1024
_MODULES = frozenset(MODULE_ADDRESSES)


# --- out --------------------------------------------------------------------------------------------------------


def export_header(header: Header, chain_id: str, evm_chain_id: int) -> Json:
    """The first line: which state this is."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "chain_id": chain_id,
        "evm_chain_id": evm_chain_id,
        "height": header.number,
        "timestamp": header.timestamp,
        "block_hash": to_hex(header.hash),
        "state_root": to_hex(header.state_root),
    }


def state_entries(reader: HeightReader, cursor: bytes = b"") -> Iterator[tuple[bytes, Json]]:
    """Every line between the first and the last as (cursor, line), from ``cursor`` on (empty: from the start).

    A cursor says where to begin again with just this line; it is a key of the flat tables.
    """
    if cursor[:1] == layout.STORAGE:
        yield from _slots(reader, cursor[1:21], cursor)
    if cursor[:1] != layout.RECORD:
        start = cursor
        if cursor[:1] == layout.STORAGE:
            start = layout.ACCOUNT + cursor[1:21] + b"\x00"
        for key, raw in reader.entries(layout.ACCOUNT, start):
            address = key[1:]
            yield key, _account_line(reader, address, layout.decode_account(raw))
            if layout.storage_root_of(raw) != EMPTY_TRIE_ROOT and address not in _MODULES:
                yield from _slots(reader, address, layout.STORAGE + address)
    for key, record in reader.entries(layout.RECORD, cursor if cursor[:1] == layout.RECORD else b""):
        yield key, {"record": [to_hex(key[1:21]), to_hex(key[21:]), to_hex(record)]}


def _account_line(reader: HeightReader, address: Address, account: Account) -> Json:
    line: Json = {"account": to_hex(address), "nonce": account.nonce, "balance": str(account.balance)}
    if account.code_hash != KECCAK_EMPTY:
        line["code"] = to_hex(reader.code(account.code_hash))
    return line


def _slots(reader: HeightReader, address: Address, start: bytes) -> Iterator[tuple[bytes, Json]]:
    found: dict[str, str] = {}
    cursor = start
    for key, raw in reader.entries(layout.STORAGE + address, start):
        if not found:
            cursor = key
        found[hex(int.from_bytes(key[21:], "big"))] = hex(int.from_bytes(raw, "big"))
        if len(found) == SLOTS_PER_LINE:
            yield cursor, {"slots": found, "of": to_hex(address)}
            found = {}
    if found:
        yield cursor, {"slots": found, "of": to_hex(address)}


def export_page(reader: HeightReader, cursor: bytes, limit: int) -> tuple[list[Json], bytes | None]:
    """Up to ``limit`` lines from ``cursor`` on, fewer where they are large, and the cursor of the next page (None: the
    end). Always at least one line, unless there are none."""
    lines: list[Json] = []
    size = 0
    for at, line in state_entries(reader, cursor):
        size += len(line.get("code", ())) + len(line.get("slots", ())) * 140 + sum(map(len, line.get("record", ())))
        if lines and (len(lines) >= limit or size > PAGE_BYTES):
            return lines, at
        lines.append(line)
    return lines, None


@dataclass(slots=True)
class Counts:
    """How much of each there is; the last line."""

    accounts: int = 0
    slots: int = 0
    records: int = 0

    def add(self, line: Json) -> None:
        """Count a line between the first and the last."""
        self.accounts += "account" in line
        self.slots += len(line.get("slots", ()))
        self.records += "record" in line

    def as_json(self) -> Json:
        return {"accounts": self.accounts, "slots": self.slots, "records": self.records}


def write_export(path: Path, header: Json, lines: Iterable[Json]) -> Counts:
    """Write a whole export; the file appears under its name only when it is complete and on the disk."""
    counts = Counts()
    unfinished = path.with_name(path.name + ".partial")
    try:
        with unfinished.open("wb") as raw:
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as file:
                file.write(_line(header))
                for line in lines:
                    counts.add(line)
                    file.write(_line(line))
                file.write(_line({"end": counts.as_json()}))
            raw.flush()
            os.fsync(raw.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return counts


def _line(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


# --- in ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ExportedAccount:
    """An account with everything that belongs to it, native records aside."""

    nonce: int
    balance: int
    code: bytes
    storage: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Export:
    """A whole state in memory, checked against ``state_root``."""

    chain_id: str
    evm_chain_id: int
    height: int
    timestamp: int
    block_hash: Hash32
    state_root: Hash32
    accounts: dict[Address, ExportedAccount] = field(default_factory=dict)
    records: dict[Address, dict[bytes, bytes]] = field(default_factory=dict)

    def root(self) -> Hash32:
        """The state root of what is here."""
        leaves = []
        for address, account in self.accounts.items():
            slots = dict(account.storage)
            for key, record in self.records.get(address, {}).items():
                slots[int.from_bytes(keccak256(key), "big")] = int.from_bytes(keccak256(record), "big")
            storage = _root_of(
                (keccak256(slot.to_bytes(32, "big")), encode_slot(layout.encode_quantity(value)))
                for slot, value in slots.items()
            )
            flat = Account(account.nonce, account.balance, keccak256(account.code))
            leaves.append((keccak256(address), encode_leaf(flat, storage)))
        return _root_of(leaves)


def _root_of(items: Iterable[tuple[bytes, bytes]]) -> Hash32:
    return update(lambda path: None, items).root


def read_export(path: Path) -> Export:
    """Read and check an export. Raises InvalidExport for anything but exactly such a file of one whole state."""
    lines = _lines(path)
    export = _read_header(next(lines, {}))
    counts = Counts()
    for line in lines:
        if "end" in line:
            if line["end"] != counts.as_json() or next(lines, None) is not None:
                raise InvalidExport(f"{path} does not hold what its last line says")
            break
        counts.add(line)
        _checked(partial(_take, export, line))
    else:
        raise InvalidExport(f"{path} ends too early", "export the state again")
    if not export.records.keys() <= export.accounts.keys():
        raise InvalidExport(f"{path} has records of a module without an account")
    if (root := _checked(export.root)) != export.state_root:
        raise InvalidExport(f"{path} gives state root {to_hex(root)}, not {to_hex(export.state_root)} as it says")
    return export


def _lines(path: Path) -> Iterator[Json]:
    try:
        with gzip.open(path, "rb") as file:
            while raw := file.readline(_MAX_LINE):
                value = read_json(raw)
                if not isinstance(value, dict):
                    raise InvalidExport(f"{path} has a line that is no object")
                yield value
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InvalidExport(f"{path} is not a whole gzip file", "export the state again") from None
    except FileNotFoundError:
        raise InvalidExport(f"there is no file {path}") from None


def _checked(action: Callable[[], Any]) -> Any:
    """The outcome of reading fields of a line. Raises InvalidExport for malformed ones."""
    try:
        return action()
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as err:
        raise InvalidExport(f"a line of the export is malformed: {type(err).__name__} {err}") from None
    except InvalidExport:
        raise
    except OpenLedgerError as err:
        raise InvalidExport(f"a line of the export is malformed: {err.message}") from None


def _read_header(line: Json) -> Export:
    if line.get("format") != FORMAT:
        raise InvalidExport("this is no state export", "`openledger export` writes one")
    if line.get("version") != VERSION:
        raise InvalidExport(
            f"this export has format version {line.get('version')}, not {VERSION}",
            "another version of this node reads it",
        )
    return _checked(  # type: ignore[no-any-return]
        lambda: Export(
            str(line["chain_id"]), int(line["evm_chain_id"]), int(line["height"]), int(line["timestamp"]),
            from_hex(line["block_hash"], 32), from_hex(line["state_root"], 32),
        )
    )  # fmt: skip


def _take(export: Export, line: Json) -> None:
    if "account" in line:
        address = parse_address(line["account"])
        if address in export.accounts:
            raise InvalidExport(f"account {to_hex(address)} is there twice")
        code = from_hex(line["code"]) if "code" in line else b""
        export.accounts[address] = ExportedAccount(int(line["nonce"]), int(line["balance"]), code)
    elif "slots" in line:
        storage = export.accounts[parse_address(line["of"])].storage
        storage.update((int(slot, 16), int(value, 16)) for slot, value in line["slots"].items())
    else:
        module, key, value = line["record"]
        export.records.setdefault(parse_address(module), {})[from_hex(key)] = from_hex(value)
