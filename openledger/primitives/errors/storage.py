"""Storage (400-499)."""

from __future__ import annotations

from openledger.primitives.errors.base import OpenLedgerError


class StorageError(OpenLedgerError):
    code = 400


class DatabaseLocked(StorageError):
    code = 401


class CorruptDatabase(StorageError):
    code = 402


class StatePruned(StorageError):
    """The asked height is older than the oldest state kept; the message names that height."""

    code = 403


class UnknownBlock(StorageError):
    code = 404


class InvalidSnapshot(StorageError):
    """A snapshot is malformed, damaged, or does not give the state that it says."""

    code = 410


class StateRestoring(StorageError):
    """A snapshot is being restored: there is no state to read until it is whole."""

    code = 411


class InvalidExport(StorageError):
    """A state export is damaged, or is not the state that it says."""

    code = 405


class ProofInvalid(StorageError):
    """What a node says of the state does not follow from the block's hash."""

    code = 406


class NotStored(StorageError):
    """A transaction could not be brought to this node's journal on disk, so it is not acknowledged; the words say where
    it waits all the same."""

    code = 415
