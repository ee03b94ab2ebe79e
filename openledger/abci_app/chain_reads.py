"""What can be asked of a chain without changing it. The application is this and more; a worker that reads is this."""

from __future__ import annotations

from collections.abc import Iterator

from openledger.abci_app.block import HEADERS_KEPT, Chain
from openledger.abci_app.decoder import Decoder
from openledger.abci_app.due import is_due
from openledger.abci_app.modules.fees.market import next_base_fee
from openledger.abci_app.modules.governance.records import params as read_params
from openledger.abci_app.modules.staking.sets import last_signers
from openledger.abci_app.protocol import messages as abci
from openledger.abci_app.replay import Moment, replay
from openledger.evm.engine import EvmEngine
from openledger.genesis.genesis import Genesis
from openledger.genesis.params import Params
from openledger.primitives.blocks import Header
from openledger.primitives.errors import ConsensusFault
from openledger.primitives.types import Hash32
from openledger.state.ports import StateReader
from openledger.state.store import StateStore


class ChainReads:
    """A chain's store, its engine, and the questions to both."""

    def __init__(self, genesis: Genesis, store: StateStore, engine: EvmEngine) -> None:
        self.genesis = genesis
        self.store = store
        self.engine = engine
        self.decode = Decoder(solo=genesis.solo)
        self._chain = Chain(
            genesis.chain_id, genesis.evm_chain_id, engine, self._block_hash, self.decode,
            genesis.vote_extensions_enable_height, genesis.solo,
        )  # fmt: skip

    def head(self) -> Header:
        """Header of the newest committed block."""
        head = self.store.head()
        if head is None:
            raise ConsensusFault("the state has no genesis block")
        return head

    def state(self, height: int | None = None) -> StateReader:
        """State after the block of ``height`` (default: the newest). Raises StatePruned, UnknownBlock."""
        return self.store.reader(height)

    def params(self) -> Params:
        return read_params(self.state())

    def signers(self) -> tuple[abci.Validator, ...]:
        """The validators of the newest block, by consensus address: those whose precommits the next block carries."""
        return tuple(abci.Validator(seat.address, seat.power) for seat in last_signers(self.state()).seats)

    def next_base_fee(self) -> int:
        """Base fee (wei per gas) of the block after the newest."""
        return next_base_fee(self.head(), self.params())

    def due(self, unix_seconds: int) -> bool:
        """True when a block is owed although no transaction waits: a deadline or an epoch's end has passed."""
        return is_due(self.state(), unix_seconds)

    def replay(self, number: int) -> Iterator[Moment]:
        """A stored block once more, transaction by transaction. May be called from any thread; see ``replay``."""
        return replay(self._chain, self.store, number)

    def _block_hash(self, number: int) -> Hash32 | None:
        head = self.head().number
        if not max(0, head + 1 - HEADERS_KEPT) <= number <= head:
            return None
        return self.store.block_hash(number)
