"""validator.create: a new validator with its operator's own bond behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext, require_text
from openledger.abci_app.modules.accounts import must_afford, transfer
from openledger.abci_app.modules.staking.delegations import add_stake, delegations
from openledger.abci_app.modules.staking.records import (
    COMMISSION_SET,
    CREATED,
    STAKED,
    STAKES,
    ValidatorRecord,
    operated_by,
    put_validator,
    validator,
)
from openledger.genesis.genesis import COMMISSION, MAX_CHANGE, MAX_COMMISSION
from openledger.primitives.amounts import PPM, exact_amount
from openledger.primitives.errors import AlreadyExists, AmountOutOfRange, KeyProofInvalid, MalformedAction, NotAllowed
from openledger.primitives.fields import U32, U256, Bytes, Bytes32, Flag, Text
from openledger.primitives.keys import consensus_address, ed25519_verify
from openledger.primitives.types import STAKING_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_NAME = 64


def key_proof_message(chain_id: int, operator: Address) -> bytes:
    """What the consensus key signs to show that its holder wants ``operator`` to run it, on this EVM chain only. It
    begins with a text that no vote or proposal of CometBFT can begin with."""
    return b"openledger.validator.create" + chain_id.to_bytes(8, "big") + operator


@dataclass(frozen=True)
class ValidatorCreate(Action):
    """Become a validator. ``proof``: signature of the ed25519 key over chain id and sender (`openledger validator
    create` makes it). ``amount`` in wei goes into stake. ``commission`` is what the operator takes of the stakers'
    earnings before they are divided (ppm); it never rises above ``max_commission``, nor by more than ``max_change`` at
    a time."""

    KIND: ClassVar[str] = "validator.create"
    MODULE: ClassVar[Address] = STAKING_ADDRESS
    GAS: ClassVar[int] = 150_000

    pub_key: Bytes32
    proof: Bytes
    amount: U256
    name: Text = ""
    oracle: Flag = True
    commission: U32 = COMMISSION
    max_commission: U32 = MAX_COMMISSION
    max_change: U32 = MAX_CHANGE

    def check(self) -> None:
        require_text("name", self.name, MAX_NAME, 0)
        if not self.commission <= self.max_commission <= PPM or self.max_change > self.max_commission:
            raise MalformedAction("commission and its largest change are at most max_commission, that is at most 100 %")
        if len(self.proof) != 64:
            raise MalformedAction("proof is an ed25519 signature of 64 bytes")

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        params = ctx.block.params
        if operated_by(view, ctx.sender) is not None:
            raise AlreadyExists(
                "this account operates a validator already", "stake.delegate adds to it; another needs another account"
            )
        if validator(view, consensus_address(self.pub_key)) is not None:
            raise AlreadyExists("this key was a validator's already", "a key is used once; make a new one")
        if self.amount < params.min_self_bond:
            raise AmountOutOfRange(f"a validator bonds {exact_amount(params.min_self_bond)} at least")
        if sum(1 for _ in delegations(view, ctx.sender)) >= params.max_delegations:
            raise NotAllowed(f"an account has stake with {params.max_delegations} validators at most")
        must_afford(view, ctx.sender, self.amount, "the bond")
        if not ed25519_verify(self.pub_key, key_proof_message(ctx.block.chain_id, ctx.sender), self.proof):
            raise KeyProofInvalid("the proof is not this key's signature over this chain and this account")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        record = ValidatorRecord(
            ctx.sender,
            self.pub_key,
            self.name,
            oracle=self.oracle,
            created=ctx.block.height,
            commission=self.commission,
            max_commission=self.max_commission,
            max_change=self.max_change,
            commission_changed=ctx.block.time,
        )
        transfer(state, ctx.sender, STAKES, self.amount)
        put_validator(state, record)
        add_stake(state, ctx.sender, record, self.amount)
        return [
            CREATED.log(ctx.sender, record.address, self.pub_key, self.name),
            COMMISSION_SET.log(ctx.sender, self.commission),
            STAKED.log(ctx.sender, ctx.sender, self.amount),
        ]
