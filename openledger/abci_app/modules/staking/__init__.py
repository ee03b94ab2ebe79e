"""Validators, their stake and power, and what happens to those who sign twice or not at all.

A validator is an ed25519 key with a stake in wei that the staking account holds. Its power is stake // power_unit. The
best ``max_validators`` that are not jailed are the validator set; a set decided in block h signs from height h + 2 on
(``sets``). Only operators stake for now, each for its own validator: delegation comes with a table of shares beside
``ValidatorRecord.stake``, which is the sum already.
"""
