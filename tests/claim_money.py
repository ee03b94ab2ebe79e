"""Claims and their money without blocks: the real actions, payout and staking on an overlay over a prepared state.

A world takes milliseconds, so hundreds of them fit a test. What a verdict is comes from the caller (``end``), or from
real messages (``openledger.abci_app.modules.attribution.voting``). Gas is burned as a block burns it, at ``base_fee``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

from harness import Harness

from openledger.abci_app.action import Action, ActionContext, BlockContext, intrinsic_gas
from openledger.abci_app.modules.accounts import balance
from openledger.abci_app.modules.attribution.challenge import AttributionChallenge
from openledger.abci_app.modules.attribution.claim import AttributionClaim, coverage
from openledger.abci_app.modules.attribution.records import (
    CLAIM_COUNT,
    CLAIMS,
    ELECTORATES,
    OPEN,
    VOTES,
    Share,
    Vote,
)
from openledger.abci_app.modules.attribution.voting import Outcome
from openledger.abci_app.modules.fees.records import burn_from, count_edited
from openledger.abci_app.modules.governance.records import POOL, set_params
from openledger.abci_app.modules.models.open import InferenceOpen
from openledger.abci_app.modules.models.records import (
    CONTRIBUTORS,
    MODEL_COUNT,
    MODELS,
    SESSION_COUNT,
    Contributors,
    Model,
    epoch,
)
from openledger.abci_app.modules.models.settle import InferenceSettle
from openledger.abci_app.modules.rewards.payout import close_epoch, settle
from openledger.abci_app.modules.rewards.records import rewards
from openledger.abci_app.modules.rewards.stakers import pots
from openledger.abci_app.modules.rewards.vesting import vest
from openledger.abci_app.modules.staking.delegations import add_stake, delegations, settle_all, take_stake, worth
from openledger.abci_app.modules.staking.earning import pool
from openledger.abci_app.modules.staking.records import (
    STAKES,
    ValidatorRecord,
    must_operate,
    operated_by,
    put_validator,
    validator,
    validators,
)
from openledger.abci_app.modules.staking.redelegate import StakeRedelegate
from openledger.abci_app.modules.staking.sets import close_set
from openledger.genesis.genesis import COMMISSION
from openledger.genesis.params import Params
from openledger.primitives.amounts import OPEN as COIN
from openledger.primitives.attribution import Voucher
from openledger.primitives.errors import InvalidTransaction
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import address_of_private_key, join_signature, sign_digest
from openledger.primitives.types import ZERO_ADDRESS, Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

RICH = 10**30
"""Wei that ``fund`` gives: more than any deposit or bond."""


@cache
def prepared() -> Harness:
    """A chain after its first block, shared by all worlds: it must not be driven on."""
    chain = Harness()
    chain.block()
    return chain


@cache
def person(name: str) -> tuple[Address, bytes]:
    """(address, secret) of somebody."""
    secret = keccak256(b"person" + name.encode())
    return address_of_private_key(secret), secret


def someone(name: str) -> Address:
    """Address of somebody."""
    return person(name)[0]


class Money:
    """One world. ``time`` in Unix seconds; ``gas_burned`` in wei so far, by account."""

    def __init__(self, params: Params, base_fee: int = 1, state: StateReader | None = None) -> None:
        chain = prepared()
        self.state = Overlay(state or chain.state)
        self.params, self.base_fee = params, base_fee
        self.chain_id = chain.genesis.evm_chain_id
        self.height, self.time = chain.app.head().number, chain.time
        self.gas_burned: dict[Address, int] = {}
        set_params(self.state, params)

    @property
    def ctx(self) -> BlockContext:
        return BlockContext(self.height, self.time, someone("proposer"), self.chain_id, self.params)

    def act(self, sender: Address, action: Action) -> None:
        """Burn the gas, run the action. Raises what the action raises."""
        fee = intrinsic_gas(action) * self.base_fee
        burn_from(self.state, sender, fee)
        self.gas_burned[sender] = self.gas_burned.get(sender, 0) + fee
        action.check()
        action.validate(self.state, ActionContext(self.ctx, sender))
        action.execute(self.state, ActionContext(self.ctx, sender))

    def fund(self, people: Iterable[Address], amount: int = RICH) -> None:
        """Give everybody ``amount`` wei."""
        for who in sorted(set(people)):
            self.state.add_balance(who, amount)
            count_edited(self.state, amount)

    def wealth(self, people: Iterable[Address], with_pool: bool = True) -> int:
        """Wei that some people have: balances, rewards taken or not, locked or not, stakes; and the pool's."""
        total = balance(self.state, POOL) if with_pool else 0
        for who in sorted(set(people)):
            earned, staked = rewards(self.state, who), settle_all(Overlay(self.state), who)
            total += balance(self.state, who) + earned.fees + earned.minted - earned.taken + staked.available
            for address, held in delegations(self.state, who):
                record = validator(self.state, address)
                total += worth(record, held.total) if record else 0
        return total

    def earned(self, who: Address) -> int:
        """Wei that an operator and its own stake have earned, those included that wait in pots."""
        total = rewards(self.state, who).fees + settle_all(Overlay(self.state), who).total
        seat = operated_by(self.state, who)
        if seat is None:
            return total
        return total + sum(pots(self.state, n).get(seat.address, 0) for n in range(1, CLAIM_COUNT.get(self.state) + 1))

    # --- who is there -------------------------------------------------------------------------------------

    def seat(
        self,
        members: Sequence[tuple[str, int, bool]],
        delegated: Sequence[tuple[str, str, int]] = (),
        commission: int = COMMISSION,
    ) -> None:
        """The validator set is (operator's name, power, votes on claims) from now on, and nobody else; others have
        (name, operator's name, power) staked with it. All ask for the same commission (ppm)."""
        for record in list(validators(self.state)):
            take_stake(self.state, record.operator, record.address, record.own)
        for name, power, oracle in members:
            key = keccak256(b"validator" + name.encode())
            stake = power * self.params.power_unit
            record = ValidatorRecord(
                someone(name), key, name, oracle=oracle, created=1, commission=commission, max_commission=1_000_000
            )
            put_validator(self.state, record)
            add_stake(self.state, someone(name), record, stake)
        for who, name, power in delegated:
            add_stake(self.state, someone(who), must_operate(self.state, someone(name)), power * self.params.power_unit)
        self.fund_stakes()
        for _ in range(3):
            self.end_block()

    def end_block(self) -> None:
        """Power follows stake."""
        self.height += 1
        close_set(self.state, self.params, self.height)

    def move(self, who: Address, source: Address, target: Address, amount: int = 0) -> bool:
        """Redelegate, where that may be; whether it has been done."""
        mark = self.state.checkpoint()
        try:
            self.act(who, StakeRedelegate(source, target, amount))
        except InvalidTransaction:
            self.state.rollback(mark)
            return False
        self.state.commit(mark)
        return True

    def fund_stakes(self) -> None:
        """The account of all stakes holds what the records say, so that a slash can burn it."""
        wanted = sum(v.stake + pool(self.state, v.address).held for v in validators(self.state))
        missing = max(0, wanted - balance(self.state, STAKES))
        self.state.add_balance(STAKES, missing)
        count_edited(self.state, missing)

    def publish(self, owner: Address, price: int, people: Iterable[Address], rows: int = 4, mints: bool = True) -> int:
        """A model of ``owner`` on rows of ``people``; its number."""
        number, h = MODEL_COUNT.next(self.state), bytes(32)
        model = Model(owner, "m", "openledger/tiny-v1", (), h, h, h, h, h, rows, "gradient-dot", 5, 4, 0, price, mints,
                      False, self.height)  # fmt: skip
        MODELS.put(self.state, model, number)
        CONTRIBUTORS.put(self.state, Contributors(tuple(sorted(set(people)))), number)
        return number

    # --- the loop -----------------------------------------------------------------------------------------

    def buy(self, consumer: str, model: int, answers: int = 1) -> int:
        """A session of somebody with all answers of its deposit settled; the epoch in which they are."""
        owner, price = MODELS.must(self.state, model).owner, MODELS.must(self.state, model).price
        address, secret = person(consumer)
        self.act(address, InferenceOpen(model, answers * price, self.time + 1_000))
        session = SESSION_COUNT.get(self.state)
        voucher = Voucher(session, answers * price, answers, bytes(32))
        signature = join_signature(*sign_digest(secret, voucher.digest(self.chain_id)))
        self.act(owner, InferenceSettle(session, answers * price, answers, bytes(32), signature, True))
        return epoch(self.state).number

    def close(self) -> None:
        """The running epoch ends, and what nobody has challenged in time is unlocked."""
        self.height += 1
        self.time = max(self.time, epoch(self.state).end)
        vest(self.state, self.ctx)
        close_epoch(self.state, self.ctx, True)

    def wait(self, seconds: int) -> None:
        """Time passes; rewards vest."""
        self.height, self.time = self.height + 1, self.time + seconds
        vest(self.state, self.ctx)

    def claim(
        self, claimant: Address, model: int, number: int, shares: dict[Address, int], root: bytes = bytes(32)
    ) -> int:
        """A claim of (model, epoch); what the shares (ppm) leave is unattributed. Its number."""
        listed = tuple(Share(who, ppm) for who, ppm in sorted(shares.items()) if ppm)
        rest = 1_000_000 - sum(s.ppm for s in listed)
        covered = coverage(self.state, self.params, model, number)
        self.act(
            claimant,
            AttributionClaim(model, number, covered.first, covered.last, listed, rest, bytes(32), root, bytes(32)),
        )
        return CLAIM_COUNT.get(self.state)

    def vote(self, number: int, verdicts: dict[Address, int | Vote]) -> None:
        """What validators have said, by operator; nobody else has spoken."""
        for member in ELECTORATES.must(self.state, number).members:
            said = verdicts.get(member.operator, Vote())
            said = Vote(1, b"d" * 32, said) if isinstance(said, int) else said
            VOTES.put(self.state, said, number, member.address)

    def end(self, number: int, status: int) -> None:
        """The validators have come to ACCEPTED, REFUSED or LAPSED."""
        self.height += 1
        claim = replace(CLAIMS.must(self.state, number), status=status, deadline=0, closed=self.height)
        CLAIMS.put(self.state, claim, number)
        OPEN.delete(self.state, number)
        settle(self.state, self.ctx, [Outcome(number, claim)])

    def challenge(self, challenger: Address, number: int) -> None:
        """Somebody says that row 0 of an accepted claim is wrong."""
        self.act(challenger, AttributionChallenge(number, 0, ZERO_ADDRESS))


__all__ = ["COIN", "RICH", "Money", "person", "prepared", "someone"]
