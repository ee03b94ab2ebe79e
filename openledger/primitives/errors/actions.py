"""Native actions (100-199): they become a failed receipt when they fail in a block."""

from __future__ import annotations

from openledger.primitives.errors.transactions import InvalidTransaction


class ActionRefused(InvalidTransaction):
    """A well-formed native action that the state machine refuses."""

    code = 100


class UnknownAction(ActionRefused):
    code = 101


class MalformedAction(ActionRefused):
    """A field of an action has the wrong form, range or length."""

    code = 102


class NotFound(ActionRefused):
    """The record that an action names does not exist."""

    code = 103


class NotAllowed(ActionRefused):
    """The sender may not do this."""

    code = 104


class AlreadyExists(ActionRefused):
    code = 105


class WrongPhase(ActionRefused):
    """Right action, wrong time: closed session, ended vote, open epoch."""

    code = 106


class AmountOutOfRange(ActionRefused):
    code = 107


class VoucherInvalid(ActionRefused):
    code = 108


class SharesInvalid(ActionRefused):
    """Shares that do not add up to exactly 1,000,000, or name an unknown contributor."""

    code = 109


class BudgetExceeded(ActionRefused):
    """The epoch's verification budget is used up."""

    code = 110


class KeyProofInvalid(ActionRefused):
    """A consensus key that has not signed for this chain and this operator."""

    code = 111


class ValidatorTombstoned(ActionRefused):
    """The validator signed two blocks of one height; it never comes back."""

    code = 112


class NotJailed(ActionRefused):
    code = 113


class StillJailed(ActionRefused):
    """The jail time is not over."""

    code = 114


class LastValidator(ActionRefused):
    """The chain would be left without a validator."""

    code = 115


class TooManyUnbondings(ActionRefused):
    code = 116


class NotChallengeable(ActionRefused):
    """The claim was not accepted, or the time for challenges is over."""

    code = 140


class ProposalRefused(ActionRefused):
    """What a proposal would do is not possible: a bound would be crossed, or the money is not there."""

    code = 150


class TooManyVotes(ActionRefused):
    """As many proposals are being voted on as may be at the same time."""

    code = 151
