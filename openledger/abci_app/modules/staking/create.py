"""validator.create: a new validator with its operator's own bond behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext, require_text
from openledger.abci_app.modules.accounts import balance, transfer
from openledger.abci_app.modules.staking.records import (
    CREATED,
    STAKED,
    STAKES,
    ValidatorRecord,
    operated_by,
    put_validator,
    validator,
)
from openledger.primitives.errors import AlreadyExists, AmountOutOfRange, KeyProofInvalid, MalformedAction
from openledger.primitives.fields import U256, Bytes, Bytes32, Flag, Text
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
    create` makes it). ``amount`` in wei goes into stake."""

    KIND: ClassVar[str] = "validator.create"
    MODULE: ClassVar[Address] = STAKING_ADDRESS
    GAS: ClassVar[int] = 150_000

    pub_key: Bytes32
    proof: Bytes
    amount: U256
    name: Text = ""
    oracle: Flag = True

    def check(self) -> None:
        require_text("name", self.name, MAX_NAME, 0)
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
            raise AmountOutOfRange(f"a validator bonds {params.min_self_bond} wei at least")
        if balance(view, ctx.sender) < self.amount:
            raise AmountOutOfRange(f"insufficient balance: {balance(view, ctx.sender)} wei, {self.amount} to be bonded")
        if not ed25519_verify(self.pub_key, key_proof_message(ctx.block.chain_id, ctx.sender), self.proof):
            raise KeyProofInvalid("the proof is not this key's signature over this chain and this account")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        record = ValidatorRecord(
            ctx.sender, self.pub_key, self.name, self.amount, oracle=self.oracle, created=ctx.block.height
        )
        transfer(state, ctx.sender, STAKES, self.amount)
        put_validator(state, record)
        return [
            CREATED.log(ctx.sender, record.address, self.pub_key, self.name),
            STAKED.log(ctx.sender, ctx.sender, self.amount),
        ]
