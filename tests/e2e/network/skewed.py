"""A CometBFT whose clock can be wrong: the module's own source, in which every reading of the time that ends up in a
vote or is compared with a block's adds ``CLOCK_SKEW`` (a Go duration, such as ``-300s``).

Programs of Go ask the kernel without a library in between, so no preloaded one can shift their clock, and Linux has
time namespaces for other clocks only.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from pathlib import Path

from openledger.primitives.errors import MissingProgram

TOOLS = Path(__file__).resolve().parents[3] / ".tools"
MODULE = "github.com/cometbft/cometbft"
SKEW = """package time

import (
	"os"
	"time"
)

var skew, _ = time.ParseDuration(os.Getenv("CLOCK_SKEW"))
"""
COMMIT = ("-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "--quiet", "--message", "skewed")


def skewed(version: str) -> str:
    """Path of the program, built once (a minute or two). Raises MissingProgram where Go or the module is not there."""
    folder = TOOLS / f"cometbft-{version}-skewed"
    program = folder / "cometbft"
    if shutil.which("go") is None:
        raise MissingProgram("Go is not installed, so no CometBFT with a wrong clock can be built", "install Go")
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not program.exists():
            _build(version, folder / "source", program)
    return str(program)


def _build(version: str, source: Path, program: Path) -> None:
    found = _run(["go", "mod", "download", "-json", f"{MODULE}@v{version}"], TOOLS)
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(json.loads(found)["Dir"], source, copy_function=shutil.copyfile)
    for folder in (source, *(path for path in source.rglob("*") if path.is_dir())):
        folder.chmod(0o755)  # the module cache is read-only
    (source / "types" / "time" / "skew.go").write_text(SKEW)
    _replace(source / "types" / "time" / "time.go", "time.Now()", "time.Now().Add(skew)")
    _replace(source / "state" / "validation.go", "time.Now()", "cmttime.Now()")
    _replace(
        source / "state" / "validation.go", f'"{MODULE}/types"', f'"{MODULE}/types"; cmttime "{MODULE}/types/time"'
    )
    for words in (["init", "--quiet"], ["add", "--all", "--force"], [*COMMIT], ["tag", f"v{version}"]):
        _run(["git", *words], source)  # Go writes the tag into the program, and the node asks for its version
    _run(["go", "build", "-buildvcs=true", "-o", str(program.with_suffix(".new")), "./cmd/cometbft"], source)
    program.with_suffix(".new").rename(program)
    shutil.rmtree(source)


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    if old not in text:
        raise MissingProgram(f"{file.name} of this CometBFT has no {old}", "look how it reads the time now")
    file.write_text(text.replace(old, new), encoding="utf-8")


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode != 0:
        raise MissingProgram(f"{command[0]} {command[1]} failed: {done.stderr.strip()[-300:]}", "is Go's proxy there?")
    return done.stdout
