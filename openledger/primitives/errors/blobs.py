"""Blobs and oracle (600-699)."""

from __future__ import annotations

from openledger.primitives.errors.base import OpenLedgerError


class BlobError(OpenLedgerError):
    code = 600


class BlobNotFound(BlobError):
    code = 601


class BlobCorrupt(BlobError):
    """The bytes do not have the hash they are named by."""

    code = 602


class BlobTooLarge(BlobError):
    code = 603


class OracleError(OpenLedgerError):
    code = 610


class InvalidModel(OracleError):
    """Weights, index or receipt that cannot be read, or do not belong together."""

    code = 611


class PaymentRequired(OracleError):
    code = 612


class BaseMissing(OpenLedgerError):
    """A base model that this machine lacks, or cannot hold. It says nothing about who uses the base."""

    code = 613
