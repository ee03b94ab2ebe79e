"""The packages of other makers' clients, installed once into .tools/clients."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from devnet_process import ROOT

HERE = Path(__file__).parent
STORE = ROOT / ".tools" / "clients"
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
"""This run of the tests: the same in all its processes."""
INSTALL_SECONDS = 180.0
"""How long packages may take to come. A test may take longer: a slow network skips tests, and fails none."""


@contextmanager
def alone(name: str) -> Iterator[None]:
    """One process at a time in a client's folder: ``npm ci`` begins by removing what another one may be using."""
    STORE.mkdir(parents=True, exist_ok=True)
    with open(STORE / f"{name}.lock", "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def installed(name: str) -> Path:
    """Folder with the client's files and its packages, exactly those of its lock file; skips where npm cannot."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js is not installed")
    with alone(name):
        return install(name)


def install(name: str) -> Path:
    """What ``installed`` does, for who is alone in the folder."""
    folder, lock = STORE / name, (HERE / name / "package-lock.json").read_text(encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "installed.json"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != lock:
        for file in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name / file, folder / file)
        fetch(name, ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder)
        stamp.write_text(lock, encoding="utf-8")
    for file in HERE.joinpath(name).iterdir():
        copy = folder / file.name
        if file.suffix in (".mjs", ".cjs", ".sol") and not (copy.exists() and copy.read_bytes() == file.read_bytes()):
            shutil.copy(file, copy)
    return folder


def fetch(name: str, command: list[str], folder: Path) -> None:
    """Run what needs the network; skips where it fails or takes too long, and then for the rest of this run."""
    note = STORE / f"{name}.failed"
    if note.exists() and note.read_text(encoding="utf-8") == RUN:
        pytest.skip(f"the packages of {name} could not be had a moment ago")
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
        reason = (done.stderr.strip()[-200:] or f"exit code {done.returncode}") if done.returncode else ""
    except subprocess.TimeoutExpired:
        reason = f"not here after {INSTALL_SECONDS:.0f} seconds"
    if reason:
        note.write_text(RUN, encoding="utf-8")
        pytest.skip(f"the packages of {name} cannot be installed: {reason}")
