"""Write the lock files of this folder from pyproject.toml: ``make lock``.

node.lock    the chain, the RPC, the client, and what builds the package
oracle.lock  what the oracle needs, without torch
torch.lock   torch and the CUDA packages that its default build asks for
hf.lock      what Hugging Face bases need beside these two
dev.lock     the tests and the linters
eels.lock    the executable specification of Ethereum, in an environment of its own

The first five are cut from one resolution of the newest versions, so a package has one version everywhere. eels.lock
comes from eels.in and keeps its versions as long as they fit: what judges changes only when somebody wants it to. Every
line carries hashes, and markers for Python 3.11 and 3.12. Needs ``uv`` (it is in dev.lock).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TORCH = ("torch", "triton", "nvidia-", "cuda-")
LOCKS = {"node": ("node",), "oracle": ("oracle",), "hf": ("oracle", "hf"), "dev": ("node", "dev")}


def resolve(uv: str, target: Path, *words: str) -> None:
    """Resolve what ``words`` name into ``target``; versions that it has already are kept where they fit."""
    command = [uv, "pip", "compile", *words, "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--quiet", "--output-file", str(target)]
    subprocess.run(command, cwd=ROOT, check=True)


def compile_lock(uv: str, target: Path, extras: tuple[str, ...], constraint: Path | None) -> None:
    """Resolve pyproject.toml with ``extras`` into ``target``."""
    words = ["pyproject.toml", *(word for extra in extras for word in ("--extra", extra))]
    if "node" in extras or constraint is None:
        words.append("requirements/build.in")
    if constraint is not None:
        words += ["--constraint", str(constraint)]
    resolve(uv, target, *words)


def entries(text: str) -> list[str]:
    """The requirements of a lock file, each with its hash lines."""
    found: list[str] = []
    for line in text.splitlines(keepends=True):
        if line.startswith((" ", "\t")):
            found[-1] += line
        elif line.strip() and not line.startswith("#"):
            found.append(line)
    return found


def write(name: str, title: str, lines: list[str]) -> None:
    """One lock file with a heading."""
    (HERE / f"{name}.lock").write_text(f"# {title}. Written by `make lock`; do not edit.\n" + "".join(lines))


def main() -> int:
    """Write the six files."""
    uv = shutil.which("uv", path=str(ROOT / ".venv/bin")) or shutil.which("uv")
    if uv is None:
        print("make lock needs uv: run `make install-dev` first.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        everything = Path(folder) / "all.txt"
        compile_lock(uv, everything, ("node", "oracle", "hf", "dev"), None)
        locked: dict[str, list[str]] = {}
        for name, extras in LOCKS.items():
            target = Path(folder) / f"{name}.txt"
            compile_lock(uv, target, extras, everything)
            locked[name] = entries(target.read_text())
        judge = Path(shutil.copy(HERE / "eels.lock", folder))
        resolve(uv, judge, "requirements/eels.in")
        locked["eels"] = entries(judge.read_text())
    write("node", "The node and what builds it", locked["node"])
    write("oracle", "The oracle without torch", [e for e in locked["oracle"] if not e.startswith(TORCH)])
    write("torch", "torch and its CUDA packages", [e for e in locked["oracle"] if e.startswith(TORCH)])
    write(
        "hf", "What Hugging Face bases need beside the oracle", [e for e in locked["hf"] if e not in locked["oracle"]]
    )
    write("dev", "Tests and linters", locked["dev"])
    write("eels", "The executable specification of Ethereum (EELS), the third judge of `make soak`", locked["eels"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
