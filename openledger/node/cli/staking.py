"""``openledger validator`` and ``openledger stake``: joining the validators, and staking with one."""

from __future__ import annotations

import time
from typing import Any

import click

from openledger.node.cli.common import App, Group, Whole, amount, pass_app, ppm, table, wei
from openledger.node.doctor_votes import of_oracle
from openledger.primitives.amounts import parse_amount
from openledger.primitives.errors import KeystoreError
from openledger.primitives.types import Address, from_hex, parse_address, to_checksum, to_hex


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
@click.option("--commission", default="10", show_default=True, metavar="PERCENT", help="Taken of what stakers earn.")
@click.option("--max-commission", default="20", show_default=True, metavar="PERCENT", help="It never rises above.")
@click.option("--max-change", default="1", show_default=True, metavar="PERCENT", help="Its largest rise, once a day.")
@click.option("--pub-key", metavar="HEX", help="Consensus key that is not in --home; with --proof.")
@click.option("--proof", metavar="HEX", help="Its proof: `validator show-key --operator ADDRESS` where the key is.")
@pass_app
def create(
    app: App,
    text: str,
    name: str,
    oracle: bool,
    commission: str,
    max_commission: str,
    max_change: str,
    pub_key: str | None,
    proof: str | None,
) -> None:
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
    rates = [ppm(rate) for rate in (commission, max_commission, max_change)]
    receipt = app.send(ValidatorCreate(public, signature, parse_amount(text), name, oracle, *rates), signer)
    signs_from = wei(receipt["blockNumber"]) + 2
    found = app.call("openledger_getValidator", to_checksum(signer.address))
    lines = [*_lines(found), "", f"It signs from block {signs_from} on." if found["power"] else _NO_SEAT]
    mute = of_oracle(app.call("openledger_getNodeStatus") | {"signing": {"oracle": oracle}})
    lines += [f"warning: {one.found}; {one.hint}" for one in mute]
    app.emit(found | {"transaction": receipt["transactionHash"], "signsFrom": signs_from}, lines)


def _percent(ppm: int) -> str:
    """7.5 % of 75000."""
    whole, rest = divmod(ppm, 10_000)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".") + " %"


_NO_SEAT = "It has no seat: the seats are taken by larger stakes. `openledger stake delegate` adds to this one."


@validator.command()
@click.option("--name", help="New name.")
@click.option("--oracle/--no-oracle", default=None, help="Take part in verdicts on claims that open from now on.")
@click.option("--commission", metavar="PERCENT", help="New commission; once a day.")
@pass_app
def edit(app: App, name: str | None, oracle: bool | None, commission: str | None) -> None:
    """Change what the validator of --key is called, whether it votes on claims, or its commission. What is not named
    stays."""
    from openledger.abci_app.modules.staking.edit import UNCHANGED, ValidatorEdit

    signer = app.signer()
    now = app.call("openledger_getValidator", to_checksum(signer.address))
    rate = UNCHANGED if commission is None else ppm(commission)
    action = ValidatorEdit(now["name"] if name is None else name, now["oracle"] if oracle is None else oracle, rate)
    app.send(action, signer)
    found = app.call("openledger_getValidator", to_checksum(signer.address))
    app.emit(found, _lines(found))


@validator.command()
@click.argument("address", required=False)
@pass_app
def status(app: App, address: str | None) -> None:
    """Show a validator: stake, power, jail, blocks missed. ADDRESS is its operator's or its consensus address; default:
    the validator of --home, else that of --key."""
    found: dict[str, Any] = app.call("openledger_getValidator", _own_address(app) if address is None else address)
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
        ["stake", f"{amount(found['stake'])}, of which {amount(found['own'])} are the operator's"],
        ["commission", f"{_percent(found['commission'])} (never above {_percent(found['maxCommission'])})"],
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
    """Stake with validators: your own or others'."""


@stake.command()
@click.argument("address", required=False)
@click.option("--validator", metavar="ADDRESS", help="Show who has stake with this validator instead.")
@click.option("--start", metavar="ADDRESS", default="0x" + "00" * 20, help="With --validator: the account to begin at.")
@click.option("--limit", type=Whole(1), default=100, show_default=True, help="With --validator: accounts.")
@pass_app
def show(app: App, address: str | None, validator: str | None, start: str, limit: int) -> None:
    """Show what ADDRESS (default: the account of --key) has staked, what that has earned, and what comes back when."""
    if validator is not None:
        if address is not None:
            raise click.UsageError("say either ADDRESS or --validator")
        _show_delegators(app, validator, start, limit)
        return
    address = to_checksum(app.account(address))
    found: list[dict[str, Any]] = app.call("openledger_getDelegations", address)
    lines = [f"{address} has nothing at stake"]
    if found:
        lines = [line for one in found for line in _stake_lines(one)]
    app.emit(found, lines)


def _show_delegators(app: App, validator: str, start: str, limit: int) -> None:
    """Pages until ``limit`` accounts are there, or all."""
    found: list[dict[str, Any]] = []
    at: str | None = start
    while at and len(found) < limit:
        page = app.call("openledger_listDelegators", validator, at, limit - len(found))
        found, at = found + page["delegators"], page["next"]
    lines = [f"{one['delegator']}  {amount(one['amount'])}" for one in found] or ["nobody has stake with it"]
    if at:
        lines.append(f"there are more: --start {at}")
    app.emit({"delegators": found, "next": at}, lines)


def _stake_lines(one: dict[str, Any]) -> list[str]:
    earned = f", earned {amount(one['rewards'])} since your last step" if wei(one["rewards"]) else ""
    first = f"stake      {amount(one['amount'])} with {one['operator']}{earned}"
    return [first, *_coming(one["unbonding"]), *_moved(one["redelegations"])]


def _moved(redelegations: list[dict[str, Any]]) -> list[str]:
    now = int(time.time())
    return [
        f"moved      {amount(r['amount'])} from {r['source']}, bound to both for {max(0, int(r['ready']) - now)} s"
        for r in redelegations
    ]


def _operator(app: App, text: str | None, sender: Address) -> Address:
    """Operator of the validator that ``text`` names by operator or consensus address; default: the sender."""
    if text is None:
        return sender
    return parse_address(app.call("openledger_getValidator", text)["operator"])


def _wanted(text: str | None, everything: bool) -> int:
    if everything == (text is not None):
        raise click.UsageError("say either AMOUNT or --all")
    wanted = 0 if text is None else parse_amount(text)
    if text is not None and not wanted:
        raise click.UsageError("nothing to take back or move; --all takes everything")
    return wanted


@stake.command()
@click.argument("text", metavar="AMOUNT")
@click.option("--to", metavar="ADDRESS", help="Validator, by operator or consensus address; default: that of --key.")
@pass_app
def delegate(app: App, text: str, to: str | None) -> None:
    """Stake AMOUNT (for example '50 OPEN') with a validator. It answers for what the validator does."""
    from openledger.abci_app.modules.staking.delegate import StakeDelegate

    signer = app.signer()
    operator = _operator(app, to, signer.address)
    _sent(app, app.send(StakeDelegate(operator, parse_amount(text)), signer), signer.address, operator)


@stake.command()
@click.argument("text", metavar="AMOUNT", required=False)
@click.option("--all", "everything", is_flag=True, help="Take all of it; an operator leaves the validator set.")
@click.option("--from", "source", metavar="ADDRESS", help="Validator to take it from; default: that of --key.")
@pass_app
def undelegate(app: App, text: str | None, everything: bool, source: str | None) -> None:
    """Take AMOUNT of your stake back. It is paid after the unbonding time."""
    from openledger.abci_app.modules.staking.undelegate import StakeUndelegate

    wanted, signer = _wanted(text, everything), app.signer()
    operator = _operator(app, source, signer.address)
    _sent(app, app.send(StakeUndelegate(operator, wanted), signer), signer.address, operator)


@stake.command()
@click.argument("text", metavar="AMOUNT", required=False)
@click.option("--all", "everything", is_flag=True, help="Move all of it.")
@click.option("--from", "source", metavar="ADDRESS", required=True, help="Validator to take it from.")
@click.option("--to", metavar="ADDRESS", required=True, help="Validator to stake it with.")
@pass_app
def redelegate(app: App, text: str | None, everything: bool, source: str, to: str) -> None:
    """Move AMOUNT of your stake to another validator at once. For the unbonding time it answers for both."""
    from openledger.abci_app.modules.staking.redelegate import StakeRedelegate

    wanted, signer = _wanted(text, everything), app.signer()
    first, second = (_operator(app, name, signer.address) for name in (source, to))
    _sent(app, app.send(StakeRedelegate(first, second, wanted), signer), signer.address, second)


def _sent(app: App, receipt: dict[str, Any], sender: Address, operator: Address) -> None:
    if sender == operator:
        found = app.call("openledger_getValidator", to_checksum(operator))
        app.emit(found | {"transaction": receipt["transactionHash"]}, _lines(found))
        return
    delegations: list[dict[str, Any]] = app.call("openledger_getDelegations", to_checksum(sender))
    lines = [line for one in delegations for line in _stake_lines(one)] or ["nothing is at stake any longer"]
    app.emit({"delegations": delegations, "transaction": receipt["transactionHash"]}, lines)


COMMANDS = [validator, stake]
