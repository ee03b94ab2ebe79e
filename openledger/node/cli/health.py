"""Commands that look at a node and at its machine: status, doctor."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click

from openledger.node.cli.common import App, Command, Whole, pass_app, wei
from openledger.node.doctor_votes import of_oracle
from openledger.node.open_votes import in_words, own_word
from openledger.node.oracle_record import in_words as verdicts_in_words
from openledger.node.oracle_record import last_trouble
from openledger.primitives.errors import NodeUnreachable

_EVERY = 2.0


@click.command(cls=Command)
@click.option("--watch", is_flag=True, help="Again every two seconds, until Ctrl-C; with --json one line each time.")
@pass_app
def status(app: App, watch: bool) -> None:
    """How the running node is: chain, consensus, own validator, claims, mempool, disk, memory."""
    if not watch:
        found = _ask(app)
        app.emit(found, status_lines(found))
        return
    while True:
        try:
            found = _ask(app)
            lines = status_lines(found)
        except NodeUnreachable as err:  # it may come back
            found, lines = {"error": err.message}, [err.message]
        if app.json:
            click.echo(json.dumps(found, ensure_ascii=False))
        else:
            if sys.stdout.isatty():
                click.clear()
            click.echo("\n".join([*lines, ""]))
        time.sleep(_EVERY)


def _ask(app: App) -> dict[str, Any]:
    found: dict[str, Any] = app.call("openledger_getNodeStatus")
    return {**found, "url": app.node, "block": wei(found["height"])}


def status_lines(found: dict[str, Any]) -> list[str]:
    """For people. What an older node does not tell is left out."""
    rows = [
        ("node", f"{found['url']}, version {found['version']}, up {_span(found.get('uptime', 0))}"),
        ("chain", f"{found['cometChainId']}, EVM chain id {wei(found['chainId'])}"),
        ("block", _block(found)),
        ("consensus", _consensus(found)),
    ]
    if "signing" in found:
        rows.append(("validator", _validator(found)))
        rows.append(("claims", _claims(found["claims"])))
    if verified := found.get("verifications"):
        rows.append(("verdicts", verdicts_in_words(verified)))
        if trouble := last_trouble(verified):
            rows.append(("", f"last: {trouble}"))
    pool = found.get("mempool", {"transactions": found.get("waiting", 0), "bytes": 0})
    rows.append(("mempool", f"{pool['transactions']} transactions, {_size(pool['bytes'])}"))
    rows.append(("engine", f"{found['engine']}"))
    rows.append(("oracle", found["oracle"] + (f"; GPU {', '.join(found['gpu'])}" if found.get("gpu") else "")))
    rows += [("", f"{one.found}; {one.hint}") for one in of_oracle(found)]
    if disk := found.get("disk"):
        text = f"{_size(disk['used'])} used ({_size(disk['database'])} database), {_size(disk['free'])} free"
        rows.append(("disk", text))
        if blobs := found.get("blobs"):
            most = f" of {_size(blobs['limit'])}" if blobs["limit"] else ""
            rows.append(("blobs", f"{_size(blobs['bytes'])}{most}"))
        rows.append(("memory", _size(found["memory"])))
    if plan := found.get("upgrade"):
        known = "" if plan["known"] else "; this version does not know it and will stop there"
        rows.append(("upgrade", f"{plan['name']} at block {plan['height']}{known}"))
    if found.get("clock", "ok") != "ok":
        rows.append(("clock", found["clock"]))
    return [f"{name:<10} {text}" for name, text in rows]


def _block(found: dict[str, Any]) -> str:
    age = f", {_span(found['headAge'])} old" if "headAge" in found else ""
    return f"{found['block']}{age}" + (", catching up" if found["catchingUp"] else "")


def _consensus(found: dict[str, Any]) -> str:
    if found["mode"] != "cometbft":
        return f"{found['mode']}: one validator in this process"
    version = f" {found['cometbft']}" if found.get("cometbft") else ""
    if not found.get("answering", True):
        return f"CometBFT{version} does not answer"
    return f"CometBFT{version}, {found['peers']} peers"


def _validator(found: dict[str, Any]) -> str:
    own = found["signing"]
    if own is None:
        return "none: this node follows the chain"
    state = "tombstoned" if own["tombstoned"] else "jailed" if own["jailed"] else f"power {own['power']}"
    signed = f"signed {own['signedPercent']} % of the last {own['window']} blocks, missed {own['missed']}"
    return f"{found['validator']}, {state}, {signed}"


def _claims(claims: list[dict[str, Any]]) -> str:
    if not claims:
        return "none open"
    return f"{len(claims)} open: " + "; ".join(f"{in_words(one)}, own verdict {own_word(one)}" for one in claims)


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _span(seconds: int) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds} s"


@click.command(cls=Command)
@click.option("--port", type=Whole(1, 65535), help="RPC port to look at (default: the configured one).")
@pass_app
def doctor(app: App, port: int | None) -> int:
    """Look at this machine and at the home folder: what is installed, missing, slow or wrong, and what to do about it.
    Without --node, the node of that folder is asked.

    Exit code 1 when something is missing that the node cannot do without.
    """
    from openledger.node.checks import MISS, OK, WARN
    from openledger.node.doctor import examine

    checks = examine(app.home, port, app.chosen_node)
    marks = {OK: "ok  ", WARN: "warn", MISS: "MISS"}
    lines = []
    for check in checks:
        lines.append(f"{marks[check.level]} {check.name:<13} {check.found}")
        if check.level != OK and check.hint:
            lines.append(f"     hint: {check.hint}")
    data = [{"name": c.name, "ok": c.level == OK, "level": c.level, "found": c.found, "hint": c.hint} for c in checks]
    app.emit(data, lines)
    return 1 if any(check.level == MISS for check in checks) else 0


COMMANDS = [status, doctor]
