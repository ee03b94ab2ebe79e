"""The application: one short method per ABCI call.

Nothing is written before ``commit``. A proposal that was executed is remembered, so that the block that follows it
is not executed again; what is remembered is keyed by every input, so it can only ever be the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import openledger
from openledger.abci_app import proposals, votes
from openledger.abci_app.action import BlockContext
from openledger.abci_app.admission import Admission
from openledger.abci_app.block import BlockInput, BlockOutput, execute_block, seal
from openledger.abci_app.chain_reads import ChainReads
from openledger.abci_app.edits import Edits, Pending
from openledger.abci_app.gossip import Gossip, is_bundle
from openledger.abci_app.mempool import BLOCK_PART, Mempool
from openledger.abci_app.modules.governance.records import params as read_params
from openledger.abci_app.modules.governance.upgrade import must_know
from openledger.abci_app.modules.staking.records import operator_of
from openledger.abci_app.opening import genesis_block, genesis_diff
from openledger.abci_app.ports import VerdictSource
from openledger.abci_app.preview import MOST_WAITING, Preview, preview
from openledger.abci_app.protocol import messages as abci
from openledger.abci_app.queries import answer
from openledger.abci_app.replay import Note
from openledger.abci_app.statesync import FreeDisk, HeaderHashes, StateSync
from openledger.evm.engine import EvmEngine
from openledger.genesis.genesis import Genesis
from openledger.primitives.blocks import SealedBlock
from openledger.primitives.errors import (
    ConsensusFault,
    EditRefused,
    InvalidTransaction,
    OpenLedgerError,
    WrongDataFolder,
)
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Address, Hash32
from openledger.state.commitment import Prepared
from openledger.state.ports import Diff, StateReader
from openledger.state.snapshots import SnapshotShelf
from openledger.state.store import StateStore

APP_VERSION = 1


@dataclass(frozen=True, slots=True)
class _Finalized:
    """A block between FinalizeBlock and Commit."""

    sealed: SealedBlock
    prepared: Prepared
    diff: Diff
    refused: tuple[Hash32, ...]


class Application(ChainReads):
    """state' = f(state, block), behind the calls of ABCI 2.0."""

    def __init__(
        self,
        genesis: Genesis,
        store: StateStore,
        engine: EvmEngine,
        verdicts: VerdictSource,
        own_address: Address | None = None,
        shelf: SnapshotShelf | None = None,
        keep_blocks: int = 0,
        ask: HeaderHashes | None = None,
        free: FreeDisk | None = None,
    ) -> None:
        super().__init__(genesis, store, engine)
        self.own_address = own_address
        self._verdicts = verdicts
        store.bind(genesis.chain_id, genesis.digest)
        self._executed: dict[BlockInput, BlockOutput] = {}
        self._pending: _Finalized | None = None
        self._next: BlockContext | None = None
        if store.head() is None:
            self._commit_genesis()
        self._edits = Pending(store) if genesis.solo else None
        self.mempool = Mempool(self.state(), self.next_base_fee())
        self._keep_blocks = keep_blocks
        self.statesync = StateSync(genesis, store, shelf, self._commit_genesis, self._begin_from_snapshot, ask, free)
        self.gossip = Gossip(
            self.mempool, self.params().max_block_bytes // BLOCK_PART
        )  # CometBFT wants it to fit a block
        self._admission = Admission(self.decode, self.mempool, self.gossip, self._context)

    # --- what comes next ------------------------------------------------------------------------------------

    def state(self, height: int | None = None) -> StateReader:
        """State after the block of ``height``; by default the newest, with a solo devnet's edits on top. Raises
        StatePruned, UnknownBlock."""
        if height is None and self._edits is not None:
            return self._edits.state()
        return super().state(height)

    def next_base_fee(self) -> int:
        """Base fee (wei per gas) of the block after the newest."""
        wanted = self.edits.base_fee
        return wanted[-1] if wanted else super().next_base_fee()

    def preview(self, unix_seconds: int) -> Callable[[], Preview]:
        """The next block out of what waits now, at that time. What is given back does the work, in any thread."""
        waiting = {decoded.raw: decoded for decoded in islice(self.mempool.offer(), MOST_WAITING)}
        proposer = self.own_address or bytes(20)
        return partial(
            preview, self._chain, self.store, self.head(), unix_seconds, proposer, waiting, self.edits.encode()
        )

    def _context(self) -> BlockContext:
        """The block that would come next, as admission sees it."""
        if self._next is None:
            head, state = self.head(), self.state()
            operator = operator_of(state, self.own_address or bytes(20))
            self._next = BlockContext(
                head.number + 1, head.timestamp, operator, self.genesis.evm_chain_id, read_params(state)
            )
        return self._next

    def check_upgrade(self) -> None:
        """Raises UpgradeNeeded when this program cannot make the block that comes next, so that nobody needs to wait
        for a proposal to find out."""
        must_know(self.state(), self.head().number + 1, self._chain.upgrades, openledger.__version__)

    # --- info and genesis ---------------------------------------------------------------------------------

    def info(self, request: abci.RequestInfo) -> abci.ResponseInfo:
        head = self.head()
        return abci.ResponseInfo(
            data="openledger",
            version=openledger.__version__,
            app_version=APP_VERSION,
            last_block_height=head.number,
            last_block_app_hash=head.state_root if head.number else b"",
        )

    def _commit_genesis(self) -> None:
        diff = genesis_diff(self.genesis)
        prepared = self.store.prepare(diff)
        self.store.commit(genesis_block(self.genesis, prepared.state_root), prepared, diff)

    def init_chain(self, request: abci.RequestInitChain) -> abci.ResponseInitChain:
        """Block 0 exists already; here it is compared with what the consensus engine was given."""
        given = Genesis.from_init_chain(
            request.chain_id, request.time, request.initial_height, request.app_state_bytes,
            request.consensus_params.vote_extensions_enable_height or 0,
        )  # fmt: skip
        if given.digest != self.genesis.digest:
            raise WrongDataFolder(
                f"the consensus engine starts chain {given.chain_id} with another genesis than this data folder has",
                "use the genesis file that the data folder was made with, or start with an empty one",
            )
        given.check_voters({v.pub_key: v.power for v in request.validators})
        return abci.ResponseInitChain(app_hash=self.head().state_root)

    def query(self, request: abci.RequestQuery) -> abci.ResponseQuery:
        """JSON views of native state by path, for example ``/datanet/1``."""
        height = request.height or self.head().number
        try:
            value = answer(self.state(height), request.path)
        except OpenLedgerError as err:
            return abci.ResponseQuery(code=err.code, log=err.message, height=height, codespace="openledger")
        return abci.ResponseQuery(value=value, height=height)

    # --- mempool ------------------------------------------------------------------------------------------

    def admit(self, raws: Sequence[bytes]) -> list[InvalidTransaction | None]:
        """Transactions of this node's users: None for each that waits in the mempool now, or why it does not."""
        return self._admission.admit(raws)

    def on_heard(self, listener: Callable[[bytes], None]) -> None:
        """Call ``listener(raw)`` for each transaction that other nodes bring into the mempool."""
        self._admission.heard = listener

    def check_tx(self, request: abci.RequestCheckTx) -> abci.ResponseCheckTx:
        return self._admission.check_tx(request)

    def insert_tx(self, request: abci.RequestInsertTx) -> abci.ResponseInsertTx:
        return self._admission.insert_tx(request)

    def reap_txs(self, request: abci.RequestReapTxs) -> abci.ResponseReapTxs:
        return self._admission.reap_txs(request)

    # --- proposals ----------------------------------------------------------------------------------------

    def _execute(self, block: BlockInput) -> BlockOutput:
        known = self._executed.get(block)
        if known is None:
            known = execute_block(self._chain, self.store.reader(), self.head(), block)
            self._executed[block] = known
        return known

    def _expect(self, height: int) -> None:
        if height != self.head().number + 1:
            raise ConsensusFault(f"the consensus engine is at height {height}, the state at {self.head().number}")

    def prepare_proposal(self, request: abci.RequestPrepareProposal) -> abci.ResponsePrepareProposal:
        """A block of what waits in our own mempool, and of what only CometBFT's has."""
        self._expect(request.height)
        found = self.decode.many([raw for raw in request.txs if not is_bundle(raw)])
        waiting = self.mempool.offer([item for item in found if not isinstance(item, InvalidTransaction)])
        block, output = proposals.prepare(self._chain, self.store.reader(), self.head(), request, waiting, self.edits)
        self._executed[block] = output
        return abci.ResponsePrepareProposal(block.txs)

    def process_proposal(self, request: abci.RequestProcessProposal) -> abci.ResponseProcessProposal:
        self._expect(request.height)
        block = BlockInput(
            request.height, request.time, request.proposer_address, request.txs, request.proposed_last_commit,
            request.misbehavior,
        )  # fmt: skip
        holds = proposals.acceptable(self._execute(block))
        return abci.ResponseProcessProposal(abci.ACCEPT if holds else abci.REJECT)

    # --- vote extensions ----------------------------------------------------------------------------------

    def extend_vote(self, request: abci.RequestExtendVote) -> abci.ResponseExtendVote:
        """Only what is finished already, and only what everybody will accept; else nothing."""
        if self.own_address is None:
            return abci.ResponseExtendVote()
        state = self.state()
        extension = self._verdicts.extension(state, request.height, self.own_address)
        try:
            votes.check_extension(extension, self.own_address, state, read_params(state).max_extension_bytes)
        except InvalidTransaction:
            return abci.ResponseExtendVote()
        return abci.ResponseExtendVote(extension)

    def verify_vote_extension(self, request: abci.RequestVerifyVoteExtension) -> abci.ResponseVerifyVoteExtension:
        state = self.state()
        try:
            votes.check_extension(
                request.vote_extension, request.validator_address, state, read_params(state).max_extension_bytes
            )
        except InvalidTransaction:
            return abci.ResponseVerifyVoteExtension(abci.REJECT)
        return abci.ResponseVerifyVoteExtension(abci.ACCEPT)

    # --- blocks -------------------------------------------------------------------------------------------

    def finalize_block(self, request: abci.RequestFinalizeBlock) -> abci.ResponseFinalizeBlock:
        """Compute everything that ``commit`` writes. May be called again with other inputs before the commit."""
        self._expect(request.height)
        block = BlockInput(
            request.height, request.time, request.proposer_address, request.txs, request.decided_last_commit,
            request.misbehavior,
        )  # fmt: skip
        output = self._execute(block)
        prepared = self.store.prepare(output.diff)
        sealed = seal(output, prepared.state_root, self.head(), Note.of(block, request.hash).encode())
        refused = tuple(
            keccak256(raw) for raw, result in zip(request.txs, output.results, strict=True) if result.info == "refused"
        )
        self._pending = _Finalized(sealed, prepared, output.diff, refused)
        updates = tuple(abci.ValidatorUpdate(change.pub_key, change.power) for change in output.power_changes)
        return abci.ResponseFinalizeBlock(
            tuple(output.results), updates, _engine_params(output.block_bytes), prepared.state_root
        )

    def commit(self) -> abci.ResponseCommit:
        """One synced batch; then the mempool learns of the new state."""
        done = self._pending
        if done is None:
            raise ConsensusFault("Commit without FinalizeBlock")
        self.store.commit(done.sealed, done.prepared, done.diff, self._edits.done() if self._edits else None)
        if self._edits:
            self._edits.forget()
        self._moved()
        self.mempool.remove(done.refused)
        self.mempool.update(self.state(), self.next_base_fee(), self._touched(done))
        self.gossip.committed()
        return abci.ResponseCommit(self._retain_height())

    def _retain_height(self) -> int:
        """From which block on the consensus engine has to keep its blocks; 0: all. What snapshots stand on stays."""
        if not self._keep_blocks:
            return 0
        return max(0, min(self.head().number - self._keep_blocks, self.statesync.oldest()))

    def _moved(self) -> None:
        """The head is another block: what was worked out on the old one is nothing."""
        self._pending = None
        self._next = None
        self._executed.clear()

    def _touched(self, done: _Finalized) -> set[Address]:
        return set(done.sealed.senders) | done.diff.accounts.keys()

    # --- snapshots ----------------------------------------------------------------------------------------

    def _begin_from_snapshot(self) -> None:
        """The state has become another one: nothing that was remembered of the old one holds."""
        self._moved()
        self.mempool.update(self.state(), self.next_base_fee(), None)

    # --- a solo devnet: only between blocks ---------------------------------------------------------------

    @property
    def edits(self) -> Edits:
        """What the next block will have besides its transactions."""
        return Edits() if self._edits is None else self._edits.edits

    def edit(self, edits: Edits) -> None:
        """Let the next block have these edits, and the head's state be read with them from now on. Raises EditRefused,
        always on a chain that is not solo."""
        if self._edits is None:
            raise EditRefused("state can be edited on a devnet of one validator only", "openledger devnet")
        touched = self._edits.set(edits)
        self._moved()
        self.mempool.update(self.state(), self.next_base_fee(), touched)

    def rewind(self, height: int, edits: Edits, waiting: Sequence[bytes]) -> None:
        """Go back to the block of ``height``, with these edits on top and these transactions waiting. Raises what
        ``StateStore.rollback`` raises, and EditRefused as ``edit`` does."""
        self.mempool.remove([keccak256(raw) for raw in self.mempool.transactions()])
        if height < self.head().number:
            self.store.rollback(height)
        self.edit(edits)
        for raw in waiting:
            self.check_tx(abci.RequestCheckTx(raw))

    # --- state sync ---------------------------------------------------------------------------------------

    def list_snapshots(self) -> abci.ResponseListSnapshots:
        return self.statesync.list()

    def offer_snapshot(self, request: abci.RequestOfferSnapshot) -> abci.ResponseOfferSnapshot:
        return self.statesync.offer(request)

    def load_snapshot_chunk(self, request: abci.RequestLoadSnapshotChunk) -> abci.ResponseLoadSnapshotChunk:
        return self.statesync.load(request)

    def apply_snapshot_chunk(self, request: abci.RequestApplySnapshotChunk) -> abci.ResponseApplySnapshotChunk:
        return self.statesync.apply(request)


def _engine_params(block_bytes: int | None) -> abci.ConsensusParams | None:
    """What the consensus engine is told when a vote has changed the size of blocks. Gas is no matter of its."""
    return None if block_bytes is None else abci.ConsensusParams(block_max_bytes=block_bytes, block_max_gas=-1)
