"""``openledger genesis``: the file a chain begins with."""

from __future__ import annotations

from pathlib import Path

import click

from openledger.node.cli.common import App, Group, pass_app
from openledger.primitives.amounts import format_amount
from openledger.primitives.errors import InvalidGenesis
from openledger.primitives.types import to_hex


@click.group(cls=Group)
def genesis() -> None:
    """The file that a chain begins with."""


@genesis.command()
@click.argument("path", required=False, type=click.Path(dir_okay=False, path_type=Path))
@pass_app
def validate(app: App, path: Path | None) -> None:
    """Check a genesis file (default: the one in the home folder)."""
    from openledger.node.wiring import read_genesis

    found = read_genesis(path or app.home / "genesis.json")
    data = {
        "valid": True,
        "chain_id": found.chain_id,
        "evm_chain_id": found.evm_chain_id,
        "validators": len(found.validators),
        "accounts": len(found.accounts),
        "supply": str(found.supply),
        "digest": to_hex(found.digest),
    }
    app.emit(
        data,
        f"valid: {found.chain_id}, EVM chain id {found.evm_chain_id}, {len(found.validators)} validator(s), "
        f"{len(found.accounts)} accounts, supply {format_amount(found.supply)}",
    )


@genesis.command("import")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Genesis file to write.")
@click.option("--chain-id", help="CometBFT's id of the new chain (default: the old one with the next revision number).")
@click.option("--time", "unix_seconds", type=click.IntRange(0), help="Begin at this Unix time (default: the block's).")
@pass_app
def import_state(app: App, path: Path, output: Path, chain_id: str | None, unix_seconds: int | None) -> None:
    """Make the genesis of a new chain that goes on from an exported state, with the same state root.

    Parameters, validators and the EVM chain id stay; heights begin anew.
    """
    from openledger.abci_app.opening import genesis_from_state
    from openledger.state.export import read_export

    export = read_export(path)
    time_ns = None if unix_seconds is None else unix_seconds * 10**9
    made = genesis_from_state(export, chain_id or next_revision(export.chain_id), time_ns)
    if output.exists():
        raise InvalidGenesis(f"{output} exists already", "choose another --output")
    output.write_text(made.to_json(), encoding="utf-8")
    records = sum(len(found) for found in made.records.values())
    data = {
        "file": str(output),
        "chain_id": made.chain_id,
        "evm_chain_id": made.evm_chain_id,
        "state_root": to_hex(export.state_root),
        "accounts": len(made.accounts),
        "records": records,
        "digest": to_hex(made.digest),
    }
    app.emit(
        data,
        f"{output}: {made.chain_id} begins with the state of {export.chain_id} after block {export.height}; "
        f"{len(made.accounts)} accounts, {records} records, state root {data['state_root']}",
    )


def next_revision(chain_id: str) -> str:
    """``name-1`` becomes ``name-2``; an id without a revision number gets ``-2``."""
    name, dash, number = chain_id.rpartition("-")
    return f"{name}-{int(number) + 1}" if dash and number.isdecimal() else f"{chain_id}-2"


COMMANDS = [genesis]
