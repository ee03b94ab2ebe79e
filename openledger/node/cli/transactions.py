"""``openledger tx``: one command per native kind, made of the registry; ``openledger rpc``: any JSON-RPC method."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import click

from openledger.node.cli.common import App, Command, Group, pass_app
from openledger.primitives.amounts import parse_amount
from openledger.primitives.errors import InvalidJson
from openledger.primitives.fields import FieldType, from_json, schema, to_json
from openledger.primitives.jsonio import read_json

_EXAMPLES = {"string": "TEXT", "address": "ADDRESS", "bytes32": "HEX32", "bytes": "HEX", "bool": ""}


def _metavar(ftype: FieldType) -> str:
    if ftype.kind == "array" and ftype.item is not None:
        return "JSON"
    return _EXAMPLES.get(ftype.kind, "AMOUNT" if ftype.kind == "uint256" else "NUMBER")


def _read(text: Any, ftype: FieldType, option: str) -> Any:
    """The JSON form of one option. Raises InvalidJson or InvalidAmount."""
    if ftype.kind in ("array", "struct"):
        try:
            return read_json(text)
        except InvalidJson as err:
            raise InvalidJson(f"--{option}: {err}", "for example '[]'") from None
    if ftype.kind == "uint256" and re.search(r"[.]|open|wei", text, re.IGNORECASE) and not text.startswith("0x"):
        return parse_amount(text)
    return text


class Transactions(Group):
    """Commands made of ``registry.ACTIONS``: an option for every field of the dataclass."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from openledger.abci_app.registry import ACTIONS

        return sorted(action.KIND for action in ACTIONS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from openledger.abci_app.registry import ACTIONS

        for action in ACTIONS:
            if cmd_name == action.KIND:
                return _command(action)
        return None


def _command(cls: type[Any]) -> click.Command:
    """The command of one kind."""
    types = dict(schema(cls))
    needed = {f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING and f.init}
    params: list[click.Parameter] = []
    for name, ftype in types.items():
        option = "--" + name.replace("_", "-")
        if ftype.kind == "bool":
            params.append(click.Option([option, name], is_flag=True, help=f"{ftype.eip712}"))
        else:
            unit = ": wei, or for example '1.5 OPEN'" if ftype.kind == "uint256" else ""
            params.append(
                click.Option([option, name], required=name in needed, metavar=_metavar(ftype), help=ftype.eip712 + unit)
            )
    params.append(click.Option(["--print", "print_only"], is_flag=True, help="Print the action, send nothing."))

    @pass_app
    def send(app: App, /, print_only: bool, **values: Any) -> None:
        given = {
            n: v if types[n].kind == "bool" else _read(v, types[n], n.replace("_", "-"))
            for n, v in values.items()
            if v is not None
        }
        action = from_json(cls, given)
        if print_only:
            app.json = True
            app.emit({"kind": cls.KIND, "fields": to_json(action, camel=False)})
            return
        receipt = app.send(action)
        app.emit(receipt, f"{cls.KIND} in block {int(receipt['blockNumber'], 16)}: {receipt['transactionHash']}")

    text = " ".join((cls.__doc__ or f"Send {cls.KIND}.").split()).replace("``", "`")
    return Command(cls.KIND, params=params, callback=send, help=text, short_help=text.split(". ")[0])


tx = Transactions("tx", help="Sign and send one native transaction, field by field.")


def parameters(words: tuple[str, ...]) -> list[Any]:
    """JSON-RPC parameters of the command line: each word as JSON where it is JSON, else as text."""
    found: list[Any] = []
    for word in words:
        try:
            found.append(read_json(word))
        except InvalidJson:
            found.append(word)
    return found


@click.command(cls=Command)
@click.argument("method")
@click.argument("params", nargs=-1)
@pass_app
def rpc(app: App, method: str, params: tuple[str, ...]) -> None:
    """Call any JSON-RPC METHOD of the node; each of PARAMS is JSON, or text where it is not."""
    result = app.call(method, *parameters(params))
    app.json = True
    app.emit(result)


COMMANDS = [tx, rpc]
