"""All accounts of a devnet's head in the form of anvil's state dumps."""

from __future__ import annotations

from openledger.abci_app.edits import KEPT
from openledger.primitives.hashing import KECCAK_EMPTY
from openledger.primitives.types import Address, to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.formats import Json, quantity
from openledger.rpc.params import LATEST
from openledger.state import layout


def dump_accounts(backend: Backend) -> Json:
    """``accounts`` with nonce, balance, code and storage; the edits that wait for the next block are in it. Accounts of
    the native modules are not: their storage is the proof of records that a dump does not have."""
    head, state = backend.app.store.reader(), backend.state(LATEST)
    edits = backend.app.edits
    found: dict[Address, set[int]] = {key[1:]: set() for key, _ in head.entries(layout.ACCOUNT)}
    for key, _ in head.entries(layout.STORAGE):
        found.setdefault(key[1:21], set()).add(int.from_bytes(key[21:], "big"))
    for account in edits.accounts:
        found.setdefault(account.address, set())
    for slot in edits.slots:
        found.setdefault(slot.address, set()).add(slot.slot)
    accounts: Json = {}
    for address, slots in sorted(found.items()):
        known = state.account(address)
        if known is None or address in KEPT:
            continue
        values = {slot: state.storage(address, slot) for slot in sorted(slots)}
        accounts[to_hex(address)] = {
            "nonce": known.nonce,
            "balance": quantity(known.balance),
            "code": "0x" if known.code_hash == KECCAK_EMPTY else to_hex(state.code(known.code_hash)),
            "storage": {_word(slot): _word(value) for slot, value in values.items() if value},
        }
    return {"block": None, "accounts": accounts, "best_block_number": None}


def _word(value: int) -> str:
    return to_hex(value.to_bytes(32, "big"))
