"""The parameters of a chain. They live in state under governance and begin as genesis says.

All are integers: wei, seconds, bytes, gas, basis points or ppm, as the comments say. ``validate`` holds the hard
bounds, joint ones included, that no governance vote can cross (design.md, sections 1 and 7); ``BOUNDS`` holds the
narrower ones of a change by a vote, so that no vote can leave a chain that can't vote any more.
"""

from __future__ import annotations

from dataclasses import dataclass

from openledger.primitives.amounts import BASIS_POINTS, GWEI, OPEN, PPM
from openledger.primitives.errors import InvalidGenesis
from openledger.primitives.fields import U32, U64, U256, Text

CAP = 1_000_000_000 * OPEN
RESERVE = CAP // 10_000 * 5_171
MAX_SECONDS = 10 * 365 * 86_400
"""Longest epoch and phase: a time added to any block's must still be a time."""
MAX_PROMISE_SECONDS = 30 * 86_400
MAX_DRAWN = 4
MAX_REFUNDS = 2**18
"""Settlements of all claims that may end in one block, each a refund at worst."""


@dataclass(frozen=True)
class Params:
    """Parameters with their defaults (a network); ``presets`` shortens times for devnets."""

    # blocks
    block_gas_limit: U64 = 30_000_000
    initial_base_fee: U256 = GWEI
    base_fee_floor: U256 = GWEI // 100
    elasticity: U32 = 2
    base_fee_denominator: U32 = 8
    max_block_bytes: U64 = 4 * 1024 * 1024
    max_extension_bytes: U32 = 4096
    max_slot0_bytes: U32 = 170_000
    max_outbox_actions: U32 = 16
    # supply
    cap: U256 = CAP
    reserve: U256 = RESERVE
    mint_factor: U32 = 900_000  # ppm of (pool part + burn part) of a claim's fee
    mint_per_epoch: U256 = 1_000_000 * OPEN
    # split of an inference fee, basis points
    split_contributors: U32 = 5000
    split_owner: U32 = 2000
    split_stakers: U32 = 1500
    split_pool: U32 = 1000
    split_burn: U32 = 500
    # epochs and claims
    epoch_seconds: U64 = 86_400
    claim_bond: U256 = 100 * OPEN
    claim_bond_ppm: U32 = 200_000  # ppm of the claim's fee, where that is more than claim_bond
    challenge_seconds: U64 = 86_400  # 0: claims cannot be challenged, and rewards can be taken at once
    challenge_bond: U256 = 50 * OPEN
    model_bond: U256 = 100 * OPEN
    claim_grace_epochs: U32 = 3
    hold_seconds: U64 = 3_600
    vote_seconds: U64 = 3_600
    reveal_seconds: U64 = 3_600
    work_price: U256 = GWEI  # wei per (answer x row) recomputed
    work_per_epoch: U64 = 10_000_000_000
    max_shares: U32 = 1_024
    max_settlements: U32 = 256
    drawn_rows: U32 = 2
    score_tolerance: U64 = 2_000  # ppb of the claim's contributor fee
    score_tolerance_relative: U32 = 1_000  # ppm of the claimed score
    max_open_claims_per_block: U32 = 64
    # validators
    power_unit: U256 = OPEN  # wei of stake for one unit of power
    min_self_bond: U256 = 1_000 * OPEN
    max_validators: U32 = 150
    min_delegation: U256 = OPEN
    max_delegations: U32 = 16  # validators that one account may have stake with
    unbonding_seconds: U64 = 21 * 86_400
    max_unbondings_per_block: U32 = 320  # more than can begin in one: 30,000,000 gas
    slash_double_sign: U32 = 50_000  # ppm of the stake
    slash_downtime: U32 = 10_000  # ppm of the stake
    slash_verdict: U32 = 10_000  # ppm of the stake
    verdict_window: U32 = 64  # claims
    min_verdicts: U32 = 500_000  # ppm of the window; 0: silence is not punished
    slash_silence: U32 = 1_000  # ppm of the stake
    signed_window: U32 = 100  # blocks
    min_signed: U32 = 500_000  # ppm of the window
    jail_seconds: U64 = 600
    # governance
    gov_deposit: U256 = 10_000 * OPEN  # wei before a proposal is voted on
    gov_deposit_seconds: U64 = 7 * 86_400
    gov_voting_seconds: U64 = 7 * 86_400
    gov_quorum: U32 = 334_000  # ppm of the bonded stake that must vote
    gov_pass: U32 = 500_000  # ppm: more of the yes, no and vetoes must be yes
    gov_veto: U32 = 334_000  # ppm: with more of the votes a proposal is vetoed
    max_votes_open: U32 = 32  # proposals that are voted on at the same time
    max_proposals_per_block: U32 = 4  # proposals that may end in a block
    # data sets
    max_parts: U32 = 1_024
    promise_seconds: U64 = 86_400
    review_seconds: U64 = 3 * 86_400
    appeal_seconds: U64 = 14 * 86_400  # bond and stakes of a review are held so long after the decision
    # bases whose fine-tunes may mint
    bases: tuple[Text, ...] = ("openledger/tiny-v1",)

    @property
    def fee_split(self) -> tuple[int, int, int, int, int]:
        """Basis points for contributors, owner, stakers, pool, burn."""
        return (self.split_contributors, self.split_owner, self.split_stakers, self.split_pool, self.split_burn)

    def validate(self) -> None:
        """Raise InvalidGenesis when a bound is crossed."""
        for name in ("block_gas_limit", "base_fee_floor", "elasticity", "base_fee_denominator", "epoch_seconds",
                     "hold_seconds", "vote_seconds", "reveal_seconds", "drawn_rows", "max_shares", "max_settlements",
                     "max_parts", "max_open_claims_per_block", "unbonding_seconds", "jail_seconds",
                     "max_unbondings_per_block", "promise_seconds", "review_seconds"):  # fmt: skip
            if getattr(self, name) < 1:
                raise InvalidGenesis(f"parameter {name} must be at least 1")
        for name in ("epoch_seconds", "hold_seconds", "vote_seconds", "reveal_seconds", "unbonding_seconds",
                     "jail_seconds", "challenge_seconds", "review_seconds", "appeal_seconds"):  # fmt: skip
            if getattr(self, name) > MAX_SECONDS:
                raise InvalidGenesis(f"parameter {name} must be at most {MAX_SECONDS}")
        if self.promise_seconds > MAX_PROMISE_SECONDS:
            raise InvalidGenesis(f"promise_seconds is at most {MAX_PROMISE_SECONDS}: state keeps promises so long")
        if self.cap > CAP or self.reserve > self.cap:
            raise InvalidGenesis("the cap is at most 1,000,000,000 OPEN and holds the reserve")
        if sum(self.fee_split) != BASIS_POINTS:
            raise InvalidGenesis(f"the fee split adds up to {sum(self.fee_split)} basis points, not {BASIS_POINTS}")
        if self.initial_base_fee < self.base_fee_floor:
            raise InvalidGenesis("initial_base_fee is below base_fee_floor")
        if self.claim_bond_ppm > PPM:
            raise InvalidGenesis("claim_bond_ppm is at most 1,000,000: a bond as large as the fee")
        if self.drawn_rows > MAX_DRAWN:
            raise InvalidGenesis(f"drawn_rows is at most {MAX_DRAWN}: more would not fit a vote extension")
        if not 1_000 <= self.max_extension_bytes <= 4096:
            raise InvalidGenesis("max_extension_bytes must lie between 1,000 and 4,096")
        if self.max_extension_bytes < 200 + 700 * self.drawn_rows:
            raise InvalidGenesis("max_extension_bytes holds a reveal of drawn_rows blocks: at least 200 + 700 for each")
        if self.max_settlements * self.max_open_claims_per_block > MAX_REFUNDS:
            raise InvalidGenesis(
                f"max_settlements x max_open_claims_per_block is at most {MAX_REFUNDS:,}: refunds of one block"
            )
        self._validate_staking()
        self._validate_governance()
        if self.block_gas_limit > 2**63 - 1 or not 64 * 1024 <= self.max_block_bytes <= 100 * 1024 * 1024:
            raise InvalidGenesis("block_gas_limit or max_block_bytes is out of range")
        # m(p + b) < b + (2/3)t, so that a coalition with a third of the stake loses by paying itself.
        gain = 3 * self.mint_factor * (self.split_pool + self.split_burn)
        loss = PPM * (3 * self.split_burn + 2 * self.split_stakers)
        if gain >= loss:
            raise InvalidGenesis("mint_factor is too high for this fee split: paying oneself would earn OPEN")

    def _validate_staking(self) -> None:
        if not GWEI <= self.power_unit <= 1_000_000 * OPEN:
            raise InvalidGenesis("power_unit must lie between 1 gwei and 1,000,000 OPEN: all power stays below 2^60")
        if self.min_self_bond < self.power_unit:
            raise InvalidGenesis("min_self_bond must give a validator power: at least power_unit")
        if not 1 <= self.max_validators <= 500:
            raise InvalidGenesis("max_validators must lie between 1 and 500")
        if not GWEI <= self.min_delegation <= self.min_self_bond or not 1 <= self.max_delegations <= 64:
            raise InvalidGenesis("min_delegation is 1 gwei to min_self_bond, and max_delegations 1 to 64")
        if not 10 <= self.signed_window <= 10_000 or not 10_000 <= self.min_signed <= 900_000:
            raise InvalidGenesis("signed_window has 10 to 10,000 blocks, of which min_signed asks for 1 to 90 %")
        if not 10 <= self.verdict_window <= 1_000 or self.min_verdicts > 900_000:
            raise InvalidGenesis("verdict_window has 10 to 1,000 claims, of which min_verdicts asks for at most 90 %")
        if self.unbonding_seconds < self.challenge_seconds:
            raise InvalidGenesis(
                "unbonding_seconds is at least challenge_seconds: leaving stake answers for its verdicts"
            )
        if self.slash_silence > 10_000:
            raise InvalidGenesis("slash_silence is at most 10,000 ppm: an oracle that is down is no fraud")
        if max(self.slash_double_sign, self.slash_downtime, self.slash_verdict) > PPM:
            raise InvalidGenesis("a slash takes at most the whole stake (1,000,000 ppm)")
        if not 2 * self.max_extension_bytes <= self.max_slot0_bytes <= self.max_block_bytes // 2:
            raise InvalidGenesis("max_slot0_bytes must hold two extensions, and leave half of a block")

    def _validate_governance(self) -> None:
        for name in ("gov_deposit", "gov_deposit_seconds", "gov_voting_seconds", "max_proposals_per_block"):
            if getattr(self, name) < 1:
                raise InvalidGenesis(f"parameter {name} must be at least 1")
        if max(self.gov_deposit_seconds, self.gov_voting_seconds) > MAX_SECONDS:
            raise InvalidGenesis(f"gov_deposit_seconds and gov_voting_seconds are at most {MAX_SECONDS}")
        if not 100_000 <= self.gov_quorum <= 667_000 or not 500_000 <= self.gov_pass <= 667_000:
            raise InvalidGenesis("gov_quorum is 100,000 to 667,000 ppm, gov_pass 500,000 to 667,000")
        if not 250_000 <= self.gov_veto <= 500_000:
            raise InvalidGenesis("gov_veto is 250,000 to 500,000 ppm")
        if not 1 <= self.max_votes_open <= 64:
            raise InvalidGenesis("max_votes_open is 1 to 64: who moves stake moves it in every open vote")


_DAY = 86_400
BOUNDS: dict[str, tuple[int, int]] = {
    "block_gas_limit": (5_000_000, 1_000_000_000),
    "initial_base_fee": (1, 1_000_000 * GWEI),
    "base_fee_floor": (1, 1_000 * GWEI),
    "elasticity": (2, 16),
    "base_fee_denominator": (2, 1_000),
    "max_block_bytes": (512 * 1024, 64 * 1024 * 1024),
    "max_extension_bytes": (1_000, 4_096),
    "max_slot0_bytes": (16 * 1024, 16 * 1024 * 1024),
    "max_outbox_actions": (1, 64),
    "cap": (1, CAP),
    "reserve": (0, CAP),
    "mint_factor": (0, PPM),
    "mint_per_epoch": (0, 10_000_000 * OPEN),
    "split_contributors": (0, BASIS_POINTS),
    "split_owner": (0, BASIS_POINTS),
    "split_stakers": (0, BASIS_POINTS),
    "split_pool": (0, BASIS_POINTS),
    "split_burn": (0, BASIS_POINTS),
    "epoch_seconds": (5, 30 * _DAY),
    "claim_bond": (OPEN // 10, 100_000 * OPEN),
    "claim_bond_ppm": (10_000, PPM),
    "challenge_seconds": (0, 30 * _DAY),
    "challenge_bond": (OPEN // 10, 100_000 * OPEN),
    "model_bond": (0, 100_000 * OPEN),
    "claim_grace_epochs": (0, 1_000),
    "hold_seconds": (10, 7 * _DAY),
    "vote_seconds": (10, 7 * _DAY),
    "reveal_seconds": (10, 7 * _DAY),
    "work_price": (0, 1_000 * GWEI),
    "work_per_epoch": (100_000_000, 10**13),
    "max_shares": (16, 4_096),
    "max_settlements": (16, 512),
    "drawn_rows": (1, MAX_DRAWN),
    "score_tolerance": (0, 1_000_000),
    "score_tolerance_relative": (0, 100_000),
    "max_open_claims_per_block": (1, 1_024),
    "power_unit": (GWEI, 1_000_000 * OPEN),
    "min_self_bond": (OPEN, 10_000_000 * OPEN),
    "max_validators": (1, 500),
    "min_delegation": (GWEI, 1_000 * OPEN),
    "max_delegations": (4, 64),
    "unbonding_seconds": (60, 365 * _DAY),
    "max_unbondings_per_block": (1, 1_024),
    "slash_double_sign": (10_000, PPM),
    "slash_downtime": (0, 100_000),
    "slash_verdict": (1_000, PPM),
    "verdict_window": (10, 1_000),
    "min_verdicts": (0, 900_000),
    "slash_silence": (0, 10_000),
    "signed_window": (10, 10_000),
    "min_signed": (10_000, 900_000),
    "jail_seconds": (1, 30 * _DAY),
    "gov_deposit": (OPEN, 1_000_000 * OPEN),
    "gov_deposit_seconds": (10, 90 * _DAY),
    "gov_voting_seconds": (10, 90 * _DAY),
    "gov_quorum": (100_000, 667_000),
    "gov_pass": (500_000, 667_000),
    "gov_veto": (250_000, 500_000),
    "max_votes_open": (1, 64),
    "max_proposals_per_block": (1, 16),
    "max_parts": (1, 16_384),
    "promise_seconds": (10, MAX_PROMISE_SECONDS),
    "review_seconds": (10, 30 * _DAY),
    "appeal_seconds": (0, 90 * _DAY),
}
"""Least and largest value that a vote may give a parameter that is a number; who is not here stays as genesis says.
Genesis may begin outside of these, within what ``validate`` allows.
"""
ONLY_UP = frozenset({"max_shares", "max_extension_bytes"})
"""A vote may only raise these: with less, models with many contributors could not be claimed for any more, and reveals
of open claims that draw many rows could not be said."""
ONLY_DOWN = frozenset({"cap", "reserve"})
"""A vote may only lower these."""
