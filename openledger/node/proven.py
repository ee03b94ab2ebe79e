"""State as a block's hash proves it: native records that a node hands out, each checked against the hash.

The hash is that of the header, the header holds the state root, under the root lies the module's account, in its
storage the hash of every record (design.md, section 3). Whoever trusts the hash need not trust the node.
Sources: EIP-1186 (proofs), EIP-1898 (blocks by hash), yellow paper, section 4.4 (the header).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from openledger.primitives.blocks import Header
from openledger.primitives.errors import DecodingError, InvalidRlp, ProofInvalid
from openledger.primitives.hashing import keccak256
from openledger.primitives.rlpio import read_rlp
from openledger.primitives.types import Account, Address, Hash32, from_hex, to_hex
from openledger.state.proof import proved

AT_ONCE = 200
"""Records asked for in one call."""


class Asked(Protocol):
    """What is asked of a node."""

    def call(self, method: str, *params: Any) -> Any: ...

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]: ...


class ProvenState:
    """A ``StateReader`` of the native records of one block. ``trusted`` is the block's hash, from a source that one
    believes; without it the node is asked for its head, and believed that this is the chain's.

    Raises ProofInvalid as soon as an answer does not follow from the hash, and UnknownBlock or StatePruned where the
    node has the block or its proofs no longer (it keeps those of the last 128).
    """

    def __init__(self, node: Asked, trusted: Hash32 | None = None) -> None:
        self._node = node
        self._records: dict[tuple[Address, bytes], bytes | None] = {}
        if trusted is None:
            header = _header(node.call("eth_getBlockByNumber", "latest", False))
        else:
            shown = node.call("eth_getBlockByHash", to_hex(trusted), False)
            if shown is None:
                raise ProofInvalid(f"the node knows no block {to_hex(trusted)}", "look at --block-hash and --node")
            header = _header(shown)
            if header.hash != trusted:
                raise ProofInvalid(f"the node's header is not that of block {to_hex(trusted)}")
        self.number, self.hash, self._root = header.number, header.hash, header.state_root

    def prove(self, module: Address, keys: Sequence[bytes]) -> None:
        """Fetch the records of ``keys`` and check each against the hash: there as given, or not there."""
        wanted = [key for key in dict.fromkeys(keys) if (module, key) not in self._records]
        for start in range(0, len(wanted), AT_ONCE):
            self._prove(module, wanted[start : start + AT_ONCE])

    def _prove(self, module: Address, keys: Sequence[bytes]) -> None:
        block, slots = {"blockHash": to_hex(self.hash)}, [to_hex(keccak256(key)) for key in keys]
        calls: list[tuple[str, Sequence[Any]]] = [("eth_getProof", [to_hex(module), slots, block])]
        calls += [("openledger_getRecord", [to_hex(module), to_hex(key), block]) for key in keys]
        proof, *records = self._node.batch(calls)
        try:
            account = proved(self._root, keccak256(module), [from_hex(node) for node in proof["accountProof"]])
            storage = _storage_root(account)
            for key, raw, one in zip(keys, records, proof["storageProof"], strict=True):
                found = proved(storage, keccak256(keccak256(key)), [from_hex(node) for node in one["proof"]])
                record = None if raw is None else from_hex(raw)
                if (None if found is None else read_rlp(found)) != (None if record is None else _committed(record)):
                    name = key.partition(b"/")[0].decode("ascii", "replace")
                    raise ProofInvalid(
                        f"the node's record {name} {key.partition(b'/')[2].hex()} is not the one that block "
                        f"{self.number} commits to",
                        "the node has another state than its chain: ask another one (--node)",
                    )
                self._records[module, key] = record
        except (DecodingError, KeyError, TypeError, ValueError) as err:
            raise ProofInvalid(f"the node's proof cannot be read ({err})") from None

    def record(self, module: Address, key: bytes) -> bytes | None:
        """One record, proved."""
        self.prove(module, [key])
        return self._records[module, key]

    # --- what no hash of a record proves ------------------------------------------------------------------

    def records(self, module: Address, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        raise ProofInvalid("that a list of records is whole cannot be proved")

    def account(self, address: Address) -> Account | None:
        raise ProofInvalid("only native records are asked for")

    def storage(self, address: Address, slot: int) -> int:
        raise ProofInvalid("only native records are asked for")

    def has_storage(self, address: Address) -> bool:
        raise ProofInvalid("only native records are asked for")

    def code(self, code_hash: Hash32) -> bytes:
        raise ProofInvalid("only native records are asked for")


def _committed(record: bytes) -> bytes:
    """The storage value that stands for a record: RLP drops zeros in front."""
    return keccak256(record).lstrip(b"\0")


def _storage_root(account: bytes | None) -> Hash32:
    fields = read_rlp(account) if account is not None else b""
    if isinstance(fields, bytes) or len(fields) != 4 or not isinstance(fields[2], bytes):
        raise ProofInvalid("the module's account is not in the state of this block")
    return fields[2]


def _header(shown: Any) -> Header:
    """The header that a block's JSON describes; whether it is the right one its hash tells. Raises ProofInvalid."""
    try:
        words = {name: from_hex(shown[key], size) for name, key, size in _WORDS}
        numbers = {name: int(shown[key], 16) for name, key in _NUMBERS}
        return Header(**words, **numbers, extra_data=from_hex(shown["extraData"]))  # type: ignore[arg-type]
    except (DecodingError, InvalidRlp, KeyError, TypeError, ValueError) as err:
        raise ProofInvalid(f"the node's block has no header that can be read ({err})") from None


_WORDS = (
    ("parent_hash", "parentHash", 32), ("coinbase", "miner", 20), ("state_root", "stateRoot", 32),
    ("transactions_root", "transactionsRoot", 32), ("receipts_root", "receiptsRoot", 32), ("bloom", "logsBloom", 256),
    ("prevrandao", "mixHash", 32), ("ommers_hash", "sha3Uncles", 32), ("nonce", "nonce", 8),
    ("withdrawals_root", "withdrawalsRoot", 32), ("parent_beacon_block_root", "parentBeaconBlockRoot", 32),
    ("requests_hash", "requestsHash", 32),
)  # fmt: skip
_NUMBERS = (
    ("number", "number"), ("gas_limit", "gasLimit"), ("gas_used", "gasUsed"), ("timestamp", "timestamp"),
    ("base_fee", "baseFeePerGas"), ("difficulty", "difficulty"), ("blob_gas_used", "blobGasUsed"),
    ("excess_blob_gas", "excessBlobGas"),
)  # fmt: skip

__all__ = ["Asked", "ProvenState"]
