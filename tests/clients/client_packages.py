"""The packages of other makers' clients, installed once into .tools/clients."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from devnet_process import ROOT

HERE = Path(__file__).parent
STORE = ROOT / ".tools" / "clients"


def installed(name: str) -> Path:
    """Folder with the client's files and its packages, exactly those of its lock file; skips where npm cannot."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js is not installed")
    folder, lock = STORE / name, (HERE / name / "package-lock.json").read_text(encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "installed.json"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != lock:
        for file in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name / file, folder / file)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode != 0:
            pytest.skip(f"the packages of {name} cannot be installed: {done.stderr.strip()[-200:]}")
        stamp.write_text(lock, encoding="utf-8")
    for file in HERE.joinpath(name).iterdir():
        if file.suffix in (".mjs", ".cjs", ".sol"):
            shutil.copy(file, folder / file.name)
    return folder
