"""Decoding (200-299): bytes that do not have the form they claim."""

from __future__ import annotations

from openledger.primitives.errors.transactions import InvalidTransaction


class DecodingError(InvalidTransaction):
    """Bytes that do not have the form they claim."""

    code = 200


class InvalidHex(DecodingError):
    code = 201
    rpc_code = -32602


class InvalidRlp(DecodingError):
    code = 202


class InvalidMsgpack(DecodingError):
    code = 203


class InvalidProtobuf(DecodingError):
    code = 204


class InvalidJson(DecodingError):
    code = 205
    rpc_code = -32700


class InvalidAddress(DecodingError):
    code = 206
    rpc_code = -32602


class InvalidAmount(DecodingError):
    code = 207
    rpc_code = -32602
