"""What is asked of a machine in a line: is a package installed, is a port free, and how the answer looks."""

from __future__ import annotations

import errno
import importlib.util
import socket
from dataclasses import dataclass

OK, WARN, MISS = "ok", "warn", "miss"


@dataclass(frozen=True)
class Check:
    """One line of the doctor. ``miss`` makes the program unusable; ``warn`` is worth a look."""

    name: str
    level: str
    found: str
    hint: str = ""


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
