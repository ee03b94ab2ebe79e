"""``openledger rewards``: what an account has earned, why, and taking it."""

from __future__ import annotations

from typing import Any

import click

from openledger.node.cli.common import App, Group, amount, pass_app, table, wei
from openledger.primitives.amounts import parse_amount
from openledger.primitives.types import to_checksum


@click.group(cls=Group)
def rewards() -> None:
    """What an account has earned."""


@rewards.command()
@click.argument("address", required=False)
@pass_app
def show(app: App, address: str | None) -> None:
    """Show the rewards of ADDRESS (default: the account of --key) and the claims they come from."""
    address = address or to_checksum(app.address())
    found: dict[str, Any] = app.call("openledger_explainReward", address)
    because = found["claims"]
    lines = [f"{name:<10} {amount(found[name])}" for name in ("fees", "minted", "taken", "available")]
    if because:
        cells = [
            [c["claim"], c["model"], c["epoch"], c["share"], amount(c["fees"]), amount(c["minted"])] for c in because
        ]
        lines += ["", *table(["claim", "model", "epoch", "share (ppm)", "fees", "minted"], cells)]
    app.emit(found, lines)


@rewards.command()
@click.option("--amount", "text", default="", help="How much, for example '1.5 OPEN'; default: all.")
@pass_app
def claim(app: App, text: str) -> None:
    """Move earned OPEN to the balance of --key."""
    from openledger.abci_app.modules.rewards.claim import RewardsClaim

    signer = app.signer()
    before = wei(app.call("eth_getBalance", to_checksum(signer.address), "latest"))
    receipt = app.send(RewardsClaim(parse_amount(text) if text else 0), signer)
    after = wei(app.call("eth_getBalance", to_checksum(signer.address), "latest"))
    data = {"transaction": receipt["transactionHash"], "balance_before": str(before), "balance_after": str(after)}
    app.emit(data, f"balance {amount(after)} (before: {amount(before)}; the fee of the transaction is paid from it)")


COMMANDS = [rewards]
