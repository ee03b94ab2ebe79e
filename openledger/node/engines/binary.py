"""Finds CometBFT on this machine, and knows which versions this node works with."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from openledger.abci_app.protocol.messages import RequestInfo
from openledger.primitives.errors import MissingProgram, UnsupportedCometBft

PINNED = "0.40.0"
SUPPORTED = (PINNED, "0.38.26")
HINT = f"make cometbft, or: go install github.com/cometbft/cometbft/cmd/cometbft@v{PINNED} (about a minute)"
_ENVIRONMENT = "OPENLEDGER_COMETBFT"
_SELF_NAMED = "0.39.0"
"""What 0.40.0 answers to ``cometbft version``; so does the real 0.39.0, which is not supported."""
_SAID = {_SELF_NAMED: PINNED, "0.38.26": "0.38.26"}
"""What a CometBFT says when it connects -> the release that it is, as far as that can be told."""
_PROTOCOLS = (11, 8, "2.0.0")
"""Block, peer-to-peer and ABCI protocol of all releases that this node works with."""
_MODULE = b"github.com/cometbft/cometbft\tv"


@dataclass(frozen=True, slots=True)
class CometBinary:
    """A CometBFT that this node works with."""

    path: Path
    version: str


def _module_version(program: Path) -> str | None:
    """The module version that Go's linker wrote into the program, or None."""
    with program.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(b"mod\t" + _MODULE)
        if at < 0:
            return None
        start = at + len(b"mod\t" + _MODULE)
        return content[start : start + 32].split(b"\t")[0].split(b"\n")[0].decode("ascii", "replace")


def cometbft_version(program: Path) -> str | None:
    """The release of this program, or None when it does not run. Never raises."""
    try:
        answer = subprocess.run([str(program), "version"], capture_output=True, text=True, timeout=20, check=False)
        lines = answer.stdout.split()
        if answer.returncode != 0 or not lines:
            return None
        version = lines[-1].removeprefix("v").partition("+")[0]
        if version == _SELF_NAMED:
            version = _module_version(program) or version
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return version


def _candidates(explicit: str, environment: Mapping[str, str], folders: Sequence[Path]) -> list[Path]:
    named = explicit or environment.get(_ENVIRONMENT, "")
    if named:
        return [Path(named)]
    found = [folder / ".tools" / f"cometbft-{v}" / "cometbft" for v in SUPPORTED for folder in folders]
    on_path = shutil.which("cometbft", path=environment.get("PATH"))
    return found + ([Path(on_path)] if on_path else [])


def find_cometbft(
    explicit: str = "", *, environment: Mapping[str, str] | None = None, folders: Sequence[Path] | None = None
) -> CometBinary:
    """CometBFT at ``explicit``, else where OPENLEDGER_COMETBFT of ``environment`` (this process's by default) says,
    else in ``.tools`` of ``folders`` (by default the working folder and the project's), else on the PATH of
    ``environment``.

    Raises MissingProgram when there is none, or only versions that this node does not know.
    """
    if folders is None:
        folders = (Path.cwd(), Path(__file__).resolve().parents[3])
    strange: list[str] = []
    candidates = _candidates(explicit, os.environ if environment is None else environment, folders)
    for path in dict.fromkeys(candidates):
        version = cometbft_version(path) if path.is_file() else None
        if version in SUPPORTED:
            return CometBinary(path, version)
        if version is not None:
            strange.append(f"{version} at {path}")
    if strange:
        raise MissingProgram(f"CometBFT {strange[0]} is not a version this node works with ({PINNED})", HINT)
    where = f" at {candidates[0]}" if len(candidates) == 1 else ""
    raise MissingProgram(f"CometBFT is not installed{where}", HINT)


def check_handshake(info: RequestInfo, binary: CometBinary | None) -> str:
    """The release that connected; ``binary`` is the one that we started, if we did.

    Raises UnsupportedCometBft for a version or protocol that this node does not know. CometBFT asks with nothing in
    Info only from its tools; that is let pass.
    """
    if not info.version:
        return "" if binary is None else binary.version
    release = _SAID.get(info.version)
    if release is None:
        raise UnsupportedCometBft(
            f"the CometBFT that connected is {info.version}; this node works with {' and '.join(SUPPORTED)}", HINT
        )
    if (info.block_version, info.p2p_version, info.abci_version) != _PROTOCOLS:
        raise UnsupportedCometBft(
            f"the CometBFT that connected calls itself {info.version}, but speaks block protocol {info.block_version}, "
            f"peer protocol {info.p2p_version}, ABCI {info.abci_version} instead of {_PROTOCOLS}",
            HINT,
        )
    return release if binary is None else binary.version
