"""Entry points for measuring attribution from outside, on models, corpora and runs that are none of ours."""

from __future__ import annotations

from openledger.attribution_oracle.attribute import attribute
from openledger.attribution_oracle.rewards import rewards

__all__ = ["attribute", "rewards"]
