"""Controls of a solo devnet, and forks (340-359)."""

from __future__ import annotations

from openledger.primitives.errors.base import OpenLedgerError


class DevnetError(OpenLedgerError):
    """A control of a devnet that cannot be done."""

    code = 340


class EditRefused(DevnetError):
    """A state edit of something that must not be edited."""

    code = 341
    rpc_code = -32602


class TimeRefused(DevnetError):
    """A block time below the last block's."""

    code = 342
    rpc_code = -32602


class UnknownAccount(DevnetError):
    """The node has no key of this account, and does not impersonate it."""

    code = 343


class FaucetRefused(DevnetError):
    """More than one request may ask for, or the faucet is empty."""

    code = 344


class ForkError(DevnetError):
    """The chain that a devnet was forked from does not answer, or not with what is needed."""

    code = 350


class ForkUnsupported(DevnetError):
    """What a forked devnet does not have: proofs, exports, snapshots of its state."""

    code = 351
