"""A chain in the test process: the real application, driven call by call, with real signatures.

Validator updates are applied as CometBFT does: what block h decides holds from h + 2, whose commit is the set of its
height, and an update that CometBFT would stop at fails the test.

Every block is prepared, processed twice and finalized, and after each one the sum of all balances must be the supply
that the chain says it has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from openledger.abci_app import queries
from openledger.abci_app.action import Action, build_native
from openledger.abci_app.application import Application
from openledger.abci_app.modules.attribution.accusations import accused_by, named_rows
from openledger.abci_app.modules.attribution.claim import AttributionClaim, coverage
from openledger.abci_app.modules.attribution.draws import batches, promised
from openledger.abci_app.modules.attribution.index_challenges import must_ballot
from openledger.abci_app.modules.attribution.messages import (
    Accusation,
    Commitment,
    Hold,
    Message,
    Promise,
    Reveal,
    ShownBlock,
    encode_extension,
    own_bytes,
    score_bytes,
    verdict_digest,
)
from openledger.abci_app.modules.attribution.records import (
    CLAIM_COUNT,
    NONE,
    PENDING,
    REVEAL,
    VOTING,
    Claim,
    Share,
    open_claims,
    vote,
)
from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.records import Part
from openledger.abci_app.modules.governance.records import params
from openledger.abci_app.modules.models.open import InferenceOpen
from openledger.abci_app.modules.models.publish import ModelPublish
from openledger.abci_app.modules.models.records import SESSION_COUNT, DataRef
from openledger.abci_app.modules.models.settle import InferenceSettle
from openledger.abci_app.modules.staking.create import ValidatorCreate, key_proof_message
from openledger.abci_app.modules.staking.sets import last_signers, newest_set, next_signers
from openledger.abci_app.protocol import messages as abci
from openledger.abci_app.protocol.canonical import extension_sign_bytes
from openledger.abci_app.registry import PRECOMPILES
from openledger.evm.engine import EvmEngine
from openledger.evm.pyevm import PyEvmEngine
from openledger.genesis.genesis import GenesisValidator
from openledger.genesis.presets import DEVNET_PARAMS, dev_accounts, devnet_genesis
from openledger.node.oracle_seeds import Seeds
from openledger.primitives.amounts import GWEI, OPEN
from openledger.primitives.attribution import (
    Voucher,
    block_rows,
    count_blocks,
    drawn_blocks,
    receipt_leaf,
    score_leaf,
    seed_leaf,
)
from openledger.primitives.blocks import Receipt
from openledger.primitives.hashing import keccak256, merkle_proof, merkle_root
from openledger.primitives.keys import (
    consensus_address,
    ed25519_public,
    ed25519_sign,
    join_signature,
    sign_digest,
)
from openledger.primitives.transactions import decode_transaction, sign_transaction
from openledger.primitives.types import DEPOSITS_ADDRESS, MODULE_ADDRESSES, Address
from openledger.state.memory import MemoryStore
from openledger.state.ports import StateReader
from openledger.state.store import StateStore

START = 1_700_000_000
ACCOUNTS = dev_accounts()
PRICE = OPEN // 10


class ScriptedOracle:
    """A validator's oracle that says what the test wants: "yes", "no", "silent", "blind" (a yes without the work),
    or "copy" (a neighbour's digest)."""

    def __init__(self, address: Address, mode: str = "yes") -> None:
        self.address = address
        self.mode = mode
        self.salt = b"salt" * 4 + address[:4]
        self.seeds = Seeds(b"secret" + address)
        self.promises = True
        self.scores: dict[int, list[int]] = {}
        self.accuses: tuple[int, int, Address] | None = None
        """Kind, row, contributor that it calls wrong."""
        self.wrong: set[int] = set()
        """Rows that are wrong, which it finds out when it looks at them."""
        self.neighbour: ScriptedOracle | None = None

    def extension(self, state: StateReader, height: int, validator: Address) -> bytes:
        roots = [(batch, self.seeds.root(self.address, batch)) for batch in batches(state)]
        new = [Promise(batch, root) for batch, root in roots if promised(state, self.address, batch) != root]
        messages: list[Message | None] = [*new] if self.promises and self.mode != "silent" else []
        for number in open_claims(state, 10):
            claim = must_ballot(state, number)
            if claim.look and self.wrong.intersection(row for row, _ in named_rows(state, number)):
                self.mode = "no"
            before = accused_by(state, number, self.address)
            if self.accuses and claim.status == VOTING and (before is None or before.attempt != claim.attempt):
                messages.append(Accusation(number, claim.attempt, *self.accuses))
            messages.append(self._message(state, number))
        return encode_extension([m for m in messages if m is not None])

    def _own(self, state: StateReader, number: int) -> list[tuple[int, bytes]]:
        claim = must_ballot(state, number)
        if self.mode == "no" or not isinstance(claim, Claim):
            return []
        seed = self.seeds.seed(self.address, number)
        blocks = drawn_blocks(number, self.address, seed, claim.scores_root, claim.rows, claim.drawn)
        wrong = 10**8 if self.mode == "blind" else 0
        scores = self.scores[number]
        return [(block, own_bytes(scores[row] + wrong for row in block_rows(block, claim.rows))) for block in blocks]

    def digest(self, state: StateReader, number: int) -> bytes:
        valid = self.mode != "no"
        attempt = must_ballot(state, number).attempt
        own = self._own(state, number)
        return verdict_digest(number, attempt, self.address, valid, self._reason(), self.salt, own)

    def _reason(self) -> str:
        return "a share is wrong" if self.mode == "no" else ""

    def _message(self, state: StateReader, number: int) -> Message | None:
        claim, said = must_ballot(state, number), vote(state, number, self.address)
        if self.mode == "silent":
            return None
        if claim.status == PENDING and not said.held:
            return Hold(number, claim.attempt)
        if claim.status == VOTING and not said.digest:
            speaker = self.neighbour if self.mode == "copy" and self.neighbour else self
            path = b"".join(self.seeds.path(self.address, number))
            leaf = seed_leaf(number, self.seeds.seed(self.address, number))
            return Commitment(number, claim.attempt, speaker.digest(state, number), leaf, path, claim.look)
        if claim.status == REVEAL and said.digest and said.verdict == NONE:
            return self._reveal(state, number, claim.attempt)
        return None

    def _reveal(self, state: StateReader, number: int, attempt: int) -> Reveal:
        speaker = self.neighbour if self.mode == "copy" and self.neighbour else self
        if not isinstance(must_ballot(state, number), Claim):
            return Reveal(number, attempt, self.mode != "no", self._reason(), speaker.salt, b"", ())
        scores = self.scores[number]
        blocks = [block_rows(block, len(scores)) for block in range(count_blocks(len(scores)))]
        nodes = [merkle_root([score_leaf(row, scores[row]) for row in rows]) for rows in blocks]
        shown = tuple(
            ShownBlock(
                block,
                own,
                b"".join(score_bytes(scores[row]) for row in blocks[block]),
                b"".join(merkle_proof(nodes, block)),
            )
            for block, own in speaker._own(state, number)
        )
        if self.mode == "no":
            return Reveal(number, attempt, False, self._reason(), self.salt, b"", shown)
        seed = speaker.seeds.seed(speaker.address, number)
        return Reveal(number, attempt, True, "", speaker.salt, seed, shown)


def operator_account(number: int) -> Address:
    """Who operates validator ``number``: the last dev accounts, then accounts that nobody has a key of."""
    return ACCOUNTS[9 - number][0] if number < 5 else keccak256(b"operator" + bytes([number]))[12:]


class Harness:
    """One application and the validators around it."""

    def __init__(self, powers: Sequence[int] = (10,), engine: EvmEngine | None = None, **params: int) -> None:
        self.seeds = [bytes([i + 1]) * 32 for i in range(len(powers))]
        keys = [ed25519_public(seed) for seed in self.seeds]
        validators = tuple(
            GenesisValidator(key, power, operator_account(i), f"v{i}")
            for i, (key, power) in enumerate(zip(keys, powers, strict=True))
        )
        unbonding = max(DEVNET_PARAMS.unbonding_seconds, params.get("challenge_seconds", 0))
        usual = {"challenge_seconds": 0, "unbonding_seconds": unbonding}
        settings = dataclasses.replace(DEVNET_PARAMS, **(usual | params))
        self.genesis = devnet_genesis(validators, START * 10**9, params=settings)
        self.addresses = [consensus_address(key) for key in keys]
        self.seed_of = dict(zip(self.addresses, self.seeds, strict=True))
        self.set_now = dict(zip(self.addresses, powers, strict=True))  # of the next height
        self.set_next = dict(self.set_now)  # of the height after it
        self.absent: set[Address] = set()
        self.misbehavior: tuple[abci.Misbehavior, ...] = ()
        self.oracles = [ScriptedOracle(address) for address in self.addresses]
        self.engine = engine or PyEvmEngine(precompiles=dict(PRECOMPILES))
        self.restart()
        self.time = START
        self.commit = abci.ExtendedCommitInfo()
        self.requests: list[abci.RequestFinalizeBlock] = []
        self.touched: set[Address] = set()

    def restart(self) -> None:
        """The process once more, at block 0 of ``self.genesis``."""
        self.kv = MemoryStore()
        self.app = Application(self.genesis, StateStore(self.kv), self.engine, self.oracles[0], self.addresses[0])

    # --- reading ------------------------------------------------------------------------------------------

    @property
    def state(self) -> StateReader:
        return self.app.state()

    def balance(self, address: Address) -> int:
        account = self.state.account(address)
        return account.balance if account else 0

    def nonce(self, address: Address) -> int:
        return self.app.mempool.pending_nonce(address)

    def query(self, name: str, *args: Any) -> Any:
        return getattr(queries, name)(self.state, *args)

    def check_supply(self) -> None:
        """The sum of all balances is the supply."""
        holders = {a for a, _ in ACCOUNTS} | set(MODULE_ADDRESSES) | {DEPOSITS_ADDRESS} | self.touched
        assert sum(self.balance(a) for a in holders) == int(self.query("get_supply")["total"], 16)

    # --- validators ---------------------------------------------------------------------------------------

    def join(self, sender: int, amount: int, seed: bytes, name: str = "joined") -> Receipt:
        """Account ``sender`` makes a validator of the ed25519 key of ``seed``, which signs from two blocks later on."""
        operator, key = ACCOUNTS[sender][0], ed25519_public(seed)
        self.seed_of[consensus_address(key)] = seed
        self.oracles.append(ScriptedOracle(consensus_address(key), "silent"))
        proof = ed25519_sign(seed, key_proof_message(self.genesis.evm_chain_id, operator))
        return self.act(sender, ValidatorCreate(key, proof, amount, name))

    def prove_double_sign(self, address: Address, height: int) -> None:
        """The next block carries evidence that a validator signed two blocks of ``height``."""
        power = self.set_now.get(address, 0)
        self.misbehavior = (abci.Misbehavior(abci.DUPLICATE_VOTE, abci.Validator(address, power), height, 1, 100),)

    def _apply_updates(self, updates: Sequence[abci.ValidatorUpdate]) -> None:
        following = dict(self.set_next)
        assert len({u.pub_key for u in updates}) == len(updates), "CometBFT takes one update a key"
        for update in updates:
            address = consensus_address(update.pub_key)
            assert update.power or address in following, "CometBFT cannot remove who is not there"
            following.pop(address, None)
            if update.power:
                following[address] = update.power
        assert following, "CometBFT cannot go on without a validator"
        assert sum(following.values()) < 2**60
        for known, wanted in (
            (last_signers, self.set_now), (next_signers, self.set_next), (newest_set, following),
        ):  # fmt: skip
            assert {seat.address: seat.power for seat in known(self.state).seats} == wanted
        self.set_now, self.set_next = self.set_next, following

    # --- blocks -------------------------------------------------------------------------------------------

    def propose(self, seconds: int = 1, txs: Sequence[bytes] | None = None) -> tuple[bytes, ...]:
        """What this node would put in the next block."""
        request = abci.RequestPrepareProposal(
            max_tx_bytes=1_000_000,
            txs=tuple(self.app.mempool.reap() if txs is None else txs),
            local_last_commit=self.commit,
            misbehavior=self.misbehavior,
            height=self.app.head().number + 1,
            time=(self.time + seconds) * 10**9,
            next_validators_hash=b"",
            proposer_address=self.addresses[0],
        )
        return self.app.prepare_proposal(request).txs

    def _decided(self) -> abci.CommitInfo:
        votes = tuple(abci.VoteInfo(v.validator, v.block_id_flag) for v in self.commit.votes)
        return abci.CommitInfo(self.commit.round, votes)

    def judge(self, txs: tuple[bytes, ...], seconds: int = 1) -> int:
        """ProcessProposal's answer for a block of these transactions."""
        request = abci.RequestProcessProposal(
            txs, self._decided(), self.misbehavior, b"\x01" * 32, self.app.head().number + 1,
            (self.time + seconds) * 10**9, b"", self.addresses[0],
        )  # fmt: skip
        return self.app.process_proposal(request).status

    def finalize(self, txs: tuple[bytes, ...], seconds: int = 1) -> abci.ResponseFinalizeBlock:
        """Decide a block of exactly these transactions and commit it, then extend the votes for it."""
        height = self.app.head().number + 1
        self.time += seconds
        request = abci.RequestFinalizeBlock(
            txs, self._decided(), self.misbehavior, b"\x01" * 32, height, self.time * 10**9, b"", self.addresses[0]
        )
        state = self.app.state()
        said = {o.address: o.extension(state, height, o.address) for o in self.oracles if o.address in self.set_now}
        response = self.app.finalize_block(request)
        self.requests.append(request)
        self.app.commit()
        self.commit = abci.ExtendedCommitInfo(0, tuple(self._vote(height, a, e) for a, e in sorted(said.items())))
        self.misbehavior = ()
        self._apply_updates(response.validator_updates)
        self.touched = self.touched | {self.app.head().coinbase}
        self.check_supply()
        return response

    def _vote(self, height: int, address: Address, extension: bytes) -> abci.ExtendedVoteInfo:
        """The precommit of ``height`` of a validator, as the next proposer has it."""
        signer = abci.Validator(address, self.set_now[address])
        if address in self.absent:
            return abci.ExtendedVoteInfo(signer, b"", b"", abci.FLAG_ABSENT)
        sign_bytes = extension_sign_bytes(self.genesis.chain_id, height, 0, extension)
        return abci.ExtendedVoteInfo(signer, extension, ed25519_sign(self.seed_of[address], sign_bytes), 2)

    def block(self, seconds: int = 1) -> list[Receipt]:
        """Prepare, process twice, finalize, commit. The receipts of the block, its system transaction first."""
        txs = self.propose(seconds)
        assert self.judge(txs, seconds) == abci.ACCEPT
        assert self.judge(txs, seconds) == abci.ACCEPT
        self.finalize(txs, seconds)
        sealed = self.app.store.block(self.app.head().number)
        assert sealed is not None
        return list(sealed.receipts)

    # --- sending ------------------------------------------------------------------------------------------

    def submit(self, raw: bytes) -> abci.ResponseCheckTx:
        return self.app.check_tx(abci.RequestCheckTx(raw))

    def transfer(self, sender: int, to: Address, value: int, **fields: Any) -> bytes:
        address, secret = ACCOUNTS[sender]
        self.touched = self.touched | {to}
        defaults = {"nonce": self.nonce(address), "max_fee": 5 * GWEI, "max_priority_fee": GWEI, "gas": 21_000}
        return sign_transaction(secret, chain_id=self.genesis.evm_chain_id, to=to, value=value, **(defaults | fields))

    def native(self, sender: int, action: Action, **fields: Any) -> bytes:
        address, secret = ACCOUNTS[sender]
        defaults = {"nonce": self.nonce(address), "max_fee": 5 * GWEI, "max_priority_fee": 0}
        return build_native(secret, chain_id=self.genesis.evm_chain_id, action=action, **(defaults | fields))

    def act(self, sender: int, action: Action) -> Receipt:
        """Send an action, make a block, and give its receipt; CheckTx must take it."""
        raw = self.native(sender, action)
        answer = self.submit(raw)
        assert answer.code == 0, answer.log
        return self.include(raw)

    def include(self, raw: bytes) -> Receipt:
        """The receipt of a submitted transaction in the next block."""
        receipts = self.block()
        found = self.app.store.transaction(decode_transaction(raw).hash)
        assert found is not None
        assert found[0] == self.app.head().number
        return receipts[found[1]]

    def refusal(self, sender: int, action: Action) -> str:
        """Why CheckTx refuses an action; and that a block with it anyway fails it without any effect but the fee."""
        raw = self.native(sender, action)
        answer = self.submit(raw)
        assert answer.code != 0, "accepted"
        self.finalize((raw,))
        sealed = self.app.store.block(self.app.head().number)
        assert sealed is not None
        for receipt in sealed.receipts[-1:]:
            assert receipt.status == 0 or receipt.type == 0x51
        return answer.log

    # --- the loop -----------------------------------------------------------------------------------------

    def publish(self, rows: int = 4, base: str = "openledger/tiny-v1") -> tuple[int, list[Address]]:
        """A datanet with ``rows`` rows each of accounts 1, 2 and 3, and a model of account 4 on it."""
        self.act(0, DatanetCreate("speeches"))
        for i in (1, 2, 3):
            part = Part(ACCOUNTS[i][0], bytes([i]) * 32, rows)
            self.act(i, DatanetCommit(1, i - 1, bytes([9, i]) * 16, rows * i, (part,)))
        h = bytes(32)
        publish = ModelPublish("m", base, (DataRef(1, 3),), h, h, h, h, h, 3 * rows, "gradient-dot", 5, 4, 0, PRICE)
        self.act(4, publish)
        return 1, [ACCOUNTS[i][0] for i in (1, 2, 3)]

    def voucher(self, session: int, answers: int, consumer: int = 5, price: int = PRICE) -> InferenceSettle:
        """A settlement with the consumer's signature over ``answers`` answers."""
        root = merkle_root([receipt_leaf(1, f"q{i}", f"a{i}", price) for i in range(answers)])
        voucher = Voucher(session, answers * price, answers, root)
        digest = voucher.digest(self.genesis.evm_chain_id)
        signature = join_signature(*sign_digest(ACCOUNTS[consumer][1], digest))
        return InferenceSettle(session, answers * price, answers, root, signature)

    def settle(self, answers: int = 3, deposit: int = OPEN) -> int:
        """A session of account 5 with some answers settled; the epoch in which they are."""
        self.act(5, InferenceOpen(1, deposit, self.time + 1000))
        self.act(4, self.voucher(SESSION_COUNT.get(self.state), answers))
        epoch: int = self.query("get_epoch")["number"]
        return epoch

    def close_epoch(self) -> None:
        """Let the running epoch end."""
        number = self.query("get_epoch")["number"]
        self.block(self.genesis.params.epoch_seconds)
        assert self.query("get_epoch")["number"] == number + 1

    def claim(self, epoch: int, shares: dict[int, int], unattributed: int = 0, rows: int = 12) -> int:
        """The operator's claim with shares by account number; its number. The oracles know the scores."""
        scores = [10**7 * (row + 1) for row in range(rows)]
        root = merkle_root([score_leaf(row, score) for row, score in enumerate(scores)])
        listed = sorted((Share(ACCOUNTS[i][0], ppm) for i, ppm in shares.items()), key=lambda s: s.contributor)
        covered = coverage(self.state, params(self.state), 1, epoch)
        action = AttributionClaim(
            1, epoch, covered.first, covered.last, tuple(listed), unattributed, bytes(32), root, bytes(32)
        )
        number = CLAIM_COUNT.get(self.state) + 1
        for oracle in self.oracles:
            oracle.scores[number] = scores
        assert self.act(4, action).status == 1
        return number

    def run_claim(self, number: int, blocks: int = 20, seconds: int = 1) -> str:
        """Make blocks until the claim has ended; its status."""
        for _ in range(blocks):
            status: str = self.query("get_claim", number)["status"]
            if status in ("accepted", "refused", "lapsed"):
                return status
            self.block(seconds)
        return "open"
