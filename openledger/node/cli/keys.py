"""``openledger keys``: accounts of people, encrypted on the disk."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from openledger.node.cli.common import App, Group, pass_app, password, table
from openledger.node.keystore import Keystore, dev_signer, parse_secret
from openledger.primitives.errors import InvalidJson, KeystoreError
from openledger.primitives.jsonio import read_json
from openledger.primitives.types import to_checksum, to_hex


@click.group(cls=Group)
def keys() -> None:
    """Make, list and move account keys."""


@keys.command()
@click.argument("name")
@pass_app
def new(app: App, name: str) -> None:
    """Make a new key called NAME, encrypted with a password."""
    app.keystore().free(name)
    address = to_checksum(app.keystore().create(name, password(f"New password for {name}", confirm=True)))
    app.emit(
        {"name": name, "address": address}, [f"{name}  {address}", "Keep the password: without it the key is lost."]
    )


@keys.command("list")
@pass_app
def list_keys(app: App) -> None:
    """List the stored keys."""
    rows = app.keystore().table()
    cells = [(n, a or f"its file cannot be read: openledger keys show {n}") for n, a in rows]
    text = table(["name", "address"], cells) if rows else ["no keys yet; `openledger keys new NAME` makes one"]
    app.emit([{"name": n, "address": a} for n, a in rows], text)


@keys.command()
@click.argument("name")
@pass_app
def show(app: App, name: str) -> None:
    """Show the address of a key."""
    address = to_checksum(app.keystore().address(name))
    app.emit({"name": name, "address": address}, address)


@keys.command("import")
@click.argument("name")
@click.option("--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Keystore file (version 3), a testnet's operator.json, or a private key in hex.")  # fmt: skip
@pass_app
def import_key(app: App, name: str, path: Path | None) -> None:
    """Store an existing key as NAME: from --file, or asked for at the terminal."""
    store = app.keystore()
    store.free(name)
    text = path.read_bytes().decode("utf-8", "replace") if path else _asked()
    secret = _from_json(text) if text.lstrip().startswith("{") else parse_secret(text)
    address = to_checksum(store.create(name, password(f"New password for {name}", confirm=True), secret))
    app.emit({"name": name, "address": address}, f"{name}  {address}")


def _asked() -> str:
    if not sys.stdin.isatty():
        raise KeystoreError("a private key is needed, and there is no terminal to ask", "name its file with --file")
    answer: str = click.prompt("Private key (hex)", hide_input=True)
    return answer


def _from_json(text: str) -> bytes:
    """The key in a keystore file, or in an ``operator.json`` that `openledger testnet` wrote."""
    try:
        plain = read_json(text).get("privateKey")
    except InvalidJson:
        plain = None
    return (
        parse_secret(plain) if isinstance(plain, str) else _from_keystore_file(text, password("Password of the file"))
    )


def _from_keystore_file(text: str, secret_word: str) -> bytes:
    from eth_account import Account

    try:
        return bytes(Account.decrypt(read_json(text), secret_word))
    except (InvalidJson, ValueError, KeyError, TypeError, AttributeError):
        raise KeystoreError("wrong password, or not a keystore file of version 3") from None


@keys.command()
@click.argument("name")
@click.option("--private", is_flag=True, help="Print the private key itself, not the encrypted file.")
@pass_app
def export(app: App, name: str, private: bool) -> None:
    """Print the encrypted file of a key, to keep or to import elsewhere."""
    store: Keystore = app.keystore()
    if private:
        signer = dev_signer(name) or store.unlock(name, password(f"Password of {name}"))
        app.emit({"name": name, "private_key": to_hex(signer.secret)}, to_hex(signer.secret))
    else:
        data = store.read(name)
        app.emit(data, json.dumps(data))


@keys.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_app
def delete(app: App, name: str, yes: bool) -> None:
    """Delete a key for good."""
    address = to_checksum(app.keystore().address(name))
    if not yes:
        click.confirm(f"Delete {name} ({address}) for good?", abort=True)
    app.keystore().delete(name)
    app.emit({"deleted": name, "address": address}, f"deleted {name}")


COMMANDS = [keys]
