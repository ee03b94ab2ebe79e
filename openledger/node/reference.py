"""Writes the reference pages that come from the program itself: ``make docs``.

errors.md lists every error number of ``primitives.errors``; cli.md every command with its help; metrics.md what
``/metrics`` answers.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import click

from openledger.node.cli.common import App, shared_options
from openledger.node.cli.root import cli
from openledger.node.metrics import page as metrics_page
from openledger.primitives.errors import error_table

RANGES = (
    (1, 99, "Transactions", "refused at admission; never in a block"),
    (100, 199, "Native actions", "in a block they become a failed receipt"),
    (200, 299, "Decoding", "bytes that do not have the form they claim"),
    (300, 399, "Genesis and configuration", "reported by the command line"),
    (400, 499, "Storage", "reported by the node"),
    (500, 599, "Protocol", "between CometBFT and the application"),
    (600, 699, "Blobs and oracle", "reported by the factory and the blob store"),
)


def errors_page() -> str:
    """Text of errors.md."""
    out = [
        "# Error numbers",
        "",
        "Written by `make docs` from `openledger/primitives/errors`. A number never changes its meaning. It is the",
        "ABCI `code` of a refused transaction and stands in `error.data.code` of a JSON-RPC answer.",
    ]
    numbers = error_table()
    for low, high, title, text in RANGES:
        out += [
            "",
            f"## {title} ({low}-{high}): {text}",
            "",
            "| number | name | JSON-RPC code | meaning |",
            "|---|---|---|---|",
        ]
        for code, cls in numbers.items():
            if low <= code <= high:
                doc = " ".join((cls.__dict__.get("__doc__") or _words(cls.__name__)).split())
                out.append(f"| {code} | {cls.__name__} | {cls.rpc_code} | {doc} |")
    return "\n".join(out) + "\n"


def _words(name: str) -> str:
    text = "".join(" " + c.lower() if c.isupper() else c for c in name).strip()
    return text[0].upper() + text[1:] + "."


def commands(command: click.Command = cli, path: str = "openledger") -> Iterator[tuple[str, click.Command]]:
    """Every command with its full path, groups first."""
    yield path, command
    if isinstance(command, click.Group):
        ctx = click.Context(command, info_name=path, obj=App())
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            if child is not None:
                yield from commands(child, f"{path} {name}")


def usage(path: str, command: click.Command) -> str:
    """One line of usage, without the shared options."""
    ctx = click.Context(command, info_name=path, obj=App())
    return " ".join([path, *command.collect_usage_pieces(ctx)])


def cli_page() -> str:
    """Text of cli.md."""
    shared = {o for option in shared_options() for o in option.opts}
    out = [
        "# Command line",
        "",
        "Written by `make docs` from the program. Every command takes these options, before or after its name:",
        "",
    ]
    out += [f"- `{option.opts[0]}`: {option.help}" for option in shared_options()]
    out += [
        "",
        "The exit code is 0 only on success, 1 for a failure, 2 for a wrong command line, 130 for Ctrl-C. A failure is",
        "one sentence and a hint on stderr; with `--json` it is one JSON object on stderr.",
    ]
    for path, command in commands():
        out += ["", f"## {path}", "", " ".join((command.help or "").split()), "", "```", usage(path, command), "```"]
        rows = []
        for param in command.params:
            if isinstance(param, click.Option) and not shared & set(param.opts):
                rows.append(f"- `{', '.join(param.opts + param.secondary_opts)}`: {param.help or ''}")
        out += ["", *rows] if rows else []
    return "\n".join(out) + "\n"


def main(folder: str) -> None:
    """Write the pages into ``folder``."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    (target / "errors.md").write_text(errors_page(), encoding="utf-8")
    (target / "metrics.md").write_text(metrics_page(), encoding="utf-8")
    (target / "cli.md").write_text(cli_page(), encoding="utf-8")


if __name__ == "__main__":
    words = argparse.ArgumentParser(description="Write the pages of the reference that follow from the program.")
    words.add_argument("folder", nargs="?", default="docs/reference")
    main(words.parse_args().folder)
