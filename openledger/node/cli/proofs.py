"""``openledger proof``: an attribution claim, what the validators said, and the arithmetic checked on this machine."""

from __future__ import annotations

from typing import Any

import click

from openledger.node import rows
from openledger.node.cli.common import App, Group, amount, need_torch, pass_app, short, table
from openledger.node.contributing import parts_of
from openledger.primitives.amounts import PPM, split_exact
from openledger.primitives.attribution import SCORE_UNIT, receipt_leaf, score_leaf
from openledger.primitives.errors import NotFound, SharesInvalid
from openledger.primitives.hashing import merkle_root
from openledger.primitives.jsonio import read_json
from openledger.primitives.types import ZERO_ADDRESS, Address, from_hex, parse_address, to_checksum, to_hex


@click.group(cls=Group)
def proof() -> None:
    """Claims of attribution and their verdicts."""


@proof.command()
@click.argument("number", metavar="CLAIM", type=click.IntRange(1))
@pass_app
def show(app: App, number: int) -> None:
    """Show a claim: shares, fee, status, verdicts."""
    claim = app.call("openledger_getClaim", number)
    verdicts = app.call("openledger_getVerdicts", number)
    lines = []
    for name, value in claim.items():
        if name in ("fee", "bond", "workFee", "minted"):
            value = amount(value)
        if name != "shares":
            lines.append(f"{name:<13} {value}")
    lines += ["", *table(["contributor", "ppm"], list(claim["shares"].items()))]
    if verdicts:
        heads = list(verdicts[0])
        lines += ["", *table(heads, [[told(v.get(h, "")) for h in heads] for v in verdicts])]
    app.emit({"claim": claim, "verdicts": verdicts}, lines)


def told(value: Any) -> Any:
    """A cell of the table of verdicts: what a no names in words."""
    if isinstance(value, dict):
        return " ".join(f"{what} {which}" for what, which in value.items())
    return "" if value is None else value


def shares_of(scores: list[int], contributors: list[Address]) -> tuple[dict[Address, int], int]:
    """Shares in ppm and what is unattributed, of row scores in ppb (design.md, section 6): clipped at zero per row,
    summed per contributor, rounded by largest remainder."""
    earned: dict[Address, int] = dict.fromkeys(sorted(set(contributors)), 0)
    for who, score in zip(contributors, scores, strict=True):
        earned[who] += max(score, 0)
    rest = max(SCORE_UNIT - sum(earned.values()), 0)
    parts = split_exact(PPM, [*earned.values(), rest])
    return {who: ppm for who, ppm in zip(earned, parts, strict=False) if ppm}, parts[-1]


def checked_rows(app: App, claim: dict[str, Any]) -> list[tuple[Address, bytes]]:
    """(contributor, row) of all rows of the claim's model, in order; they have the roots on the chain. Raises
    SharesInvalid when they have not."""
    model = app.call("openledger_getModel", claim["model"])
    found: list[tuple[Address, bytes]] = []
    for ref in model["data"]:
        parts = parts_of(app.client, int(ref["datanet"]), int(ref["version"]))
        version = app.call("openledger_getCommit", ref["datanet"], ref["version"])
        if rows.version_root(parts)[0] != from_hex(version["root"], 32):
            raise SharesInvalid(f"the rows of datanet {ref['datanet']} do not have the root on the chain")
        found += [(who, row) for who, blob in parts for row in rows.rows_of(blob)]
    return found


def checked_scores(app: App, claim: dict[str, Any], count: int) -> list[int]:
    """What each of ``count`` rows earns in ppb; they have the root in the claim. Raises SharesInvalid, BlobNotFound."""
    raw = app.client.get_blob(claim["scores"].removeprefix("0x"))
    scores = [int.from_bytes(raw[i : i + 8], "big", signed=True) for i in range(0, len(raw), 8)]
    if len(raw) != 8 * count:
        raise SharesInvalid(f"the scores are of {len(raw) // 8} rows, the data has {count}")
    if merkle_root([score_leaf(i, s) for i, s in enumerate(scores)]) != from_hex(claim["scoresRoot"], 32):
        raise SharesInvalid("the published scores do not have the root in the claim")
    return scores


def checked_answers(app: App, claim: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers that the claim pays for; with those before them they have the roots that their consumers signed.
    Raises SharesInvalid when they have not."""
    ledger = app.call("openledger_getSettlements", claim["model"], claim["epoch"])["settlements"]
    given: dict[int, list[dict[str, Any]]] = {}
    for answer in read_json(app.client.get_blob(claim["evidence"].removeprefix("0x")))["answers"]:
        given.setdefault(answer["session"], []).append(answer)
    found = []
    for entry in ledger[int(claim["first"]) : int(claim["last"])]:
        answers = given.get(int(entry["session"]), [])[: int(entry["last"])]
        model = int(claim["model"])
        leaves = [receipt_leaf(model, a["query"], a["answer"], int(a["price"])) for a in answers]
        if len(leaves) != int(entry["last"]) or merkle_root(leaves) != from_hex(entry["receipts"], 32):
            raise SharesInvalid(f"the answers of session {entry['session']} are not those that its consumer signed")
        found += answers[int(entry["first"]) :]
    return found


@proof.command()
@click.argument("number", metavar="CLAIM", type=click.IntRange(1))
@click.option("--row", type=click.IntRange(0), help="Number of the index row that is wrong.")
@click.option("--share", metavar="ADDRESS", help="The contributor whose share is wrong.")
@pass_app
def challenge(app: App, number: int, row: int | None, share: str | None) -> None:
    """Say with a bond that a row or a share of an accepted claim is wrong.

    The validators verify the claim once more. If they find it false, you get your bond back and half of the claimant's;
    else your bond burns.
    """
    from openledger.abci_app.modules.attribution.challenge import AttributionChallenge

    if (row is None) == (share is None):
        raise click.UsageError("name one thing that is wrong: --row NUMBER or --share ADDRESS")
    contributor = ZERO_ADDRESS if share is None else parse_address(share)
    receipt = app.send(AttributionChallenge(number, row or 0, contributor), app.signer())
    app.emit(receipt, [f"claim {number} is challenged: see openledger proof show {number}"])


@proof.command()
@click.argument("number", metavar="CLAIM", type=click.IntRange(1))
@pass_app
def check(app: App, number: int) -> None:
    """Recompute a claim's shares from its published row scores and the data's roots. Needs no torch.

    The scores themselves are recomputed by the validators' oracles; this checks that the rows are those on the chain
    and that the shares follow from the scores.
    """
    claim = app.call("openledger_getClaim", number)
    found = checked_rows(app, claim)
    contributors, scores = [who for who, _ in found], checked_scores(app, claim, len(found))
    shares, rest = shares_of(scores, contributors)
    claimed = {parse_address(who): int(ppm) for who, ppm in claim["shares"].items()}
    if shares != claimed or rest != int(claim["unattributed"]):
        raise SharesInvalid("the claimed shares do not follow from the published scores")
    data: dict[str, Any] = {
        "claim": number,
        "ok": True,
        "rows": len(scores),
        "scoresRoot": to_hex(from_hex(claim["scoresRoot"], 32)),
        "shares": {to_checksum(a): p for a, p in shares.items()} | {"unattributed": rest},
        "status": claim["status"],
    }
    app.emit(data, f"claim {number}: the shares follow from the scores of {len(scores)} rows; status {claim['status']}")


@proof.command()
@click.argument("number", metavar="CLAIM", type=click.IntRange(1))
@click.option("--answer", type=click.IntRange(0), help="Only this answer, by its place among those of the claim.")
@click.option("--top", default=3, show_default=True, type=click.IntRange(1, 100), help="Spans and rows to show.")
@click.option("--words", default=4, show_default=True, type=click.IntRange(2, 100), help="Words of the shortest span.")
@pass_app
def evidence(app: App, number: int, answer: int | None, top: int, words: int) -> None:
    """Rows with the very words of a claim's answers, and rows like them: to look at, never what is paid for.

    What a row earns follows from the model's index alone: openledger rewards explain. Answers and rows are checked
    against the chain first.
    """
    need_torch()
    from openledger.attribution_oracle.evidence import NOTE, Evidence

    claim = app.call("openledger_getClaim", number)
    data, answers = checked_rows(app, claim), checked_answers(app, claim)
    if answer is not None and answer >= len(answers):
        raise NotFound(f"claim {number} has {len(answers)} answers", "they are counted from 0")
    held = Evidence([rows.text_of(row) for _, row in data], [to_checksum(who) for who, _ in data])
    chosen = range(len(answers)) if answer is None else [answer]
    found = held.of([(answers[i]["query"], answers[i]["answer"]) for i in chosen], top, words)
    shown = [{"number": i, **answers[i], **one} for i, one in zip(chosen, found, strict=True)]
    lines = [NOTE] + [line for one in shown for line in seen(one)]
    app.emit({"claim": number, "note": NOTE, "answers": shown}, lines)


def seen(one: dict[str, Any]) -> list[str]:
    """One answer's evidence for people."""
    lines = ["", f"answer {one['number']}: {short(one['query'] + ' …' + one['answer'])}"]
    if not one["spans"]:
        lines.append("├ no span of it stands in a row")
    for span in one["spans"]:
        where = ", ".join(f"row {p['row']} of {p['owner']}" for p in span["places"])
        lines.append(f"├ {span['words']} words, {span['count']} times, {where}: {short(span['text'])}")
    return lines + [f"└ like it: row {r['row']} of {r['owner']}, BM25 {r['bm25']}: {short(r['text'])}"
                    for r in one["similar"]]  # fmt: skip


COMMANDS = [proof]
