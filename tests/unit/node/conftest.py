"""What tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty folder, and no settings of the machine but a password for keys."""
    for name in ("OPENLEDGER_HOME", "OPENLEDGER_NODE", "OPENLEDGER_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENLEDGER_PASSWORD", "pw")
    monkeypatch.chdir(tmp_path)
