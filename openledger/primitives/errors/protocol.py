"""Between the consensus engine and the application (500-599)."""

from __future__ import annotations

from openledger.primitives.errors.base import OpenLedgerError


class ProtocolError(OpenLedgerError):
    code = 500


class FrameTooLarge(ProtocolError):
    code = 501


class MissingField(ProtocolError):
    """A message from the consensus engine lacks a field that must be there; named in the message."""

    code = 502


class UnexpectedMessage(ProtocolError):
    code = 503


class ConsensusFault(ProtocolError):
    """The consensus engine and the application disagree; the node stops."""

    code = 504


class UpgradeNeeded(ConsensusFault):
    """The chain has decided to go on with a newer version of this program; the node stops before that block."""

    code = 505
