"""``openledger validator`` and ``openledger stake``: joining the validators, staying, coming back, leaving."""

from __future__ import annotations

import time
from typing import Any

import click

from openledger.node.cli.common import App, Group, amount, pass_app, table, wei
from openledger.primitives.amounts import parse_amount
from openledger.primitives.errors import KeystoreError
from openledger.primitives.types import from_hex, parse_address, to_checksum, to_hex


@click.group(cls=Group)
def validator() -> None:
    """This node as a validator: its key, its place in the set."""


@validator.command("show-key")
@click.option("--operator", metavar="ADDRESS", help="Also sign that this account may operate the key (its proof).")
@pass_app
def show_key(app: App, operator: str | None) -> None:
    """Print the public key and the address of the home folder's validator."""
    from openledger.abci_app.modules.staking.create import key_proof_message
    from openledger.node.network import sign_with_validator_key, validator_key
    from openledger.node.wiring import read_genesis

    found = validator_key(app.home)
    if operator:
        chain_id = read_genesis(app.home / "genesis.json").evm_chain_id
        message = key_proof_message(chain_id, parse_address(operator))
        found["proof"] = to_hex(sign_with_validator_key(app.home, message)[1])
    app.emit(found, table(["what", "value"], list(found.items())))


@validator.command()
@click.option("--amount", "text", required=True, help="Stake to bond, for example '1000 OPEN'.")
@click.option("--name", default="", help="Name that others see.")
@click.option("--oracle/--no-oracle", default=True, show_default=True, help="Take part in verdicts on claims.")
@click.option("--pub-key", metavar="HEX", help="Consensus key that is not in --home; with --proof.")
@click.option("--proof", metavar="HEX", help="Its proof: `validator show-key --operator ADDRESS` where the key is.")
@pass_app
def create(app: App, text: str, name: str, oracle: bool, pub_key: str | None, proof: str | None) -> None:
    """Make the home folder's node a validator, with stake of --key, which becomes its operator.

    Uses the consensus key in --home and sends through --node. Wait until this node has caught up: from two blocks
    later on it has to sign.
    """
    from openledger.abci_app.modules.staking.create import ValidatorCreate, key_proof_message
    from openledger.node.network import sign_with_validator_key

    if (pub_key is None) != (proof is None):
        raise click.UsageError("--pub-key and --proof belong together")
    signer = app.signer()
    if pub_key is not None and proof is not None:
        public, signature = from_hex(pub_key, 32), from_hex(proof, 64)
    else:
        message = key_proof_message(app.client.chain_id(), signer.address)
        public, signature = sign_with_validator_key(app.home, message)
    receipt = app.send(ValidatorCreate(public, signature, parse_amount(text), name, oracle), signer)
    signs_from = wei(receipt["blockNumber"]) + 2
    found = app.call("openledger_getValidator", to_checksum(signer.address))
    lines = [*_lines(found), "", f"It signs from block {signs_from} on." if found["power"] else _NO_SEAT]
    app.emit(found | {"transaction": receipt["transactionHash"], "signsFrom": signs_from}, lines)


_NO_SEAT = "It has no seat: the seats are taken by larger stakes. `openledger stake delegate` adds to this one."


@validator.command()
@click.option("--name", help="New name.")
@click.option("--oracle/--no-oracle", default=None, help="Take part in verdicts on claims that open from now on.")
@pass_app
def edit(app: App, name: str | None, oracle: bool | None) -> None:
    """Change what the validator of --key is called, or whether it votes on claims. What is not named stays."""
    from openledger.abci_app.modules.staking.edit import ValidatorEdit

    signer = app.signer()
    now = app.call("openledger_getValidator", to_checksum(signer.address))
    app.send(ValidatorEdit(now["name"] if name is None else name, now["oracle"] if oracle is None else oracle), signer)
    found = app.call("openledger_getValidator", to_checksum(signer.address))
    app.emit(found, _lines(found))


@validator.command()
@click.argument("address", required=False)
@pass_app
def status(app: App, address: str | None) -> None:
    """Show a validator: stake, power, jail, blocks missed. ADDRESS is its operator's or its consensus address; default:
    the validator of --home, else that of --key."""
    found: dict[str, Any] = app.call("openledger_getValidator", address or _own_address(app))
    app.emit(found | {"signedPercent": _signed_percent(found)}, _lines(found))


@validator.command()
@pass_app
def unjail(app: App) -> None:
    """Bring the validator of --key back after a jail for downtime. Its node should run and have caught up."""
    from openledger.abci_app.modules.staking.unjail import ValidatorUnjail

    signer = app.signer()
    app.send(ValidatorUnjail(), signer)
    found = app.call("openledger_getValidator", to_checksum(signer.address))
    app.emit(found, _lines(found))


def _own_address(app: App) -> str:
    from openledger.node.network import validator_key

    try:
        return validator_key(app.home)["address"]
    except KeystoreError:
        return to_checksum(app.address())


def _signed_percent(found: dict[str, Any]) -> int:
    """Blocks of the window that it signed, in percent, rounded down."""
    return 100 * (int(found["window"]) - int(found["missed"])) // int(found["window"])


def _standing(found: dict[str, Any]) -> str:
    if found["tombstoned"]:
        return "tombstoned: it signed two blocks of one height, and cannot come back"
    if found["jailed"]:
        left = max(0, int(found["jailedUntil"]) - int(time.time()))
        return f"jailed for downtime, {left} s to go" if left else "jailed for downtime; `openledger validator unjail`"
    if found["power"]:
        return "has a seat"
    return "has left" if not wei(found["stake"]) else "no seat: larger stakes have them"


def _oracle(found: dict[str, Any]) -> str:
    if not found["oracle"]:
        return "not declared: no vote on claims"
    missed = f"{found['silent']} of the last {found['verdictWindow']} decided without it"
    return f"votes on claims; {missed} (up to {found['allowedSilences']} are allowed)"


def _lines(found: dict[str, Any]) -> list[str]:
    cells = [
        ["name", found["name"] or "-"],
        ["operator", found["operator"]],
        ["consensus", found["address"]],
        ["stake", amount(found["stake"])],
        ["power", found["power"]],
        ["standing", _standing(found)],
        ["signed", f"{_signed_percent(found)} % of the last {found['window']} blocks"],
        ["missed", f"{found['missed']} (up to {found['allowedMisses']} are allowed)"],
        ["oracle", _oracle(found)],
    ]
    return [f"{name:<10} {value}" for name, value in cells] + _coming(found["unbonding"])


def _coming(unbonding: list[dict[str, Any]]) -> list[str]:
    now = int(time.time())
    return [f"unbonding  {amount(u['amount'])}, paid in {max(0, int(u['ready']) - now)} s" for u in unbonding]


# --- stake ------------------------------------------------------------------------------------------------------------


@click.group(cls=Group)
def stake() -> None:
    """Stake of an operator with its own validator."""


@stake.command()
@click.argument("address", required=False)
@pass_app
def show(app: App, address: str | None) -> None:
    """Show what ADDRESS (default: the account of --key) has staked, and what comes back when."""
    address = address or to_checksum(app.address())
    found: list[dict[str, Any]] = app.call("openledger_getDelegations", address)
    lines = [f"{address} has nothing at stake"]
    if found:
        lines = []
        for one in found:
            lines += [f"stake      {amount(one['amount'])} with {one['operator']}", *_coming(one["unbonding"])]
    app.emit(found, lines)


@stake.command()
@click.argument("text", metavar="AMOUNT")
@pass_app
def delegate(app: App, text: str) -> None:
    """Add AMOUNT (for example '50 OPEN') to the stake of the validator that --key operates."""
    from openledger.abci_app.modules.staking.delegate import StakeDelegate

    signer = app.signer()
    _sent(app, app.send(StakeDelegate(signer.address, parse_amount(text)), signer), signer.address)


@stake.command()
@click.argument("text", metavar="AMOUNT", required=False)
@click.option("--all", "everything", is_flag=True, help="Take all of it; the validator leaves.")
@pass_app
def undelegate(app: App, text: str | None, everything: bool) -> None:
    """Take AMOUNT of the stake of --key back. It is paid after the unbonding time."""
    from openledger.abci_app.modules.staking.undelegate import StakeUndelegate

    if everything == (text is not None):
        raise click.UsageError("say either AMOUNT or --all")
    signer = app.signer()
    wanted = 0 if text is None else parse_amount(text)
    if text is not None and not wanted:
        raise click.UsageError("nothing to take back; --all takes everything")
    _sent(app, app.send(StakeUndelegate(signer.address, wanted), signer), signer.address)


def _sent(app: App, receipt: dict[str, Any], operator: bytes) -> None:
    found = app.call("openledger_getValidator", to_checksum(operator))
    app.emit(found | {"transaction": receipt["transactionHash"]}, _lines(found))


COMMANDS = [validator, stake]
