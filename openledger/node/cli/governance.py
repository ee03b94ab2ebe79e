"""``openledger gov``: proposing, depositing, voting, and what is decided."""

from __future__ import annotations

import re
import time
from functools import partial
from typing import Any

import click

from openledger.node.cli.common import App, Group, Whole, amount, pass_app, table, wei
from openledger.primitives.amounts import exact_amount, parse_amount
from openledger.primitives.errors import MalformedAction, ProposalRefused
from openledger.primitives.types import to_checksum


@click.group(cls=Group)
def gov() -> None:
    """Proposals, votes and parameters."""


@gov.group(cls=Group)
def propose() -> None:
    """Put something to the vote of the stake. With --dry-run: only show what it would change."""


def _proposing(command: click.Command) -> click.Command:
    """The options of all proposals."""
    command.params += [
        click.Option(["--title"], help="One line, at most 140 bytes."),
        click.Option(["--summary"], default="", help="Why, at most 4,096 bytes."),
        click.Option(["--deposit"], help="For example '10 OPEN'; default: all that is needed for the vote to begin."),
        click.Option(["--dry-run"], is_flag=True, help="Show what it would change now; propose nothing."),
    ]
    return command


def _propose(app: App, effect: str, arguments: dict[str, str], given: dict[str, Any]) -> None:
    found = app.call("openledger_simulateProposal", effect, arguments)
    if given["dry_run"]:
        app.emit(found, effect_lines(found))
        return
    if not given["title"]:
        raise click.UsageError("a proposal has a --title")
    if found["refusal"]:
        raise ProposalRefused(found["refusal"], "nothing was sent; --dry-run shows what a proposal would change")
    from openledger.abci_app.modules.governance.propose import GovPropose
    from openledger.abci_app.modules.governance.records import SUBMITTED, Argument

    text = given["deposit"]
    deposit = wei(app.call("openledger_getParams")["govDeposit"]) if text is None else parse_amount(text)
    listed = tuple(Argument(name, value) for name, value in arguments.items())
    receipt = app.send(GovPropose(given["title"], given["summary"], effect, listed, deposit))
    topic = "0x" + SUBMITTED.topic.hex()
    number = next(int(log["topics"][1], 16) for log in receipt["logs"] if log["topics"][0] == topic)
    view = app.call("openledger_getProposal", number)
    app.emit(view | {"transaction": receipt["transactionHash"]}, lines_of(view))


@_proposing
@propose.command("text")
@pass_app
def text_only(app: App, /, **given: Any) -> None:
    """Nothing but what title and summary say."""
    _propose(app, "text", {}, given)


@_proposing
@propose.command("params")
@click.argument("changes", metavar="NAME=VALUE...", nargs=-1, required=True)
@pass_app
def change(app: App, /, changes: tuple[str, ...], **given: Any) -> None:
    """Other values for parameters, for example split_pool=900 split_owner=2100 or claim_bond='50 OPEN'."""
    arguments: dict[str, str] = {}
    for item in changes:
        name, equals, value = item.partition("=")
        if not equals or name in arguments:
            raise click.UsageError(f"expected NAME=VALUE, each name once, not {item!r}")
        arguments[name] = _number(value)
    _propose(app, "params", arguments, given)


def _number(text: str) -> str:
    """``"50 OPEN"`` in wei, ``1_000`` and ``1,000`` as 1000; other text as it is."""
    if re.fullmatch(r"[\d.]+\s*(open|gwei|wei)", text.strip(), re.IGNORECASE):
        return str(parse_amount(text))
    return re.sub(r"[,_]", "", text) if re.fullmatch(r"\d{1,3}([,_]\d{3})+", text) else text


@_proposing
@propose.command()
@click.argument("receiver", metavar="ADDRESS")
@click.argument("text", metavar="AMOUNT")
@pass_app
def spend(app: App, /, receiver: str, text: str, **given: Any) -> None:
    """AMOUNT (for example '50 OPEN') of the community pool to ADDRESS."""
    _propose(app, "spend", {"receiver": receiver, "amount": str(parse_amount(text))}, given)


@_proposing
@propose.command()
@click.argument("name")
@click.argument("height", type=Whole(1))
@pass_app
def upgrade(app: App, /, name: str, height: int, **given: Any) -> None:
    """From block HEIGHT on by the rules of the upgrade NAME; nodes that do not know it stop there."""
    _propose(app, "upgrade", {"name": name, "height": str(height)}, given)


@_proposing
@propose.command("cancel-upgrade")
@click.argument("name")
@pass_app
def cancel_upgrade(app: App, /, name: str, **given: Any) -> None:
    """Drop the planned upgrade NAME."""
    _propose(app, "cancel-upgrade", {"name": name}, given)


@_proposing
@propose.command()
@click.argument("effect")
@click.argument("arguments", metavar="NAME=VALUE...", nargs=-1)
@pass_app
def other(app: App, /, effect: str, arguments: tuple[str, ...], **given: Any) -> None:
    """Any EFFECT that the chain knows, with its arguments as they are."""
    _propose(app, effect, dict(item.partition("=")[::2] for item in arguments), given)


@gov.command()
@click.argument("number", metavar="PROPOSAL", type=Whole(1))
@click.argument("text", metavar="AMOUNT", required=False)
@pass_app
def deposit(app: App, number: int, text: str | None) -> None:
    """Deposit AMOUNT (default: what is lacking) on PROPOSAL. The vote begins when nothing is lacking."""
    from openledger.abci_app.modules.governance.deposit import GovDeposit

    found = app.call("openledger_getProposal", number)
    lacking = wei(found["needed"]) - wei(found["deposit"])
    receipt = app.send(GovDeposit(number, lacking if text is None else parse_amount(text)))
    _after(app, number, receipt)


@gov.command()
@click.argument("number", metavar="PROPOSAL", type=Whole(1))
@click.argument("option", type=click.Choice(["yes", "no", "abstain", "no_with_veto"]))
@pass_app
def vote(app: App, number: int, option: str) -> None:
    """Vote on PROPOSAL with the stake of --key; the last vote counts."""
    from openledger.abci_app.modules.governance.vote import GovVote

    _after(app, number, app.send(GovVote(number, option)))


def _after(app: App, number: int, receipt: dict[str, Any]) -> None:
    view = app.call("openledger_getProposal", number)
    app.emit(view | {"transaction": receipt["transactionHash"]}, lines_of(view))


@gov.command("list")
@click.option("--start", default=1, show_default=True, type=Whole(1), help="First proposal to show.")
@click.option("--open", "only_open", is_flag=True, help="Only those that take deposits or votes.")
@pass_app
def list_(app: App, start: int, only_open: bool) -> None:
    """List proposals."""
    found: list[dict[str, Any]] = app.call("openledger_listProposals", start, 1000)
    if only_open:
        found = [p for p in found if p["status"] in ("deposit", "voting")]
    cells = [[p["id"], p["status"], _left(p), p["effect"]["name"], p["title"]] for p in found]
    app.emit(found, table(["id", "status", "time left", "effect", "title"], cells) if found else "no proposals")


@gov.command()
@click.argument("number", metavar="PROPOSAL", type=Whole(1))
@click.option("--votes", is_flag=True, help="Also what accounts have voted (up to 1,000).")
@pass_app
def show(app: App, number: int, votes: bool) -> None:
    """Show PROPOSAL: where it stands, and what it would change now."""
    view = app.call("openledger_getProposal", number)
    lines = lines_of(view)
    if votes:
        view["voters"] = app.call("openledger_listVotes", number, to_checksum(bytes(20)), 1000)
        lines += ["", *table(["account", "vote"], list(view["voters"].items()))]
    app.emit(view, lines)


@gov.command()
@click.argument("name", required=False)
@pass_app
def params(app: App, name: str | None) -> None:
    """Show the parameters in force, or the one called NAME, and what a vote may set them to."""
    now, bounds = app.call("openledger_getParams"), app.call("openledger_getBounds")
    found = {n: {"value": _text(now[_camel(n)]), **bounds.get(n, {})} for n in _names(now)}
    if name is not None:
        if name not in found:
            raise MalformedAction(f"there is no parameter {name!r}", "openledger gov params lists them")
        found = {name: found[name]}
    money = {n for n in found if str(now[_camel(n)]).startswith("0x")}
    cells = [
        [n, *(exact_amount(int(p[k])) if n in money and k in p else p.get(k, "") for k in ("value", "least", "most"))]
        for n, p in found.items()
    ]
    app.emit(found, table(["parameter", "value", "least", "most"], cells))


def _names(now: dict[str, Any]) -> list[str]:
    """Names as genesis and proposals have them."""
    return [re.sub("([A-Z])", lambda m: "_" + m.group(1).lower(), name) for name in now]


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value)
    return str(wei(value)) if isinstance(value, str) and value.startswith("0x") else str(value)


# --- for people -------------------------------------------------------------------------------------------


def _left(view: dict[str, Any]) -> str:
    if view["status"] not in ("deposit", "voting"):
        return ""
    return f"{max(0, int(view['deadline']) - int(time.time()))} s"


def _percent(part: str, whole: int) -> str:
    return f"{100 * wei(part) / whole:.2f} %" if whole else "0 %"


def _worded(effect: str, name: str, value: str) -> str:
    """A value of a proposal; money in OPEN, since who votes must not count zeros."""
    from openledger.genesis.params import Params
    from openledger.primitives.fields import schema

    money = effect == "spend" or (effect == "params" and (name, "uint256") in [(n, t.kind) for n, t in schema(Params)])
    return exact_amount(int(value)) if money and value.isascii() and value.isdigit() else value


def effect_lines(effect: dict[str, Any]) -> list[str]:
    """What a proposal would do."""
    lines = [f"effect     {effect['name']}"]
    said = partial(_worded, effect["name"])
    lines += [f"  {name} = {said(name, value)}" for name, value in effect["arguments"].items()]
    if effect.get("refusal"):
        return [*lines, f"cannot be done now: {effect['refusal']}"]
    if "changes" in effect:
        cells = [[c["name"], *(said(c["name"], c[k]) or "-" for k in ("before", "after"))] for c in effect["changes"]]
        lines += ["", *table(["would change", "from", "to"], cells)] if cells else ["it would change nothing"]
    return lines


def lines_of(view: dict[str, Any]) -> list[str]:
    """A proposal."""
    lines = [
        f"proposal   {view['id']}: {view['title']}",
        *(["", view["summary"], ""] if view["summary"] else []),
        f"proposer   {view['proposer']}",
        f"status     {view['status']}" + (f", {_left(view)} left" if _left(view) else ""),
        f"deposit    {amount(view['deposit'])} of {amount(view['needed'])}",
    ]
    votes = view["votes"]
    if bonded := wei(votes["bonded"]):
        said = [name for name in votes if name != "bonded"]
        lines += [f"{name:<13}{_percent(votes[name], bonded)} of the bonded stake" for name in said]
    if view["failure"]:
        lines.append(f"failed: {view['failure']}")
    return lines + effect_lines(view["effect"])


COMMANDS = [gov]
