"""Random blocks of all kinds of actions, by accounts, by contracts through the Outbox, and by accounts that run a
contract's code: after each block every account of a module holds what its records owe, and all balances are the supply.

Most actions are such as would be done, so that each kind really is; what is refused stays in. Governance changes the
parameters of money while all this goes on, validators vote as they like, are absent, and sign twice.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from escrows import escrows, numbered
from eth_account import Account
from harness import ACCOUNTS, Harness, ScriptedOracle
from random_mempools import KEYS, submit_call

from openledger.abci_app.action import Action, build_native
from openledger.abci_app.modules.attribution.challenge import AttributionChallenge
from openledger.abci_app.modules.attribution.challenge_index import AttributionChallengeIndex
from openledger.abci_app.modules.attribution.claim import AttributionClaim, coverage
from openledger.abci_app.modules.attribution.index_challenges import must_ballot
from openledger.abci_app.modules.attribution.records import ACCEPTED, CLAIMS, Claim, Share
from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.promise import DatanetPromise
from openledger.abci_app.modules.datanets.records import COUNT, DATANETS, Part, must_datanet, must_version
from openledger.abci_app.modules.datanets.review import DatanetReview
from openledger.abci_app.modules.datanets.reviews import must_review, status_of
from openledger.abci_app.modules.datanets.set_policy import DatanetSetPolicy
from openledger.abci_app.modules.governance.deposit import GovDeposit
from openledger.abci_app.modules.governance.propose import GovPropose
from openledger.abci_app.modules.governance.records import DEPOSIT, PROPOSALS, VOTING, Argument, params
from openledger.abci_app.modules.governance.vote import GovVote
from openledger.abci_app.modules.models.close import InferenceClose
from openledger.abci_app.modules.models.open import InferenceOpen
from openledger.abci_app.modules.models.publish import ModelPublish
from openledger.abci_app.modules.models.records import LEDGERS, MODELS, SESSIONS, DataRef, contributors, epoch
from openledger.abci_app.modules.models.retire import ModelRetire
from openledger.abci_app.modules.models.settle import InferenceSettle
from openledger.abci_app.modules.rewards.claim import RewardsClaim
from openledger.abci_app.modules.rewards.records import rewards
from openledger.abci_app.modules.staking.create import ValidatorCreate, key_proof_message
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.modules.staking.delegations import delegations, settle_all
from openledger.abci_app.modules.staking.edit import ValidatorEdit
from openledger.abci_app.modules.staking.reads import voting_stake
from openledger.abci_app.modules.staking.records import operated_by, validator, validators
from openledger.abci_app.modules.staking.redelegate import StakeRedelegate
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.abci_app.modules.staking.unjail import ValidatorUnjail
from openledger.abci_app.native import ACTION_FAILED
from openledger.abci_app.registry import ACTIONS, PRECOMPILES
from openledger.evm.addresses import create_address
from openledger.evm.engines import load_engine, native_available
from openledger.primitives.amounts import GWEI, OPEN
from openledger.primitives.attribution import Voucher, promise_digest, score_leaf
from openledger.primitives.hashing import ZERO_HASH, merkle_root
from openledger.primitives.keys import consensus_address, ed25519_public, ed25519_sign, join_signature, sign_digest
from openledger.primitives.types import OUTBOX_ADDRESS, ZERO_ADDRESS, Address
from openledger.state import layout
from openledger.state.overlay import Overlay

FORWARD = bytes.fromhex("365f5f375f5f365f5f6109005af100")
"""Code that hands its call data on to the Outbox, and keeps what value it gets."""
ENDS = bytes.fromhex("ff")
FAST = {"unbonding_seconds": 12, "challenge_seconds": 8, "epoch_seconds": 5, "gov_voting_seconds": 6, "jail_seconds": 3,
        "gov_deposit_seconds": 9, "review_seconds": 9, "appeal_seconds": 9, "hold_seconds": 10, "vote_seconds": 10,
        "reveal_seconds": 10, "signed_window": 10, "verdict_window": 10, "min_verdicts": 500_000, "promise_seconds": 10,
        "min_delegation": OPEN // 1_000, "claim_bond": OPEN, "challenge_bond": OPEN}  # fmt: skip
CHANGES = (
    ("model_bond", (0, OPEN, 10 * OPEN)), ("claim_bond", (OPEN // 10, 3 * OPEN)), ("challenge_bond", (OPEN, 2 * OPEN)),
    ("challenge_seconds", (0, 4, 10)), ("mint_per_epoch", (0, 10**9, 1_000 * OPEN)), ("mint_factor", (0, 900_000)),
    ("work_price", (0, GWEI)), ("slash_verdict", (1_000, 300_000)), ("epoch_seconds", (5, 9)),
    ("unbonding_seconds", (60, 70)), ("max_settlements", (16, 20)), ("claim_grace_epochs", (0, 2)),
    ("slash_double_sign", (10_000, 900_000)), ("appeal_seconds", (0, 20)), ("drawn_rows", (1, 2)),
)  # fmt: skip


class Scores(dict[int, list[int]]):
    """The scores behind any claim: those of its rows."""

    def __init__(self, chain: World) -> None:
        super().__init__()
        self.chain = chain

    def __missing__(self, number: int) -> list[int]:
        found = must_ballot(self.chain.state, number)
        return scores(found.rows if isinstance(found, Claim) else 1)


def scores(rows: int) -> list[int]:
    return [10**7 * (row + 1) for row in range(rows)]


class World(Harness):
    """A chain, and what people do on it. ``done`` counts kinds of actions that were done, by the way they came."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        engine = load_engine("revm" if native_available() else "py-evm", precompiles=dict(PRECOMPILES))
        super().__init__(powers=(40, 30, 20, 10), engine=engine, **FAST)
        self.done: Counter[tuple[str, str]] = Counter()
        self.events: Counter[bytes] = Counter()
        self.nonces: dict[Address, int] = {}
        self.salts: dict[bytes, tuple[Address, bytes]] = {}
        self.minted = self.burned = 0
        self.contracts: list[Address] = []
        for key in KEYS:
            self.seed_of[consensus_address(ed25519_public(key))] = key
        for oracle in self.oracles:
            oracle.scores = Scores(self)

    # --- what must hold -----------------------------------------------------------------------------------

    def check_supply(self) -> None:
        """After each block."""
        entries = self.app.store.reader().entries(layout.ACCOUNT)
        total = sum(layout.decode_account(raw).balance for _, raw in entries)
        coins, now = self.query("get_supply"), params(self.state)
        assert total == int(coins["total"], 16)
        for account, wei in escrows(self.state).items():
            assert self.balance(account) == wei, account.hex()
        minted, burned = int(coins["minted"], 16), int(coins["burned"], 16)
        assert self.minted <= minted <= now.reserve
        assert self.burned <= burned
        assert int(coins["genesis"], 16) + minted <= now.cap
        self.minted, self.burned = minted, burned

    # --- sending ------------------------------------------------------------------------------------------

    def nonce(self, address: Address) -> int:
        if address not in self.nonces:
            account = self.state.account(address)
            self.nonces[address] = account.nonce if account else 0
        self.nonces[address] += 1
        return self.nonces[address] - 1

    def send(self, me: Address, action: Action) -> tuple[bytes, str, str]:
        """An action of somebody: as a native transaction, or by a way through the Outbox; kind and way."""
        sender = self.draw.randrange(10) if me not in self.people() else self.people().index(me)
        address, secret = ACCOUNTS[sender]
        how, data = self.draw.random(), submit_call(action)
        gas = 400_000 + 100 * len(data)
        if me != address or (me in self.contracts and how < 0.3):
            return self.transfer(sender, me, 0, data=data, gas=gas), action.KIND, "contract"
        if how < 0.85:
            raw = build_native(
                secret, chain_id=self.genesis.evm_chain_id, action=action, nonce=self.nonce(address),
                max_fee=5 * GWEI, max_priority_fee=self.draw.choice((0, 1, GWEI)),
            )  # fmt: skip
            return raw, action.KIND, "native"
        if how < 0.97:
            return self.transfer(sender, OUTBOX_ADDRESS, 0, data=data, gas=gas), action.KIND, "account"
        return (
            self.transfer(sender, None, self.draw.choice((0, 9)), data=self._brief(data), gas=gas),
            action.KIND,
            "brief",
        )  # type: ignore[arg-type]

    def _brief(self, data: bytes) -> bytes:
        """A contract that submits an action while it is created, and destroys itself with or without its value."""
        heir = self.draw.choice((b"\x30", b"\x73" + ACCOUNTS[0][0]))
        head = (
            b"\x61" + len(data).to_bytes(2, "big") + b"\x80\x61\x00\x00\x5f\x39\x5f\x5f\x82\x5f\x5f\x61\x09\x00\x5a\xf1"
        )
        code = head + heir + ENDS
        return code.replace(b"\x61\x00\x00\x5f\x39", b"\x61" + len(code).to_bytes(2, "big") + b"\x5f\x39") + data

    def people(self) -> list[Address]:
        return [address for address, _ in ACCOUNTS]

    def step(self) -> None:
        """A block of some of all this."""
        draw = self.draw
        self.nonces = {}
        for oracle in self.oracles:
            if draw.random() < 0.03:
                oracle.mode = draw.choices(("yes", "no", "silent", "blind"), (8, 3, 1, 1))[0]
        if draw.random() < 0.15:
            mode = draw.choice(("yes", "yes", "no"))
            for oracle in self.oracles:
                oracle.mode = mode
        if draw.random() < 0.05:
            self.absent = {a for a in sorted(self.set_now) if draw.random() < 0.2}
        if draw.random() < 0.004:
            self.prove_double_sign(draw.choice(sorted(self.set_now)), self.app.head().number)
        sent = []
        for _ in range(draw.choice((1, 4, 8, 12))):
            make = draw.choice(MAKERS)
            for me in draw.sample([*self.people(), self.contracts[0]], 11):
                action = make(self, me)
                if action is not None:
                    sent.append(self.send(me, action))
                    break
        told = {raw: (kind, way) for raw, kind, way in sent}
        seconds = draw.choice((0, 1, 1, 3))
        txs = self.propose(seconds, [raw for raw, _, _ in sent])
        response = self.finalize(txs, seconds)
        sealed = self.app.store.block(self.app.head().number)
        assert sealed is not None
        by_raw = dict(zip(sealed.transactions, sealed.receipts, strict=True))
        for receipt in sealed.receipts:
            self.events.update(log.topics[0] for log in receipt.logs)
        for raw, result in zip(txs, response.tx_results, strict=True):
            if (
                raw in told
                and result.code == 0
                and not any(log.topics[0] == ACTION_FAILED.topic for log in by_raw[raw].logs)
            ):
                self.done[told[raw]] += 1
        known = {o.address for o in self.oracles}
        for address in sorted(set(self.set_next) - known):
            self.oracles.append(ScriptedOracle(address))
            self.oracles[-1].scores = Scores(self)

    def begin(self) -> None:
        """Two contracts with money, an account that runs one's code, and something to work with."""
        first = self.nonce(ACCOUNTS[0][0])
        init = b"\x60" + bytes([len(FORWARD)]) + b"\x80\x60\x09\x3d\x39\x3d\xf3" + FORWARD
        create = self.transfer(0, None, 0, data=init, gas=200_000, nonce=first)  # type: ignore[arg-type]
        self.contracts = [create_address(ACCOUNTS[0][0], first)]
        key, chain_id = Account.from_key(ACCOUNTS[3][1]), self.genesis.evm_chain_id
        wish = key.sign_authorization({"chainId": chain_id, "address": self.contracts[0], "nonce": 1})
        signed = key.sign_transaction({
            "type": 4, "chainId": chain_id, "nonce": 0, "to": self.contracts[0], "value": 2_000 * OPEN, "gas": 200_000,
            "maxFeePerGas": 5 * GWEI, "maxPriorityFeePerGas": 0, "data": b"", "authorizationList": [wish],
        })  # fmt: skip
        for raw in (create, bytes(signed.raw_transaction)):
            response = self.finalize(self.propose(1, [raw]), 1)
            assert response.tx_results[-1].code == 0
        self.contracts.append(ACCOUNTS[3][0])


# --- what people may do; None where there is nothing of the kind -----------------------------------------------------


def some(world: World, count: int) -> int | None:
    """A number from 1 to ``count``."""
    return world.draw.randint(1, count) if count else None


def policy(world: World) -> dict[str, Any]:
    draw = world.draw
    if draw.random() < 0.6:
        return {"policy": draw.choice(("open", "open", "invited"))}
    reviewers = tuple(sorted(draw.sample([*world.people(), *world.contracts], 4)))
    return {"policy": "reviewed", "review_quorum": draw.choice((1, 2)), "bond": draw.choice((0, 1, OPEN)),
            "stake": draw.choice((0, 1, OPEN)), "reviewers": reviewers}  # fmt: skip


def create(world: World, me: Address) -> Action | None:
    if COUNT.get(world.state) > 5:
        return None
    return DatanetCreate("d", **policy(world))


def set_policy(world: World, me: Address) -> Action | None:
    mine = [n for n in range(1, COUNT.get(world.state) + 1) if must_datanet(world.state, n).owner == me]
    return DatanetSetPolicy(world.draw.choice(mine), **policy(world)) if mine else None


def promise(world: World, me: Address) -> Action | None:
    blob, salt = world.draw.randbytes(32), world.draw.randbytes(32)
    world.salts[blob] = (me, salt)
    return DatanetPromise(promise_digest(me, blob, salt))


def commit(world: World, me: Address) -> Action | None:
    datanet, draw = some(world, COUNT.get(world.state)), world.draw
    if datanet is None:
        return None
    found = must_datanet(world.state, datanet)
    old = must_version(world.state, datanet, found.head).rows if found.head else 0
    promised = [(blob, salt) for blob, (who, salt) in world.salts.items() if who == me]
    blob, salt = draw.choice(promised) if promised and draw.random() < 0.5 else (draw.randbytes(32), ZERO_HASH)
    part = Part(me, blob, draw.randint(1, 5))
    return DatanetCommit(
        datanet, found.head, draw.randbytes(32), old + part.rows, (part,), salts=(salt,), bond=found.bond
    )


def review(world: World, me: Address) -> Action | None:
    pending = [
        (n, v) for n in range(1, COUNT.get(world.state) + 1)
        for v in range(1, DATANETS.must(world.state, n).versions + 1) if status_of(world.state, n, v) == 1
    ]  # fmt: skip
    if not pending:
        return None
    datanet, version = world.draw.choice(pending)
    stake = must_review(world.state, datanet, version).stake
    return DatanetReview(datanet, version, world.draw.random() < 0.6, "because", stake)


def publish(world: World, me: Address) -> Action | None:
    ready = [n for n in range(1, COUNT.get(world.state) + 1) if must_datanet(world.state, n).head]
    if not ready or (len(numbered(world.state)) > 5 and world.draw.random() < 0.8):
        return None
    chosen = world.draw.sample(ready, min(len(ready), world.draw.choice((1, 2))))
    data = tuple(DataRef(n, must_datanet(world.state, n).head) for n in chosen)
    rows = sum(must_version(world.state, ref.datanet, ref.version).rows for ref in data)
    base, h = world.draw.choice(("openledger/tiny-v1", "other")), bytes(32)
    price = world.draw.choice((1, 7, OPEN // 100, OPEN))
    return ModelPublish("m", base, data, h, h, h, h, h, rows, "gradient-dot", 5, 4, 0, price)


def retire(world: World, me: Address) -> Action | None:
    mine = [int.from_bytes(n, "big") for n, m in MODELS.items(world.state) if m.owner == me]
    return ModelRetire(world.draw.choice(mine)) if mine and world.draw.random() < 0.2 else None


def open_session(world: World, me: Address) -> Action | None:
    model = some(world, len(list(MODELS.items(world.state))))
    if model is None:
        return None
    price = MODELS.must(world.state, model).price
    return InferenceOpen(
        model, price * world.draw.randint(1, 20) + world.draw.choice((0, 1)), world.time + world.draw.choice((5, 60))
    )


def settle(world: World, me: Address) -> Action | None:
    secrets = dict(ACCOUNTS)
    for rest, session in sorted(SESSIONS.items(world.state), key=lambda _: world.draw.random()):
        number, owner = int.from_bytes(rest, "big"), MODELS.must(world.state, session.model).owner
        answers = session.answers + world.draw.choice((1, 1, 3))
        if owner != me or session.consumer not in secrets or answers * session.price > session.deposit:
            continue
        voucher = Voucher(number, answers * session.price, answers, bytes(32))
        signature = join_signature(*sign_digest(secrets[session.consumer], voucher.digest(world.genesis.evm_chain_id)))
        close = world.draw.random() < 0.3
        return InferenceSettle(number, voucher.cumulative, answers, bytes(32), signature, close)
    return None


def close(world: World, me: Address) -> Action | None:
    mine = [int.from_bytes(n, "big") for n, s in SESSIONS.items(world.state) if s.consumer == me]
    return InferenceClose(world.draw.choice(mine)) if mine else None


def claim(world: World, me: Address) -> Action | None:
    state, now, draw = world.state, params(world.state), world.draw
    for rest, book in LEDGERS.items(state):
        model, number = int.from_bytes(rest[:8], "big"), int.from_bytes(rest[8:], "big")
        mine = MODELS.must(state, model).owner == me or draw.random() < 0.3
        if book.claimed == book.count or number >= epoch(state).number or not mine:
            continue
        people = draw.sample(sorted(contributors(state, model)), draw.randint(0, len(contributors(state, model))))
        left, shares = 1_000_000, []
        for who in sorted(people):
            shares.append(Share(who, draw.randint(1, max(1, left // 2))))
            left -= shares[-1].ppm
        covered, rows = coverage(state, now, model, number), MODELS.must(state, model).rows
        root = merkle_root([score_leaf(row, score) for row, score in enumerate(scores(rows))])
        return AttributionClaim(
            model, number, covered.first, covered.last, tuple(shares), left, bytes(32), root, bytes(32)
        )
    return None


def challenge(world: World, me: Address) -> Action | None:
    found = [int.from_bytes(n, "big") for n, c in CLAIMS.items(world.state) if c.status == ACCEPTED and c.vests]
    if not found:
        return None
    number = world.draw.choice(found)
    people = sorted(contributors(world.state, CLAIMS.must(world.state, number).model))
    return AttributionChallenge(number, 0, world.draw.choice([ZERO_ADDRESS, *people]))


def challenge_index(world: World, me: Address) -> Action | None:
    model = some(world, len(list(MODELS.items(world.state))))
    return (
        AttributionChallengeIndex(model, 0, world.draw.choice((0, 1))) if model and world.draw.random() < 0.3 else None
    )


def take(world: World, me: Address) -> Action | None:
    if not rewards(world.state, me).available + settle_all(Overlay(world.state), me).available:
        return None
    return RewardsClaim(world.draw.choice((0, 0, 1, 1_000)))


def join(world: World, me: Address) -> Action | None:
    seed = world.draw.choice(KEYS)
    proof = ed25519_sign(seed, key_proof_message(world.genesis.evm_chain_id, me))
    if world.draw.random() < 0.7 or operated_by(world.state, me) is not None:
        return None
    return ValidatorCreate(ed25519_public(seed), proof, world.draw.choice((10, 25)) * OPEN, "v")


def edit(world: World, me: Address) -> Action | None:
    if operated_by(world.state, me) is None:
        return None
    return ValidatorEdit("named", world.draw.random() < 0.9, world.draw.choice((2**32 - 1, 100_000, 110_000)))


def unjail(world: World, me: Address) -> Action | None:
    seat = operated_by(world.state, me)
    return ValidatorUnjail() if seat is not None and seat.jailed and not seat.tombstoned else None


def operator(world: World) -> Address:
    return world.draw.choice([v.operator for v in validators(world.state)])


def delegate(world: World, me: Address) -> Action | None:
    return StakeDelegate(operator(world), world.draw.choice((OPEN // 1_000, OPEN + 1, 5 * OPEN)))


def undelegate(world: World, me: Address) -> Action | None:
    mine = [validator(world.state, address) for address, _ in delegations(world.state, me)]
    if not mine:
        return None
    return StakeUndelegate(
        world.draw.choice([v.operator for v in mine if v]), world.draw.choice((0, 0, 1, OPEN // 7, OPEN))
    )


def redelegate(world: World, me: Address) -> Action | None:
    mine = [validator(world.state, address) for address, _ in delegations(world.state, me)]
    source, target = world.draw.choice([v.operator for v in mine if v] or [me]), operator(world)
    return None if source == target else StakeRedelegate(source, target, world.draw.choice((0, 1, OPEN // 7, OPEN)))


def propose(world: World, me: Address) -> Action | None:
    draw = world.draw
    name, values = draw.choice(CHANGES)
    receiver = "0x" + draw.choice([*world.people(), *world.contracts]).hex()
    told: dict[str, dict[str, Any]] = {
        "text": {}, "params": {name: draw.choice(values)}, "upgrade": {"name": "u", "height": 10**9},
        "spend": {"receiver": receiver, "amount": draw.choice((1, 10**12))},
        "datanet.review": {"datanet": 1, "version": 1, "accept": draw.choice(("true", "false"))},
    }  # fmt: skip
    effect = draw.choice(("text", "params", "params", "params", "spend", "spend", "upgrade", "datanet.review"))
    arguments = tuple(Argument(n, str(v)) for n, v in told[effect].items())
    return GovPropose("t", "", effect, arguments, draw.choice((OPEN, 10 * OPEN, 11 * OPEN)))


def open_proposal(world: World, status: int) -> int:
    """One that takes deposits, or is voted on; 0 where there is none."""
    found = [int.from_bytes(n, "big") for n, p in PROPOSALS.items(world.state) if p.status == status]
    return world.draw.choice(found) if found else 0


def deposit(world: World, me: Address) -> Action | None:
    number = open_proposal(world, DEPOSIT)
    return GovDeposit(number, world.draw.choice((OPEN, 20 * OPEN))) if number else None


def vote(world: World, me: Address) -> Action | None:
    number = open_proposal(world, VOTING)
    if not number or not voting_stake(world.state, me):
        return None
    return GovVote(number, world.draw.choice(("yes", "yes", "yes", "yes", "no", "abstain", "no_with_veto")))


MAKERS: tuple[Callable[[World, Address], Action | None], ...] = (
    create, set_policy, promise, commit, commit, commit, review, review, publish, publish, retire,
    open_session, open_session, settle, settle, settle, settle, close, claim, claim, claim, claim, challenge, challenge,
    challenge_index, take, join, edit, unjail, delegate, undelegate, redelegate, propose, deposit, *(vote,) * 8,
)  # fmt: skip


def live(seed: int, blocks: int) -> World:
    world = World(seed)
    world.begin()
    for _ in range(blocks):
        world.step()
    return world


def test_every_account_holds_what_it_owes_whatever_is_done_and_by_whom() -> None:
    done: Counter[tuple[str, str]] = Counter()
    for seed in range(4):
        done += live(seed, 110).done
    kinds = {cls.KIND for cls in ACTIONS}
    assert {kind for kind, way in done if way == "native"} == kinds
    assert len({kind for kind, way in done if way == "contract"}) > 8


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 140))
def test_every_account_holds_what_it_owes_for_long(seed: int) -> None:
    live(seed, 300)
