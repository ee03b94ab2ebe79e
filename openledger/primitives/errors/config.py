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
