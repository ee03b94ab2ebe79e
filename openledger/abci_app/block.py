"""f(state, block): one block, top to bottom. Read it aloud.

    a planned upgrade begins -> edits of a solo devnet (nothing on any other chain)
    hashes of earlier blocks are there for the transactions, if any
    slot 0 is heard -> proven misbehaviour is slashed -> who is away too long is jailed -> what has unbonded is paid
        -> promises of rows that have expired are cleared, reviews whose time is over end
        -> claims move on -> those that ended are paid -> what nobody has challenged in time is unlocked
        -> what was settled for refuted models is paid back, bonds of retired ones go back
        -> an epoch may close -> proposals whose time is over end                         (the system transaction)
    each transaction in order: EVM ones in batches through the engine, native ones here, Outbox actions after theirs
    what was burned is counted -> receipts are sealed -> the validator set of the height after the next is decided

Nothing is written: the result is a diff and the parts of an Ethereum block. The same function serves proposals,
blocks and tests. Sources: design.md, section 3; EIP-2935 for the history of block hashes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import openledger
from openledger.abci_app.action import BlockContext, intrinsic_gas
from openledger.abci_app.decoder import Decoded
from openledger.abci_app.edits import Edits, is_edits
from openledger.abci_app.modules.attribution.voting import advance, hear
from openledger.abci_app.modules.datanets.promises import clear_promises
from openledger.abci_app.modules.datanets.reviews import close_reviews
from openledger.abci_app.modules.fees.market import next_base_fee
from openledger.abci_app.modules.fees.records import count_burned
from openledger.abci_app.modules.governance.ending import end_proposals
from openledger.abci_app.modules.governance.records import params as read_params
from openledger.abci_app.modules.governance.upgrade import Migration, begin_upgrade
from openledger.abci_app.modules.models.bonds import return_bonds
from openledger.abci_app.modules.rewards.payout import close_epoch, settle
from openledger.abci_app.modules.rewards.refuting import refund_unclaimed
from openledger.abci_app.modules.rewards.vesting import vest
from openledger.abci_app.modules.staking.records import operator_of
from openledger.abci_app.modules.staking.sets import PowerChange, close_set
from openledger.abci_app.modules.staking.slashing import (
    DOUBLE_SIGN,
    LIGHT_CLIENT_ATTACK,
    Offence,
    note_absent,
    punish,
)
from openledger.abci_app.modules.staking.unbonding import pay_unbonded
from openledger.abci_app.native import execute, run_submitted, validate
from openledger.abci_app.protocol.messages import (
    DUPLICATE_VOTE,
    FLAG_ABSENT,
    CommitInfo,
    ExecTxResult,
    Misbehavior,
)
from openledger.abci_app.upgrades import UPGRADES
from openledger.abci_app.votes import Precommits, is_slot0, read_slot0
from openledger.evm.engine import BlockEnv, EvmEngine, TxResult
from openledger.evm.history import HASHES_AT_ONCE, remember_hashes
from openledger.genesis.params import Params
from openledger.primitives.blocks import Header, Receipt, SealedBlock, bloom_of
from openledger.primitives.errors import ExecutionReverted, InvalidTransaction, ReservedTransaction
from openledger.primitives.hashing import keccak256
from openledger.primitives.rlpio import write_rlp
from openledger.primitives.transactions import EthTransaction, NativeTransaction, system_transaction
from openledger.primitives.types import SYSTEM_ADDRESS, Address, Hash32, Log
from openledger.state.fasttrie import ordered_trie_root
from openledger.state.overlay import Overlay
from openledger.state.ports import Diff, StateReader

HEADERS_KEPT = HASHES_AT_ONCE
CODESPACE = "openledger"


@dataclass(frozen=True, slots=True)
class Chain:
    """What stays the same from block to block. ``decode`` may remember; it never changes an outcome. Precommits carry
    extensions from height ``extensions_from`` on. ``solo``: genesis says that blocks may have edits. ``upgrades``:
    those that this program knows."""

    chain_id: str
    evm_chain_id: int
    engine: EvmEngine
    block_hash: Callable[[int], Hash32 | None]
    decode: Callable[[bytes], Decoded]
    extensions_from: int = 1
    solo: bool = False
    upgrades: Mapping[str, Migration] = field(default_factory=lambda: UPGRADES)


@dataclass(frozen=True, slots=True)
class BlockInput:
    """What consensus decided. ``time`` in nanoseconds, ``commit`` the last commit, ``proposer`` a consensus address."""

    height: int
    time: int
    proposer: Address
    txs: tuple[bytes, ...]
    commit: CommitInfo
    misbehavior: tuple[Misbehavior, ...] = ()

    @property
    def absent(self) -> list[Address]:
        """Validators whose signatures the last commit lacks. Who signed for nil was there."""
        return [vote.validator.address for vote in self.commit.votes if vote.block_id_flag == FLAG_ABSENT]

    @property
    def offences(self) -> list[Offence]:
        """What the block proves, in its order."""
        return [
            Offence(m.validator.address, m.height, DOUBLE_SIGN if m.type == DUPLICATE_VOTE else LIGHT_CLIENT_ATTACK)
            for m in self.misbehavior
        ]

    @property
    def slot0(self) -> bytes:
        """The signed vote extensions; empty where there are none."""
        return self.txs[0] if self.txs and is_slot0(self.txs[0]) else b""

    @property
    def edits(self) -> bytes:
        """What stands where edits do: right behind slot 0. Empty where there are none."""
        at = 1 if self.slot0 else 0
        return self.txs[at] if len(self.txs) > at and is_edits(self.txs[at]) else b""


@dataclass(slots=True)
class BlockOutput:
    """What a block does. ``results`` belong to ``BlockInput.txs``, ``receipts`` to ``transactions`` (Ethereum's);
    ``block_bytes`` is the new size of CometBFT's blocks, where a vote or an upgrade has changed it."""

    env: BlockEnv
    params: Params
    results: list[ExecTxResult] = field(default_factory=list)
    transactions: list[bytes] = field(default_factory=list)
    senders: list[Address] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    gas_used: int = 0
    slot0_valid: bool = True
    power_changes: tuple[PowerChange, ...] = ()
    block_bytes: int | None = None
    diff: Diff = field(default_factory=Diff)


def execute_block(chain: Chain, state: StateReader, parent: Header, block: BlockInput) -> BlockOutput:
    """Run a block on top of ``state``. Raises only what must stop the node."""
    run = begin(chain, state, parent, block)
    run.system_work(block)
    for raw in block.txs[len(run.output.results) :]:
        run.take(raw)
    run.flush()
    after = read_params(run.state)
    run.output.power_changes = close_set(run.state, after, block.height)
    if after.max_block_bytes != read_params(state).max_block_bytes:
        run.output.block_bytes = after.max_block_bytes
    rests = not run.output.transactions and block.height % HEADERS_KEPT and run.state.diff().is_empty
    if not rests:  # a snapshot of a changed state relies on it; and so that no block is left out
        remember_hashes(run.state, block.height, chain.block_hash)
    run.output.diff = run.state.diff()
    return run.output


def begin(chain: Chain, state: StateReader, parent: Header, block: BlockInput) -> Run:
    """A block on top of ``state`` of which nothing has run yet but a planned upgrade and its edits. Raises
    UpgradeNeeded."""
    changed, edits = Overlay(state), Edits.decode(block.edits if chain.solo else b"")
    upgraded = begin_upgrade(changed, block.height, chain.upgrades, openledger.__version__)
    edits.apply(changed)
    params = read_params(changed)
    env = BlockEnv(
        chain_id=chain.evm_chain_id,
        number=block.height,
        timestamp=block.time // 10**9,
        coinbase=operator_of(state, block.proposer),
        gas_limit=params.block_gas_limit,
        base_fee=next_base_fee(parent, params),
        prevrandao=keccak256(b"openledger.prevrandao" + parent.hash + block.height.to_bytes(8, "big")),
        block_hash=chain.block_hash,
    )
    env = edits.environment(env)
    ctx = BlockContext(block.height, env.timestamp, env.coinbase, chain.evm_chain_id, params)
    return Run(chain, env, ctx, changed, BlockOutput(env, params), upgraded)


def seal(output: BlockOutput, state_root: Hash32, parent: Header, consensus: bytes) -> SealedBlock:
    """The Ethereum block of an executed one."""
    env = output.env
    header = Header(
        parent_hash=parent.hash,
        coinbase=env.coinbase,
        state_root=state_root,
        transactions_root=ordered_trie_root(output.transactions),
        receipts_root=ordered_trie_root([r.encode() for r in output.receipts]),
        bloom=bloom_of(log for receipt in output.receipts for log in receipt.logs),
        number=env.number,
        gas_limit=env.gas_limit,
        gas_used=output.gas_used,
        timestamp=env.timestamp,
        prevrandao=env.prevrandao,
        base_fee=env.base_fee,
    )
    return SealedBlock(header, tuple(output.transactions), tuple(output.senders), tuple(output.receipts), consensus)


@dataclass(slots=True)
class Run:
    """A block half done: EVM transactions gather in ``batch`` until something else must run."""

    chain: Chain
    env: BlockEnv
    ctx: BlockContext
    state: Overlay
    output: BlockOutput
    upgraded: list[Log] = field(default_factory=list)
    batch: list[EthTransaction] = field(default_factory=list)

    # --- effects outside any transaction ------------------------------------------------------------------

    def system_work(self, block: BlockInput) -> None:
        """The hooks, in this order; their logs become the system transaction at index 0."""
        edits = block.edits if self.chain.solo else b""
        has_transactions = len(block.txs) > len([part for part in (block.slot0, edits) if part])
        if has_transactions:
            remember_hashes(self.state, block.height, self.chain.block_hash)
        logs = self.upgraded + self._hear_slot0(block)
        if edits:
            self.output.results.append(ExecTxResult())
        logs += punish(self.state, self.ctx, block.offences)
        logs += note_absent(self.state, self.ctx, block.absent)
        logs += pay_unbonded(self.state, self.ctx)
        clear_promises(self.state, self.ctx)
        logs += close_reviews(self.state, self.ctx)
        ended, moved = advance(self.state, self.ctx)
        logs += moved + settle(self.state, self.ctx, ended) + vest(self.state, self.ctx)
        logs += refund_unclaimed(self.state, self.ctx) + return_bonds(self.state, self.ctx)
        logs += close_epoch(self.state, self.ctx, has_transactions)
        logs += end_proposals(self.state, self.ctx)
        if not logs:
            return
        effects = keccak256(write_rlp([[log.address, list(log.topics), log.data] for log in logs]))
        tx = system_transaction(block.height, effects)
        self._include(tx.raw, SYSTEM_ADDRESS, Receipt(tx.type, 1, 0, tuple(logs), 0, 0))

    def _hear_slot0(self, block: BlockInput) -> list[Log]:
        if not block.slot0:
            return []
        try:
            said = read_slot0(block.slot0, Precommits(self.chain, block.height - 1, block.commit.round), self.state)
        except InvalidTransaction as err:
            self.output.slot0_valid = False
            self.output.results.append(_refused(err))
            return []
        self.output.results.append(ExecTxResult())
        return hear(self.state, self.ctx, said)

    # --- transactions -------------------------------------------------------------------------------------

    def take(self, raw: bytes) -> None:
        """The next transaction in order."""
        try:
            if is_slot0(raw):
                raise ReservedTransaction("slot 0 may only stand first in a block")
            decoded = self.chain.decode(raw)
        except InvalidTransaction as err:
            self.flush()
            self.output.results.append(_refused(err))
            return
        if isinstance(decoded.tx, EthTransaction):
            self.batch.append(decoded.tx)
            return
        self.flush()
        self._native(decoded, decoded.tx)

    def flush(self) -> None:
        """Run the EVM transactions that have gathered."""
        while self.batch:
            left = self.env.gas_limit - self.output.gas_used
            out = self.chain.engine.execute(self.env, self.batch, self.state, left)
            self.state.apply(out.diff)
            count_burned(self.state, sum(r.gas_used * self.env.base_fee + r.burned for r in out.results))
            for tx, result in zip(self.batch[: out.stopped_at], out.results, strict=True):
                self._evm(tx, result)
            self.batch = self.batch[out.stopped_at :]

    def _evm(self, tx: EthTransaction, result: TxResult) -> None:
        if result.refused is not None:
            self.output.results.append(_refused(result.refused))
            return
        logs = result.logs + run_submitted(result.logs, self.state, self.ctx)
        self.output.gas_used += result.gas_used
        receipt = Receipt(
            type=tx.type,
            status=result.status,
            cumulative_gas=self.output.gas_used,
            logs=logs,
            gas_used=result.gas_used,
            effective_gas_price=tx.effective_gas_price(self.env.base_fee),
            contract_address=result.contract_address,
            error=result.error,
        )
        self._include(tx.raw, tx.sender, receipt)
        code = 0 if result.status else ExecutionReverted.code
        self.output.results.append(_done(code, result.error, tx.gas, result.gas_used))

    def _native(self, decoded: Decoded, tx: NativeTransaction) -> None:
        action = decoded.action
        left = self.env.gas_limit - self.output.gas_used
        try:
            if action is None:
                raise ReservedTransaction("a native transaction without an action")
            validate(decoded, action, self.state, self.ctx, self.env.base_fee, left)
        except InvalidTransaction as err:
            self.output.results.append(_refused(err))
            return
        done = execute(decoded, action, self.state, self.ctx, self.env.base_fee)
        gas = intrinsic_gas(action)
        self.output.gas_used += gas
        error = "" if done.failure is None else done.failure.message
        receipt = Receipt(
            type=tx.type,
            status=0 if done.failure else 1,
            cumulative_gas=self.output.gas_used,
            logs=done.logs,
            gas_used=gas,
            effective_gas_price=tx.effective_gas_price(self.env.base_fee),
            error=error,
        )
        self._include(tx.raw, decoded.sender, receipt)
        self.output.results.append(_done(done.failure.code if done.failure else 0, error, tx.gas, gas))

    def _include(self, raw: bytes, sender: Address, receipt: Receipt) -> None:
        self.output.transactions.append(raw)
        self.output.senders.append(sender)
        self.output.receipts.append(receipt)


def _refused(err: InvalidTransaction) -> ExecTxResult:
    return ExecTxResult(code=err.code, log=err.message, codespace=CODESPACE, info="refused")


def _done(code: int, error: str, wanted: int, used: int) -> ExecTxResult:
    return ExecTxResult(code=code, log=error, gas_wanted=wanted, gas_used=used, codespace=CODESPACE if code else "")
