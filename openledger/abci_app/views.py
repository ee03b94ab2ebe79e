"""What all JSON views of the state share."""

from __future__ import annotations

from typing import Any

View = dict[str, Any]
MAX_LIST = 1_000
"""Entries that one answer holds at most; who wants more asks for the next page."""
