"""Write the lock files of this folder from pyproject.toml: ``make lock``.

node.lock    the chain, the RPC, the client, and what builds the package
oracle.lock  what the oracle needs, without torch
torch.lock   torch and the CUDA packages that its default build asks for
hf.lock      what Hugging Face bases need beside these two
dev.lock     the tests and the linters

All five are cut from one resolution, so a package has one version everywhere. Every line carries hashes, and markers
for Python 3.11 and 3.12. Needs ``uv`` (it is in dev.lock).
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


def compile_lock(uv: str, target: Path, extras: tuple[str, ...], constraint: Path | None) -> None:
    """Resolve pyproject.toml with ``extras`` into ``target``."""
    command = [uv, "pip", "compile", "pyproject.toml", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--quiet", "--output-file", str(target)]
    command += [word for extra in extras for word in ("--extra", extra)]
    if "node" in extras or constraint is None:
        command.append("requirements/build.in")
    if constraint is not None:
        command += ["--constraint", str(constraint)]
    subprocess.run(command, cwd=ROOT, check=True)


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
    """Write the five files."""
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
    write("node", "The node and what builds it", locked["node"])
    write("oracle", "The oracle without torch", [e for e in locked["oracle"] if not e.startswith(TORCH)])
    write("torch", "torch and its CUDA packages", [e for e in locked["oracle"] if e.startswith(TORCH)])
    write(
        "hf", "What Hugging Face bases need beside the oracle", [e for e in locked["hf"] if e not in locked["oracle"]]
    )
    write("dev", "Tests and linters", locked["dev"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
