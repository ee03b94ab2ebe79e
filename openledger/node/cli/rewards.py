"""``openledger rewards``: what an account has earned, why, and taking it."""

from __future__ import annotations

from typing import Any

import click

from openledger.node import rows
from openledger.node.cli.common import App, Group, amount, pass_app, short, table, wei
from openledger.node.cli.proofs import checked_answers, checked_rows, checked_scores, shares_of
from openledger.primitives.amounts import parse_amount
from openledger.primitives.errors import SharesInvalid
from openledger.primitives.types import Address, parse_address, to_checksum


@click.group(cls=Group)
def rewards() -> None:
    """What an account has earned."""


@rewards.command()
@click.argument("address", required=False)
@pass_app
def show(app: App, address: str | None) -> None:
    """Show the rewards of ADDRESS (default: the account of --key) and the claims they come from. Fees have in them what
    its stake has earned, which "staking" says alone."""
    address = address or to_checksum(app.address())
    found: dict[str, Any] = app.call("openledger_explainReward", address)
    because = found["claims"]
    lines = [
        f"{name:<10} {amount(found[name])}" for name in ("fees", "staking", "minted", "taken", "locked", "available")
    ]
    if because:
        cells = [
            [c["claim"], c["model"], c["epoch"], c["share"], amount(c["fees"]), amount(c["minted"])] for c in because
        ]
        lines += ["", *table(["claim", "model", "epoch", "share (ppm)", "fees", "minted"], cells)]
    app.emit(found, lines)


@rewards.command()
@click.argument("address", required=False)
@click.option("--claim", "only", type=click.IntRange(1), help="Only this claim.")
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="Rows to show of each claim.")
@pass_app
def explain(app: App, address: str | None, only: int | None, top: int) -> None:
    """Why ADDRESS (default: the account of --key) earned what it did: from OPEN to claim to answer to row.

    Every step is checked on this machine: the answers against the root that their consumers signed, the rows against
    the datanets' roots, what each row earned against the claim's root, the share against the rows.
    """
    who = parse_address(address) if address else app.address()
    found: dict[str, Any] = app.call("openledger_explainReward", to_checksum(who))
    because = [explained(app, entry, who) for entry in found["claims"] if only in (None, int(entry["claim"]))]
    lines = [f"{to_checksum(who)} earned {amount(hex(wei(found['fees']) + wei(found['minted'])))}"]
    for entry in because:
        lines += tree(entry, top)
    if not because:
        lines.append("no claim has paid this account" + (f" for claim {only}" if only else ""))
    app.emit({**found, "account": to_checksum(who), "claims": because}, lines)


def explained(app: App, entry: dict[str, Any], who: Address) -> dict[str, Any]:
    """One claim's entry with its answers, and the account's rows, those that earned most first. Raises SharesInvalid
    when a step does not follow from the one before, BlobNotFound when a blob is not public yet."""
    claim = app.call("openledger_getClaim", entry["claim"])
    data = checked_rows(app, claim)
    scores = checked_scores(app, claim, len(data))
    shares, _ = shares_of(scores, [owner for owner, _ in data])
    if shares.get(who, 0) != int(entry["share"]):
        raise SharesInvalid(f"the share of claim {entry['claim']} does not follow from what the rows earned")
    mine = [(number, scores[number], rows.text_of(row)) for number, (owner, row) in enumerate(data) if owner == who]
    earning = sorted((m for m in mine if m[1] > 0), key=lambda m: (-m[1], m[0]))
    return {
        **entry,
        "answers": checked_answers(app, claim),
        "rowsHeld": len(mine),
        "rows": [{"row": number, "ppb": ppb, "text": text} for number, ppb, text in earning],
        "proofs": {name: claim[name] for name in ("evidence", "scores", "scoresRoot")},
    }


def tree(entry: dict[str, Any], top: int) -> list[str]:
    """One claim for people."""
    answers, earning = entry["answers"], entry["rows"]
    lines = [
        "",
        f"claim {entry['claim']}: fees {amount(entry['fees'])}, minted {amount(entry['minted'])}",
        f"├ model {entry['model']}, epoch {entry['epoch']}: {entry['share'] / 10**4:.4f} % of the contributors' fee",
        f"├ {len(answers)} answers, signed for by their consumers",
    ]
    lines += [f"│ ├ session {a['session']}, answer {a['index']}: {short(a['query'] + ' …' + a['answer'])}"
              for a in answers[:top]]  # fmt: skip
    lines.append(f"└ {len(earning)} of {entry['rowsHeld']} rows earned; all have the roots on the chain")
    return lines + [f"  ├ row {r['row']}: {r['ppb'] / 10**7:.4f} %: {short(r['text'])}" for r in earning[:top]]


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
