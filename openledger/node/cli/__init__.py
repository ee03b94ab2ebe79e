"""The program ``openledger``: one file per group of commands.

Every command takes ``--home``, ``--node``, ``--key`` and ``--json``, before or after its own name. An expected failure
is one sentence and a hint on stderr with exit code 1; Ctrl-C is exit code 130. Heavy imports happen inside the
commands, so that ``openledger version`` answers at once and only those that need torch load it.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the console script. Loads the rest here, so that Ctrl-C in the first moment is quiet too."""
    try:
        from openledger.node.cli import root
    except KeyboardInterrupt:
        sys.exit(130)
    root.main()


__all__ = ["main"]
