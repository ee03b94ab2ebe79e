"""The root of the error tree."""

from __future__ import annotations

from typing import ClassVar


class OpenLedgerError(Exception):
    """Root of all expected failures: one sentence, and a hint what to do about it."""

    code: ClassVar[int] = 1
    rpc_code: ClassVar[int] = -32000

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message
