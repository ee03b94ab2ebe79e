"""Genesis and configuration (300-399)."""

from __future__ import annotations

from openledger.primitives.errors.base import OpenLedgerError


class ConfigError(OpenLedgerError):
    code = 300


class InvalidGenesis(ConfigError):
    code = 301


class InvalidConfig(ConfigError):
    code = 302


class WrongDataFolder(ConfigError):
    """The data folder belongs to another chain or another version."""

    code = 303


class PortTaken(ConfigError):
    code = 304


class MissingProgram(ConfigError):
    """A program such as CometBFT is missing or has the wrong version."""

    code = 305


class MissingExtra(ConfigError):
    """An optional part of the installation (torch, plyvel) is missing."""

    code = 306


class KeystoreError(ConfigError):
    code = 307


class NodeUnreachable(ConfigError):
    code = 308


class HomeNotWritable(ConfigError):
    code = 309


class DiskFull(ConfigError):
    """The disk has no room left; the node stops before it would lose something."""

    code = 310


class DoubleSignRisk(ConfigError):
    """To start this validator could make it sign a height twice, for which it would be slashed."""

    code = 311


class SignerFault(ConfigError):
    """The remote signer is missing, holds another key, or does not sign what a validator must sign."""

    code = 312


class UnsupportedCometBft(ConfigError):
    """The CometBFT that connected is not one that this node works with."""

    code = 313
