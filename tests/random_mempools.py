"""Random mempools, good and bad, and three applications that live through them: what the property tests of proposals
and of replay are made of. A seed is the whole description, so a failure is repeated with its number."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import random_worlds
from harness import ACCOUNTS, Harness
from stakes import owed

from openledger.abci_app.action import Action, build_native, intrinsic_gas, outbox_bytes
from openledger.abci_app.application import Application
from openledger.abci_app.events import EVENTS
from openledger.abci_app.gossip import encode_bundle
from openledger.abci_app.modules.attribution.messages import Hold, encode_extension
from openledger.abci_app.modules.staking.create import ValidatorCreate, key_proof_message
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.modules.staking.edit import ValidatorEdit
from openledger.abci_app.modules.staking.redelegate import StakeRedelegate
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.abci_app.modules.staking.unjail import ValidatorUnjail
from openledger.abci_app.ports import Silence
from openledger.abci_app.protocol import messages as abci
from openledger.abci_app.protocol.canonical import extension_sign_bytes
from openledger.abci_app.protocol.framing import frame
from openledger.abci_app.registry import ACTIONS, PRECOMPILES
from openledger.evm.addresses import create_address
from openledger.evm.engines import load_engine
from openledger.evm.outbox import SUBMIT_SELECTOR
from openledger.primitives.amounts import GWEI, OPEN
from openledger.primitives.fields import FieldType, schema
from openledger.primitives.keys import consensus_address, ed25519_public, ed25519_sign
from openledger.primitives.transactions import sign_transaction
from openledger.primitives.types import MODULE_ADDRESSES, OUTBOX_ADDRESS, STAKING_ADDRESS, Address
from openledger.state import layout
from openledger.state.memory import MemoryStore
from openledger.state.store import StateStore

KEYS = [bytes([0x60 + i]) * 32 for i in range(5)]
"""Seeds of validators that may join."""
WORDS = ("", "x", "text", "open", "invited", "CC0-1.0", "gradient-dot", "openledger/tiny-v1", "é", "\x01", "long" * 40)


def any_value(rng: random.Random, ftype: FieldType) -> Any:
    """A value of a field: often one that another record has, else one at a bound."""
    if ftype.kind == "struct" and ftype.struct is not None:
        return ftype.struct(**{name: any_value(rng, inner) for name, inner in schema(ftype.struct)})
    if ftype.kind == "array" and ftype.item is not None:
        return tuple(any_value(rng, ftype.item) for _ in range(rng.choice((0, 1, 1, 3))))
    if ftype.kind == "string":
        return rng.choice(WORDS)
    if ftype.kind == "bool":
        return rng.random() < 0.5
    if ftype.kind == "address":
        return rng.choice([ACCOUNTS[rng.randrange(10)][0], rng.choice(MODULE_ADDRESSES), rng.randbytes(20)])
    if ftype.kind == "bytes32":
        return rng.choice([bytes(32), rng.randbytes(32), ed25519_public(rng.choice(KEYS))])
    if ftype.kind == "bytes":
        return rng.randbytes(rng.choice((0, 1, 64, 65, 300)))
    return min(rng.choice((0, 1, 1, 2, 3, 1_000_000, OPEN, 15 * OPEN, 2**256)), (1 << ftype.bits) - 1)


def any_action(rng: random.Random) -> Action:
    """An action of any kind with any fields."""
    cls = rng.choice(ACTIONS)
    return cls(**{name: any_value(rng, ftype) for name, ftype in schema(cls)})


def validator_action(rng: random.Random, chain_id: int, sender: Address) -> Action:
    """One that changes the validator set, if it is let."""
    seed = rng.choice(KEYS)
    proof = ed25519_sign(seed, key_proof_message(chain_id, sender))
    amounts = (0, OPEN, 10 * OPEN, rng.randrange(40) * OPEN, 500 * OPEN)
    return rng.choice([
        ValidatorCreate(ed25519_public(seed), proof, rng.choice(amounts), "v", rng.random() < 0.8),
        StakeDelegate(sender, rng.choice(amounts)),
        StakeUndelegate(sender, rng.choice(amounts)),
        StakeUndelegate(sender, 0),
        StakeDelegate(rng.choice(ACCOUNTS)[0], rng.choice(amounts)),
        StakeUndelegate(rng.choice(ACCOUNTS)[0], rng.choice((0, OPEN))),
        StakeRedelegate(rng.choice(ACCOUNTS)[0], rng.choice(ACCOUNTS)[0], rng.choice((0, OPEN))),
        ValidatorUnjail(),
        ValidatorEdit("named"),
    ])  # fmt: skip


def submit_call(action: Action) -> bytes:
    """Call data of the Outbox's ``submit(bytes)``."""
    raw = outbox_bytes(action)
    return SUBMIT_SELECTOR + (32).to_bytes(32, "big") + len(raw).to_bytes(32, "big") + raw + bytes(-len(raw) % 32)


@dataclass
class Mempools:
    """Makes transactions for one chain. ``nonces`` is what the state says, told by ``begin`` before each mempool."""

    rng: random.Random
    chain_id: int
    nonces: dict[Address, int] = field(default_factory=dict)
    _next: dict[Address, int] = field(default_factory=dict)
    _made: list[bytes] = field(default_factory=list)

    def begin(self, nonces: dict[Address, int]) -> None:
        self.nonces, self._next = nonces, dict(nonces)

    def transactions(self) -> list[bytes]:
        """One mempool; some of it from earlier ones, some of it twice."""
        fresh = [self._one() for _ in range(self.rng.choice((0, 1, 3, 6, 12)))]
        self._made = (self._made + fresh)[-40:]
        again = self.rng.sample(self._made, min(len(self._made), self.rng.choice((0, 0, 2, 8))))
        mixed = fresh + again
        self.rng.shuffle(mixed)
        return mixed

    def _one(self) -> bytes:
        rng, sender = self.rng, self.rng.randrange(10)
        address, secret = ACCOUNTS[sender]
        due = self._next[address]
        nonce = max(0, due + rng.choice((0, 0, 0, 0, 0, 0, 1, -1, 3)))
        if nonce == due:
            self._next[address] = due + 1
        kind = rng.randrange(20)
        if kind < 8:
            action = validator_action(rng, self.chain_id, address) if kind < 5 else any_action(rng)
            raw = self._native(secret, nonce, action)
        else:
            raw = self._ethereum(secret, nonce, address, kind)
        return self._spoil(raw) if rng.random() < 0.08 else raw

    def _fees(self) -> dict[str, int]:
        cap = self.rng.choice((1, GWEI, 3 * GWEI, 3 * GWEI, 3 * GWEI, 10**15))
        return {"max_fee": cap, "max_priority_fee": self.rng.choice((0, 1, min(cap, GWEI), cap, cap + 1))}

    def _native(self, secret: bytes, nonce: int, action: Action) -> bytes:
        gas = intrinsic_gas(action) + self.rng.choice((0, 0, 0, 1, 10**6, -1, 40_000_000))
        return build_native(secret, chain_id=self.chain_id, nonce=nonce, action=action, gas=gas, **self._fees())

    def _ethereum(self, secret: bytes, nonce: int, sender: Address, kind: int) -> bytes:
        rng = self.rng
        to: Address | None = ACCOUNTS[rng.randrange(10)][0]
        data, gas = b"", rng.choice((21_000, 21_000, 100_000))
        if kind < 11:
            to, data, gas = OUTBOX_ADDRESS, submit_call(rng.choice([any_action, self._changing])(rng)), 1_000_000
        elif kind < 13:
            to, data, gas = None, random_worlds.program(rng), rng.choice((60_000, 300_000))
        elif kind < 16:
            creator = ACCOUNTS[rng.randrange(10)][0]
            to = rng.choice(
                [create_address(creator, rng.randrange(self.nonces[creator] + 1)), OUTBOX_ADDRESS, bytes(20)]
            )
            data, gas = rng.randbytes(rng.choice((0, 4, 40))), rng.choice((50_000, 300_000, 29_000_000, 31_000_000))
        value = rng.choice((0, 0, 1, OPEN, 9_000 * OPEN, 20_000 * OPEN))
        chain_id = self.chain_id + (rng.random() < 0.03)
        return sign_transaction(
            secret, chain_id=chain_id, nonce=nonce, to=to, value=value, data=data, gas=gas, **self._fees()
        )

    def _changing(self, rng: random.Random) -> Action:
        return validator_action(rng, self.chain_id, ACCOUNTS[rng.randrange(10)][0])

    def _spoil(self, raw: bytes) -> bytes:
        rng = self.rng
        at = rng.randrange(len(raw))
        return rng.choice([
            raw[:at], raw + b"\0", raw[:at] + rng.randbytes(1) + raw[at + 1 :], b"\x52" + raw[1:], b"\x51" + raw[1:],
            b"\x52\x90", b"\x52", b"", rng.randbytes(at), encode_bundle(rng.randrange(9), [raw]),
        ])  # fmt: skip


FAST = {"signed_window": 10, "unbonding_seconds": 3, "jail_seconds": 2, "max_validators": 5, "epoch_seconds": 3,
        "max_unbondings_per_block": 2}  # fmt: skip


def without_words(response: abci.ResponseFinalizeBlock) -> abci.ResponseFinalizeBlock:
    """Where two things are wrong at once (no gas for a copy that is out of bounds), the engines name either. No hash
    knows of the words."""
    results = tuple(dataclasses.replace(result, log="") for result in response.tx_results)
    return dataclasses.replace(response, tx_results=results)


class Rooms(Harness):
    """The harness's application proposes; ``judge_too`` judges on the other engine, ``late`` only finalizes."""

    def __init__(self, seed: int, engines: tuple[str, str]) -> None:
        self.rng = random.Random(seed)
        self.others: list[Application] = []
        first, second = (load_engine(name, precompiles=dict(PRECOMPILES)) for name in engines)
        super().__init__(powers=(10, 12, 30, 11), engine=first, **FAST)
        for engine in (second, first):
            own = self.addresses[1]
            self.others.append(Application(self.genesis, StateStore(MemoryStore()), engine, Silence(), own))
        self.judge_too, self.late = self.others
        for seed_of_key in KEYS:
            self.seed_of[consensus_address(ed25519_public(seed_of_key))] = seed_of_key
        self.pool = Mempools(self.rng, self.genesis.evm_chain_id)
        self.counted = 0

    # --- one height ---------------------------------------------------------------------------------------

    def check_supply(self) -> None:
        """All balances of the state, found or not, add up to the supply; looked at now and then."""
        if self.app.head().number % 6:
            return
        entries = self.app.store.reader().entries(layout.ACCOUNT)
        total = sum(layout.decode_account(raw).balance for _, raw in entries)
        assert total == int(self.query("get_supply")["total"], 16)
        assert self.balance(STAKING_ADDRESS) == owed(self.state), "what is staked, unbonding, or earned"

    def names(self, number: int) -> set[str]:
        """Events in a block."""
        block = self.app.store.block(number)
        logs = [log for receipt in block.receipts for log in receipt.logs] if block else []
        return {EVENTS[log.topics[0]].name for log in logs if log.topics and log.topics[0] in EVENTS}

    def finalize(self, txs: tuple[bytes, ...], seconds: int = 1) -> abci.ResponseFinalizeBlock:
        response = super().finalize(txs, seconds)
        for app in self.others:
            assert without_words(app.finalize_block(self.requests[-1])) == without_words(response)
            app.commit()
            assert app.head() == self.app.head()
        return response

    def _vote(self, height: int, address: bytes, extension: bytes) -> abci.ExtendedVoteInfo:
        """Some votes come late, with extensions that nobody has verified."""
        vote = super()._vote(height, address, extension)
        if vote.block_id_flag != abci.FLAG_COMMIT or self.rng.random() < 0.7:
            return vote
        said = self.rng.choice(
            [b"\xff", b"\x90", self.rng.randbytes(5_000), encode_extension([Hold(1, 0), Hold(9, 1)])]
        )
        where = extension_sign_bytes(self.genesis.chain_id, height, self.rng.choice((0, 0, 1)), said)
        signature = self.rng.choice([ed25519_sign(self.seed_of[address], where), bytes(64), b""])
        flag = self.rng.choice([abci.FLAG_COMMIT, abci.FLAG_COMMIT, abci.FLAG_NIL])
        return dataclasses.replace(vote, vote_extension=said, extension_signature=signature, block_id_flag=flag)

    def propose_on(self, app: Application, txs: Sequence[bytes], limit: int, seconds: int) -> tuple[bytes, ...]:
        found = app.prepare_proposal(
            abci.RequestPrepareProposal(
                limit, tuple(txs), self.commit, self.misbehavior, app.head().number + 1,
                (self.time + seconds) * 10**9, b"", self.addresses[0],
            )
        ).txs  # fmt: skip
        assert sum(len(frame(tx)) + 1 for tx in found) <= max(0, limit), "CometBFT counts tag and length as well"
        return found

    def judge_on(self, app: Application, txs: tuple[bytes, ...], seconds: int) -> int:
        request = abci.RequestProcessProposal(
            txs, self._decided(), self.misbehavior, b"\x01" * 32, app.head().number + 1,
            (self.time + seconds) * 10**9, b"", self.addresses[0],
        )  # fmt: skip
        return app.process_proposal(request).status

    def mempool(self, seconds: int) -> tuple[bytes, ...]:
        """A random mempool, proposed and judged; what was proposed."""
        rng, self.counted = self.rng, self.counted + 1
        nonces = {}
        for address, _ in ACCOUNTS:
            account = self.state.account(address)
            nonces[address] = account.nonce if account else 0
        self.pool.begin(nonces)
        txs = self.pool.transactions()
        for raw in rng.sample(txs, len(txs) // 2):
            for app in (self.app, self.judge_too):
                app.check_tx(abci.RequestCheckTx(raw, rng.choice((abci.NEW, abci.NEW, abci.RECHECK))))
        limit = rng.choice((0, 1, 40, 300, 2_000, 20_000, 1 << 20, 1 << 22))
        mine = self.propose_on(self.app, txs, limit, seconds)
        theirs = self.propose_on(self.judge_too, txs[::-1], limit, seconds)
        for proposed in (mine, theirs, mine):
            assert self.judge_on(self.app, proposed, seconds) == abci.ACCEPT
            assert self.judge_on(self.judge_too, proposed, seconds) == abci.ACCEPT
        self.judge_on(self.app, tuple(txs), seconds)  # a lying proposer's, whatever the answer
        return rng.choice((mine, mine, theirs))

    def height(self) -> None:
        """Some rounds, of which the last one is decided."""
        rng = self.rng
        if rng.random() < 0.15:  # some are away, and stay away for a while
            self.absent = {a for a in sorted(self.set_now) if rng.random() < 0.3}
        if rng.random() < 0.04:
            self.prove_double_sign(rng.choice([*self.seed_of, b"\x99" * 20]), max(1, self.app.head().number))
        seconds = rng.choice((0, 1, 1, 4))
        for _ in range(rng.choice((0, 1, 2))):
            self.mempool(seconds)
        response = self.finalize(self.mempool(seconds), seconds)
        assert all(result.info != "refused" for result in response.tx_results)
        known = {o.address for o in self.oracles}
        self.oracles += [type(self.oracles[0])(a, "silent") for a in self.set_next if a not in known]


def live(seed: int, mempools: int, engines: tuple[str, str]) -> Rooms:
    rooms = Rooms(seed, engines)
    if seed % 4 == 0:  # with a claim in flight: slot 0 has something to say
        rooms.publish()
        epoch = rooms.settle()
        rooms.close_epoch()
        rooms.claim(epoch, {1: 1_000_000})
    while rooms.counted < mempools:
        rooms.height()
    return rooms
