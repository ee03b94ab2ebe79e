"""What all child processes share: their lines, their end with ours, and the marks by which a leftover is known.

A child started through ``dying_with_parent`` is killed by the kernel when this process dies, however it dies (Linux;
elsewhere CometBFT ends by itself when the application's socket closes). ``ProcessMark`` is the file that names a child
by process id and start time, so that a process number given to somebody else is never mistaken for it. ``HomeLock``
keeps a second node out of a home, ``KeyLock`` a second signer with one key off a machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from openledger.primitives.errors import DatabaseLocked, HomeNotWritable

LINE_LIMIT = 1 << 20
_KILL_SECONDS = 5.0
_FILES = 65_536
_TRAMPOLINE = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
if os.getppid() == int(sys.argv[1]):  # else the parent died before the call
    os.execv(sys.argv[2], sys.argv[2:])
"""


def raise_file_limit() -> None:
    """Let this process have as many open files as the system lets it have: each connection is one, and a database that
    gets none ends the node."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def lines_of(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    """What a child writes to its pipe, line by line, until it closes it; a line above LINE_LIMIT loses its head."""
    stream = process.stdout
    while stream is not None:
        try:
            raw = await stream.readline()
        except ValueError:  # the rest of a line above the limit comes with the next
            continue
        if not raw:
            return
        yield raw.decode("utf-8", "replace").rstrip()


def dying_with_parent(command: Sequence[str]) -> list[str]:
    """The command as a child of this process that the kernel kills when this process is gone."""
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _TRAMPOLINE, str(os.getpid()), *command]


def stop_signals() -> tuple[signal.Signals, ...]:
    """What asks this process to end: also its terminal that closes, unless it was told to outlive that (nohup)."""
    outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *(() if outlives else (signal.SIGHUP,)))


def how_it_ended(code: int | None) -> str:
    """The end of a process, in words."""
    if code is None:
        return "is running"
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


def start_time(pid: int) -> int | None:
    """When a process started, in ticks since the machine did; None when there is none, or no /proc to ask."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *rest = text.rpartition(")")[2].split()
        return None if state == "Z" else int(rest[18])
    except (OSError, ValueError, IndexError):
        return None


class ProcessMark:
    """A file that names a running child, and itself: the copy of a home names nobody, so it ends nobody's child."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, pid: int) -> None:
        """Remember a child that was just started."""
        text = json.dumps({"pid": pid, "started": start_time(pid), "here": str(self._path.resolve())})
        temporary = self._path.with_suffix(".new")
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(self._path)

    def clear(self) -> None:
        """The child has gone."""
        self._path.unlink(missing_ok=True)

    def leftover(self) -> int:
        """Process id of a child that outlived the node that started it; 0 when there is none."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            pid, started = int(found["pid"]), found["started"]
            if found["here"] != str(self._path.resolve()):
                return 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        return pid if pid > 0 and started is not None and start_time(pid) == started else 0

    def take_down(self) -> int:
        """End a leftover: SIGTERM, SIGKILL after some seconds. Its process id, 0 when there was none. Blocks."""
        pid = self.leftover()
        for number in (signal.SIGTERM, signal.SIGKILL) if pid else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            end = time.monotonic() + _KILL_SECONDS
            while self.leftover() == pid and time.monotonic() < end:
                time.sleep(0.02)
            if self.leftover() != pid:
                break
        self.clear()
        return pid


class HomeLock:
    """One node in a home. The kernel gives the lock back when its holder dies, so none is ever stale."""

    def __init__(self, home: Path) -> None:
        self._path = home / "node.lock"
        self._handle = -1

    def take(self) -> None:
        """Raises DatabaseLocked when a node runs in this home, HomeNotWritable when it may not be written."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as err:
            raise HomeNotWritable(
                f"{self._path.parent} cannot be written: {err.strerror}", "choose a folder that you may write: --home"
            ) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(handle, 32).decode("ascii", "replace").strip()
            os.close(handle)
            raise DatabaseLocked(
                f"a node runs in {self._path.parent} already (process {holder or 'unknown'})",
                "stop it first, or use another --home",
            ) from None
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        self._handle = handle

    def holder(self) -> int:
        """Process id of the node that runs in this home; 0 when none does."""
        try:
            with self._path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError:
                    return int(file.read(32) or b"0")
        except (OSError, ValueError):
            pass
        return 0

    def release(self) -> None:
        """Let others in. May be called twice."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class KeyLock:
    """One signer for a validator's key on a machine: a name that the kernel gives to one process of a network namespace
    and takes back when that ends, so none is ever stale. Only Linux has such names; elsewhere ``take`` always succeeds.
    """

    def __init__(self, validator: bytes) -> None:
        self._name = f"\0openledger-signs-{validator.hex()}"
        self._socket: socket.socket | None = None

    def take(self) -> bool:
        """False when another process has it. May be called twice."""
        if self._socket is None and sys.platform == "linux":
            held = socket.socket(socket.AF_UNIX)
            try:
                held.bind(self._name)
            except OSError:
                held.close()
                return False
            self._socket = held
        return True

    def release(self) -> None:
        """Let others have it. May be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
