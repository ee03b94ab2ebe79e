"""``openledger genesis``: the file a chain begins with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openledger.genesis.genesis import GenesisValidator
from openledger.node.cli.common import App, Group, Whole, pass_app, ppm
from openledger.primitives.amounts import format_amount, parse_amount
from openledger.primitives.errors import DecodingError, InvalidGenesis
from openledger.primitives.types import Address, from_hex, parse_address, to_hex

if TYPE_CHECKING:
    from openledger.node.genesis_file import GenesisFile


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
        "delegations": sum(len(v.delegations) for v in found.validators),
        "digest": to_hex(found.digest),
    }
    app.emit(
        data,
        f"valid: {found.chain_id}, EVM chain id {found.evm_chain_id}, {len(found.validators)} validator(s), "
        f"{len(found.accounts)} accounts, supply {format_amount(found.supply)}",
    )


_FILE = click.option(
    "--file", "path", type=click.Path(dir_okay=False, path_type=Path),
    help="Genesis file to change (default: the one in the home folder).",
)  # fmt: skip


def _changed(app: App, path: Path | None, change: Callable[[GenesisFile], None]) -> None:
    """Change a genesis file, and say what it is now."""
    from openledger.node.genesis_file import GenesisFile

    file = GenesisFile(path or app.home / "genesis.json")
    change(file)
    file.write()
    found = file.genesis
    data = {"chain_id": found.chain_id, "supply": str(found.supply), "digest": to_hex(found.digest),
            "accounts": len(found.accounts), "validators": len(found.validators)}  # fmt: skip
    app.emit(data, f"{found.chain_id}: {len(found.accounts)} accounts, {len(found.validators)} validator(s), supply "
             f"{format_amount(found.supply)}; every node needs this file")  # fmt: skip


@genesis.command("add-account")
@click.argument("address")
@click.argument("amount")
@_FILE
@pass_app
def add_account(app: App, address: str, amount: str, path: Path | None) -> None:
    """Give an account a balance, for example '100 OPEN', before the chain begins."""
    who, wei = parse_address(address), parse_amount(amount)
    _changed(app, path, lambda file: file.add_account(who, wei))


@genesis.command("remove-account")
@click.argument("address")
@_FILE
@pass_app
def remove_account(app: App, address: str, path: Path | None) -> None:
    """Take an account out, for example one of the devnet's, whose keys everybody has."""
    who = parse_address(address)
    _changed(app, path, lambda file: file.remove_account(who))


@genesis.command("add-validator")
@click.argument("public_key")
@click.option("--operator", required=True, help="Account that earns for it, and may edit it.")
@click.option("--power", type=Whole(1), default=10, show_default=True, help="Its weight; its stake follows.")
@click.option("--name", default="", help="Its name.")
@click.option("--commission", default="10", show_default=True, metavar="PERCENT", help="Taken of what stakers earn.")
@click.option("--max-commission", default="20", show_default=True, metavar="PERCENT", help="It never rises above.")
@click.option("--max-change", default="1", show_default=True, metavar="PERCENT", help="Its largest rise, once a day.")
@click.option(
    "--delegation", "delegations", multiple=True, metavar="ADDRESS=AMOUNT",
    help="Part of its stake that is another account's: 0x..=50 OPEN; the rest is the operator's. May be repeated.",
)  # fmt: skip
@_FILE
@pass_app
def add_validator(
    app: App,
    public_key: str,
    operator: str,
    power: int,
    name: str,
    commission: str,
    max_commission: str,
    max_change: str,
    delegations: tuple[str, ...],
    path: Path | None,
) -> None:
    """Add a validator by its public key, as `openledger validator show-key` prints it on its machine."""
    try:
        key = from_hex("0x" + public_key.removeprefix("0x"), 32)
    except DecodingError as err:
        raise InvalidGenesis(f"not the public key of a validator: {err}", "0x and 64 hex digits") from None
    made = GenesisValidator(
        key, power, parse_address(operator), name,
        ppm(commission), ppm(max_commission), ppm(max_change),
        tuple(sorted(_part(text) for text in delegations)),
    )  # fmt: skip
    _changed(app, path, lambda file: file.add_validator(made))


def _part(text: str) -> tuple[Address, int]:
    account, sign, wei = text.partition("=")
    if not sign:
        raise click.UsageError(f"{text!r} is no delegation: write for example 0x..=50 OPEN")
    return parse_address(account.strip()), parse_amount(wei.strip())


@genesis.command("import")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Genesis file to write.")
@click.option("--chain-id", help="CometBFT's id of the new chain (default: the old one with the next revision number).")
@click.option("--time", "unix_seconds", type=Whole(0), help="Begin at this Unix time (default: the block's).")
@pass_app
def import_state(app: App, path: Path, output: Path, chain_id: str | None, unix_seconds: int | None) -> None:
    """Make the genesis of a new chain that goes on from an exported state, with the same state root.

    Parameters, validators and the EVM chain id stay; heights begin anew, and a planned upgrade is dropped.
    """
    from openledger.abci_app.opening import genesis_from_state, planned_upgrade
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
    waiting = planned_upgrade(made)
    data["dropped_upgrade"] = waiting
    app.emit(
        data,
        f"{output}: {made.chain_id} begins with the state of {export.chain_id} after block {export.height}; "
        f"{len(made.accounts)} accounts, {records} records, state root {data['state_root']}"
        + (f"; the planned upgrade {waiting!a} ends with the old chain, so vote it anew" if waiting else ""),
    )


def next_revision(chain_id: str) -> str:
    """``name-1`` becomes ``name-2``; an id without a revision number gets ``-2``."""
    name, dash, number = chain_id.rpartition("-")
    return f"{name}-{int(number) + 1}" if dash and number.isdecimal() else f"{chain_id}-2"


COMMANDS = [genesis]
