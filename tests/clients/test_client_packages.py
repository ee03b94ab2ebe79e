"""Packages that cannot be had skip the tests that need them, with the reason, and are asked for once in a run."""

from __future__ import annotations

from pathlib import Path

import client_packages
import pytest


@pytest.fixture
def tries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for each try of the npm that ``npm`` writes."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(client_packages, "STORE", tmp_path / "store")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    npm(tmp_path / "tries", "node", "exit 0")
    return tmp_path / "tries"


def npm(tries: Path, name: str, words: str) -> None:
    program = tries.parent / "bin" / name
    program.write_text(f"#!/bin/sh\necho >> {tries}\n{words}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("words", "reason"), [("echo no network >&2; exit 1", "no network"), ("exec sleep 60", "not here after 0 seconds")]
)
def test_packages_that_cannot_be_had_skip_with_the_reason_and_are_asked_for_once(
    tries: Path, words: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_packages, "INSTALL_SECONDS", 30 if "exit" in words else 0.3)
    npm(tries, "npm", words)
    with pytest.raises(pytest.skip.Exception, match=reason):
        client_packages.installed("viem")
    tries.write_text("first\n")
    with pytest.raises(pytest.skip.Exception, match="a moment ago"):
        client_packages.installed("viem")
    assert tries.read_text() == "first\n"


def test_the_next_run_asks_again_and_what_is_there_is_not_asked_for(
    tries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm(tries, "npm", "exit 1")
    with pytest.raises(pytest.skip.Exception):
        client_packages.installed("viem")
    npm(tries, "npm", "exit 0")
    monkeypatch.setattr(client_packages, "RUN", "another")
    folder = client_packages.installed("viem")
    assert (folder / "client.mjs").is_file()
    asked = tries.read_text()
    assert client_packages.installed("viem") == folder
    assert tries.read_text() == asked
