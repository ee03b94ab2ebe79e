"""``python tests/e2e/network FILE...``: run the networks that these files describe, and print what came of it."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from network.checks import Broken
from network.runner import run
from network.spec import WrongNetwork, load

from openledger.primitives.errors import MissingProgram

NETWORKS = Path(__file__).resolve().parents[1] / "networks"


def main(files: list[str]) -> int:
    """Exit code 0 when every promise held."""
    if not files or any(file.startswith("-") for file in files):
        names = " ".join(sorted(path.name for path in NETWORKS.glob("*.toml")))
        print(f"{__doc__}\n\nIn tests/e2e/networks: {names}")
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has told its background jobs to ignore one
        signal.signal(number, signal.default_int_handler)
    failed = 0
    for file in files:
        try:
            spec = load(Path(file))
            print(f"{spec.name}: {spec.claim}", flush=True)
            with tempfile.TemporaryDirectory(prefix=f"network-{spec.name}-") as folder:
                summary = run(spec, Path(folder) / "net", lambda line: print(line, flush=True))
            print("\n".join(summary.lines()), flush=True)
        except (WrongNetwork, MissingProgram, Broken) as err:
            print(f"FAILED {file}: {err}", file=sys.stderr, flush=True)
            failed += 1
        except KeyboardInterrupt:
            print("stopped; every node has ended", file=sys.stderr)
            return 130
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
