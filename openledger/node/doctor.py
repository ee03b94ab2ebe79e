"""What this machine has and lacks: one line each, with the way to get what is missing."""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from openledger.node.engines.binary import find_cometbft
from openledger.primitives.errors import MissingProgram


@dataclass(frozen=True)
class Check:
    """One line of the doctor. ``needed`` ones make the program unusable when they fail."""

    name: str
    ok: bool
    found: str
    hint: str = ""
    needed: bool = False


def has_module(name: str) -> bool:
    """True when a package can be imported; does not import it."""
    return importlib.util.find_spec(name) is not None


def has_torch() -> bool:
    """True when the oracle extra is installed; does not import it."""
    return has_module("torch") and has_module("safetensors")


def port_is_free(host: str, port: int) -> bool:
    """False when another program listens there. A host that this machine does not have is said when listening fails."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as err:
            return err.errno != errno.EADDRINUSE
    return True


def _writable(folder: Path) -> bool:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)


def examine(home: Path, port: int, program: str = "") -> list[Check]:
    """All checks of this machine."""
    version = ".".join(str(n) for n in sys.version_info[:3])
    node, torch = has_module("plyvel") and has_module("eth"), has_torch()
    checks = [
        Check("Python", sys.version_info[:2] in ((3, 11), (3, 12)), version, "install Python 3.11 or 3.12", True),
        Check("node", node, "installed" if node else "missing", "make install", True),
        Check("oracle", torch, "installed" if torch else "missing: no training, votes silence", "make install-oracle"),
    ]
    native = has_module("openledger_native")
    runs = "revm (native)" if native else "py-evm (Python); a network of several validators wants the native one"
    checks.append(Check("engine", native, runs, "install Rust 1.91 or later, then make native"))
    try:
        comet = find_cometbft(program, environment=os.environ)
        checks.append(Check("CometBFT", True, f"{comet.version} at {comet.path}"))
    except MissingProgram as err:
        checks.append(Check("CometBFT", False, f"{err}; needed by `start`, not by `devnet`", err.hint or ""))
    go = shutil.which("go")
    checks.append(Check("Go", go is not None, go or "missing; only needed to build CometBFT", "https://go.dev/dl"))
    free = port_is_free("127.0.0.1", port)
    checks.append(Check(f"port {port}", free, "free" if free else "in use (a node may be running)", "--port another"))
    checks.append(Check("home", _writable(home), str(home), "choose a folder that you may write: --home", True))
    space = shutil.disk_usage(next(p for p in (home, *home.parents) if p.exists())).free // 2**30
    checks.append(Check("disk", space >= 2, f"{space} GiB free", "a node wants at least 2 GiB"))
    return checks
