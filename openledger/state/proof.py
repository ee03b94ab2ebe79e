"""What ``eth_getProof`` answers with (EIP-1186), and how such an answer is checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from openledger.primitives.blocks import EMPTY_TRIE_ROOT
from openledger.primitives.errors import InvalidRlp, ProofInvalid
from openledger.primitives.hashing import keccak256
from openledger.primitives.rlpio import Rlp, read_rlp
from openledger.primitives.types import Account, Address, Hash32
from openledger.state import layout
from openledger.state.ports import KeyValue
from openledger.state.reader import HeightReader, value_at
from openledger.state.trie import nibbles, prove


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


def proved(root: Hash32, key: bytes, nodes: Sequence[bytes]) -> bytes | None:
    """The value of ``key`` in the trie of ``root``, None when it has none: what the RLP ``nodes`` prove, which may come
    from anybody. Raises ProofInvalid when they prove neither. Source: yellow paper, appendix D."""
    path, left = nibbles(key), list(reversed(nodes))
    child: Rlp = b"" if root == EMPTY_TRIE_ROOT else root
    try:
        while child:
            node = _opened(child, left)
            if len(node) == 17:
                if not path:
                    return _text(node[16]) or None
                child, path = node[path[0]], path[1:]
                continue
            first, second = node
            compact = nibbles(_text(first))
            part = compact[1:] if compact[0] & 1 else compact[2:]
            if compact[0] & 2:
                return _text(second) if part == path else None
            if path[: len(part)] != part:
                return None
            child, path = second, path[len(part) :]
    except (InvalidRlp, ValueError, IndexError) as err:
        raise ProofInvalid(f"a trie node of the proof is malformed ({err})") from None
    return None


def _opened(child: Rlp, left: list[bytes]) -> Sequence[Rlp]:
    """The node that its parent refers to: by hash, then it is the next of ``left``, or in its place."""
    if not isinstance(child, bytes):
        return child
    if not left or keccak256(left[-1]) != child:
        raise ProofInvalid("the proof does not lead up to the root")
    node = read_rlp(left.pop())
    if isinstance(node, bytes):
        raise ValueError("it is no list")
    return node


def _text(item: Rlp) -> bytes:
    if not isinstance(item, bytes):
        raise ValueError("a list where bytes belong")
    return item
