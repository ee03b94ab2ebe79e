"""What all tests share: keys of the ten devnet accounts, and the chain harness."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import Harness


@pytest.fixture
def chain() -> Harness:
    """A devnet with one validator whose oracle says what the test tells it to."""
    return Harness()
