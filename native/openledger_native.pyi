"""What the native extension offers; the code is in native/src."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from openledger.evm.engine import BlockEnv, CallMessage, TxResult
from openledger.primitives.transactions import EthTransaction
from openledger.primitives.types import Account, Address, Hash32, Log
from openledger.state.ports import Diff, StateReader

__version__: str

class NeedsReference(Exception): ...
class MissingNode(Exception): ...

class Engine:
    def __init__(
        self,
        *,
        prague: bool,
        names: Any,
        outbox: Address,
        precompiles: Sequence[tuple[Address, object]],
        cache_bytes: int,
    ) -> None: ...
    def execute(
        self,
        env: BlockEnv,
        txs: list[EthTransaction],
        state: StateReader,
        gas_available: int,
        fork: object,
        layers: tuple[Any, ...] | None,
    ) -> tuple[
        list[TxResult],
        dict[Address, Account | None],
        dict[tuple[Address, int], int],
        dict[Hash32, bytes],
        set[Address],
    ]: ...
    def call(
        self, env: BlockEnv, message: CallMessage, state: StateReader, layers: tuple[Any, ...] | None
    ) -> tuple[int, int, bytes, tuple[Log, ...], str]: ...
    def trace(
        self,
        env: BlockEnv,
        subject: EthTransaction | CallMessage,
        state: StateReader,
        layers: tuple[Any, ...] | None,
        is_call: bool,
        relay: object,
        wants: object,
    ) -> tuple[
        int, dict[Address, Account | None], dict[tuple[Address, int], int], dict[Hash32, bytes], set[Address]
    ]: ...
    def generation(self, store: object) -> int | None: ...
    def restart(self, store: object, generation: int) -> None: ...
    def advance(self, diff: Diff) -> None: ...
    def cache_size(self) -> tuple[int, int]: ...

def keccak256(data: bytes) -> bytes: ...
def decode_transactions(raws: list[bytes], classes: Any) -> list[EthTransaction | None]: ...
def trie_update(
    load: Callable[[bytes], bytes | None], changes: Iterable[tuple[bytes, bytes]]
) -> tuple[bytes, dict[bytes, bytes | None], dict[bytes, bytes | None]]: ...
def ordered_trie_root(values: list[bytes]) -> bytes: ...
