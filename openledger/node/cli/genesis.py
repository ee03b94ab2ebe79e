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
    """Check the file that a chain begins with."""


@genesis.command()
@click.argument("path", required=False, type=click.Path(dir_okay=False, path_type=Path))
@pass_app
def validate(app: App, path: Path | None) -> None:
    """Check a genesis file (default: the one in the home folder)."""
    from openledger.genesis.genesis import Genesis

    path = path or app.home / "config" / "genesis.json"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InvalidGenesis(f"there is no genesis file at {path}", "`openledger init` writes one") from None
    except (OSError, UnicodeDecodeError) as err:
        raise InvalidGenesis(f"the genesis file cannot be read: {err}") from None
    found = Genesis.from_json(text)
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


COMMANDS = [genesis]
