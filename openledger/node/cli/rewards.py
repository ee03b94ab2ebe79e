"""``openledger rewards``: what an account has earned, why, and taking it."""

from __future__ import annotations

from typing import Any

import click

from openledger.abci_app.modules.attribution.records import must_claim
from openledger.abci_app.modules.rewards.records import EARNINGS
from openledger.abci_app.modules.rewards.records import rewards as rewards_of
from openledger.node import rows
from openledger.node.cli.common import App, Group, Whole, amount, pass_app, short, table, wei
from openledger.node.cli.proofs import (
    block_hash_option,
    checked_answers,
    checked_rows,
    checked_scores,
    proven_state,
    shares_of,
    trust,
)
from openledger.node.proven import ProvenState
from openledger.node.proven_stake import proven_stake
from openledger.primitives.amounts import exact_amount, parse_amount
from openledger.primitives.errors import ProofInvalid, SharesInvalid
from openledger.primitives.types import Address, parse_address, to_checksum, to_hex


@click.group(cls=Group)
def rewards() -> None:
    """What an account has earned."""


@rewards.command()
@click.argument("address", required=False)
@pass_app
def show(app: App, address: str | None) -> None:
    """Show the rewards of ADDRESS (default: the account of --key) and the claims they come from. Fees have in them what
    its stake has earned, which "staking" says alone."""
    address = to_checksum(app.account(address))
    found: dict[str, Any] = app.call("openledger_explainReward", address)
    because = found["claims"]
    lines = [
        f"{name:<10} {amount(found[name])}" for name in ("fees", "staking", "minted", "taken", "locked", "available")
    ]
    if because:
        cells = [
            [c["claim"], c["model"], c["epoch"], f"{c['share'] / 10_000:.4f} %", amount(c["fees"]), amount(c["minted"])]
            for c in because
        ]
        lines += ["", *table(["claim", "model", "epoch", "share", "fees", "minted"], cells)]
    app.emit(found, lines)


@rewards.command()
@click.argument("address", required=False)
@click.option("--claim", "only", type=Whole(1), help="Only this claim.")
@click.option("--top", default=5, show_default=True, type=Whole(1), help="Rows to show of each claim.")
@block_hash_option
@pass_app
def explain(app: App, address: str | None, only: int | None, top: int, trusted: str | None) -> None:
    """Why ADDRESS (default: the account of --key) earned what it did: from OPEN to claim to answer to row.

    Every step is checked on this machine: what was earned (by stake too), the claims and all other records against the
    hash of a block, the answers against the root that their consumers signed, the rows against the datanets' roots,
    what each row earned against the claim's root, the share against the rows.
    """
    who = app.account(address)
    state = proven_state(app, trusted)
    block = {"blockHash": to_hex(state.hash)}
    found: dict[str, Any] = app.call("openledger_explainReward", to_checksum(who), block)
    entries = proven_earnings(state, who, [int(entry["claim"]) for entry in found["claims"]])
    because = [explained(app, state, entry, who) for entry in entries if only in (None, entry["claim"])]
    earned = rewards_of(state, who)
    lines = [f"{to_checksum(who)} earned {amount(earned.fees + earned.minted)} by claims"]
    if staking := checked_staking(app, state, who, wei(found["staking"])):
        lines.append(f"its stake has brought {amount(hex(staking))} more")
    for entry in because:
        lines += tree(entry, top)
    if not because:
        lines.append("no claim has paid this account" + (f" for claim {only}" if only else ""))
    proved_at = {"number": state.number, "hash": to_hex(state.hash), "given": trusted is not None}
    proven = {name: hex(getattr(earned, name)) for name in ("fees", "minted", "taken", "locked")}
    data = {"account": to_checksum(who), **proven, "staking": hex(staking), "claims": because, "block": proved_at}
    app.emit(data, [*lines, "", trust(state, trusted)])


def checked_staking(app: App, state: ProvenState, who: Address, said: int) -> int:
    """What the account's stake has earned, by the records of the validators that the node names. Raises ProofInvalid
    where the node says another sum."""
    block = {"blockHash": to_hex(state.hash)}
    named = app.call("openledger_getDelegations", to_checksum(who), block)
    total = proven_stake(state, who, [parse_address(one["validator"]) for one in named])
    if total != said:
        raise ProofInvalid(
            f"the node says that stake has earned {exact_amount(said)}, and its records say {exact_amount(total)}",
            "ask another node (--node)",
        )
    return total


def proven_earnings(state: ProvenState, who: Address, numbers: list[int]) -> list[dict[str, Any]]:
    """What each of these claims has brought an account; they are all that have. Raises ProofInvalid where they are
    not: what an account has earned in all is a record of its own."""
    state.prove(EARNINGS.module, [EARNINGS.key(who, number) for number in numbers])
    earned, all_of_it = [EARNINGS.get(state, who, number) for number in numbers], rewards_of(state, who)
    if len(set(numbers)) < len(numbers) or (sum(e.fees for e in earned if e), sum(e.minted for e in earned if e)) != (
        all_of_it.fees, all_of_it.minted,
    ):  # fmt: skip
        raise ProofInvalid("the node does not name all claims that have paid this account", "ask another node (--node)")
    found = []
    for number, earning in zip(numbers, earned, strict=True):
        claim = must_claim(state, number)
        fees, minted = (earning.fees, earning.minted) if earning else (0, 0)
        share = next((s.ppm for s in claim.shares if s.contributor == who), 0)
        found.append(
            {"claim": number, "model": claim.model, "epoch": claim.epoch, "share": share, "fees": hex(fees),
             "minted": hex(minted), "settlements": [claim.first, claim.last]}
        )  # fmt: skip
    return found


def explained(app: App, state: ProvenState, entry: dict[str, Any], who: Address) -> dict[str, Any]:
    """One claim's entry with its answers, and the account's rows, those that earned most first. Raises SharesInvalid
    when a step does not follow from the one before, ProofInvalid, BlobNotFound when a blob is not public yet."""
    claim = must_claim(state, entry["claim"])
    data = checked_rows(app, state, claim)
    scores = checked_scores(app, claim, len(data))
    shares, _ = shares_of(scores, [owner for owner, _ in data])
    if shares.get(who, 0) != entry["share"]:
        raise SharesInvalid(f"the share of claim {entry['claim']} does not follow from what the rows earned")
    mine = [(number, scores[number], rows.text_of(row)) for number, (owner, row) in enumerate(data) if owner == who]
    earning = sorted((m for m in mine if m[1] > 0), key=lambda m: (-m[1], m[0]))
    return {
        **entry,
        "answers": checked_answers(app, state, claim),
        "rowsHeld": len(mine),
        "rows": [{"row": number, "ppb": ppb, "text": text} for number, ppb, text in earning],
        "proofs": {
            "evidence": to_hex(claim.evidence),
            "scores": to_hex(claim.scores),
            "scoresRoot": to_hex(claim.scores_root),
        },
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
