"""Lines of source per room against the budgets of the architecture (section 6): ``make size``. No dependencies."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUDGETS = {
    "primitives": 1000,
    "genesis": 500,
    "state": 2200,
    "evm": 1600,
    "abci_app/protocol": 900,
    "abci_app (core)": 1200,
    "abci_app/modules": 2200,
    "attribution_oracle": 2600,
    "rpc (without web)": 2600,
    "rpc/web": 3000,
    "node": 1600,
}
TOTAL_PYTHON = 16400
WEB = {".html", ".css", ".js", ".mjs"}


def room_of(path: Path) -> str | None:
    """The row of the table that a file of the package counts in; None for files that are no source."""
    parts = path.relative_to(ROOT / "openledger").parts
    if parts[:2] == ("rpc", "web"):
        return "rpc/web" if path.suffix in WEB else None
    if path.suffix != ".py" or len(parts) < 2:
        return None
    if parts[0] == "rpc":
        return "rpc (without web)"
    if parts[0] == "abci_app":
        return f"abci_app/{parts[1]}" if parts[1] in ("protocol", "modules") else "abci_app (core)"
    return parts[0]


def lines(path: Path) -> int:
    """Lines of one file."""
    return len(path.read_text(encoding="utf-8").splitlines())


def count() -> dict[str, int]:
    """Lines per room."""
    found = dict.fromkeys(BUDGETS, 0)
    for path in sorted((ROOT / "openledger").rglob("*")):
        room = room_of(path) if path.is_file() and "vendor" not in path.parts else None
        if room is not None:
            found[room] = found.get(room, 0) + lines(path)
    return found


def main() -> int:
    """Print the table."""
    found = count()
    print(f"{'room':<22}{'lines':>8}{'budget':>8}")
    for room, number in found.items():
        budget = BUDGETS.get(room)
        mark = "" if budget is None or number <= budget else f"  +{(number - budget) * 100 // budget} %"
        print(f"{room:<22}{number:>8,}{budget or 0:>8,}{mark}")
    python = sum(n for room, n in found.items() if room != "rpc/web")
    tests = sum(lines(p) for p in (ROOT / "tests").rglob("*.py"))
    print(f"{'Python in all':<22}{python:>8,}{TOTAL_PYTHON:>8,}")
    print(f"{'tests':<22}{tests:>8,}  ({tests / max(python, 1):.2f} x source)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
