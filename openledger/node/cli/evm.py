"""``openledger evm``: the engines by themselves, without a chain."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openledger.node.cli.common import App, Group, pass_app
from openledger.primitives.errors import NotFound

if TYPE_CHECKING:
    from openledger.evm.engine import EvmEngine

FORKS = ("Cancun", "Prague")
BLOBS = "blob transactions are no part of this chain"


@click.group(cls=Group)
def evm() -> None:
    """Run the EVM engines by themselves."""


@evm.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--engine",
    type=click.Choice(["revm", "py-evm", "both"]),
    default=None,
    help="Engine to test; the fastest one that is installed by default.",
)
@click.option(
    "--fork", "forks", type=click.Choice(FORKS), multiple=True, help="Only cases of this fork; may be repeated."
)
@pass_app
def statetest(app: App, paths: tuple[Path, ...], engine: str | None, forks: tuple[str, ...]) -> None:
    """Run official Ethereum state tests (JSON files, or folders of them). Each failure is a line of JSON; the last line
    counts. Cases with blob transactions are left out and counted on stderr."""
    names = ("revm", "py-evm") if engine == "both" else (engine or "auto",)
    count: Counter[str] = Counter()
    engines = {name: _engines(name) for name in names}
    for path in _files(paths):
        for name in names:
            for failure in _run(path, forks or FORKS, engines[name], count):
                click.echo(json.dumps({"file": str(path), "engine": next(iter(engines[name].values())).name} | failure))
    if count["skipped"]:
        click.echo(f"{count['skipped']} left out: {BLOBS}", err=True)
    numbers = {"passed": count["passed"], "failed": count["failed"]}
    app.emit(numbers | {"skipped": count["skipped"]}, "{passed} passed, {failed} failed".format(**numbers))
    if not count:
        raise NotFound("no state test is there", "name JSON files of state tests, or folders with some")
    if count["failed"]:
        raise click.exceptions.Exit(1)


def _engines(name: str) -> dict[str, EvmEngine]:
    """One engine for each fork. Raises MissingExtra when it is not built."""
    from openledger.evm.engines import load_engine
    from openledger.evm.validate import Fork

    return {fork.value: load_engine(name, fork=fork) for fork in Fork}


def _files(paths: tuple[Path, ...]) -> Iterator[Path]:
    """The files named, and every JSON file below the folders named; hidden folders are left out."""
    for path in paths:
        if path.is_file():
            yield path
            continue
        for found in sorted(path.rglob("*.json")):
            if not any(part.startswith(".") for part in found.relative_to(path).parts):
                yield found


def _run(
    path: Path, forks: tuple[str, ...], engines: dict[str, EvmEngine], count: Counter[str]
) -> Iterator[dict[str, str | bool]]:
    """Failures of one file. Cases are read anew for each engine, because a case is used up when it runs."""
    from openledger.evm.statetest import read_cases, run_case
    from openledger.primitives.transactions import BLOB

    try:
        for case in read_cases(path, forks):
            if case.tx.type == BLOB:
                count["skipped"] += 1
                continue
            reason = run_case(engines[case.fork], case)
            count["passed" if reason is None else "failed"] += 1
            if reason is not None:
                yield {"name": case.name, "fork": case.fork, "pass": False, "error": reason}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as err:
        count["failed"] += 1
        yield {"name": path.stem, "pass": False, "error": f"not a state test: {type(err).__name__}: {err}"}


COMMANDS = [evm]
