"""Keys and values of the database. One first byte a table; integers big-endian, so that keys sort by height.

=====  =====================================================  ======================================================
table  key                                                    value
=====  =====================================================  ======================================================
a      address                                                account with its storage root, see ``encode_account``
s      address, slot (32)                                     shortest big-endian value
r      module, key                                            native record
c      code hash                                              code
t      path                                                   node of the account trie
u      address, path                                          node of that account's storage trie
A S R  as a, s, r, then height (8)                            value *before* that block, see ``encode_before``
T U    as t, u, then 0xff, then height (8)                    likewise, kept for the last blocks only
d e    height                                                 the A S R keys and the T U keys written at that height
b y p  height                                                 header, body, receipts
l      height                                                 nothing: this block has logs
i      00 and address, or 01 to 04 and topic; height          places (3 each) of the logs in that block
k      address, 00 sent 01 received 02 created, height,       nothing: a transaction of this account
       index (4)
n      block hash                                             height
x      transaction hash                                       height, index (4)
m      name                                                   facts about this database
f      a or s key                                             of a fork: what the other chain has there, or nothing
=====  =====================================================  ======================================================
"""

from __future__ import annotations

from openledger.primitives.blocks import EMPTY_TRIE_ROOT
from openledger.primitives.hashing import KECCAK_EMPTY
from openledger.primitives.types import Account, Address, Hash32

ACCOUNT, STORAGE, RECORD, CODE, ACCOUNT_NODE, STORAGE_NODE = b"a", b"s", b"r", b"c", b"t", b"u"
CHANGED, CHANGED_NODES = b"d", b"e"
HEADER, BODY, RECEIPTS, BLOCK_HASH, TRANSACTION, META = b"b", b"y", b"p", b"n", b"x", b"m"
HAS_LOGS, LOGS, BY_ACCOUNT = b"l", b"i", b"k"

LAST_HEIGHT = b"\xff" * 8
_END_OF_PATH = b"\xff"
_END_OF_KEY = b"\x00\x01"
_HAS_CODE, _HAS_STORAGE = 1, 2


def height_key(height: int) -> bytes:
    return height.to_bytes(8, "big")


def account_key(address: Address) -> bytes:
    return ACCOUNT + address


def storage_key(address: Address, slot: int) -> bytes:
    return STORAGE + address + slot.to_bytes(32, "big")


def record_key(module: Address, key: bytes) -> bytes:
    return RECORD + module + key


def history_key(key: bytes) -> bytes:
    """What stands before the height in the history of a flat or trie key; never a prefix of another one's."""
    table, rest = key[:1], key[1:]
    if table == RECORD:
        return b"R" + rest[:20] + escape(rest[20:]) + _END_OF_KEY
    if table in (ACCOUNT_NODE, STORAGE_NODE):
        return table.upper() + rest + _END_OF_PATH
    return table.upper() + rest


def history_prefix(prefix: bytes) -> bytes:
    """What the history keys of all flat keys with this prefix (a, s, r) begin with."""
    if prefix[:1] == RECORD:
        return b"R" + prefix[1:21] + escape(prefix[21:])
    return prefix[:1].upper() + prefix[1:]


def escape(key: bytes) -> bytes:
    """Order-preserving form in which ``00 01`` cannot occur, so that it can end a key of any length."""
    return key.replace(b"\x00", b"\x00\xff")


def record_of_history(key: bytes) -> bytes:
    """The record key inside a key of table R."""
    return key[21:-10].replace(b"\x00\xff", b"\x00")


def flat_of_history(key: bytes) -> bytes:
    """The flat key (tables a, s, r) to which a history key belongs."""
    if key[:1] == b"R":
        return RECORD + key[1:21] + record_of_history(key)
    return key[:1].lower() + key[1:-8]


def after(prefix: bytes) -> bytes:
    """The first key that is greater than all keys with this prefix (which begins with a table letter)."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes((trimmed[-1] + 1,))


def encode_before(value: bytes | None) -> bytes:
    """Reverse diff entry: empty where there was nothing, else 01 and the value."""
    return b"" if value is None else b"\x01" + value


def decode_before(raw: bytes) -> bytes | None:
    return raw[1:] if raw else None


def encode_account(account: Account, storage_root: Hash32) -> bytes:
    """Flags, nonce (8), balance (32), then code hash and storage root where they are not those of nothing."""
    flags = 0
    tail = b""
    if account.code_hash != KECCAK_EMPTY:
        flags |= _HAS_CODE
        tail += account.code_hash
    if storage_root != EMPTY_TRIE_ROOT:
        flags |= _HAS_STORAGE
        tail += storage_root
    return bytes((flags,)) + account.nonce.to_bytes(8, "big") + account.balance.to_bytes(32, "big") + tail


def decode_account(raw: bytes) -> Account:
    code_hash = raw[41:73] if raw[0] & _HAS_CODE else KECCAK_EMPTY
    return Account(int.from_bytes(raw[1:9], "big"), int.from_bytes(raw[9:41], "big"), code_hash)


def storage_root_of(raw: bytes | None) -> Hash32:
    """Storage root of an encoded account; that of nothing for None."""
    return raw[-32:] if raw is not None and raw[0] & _HAS_STORAGE else EMPTY_TRIE_ROOT


def encode_quantity(value: int) -> bytes:
    """Shortest big-endian form; 0 is empty."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def join_keys(keys: list[bytes]) -> bytes:
    """A list of keys as one value: length (2) and key, each."""
    return b"".join(len(key).to_bytes(2, "big") + key for key in keys)


def split_keys(raw: bytes) -> list[bytes]:
    keys, at = [], 0
    while at < len(raw):
        stop = at + 2 + int.from_bytes(raw[at : at + 2], "big")
        keys.append(raw[at + 2 : stop])
        at = stop
    return keys
