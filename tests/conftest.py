"""What all tests share: the chain harness, and how they run side by side (`make test`, adr/0071)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

if WORKER := os.environ.get("PYTEST_XDIST_WORKER", ""):
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, here and in the processes of tests

from harness import Harness
from waiting import terminable

terminable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side, those that wait for networks begin first: they leave each other the processors, and no worker
    waits alone in the end."""
    if WORKER:
        items.sort(key=lambda item: not item.nodeid.startswith("tests/e2e/"))


@pytest.fixture
def chain() -> Harness:
    """A devnet with one validator whose oracle says what the test tells it to."""
    return Harness()
