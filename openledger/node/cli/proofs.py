"""``openledger proof``: an attribution claim, what the validators said, and the arithmetic checked on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openledger.abci_app.modules.attribution.messages import CLAIMED_BYTES, scores_of
from openledger.abci_app.modules.attribution.records import STATUS_NAMES, Claim, must_claim
from openledger.abci_app.modules.datanets.records import must_version
from openledger.abci_app.modules.models.records import SETTLEMENTS, must_model, settlements
from openledger.abci_app.queries import attribution_job
from openledger.node import rows
from openledger.node.bases import bases_option
from openledger.node.cli.common import App, Group, Whole, facts, need_torch, pass_app, short, table, worded
from openledger.node.proven import ProvenState
from openledger.primitives.amounts import PPM, split_exact
from openledger.primitives.attribution import SCORE_UNIT, receipt_leaf, score_leaf
from openledger.primitives.errors import DecodingError, InvalidJson, NotFound, ProofInvalid, SharesInvalid
from openledger.primitives.hashing import merkle_root
from openledger.primitives.jsonio import read_json
from openledger.primitives.types import ZERO_ADDRESS, Address, from_hex, parse_address, to_checksum, to_hex

if TYPE_CHECKING:
    from openledger.attribution_oracle.one_answer import AnswerShares


@click.group(cls=Group)
def proof() -> None:
    """Claims of attribution and their verdicts."""


@proof.command()
@click.argument("number", metavar="CLAIM|CHALLENGE", type=Whole(1))
@pass_app
def show(app: App, number: int) -> None:
    """Show a claim, or a challenge of a published index: what it says, its status, the verdicts."""
    verdicts = app.call("openledger_getVerdicts", number)
    try:
        kind, found = "claim", app.call("openledger_getClaim", number)
    except NotFound:
        kind, found = "challenge", app.call("openledger_getIndexChallenge", number)
    lines = facts(found, shares=None)
    if shares := found.get("shares"):
        lines += ["", *table(["contributor", "share"], [[who, f"{ppm / 10_000:.4f} %"] for who, ppm in shares.items()])]
    if verdicts:
        heads = list(verdicts[0])
        lines += ["", *table(heads, [[worded(h, v.get(h)) for h in heads] for v in verdicts])]
    app.emit({kind: found, "verdicts": verdicts}, lines)


def shares_of(scores: list[int], contributors: list[Address]) -> tuple[dict[Address, int], int]:
    """Shares in ppm and what is unattributed, of row scores in ppb (design.md, section 6): clipped at zero per row,
    summed per contributor, rounded by largest remainder."""
    earned: dict[Address, int] = dict.fromkeys(sorted(set(contributors)), 0)
    for who, score in zip(contributors, scores, strict=True):
        earned[who] += max(score, 0)
    rest = max(SCORE_UNIT - sum(earned.values()), 0)
    parts = split_exact(PPM, [*earned.values(), rest])
    return {who: ppm for who, ppm in zip(earned, parts, strict=False) if ppm}, parts[-1]


def proven_state(app: App, trusted: str | None) -> ProvenState:
    """The state of a block: of the hash given with --block-hash, else of the node's head. Raises ProofInvalid."""
    try:
        wanted = None if trusted is None else from_hex(trusted, 32)
    except DecodingError:
        raise ProofInvalid(f"{trusted!r} is no hash of a block", "--block-hash takes 0x and 64 hex digits") from None
    return ProvenState(app.client, wanted)


def block_hash_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--block-hash``."""
    return click.option(
        "--block-hash", "trusted", metavar="HASH",
        help="Hash of one of the last 128 blocks, from a source that you trust (default: the node's newest block).",
    )(command)  # fmt: skip


def trust(state: ProvenState, trusted: str | None) -> str:
    """What is still taken on somebody's word."""
    word = "its hash on the node's word; --block-hash names one that you trust"
    given = word if trusted is None else "the hash you gave"
    return f"all records are proved against block {state.number}, {to_hex(state.hash)} ({given})"


def checked_rows(app: App, state: ProvenState, claim: Claim) -> list[tuple[Address, bytes]]:
    """(contributor, row) of all rows of the claim's model, in order; they have the roots on the chain. Raises
    SharesInvalid when they have not, ProofInvalid, BlobNotFound, BlobCorrupt."""
    found: list[tuple[Address, bytes]] = []
    for ref in must_model(state, claim.model).data:
        version = must_version(state, ref.datanet, ref.version)
        parts = [(part.contributor, app.client.get_blob(part.blob.hex())) for part in version.parts]
        if rows.version_root(parts)[0] != version.root:
            raise SharesInvalid(f"the rows of datanet {ref.datanet} do not have the root on the chain")
        found += [(who, row) for who, blob in parts for row in rows.rows_of(blob)]
    return found


def checked_scores(app: App, claim: Claim, count: int) -> list[int]:
    """What each of ``count`` rows earns in ppb; they have the root in the claim. Raises SharesInvalid, BlobNotFound."""
    raw = app.client.get_blob(claim.scores.hex())
    scores = scores_of(raw, CLAIMED_BYTES)
    if len(raw) != 8 * count:
        raise SharesInvalid(f"the scores are of {len(raw) // 8} rows, the data has {count}")
    if merkle_root([score_leaf(i, s) for i, s in enumerate(scores)]) != claim.scores_root:
        raise SharesInvalid("the published scores do not have the root in the claim")
    return scores


def checked_answers(app: App, state: ProvenState, claim: Claim) -> list[dict[str, Any]]:
    """The answers that the claim pays for; with those before them they have the roots that their consumers signed.
    Raises SharesInvalid when they have not, ProofInvalid."""
    state.prove(
        SETTLEMENTS.module, [SETTLEMENTS.key(claim.model, claim.epoch, i) for i in range(claim.first, claim.last)]
    )
    given: dict[int, list[dict[str, Any]]] = {}
    found: list[dict[str, Any]] = []
    try:
        for answer in read_json(app.client.get_blob(claim.evidence.hex()))["answers"]:
            given.setdefault(answer["session"], []).append(answer)
        for entry in settlements(state, claim.model, claim.epoch, claim.first, claim.last):
            answers = given.get(entry.session, [])[: entry.last]
            leaves = [receipt_leaf(claim.model, a["query"], a["answer"], int(a["price"])) for a in answers]
            if len(leaves) != entry.last or merkle_root(leaves) != entry.receipts:
                raise SharesInvalid(f"the answers of session {entry.session} are not those that its consumer signed")
            found += answers[entry.first :]
    except (InvalidJson, AttributeError, KeyError, TypeError, ValueError, OverflowError) as err:
        raise SharesInvalid(f"the published answers are malformed: {type(err).__name__} {err}") from None
    return found


@proof.command()
@click.argument("number", metavar="[CLAIM]", type=Whole(1), required=False)
@click.option("--row", type=Whole(0), help="Number of the index row that is wrong.")
@click.option("--share", metavar="ADDRESS", help="The contributor whose share is wrong.")
@click.option("--model", type=Whole(1), help="Instead of a claim: the model whose published index is wrong.")
@click.option("--segment", type=Whole(1, 254), help="With --model: the segment of the training run.")
@pass_app
def challenge(
    app: App, number: int | None, row: int | None, share: str | None, model: int | None, segment: int | None
) -> None:
    """Say with a bond that a row or a share of an accepted claim is wrong, or a row of a model's published index.

    The validators verify the claim once more, or make the row again. If they find it false, you get your bond back and
    half of the claimant's or publisher's; else your bond burns.
    """
    from openledger.abci_app.modules.attribution.challenge import AttributionChallenge

    if (number is None) == (model is None):
        raise click.UsageError("name what is wrong: a CLAIM, or --model NUMBER")
    if model is not None:
        _challenge_index(app, model, row, share, segment)
        return
    if segment is not None:
        raise click.UsageError("--segment goes with --model: a claim's row is looked at along the whole run")
    if (row is None) == (share is None):
        raise click.UsageError("name one thing that is wrong: --row NUMBER or --share ADDRESS")
    contributor = ZERO_ADDRESS if share is None else parse_address(share)
    receipt = app.send(AttributionChallenge(number or 0, row or 0, contributor), app.signer())
    app.emit(receipt, [f"claim {number} is challenged: see openledger proof show {number}"])


def _challenge_index(app: App, model: int, row: int | None, share: str | None, segment: int | None) -> None:
    from openledger.abci_app.modules.attribution.challenge_index import AttributionChallengeIndex
    from openledger.node.operator import created_id

    if row is None or share is not None:
        raise click.UsageError("a published index has rows only: --row NUMBER")
    receipt = app.send(AttributionChallengeIndex(model, row, segment or 0), app.signer())
    found = created_id(receipt)
    see = f"openledger proof show {found}"
    app.emit(receipt, [f"challenge {found}: row {row} of model {model} is made again by the validators: see {see}"])


@proof.command()
@click.argument("number", metavar="CLAIM", type=Whole(1))
@block_hash_option
@pass_app
def check(app: App, number: int, trusted: str | None) -> None:
    """Recompute a claim's shares from its published row scores and the data's roots. Needs no torch.

    The scores themselves are recomputed by the validators' oracles; this checks that claim and rows are those on the
    chain and that the shares follow from the scores.
    """
    state = proven_state(app, trusted)
    claim = must_claim(state, number)
    found = checked_rows(app, state, claim)
    contributors, scores = [who for who, _ in found], checked_scores(app, claim, len(found))
    shares, rest = shares_of(scores, contributors)
    if shares != {share.contributor: share.ppm for share in claim.shares} or rest != claim.unattributed:
        raise SharesInvalid("the claimed shares do not follow from the published scores")
    data: dict[str, Any] = {
        "claim": number,
        "ok": True,
        "rows": len(scores),
        "scoresRoot": to_hex(claim.scores_root),
        "shares": {to_checksum(a): p for a, p in shares.items()} | {"unattributed": rest},
        "status": STATUS_NAMES[claim.status],
        "block": {"number": state.number, "hash": to_hex(state.hash)},
    }
    words = f"claim {number}: the shares follow from the scores of {len(scores)} rows; status {data['status']}"
    app.emit(data, [words, trust(state, trusted)])


@proof.command()
@click.argument("number", metavar="CLAIM", type=Whole(1))
@click.option("--answer", type=Whole(0), help="Only this answer, by its place among those of the claim.")
@click.option("--top", default=3, show_default=True, type=Whole(1, 100), help="Spans and rows to show.")
@click.option("--words", default=4, show_default=True, type=Whole(2, 100), help="Words of the shortest span.")
@block_hash_option
@pass_app
def evidence(app: App, number: int, answer: int | None, top: int, words: int, trusted: str | None) -> None:
    """Rows with the very words of a claim's answers, and rows like them: to look at, never what is paid for.

    What a row earns follows from the model's index alone: openledger rewards explain. Answers and rows are checked
    against the chain first.
    """
    need_torch()
    from openledger.attribution_oracle.evidence import NOTE, Evidence

    state = proven_state(app, trusted)
    claim = must_claim(state, number)
    data, answers = checked_rows(app, state, claim), checked_answers(app, state, claim)
    if answer is not None and answer >= len(answers):
        raise NotFound(f"claim {number} has {len(answers)} answers", "they are counted from 0")
    held = Evidence([rows.text_of(row) for _, row in data], [to_checksum(who) for who, _ in data])
    chosen = range(len(answers)) if answer is None else [answer]
    found = held.of([(answers[i]["query"], answers[i]["answer"]) for i in chosen], top, words)
    shown = [{"number": i, **answers[i], **one} for i, one in zip(chosen, found, strict=True)]
    lines = [NOTE] + [line for one in shown for line in seen(one)]
    app.emit({"claim": number, "note": NOTE, "answers": shown}, lines)


@proof.command("shares")
@click.argument("number", metavar="CLAIM", type=Whole(1))
@click.option("--answer", type=Whole(0), help="Only this answer, by its place among those of the claim.")
@click.option("--top", default=3, show_default=True, type=Whole(1, 100), help="Rows to show of each answer.")
@bases_option
@block_hash_option
@pass_app
def answer_shares(
    app: App, number: int, answer: int | None, top: int, folders: tuple[Path, ...], trusted: str | None
) -> None:
    """Make the shares of each answer of a claim, from the chain and its blobs, on this machine.

    A claim weighs its answers together, so these are what each would have brought alone. Claim, model, data and answers
    are checked against the chain first; the claim's scores must be published.
    """
    need_torch()
    from openledger.attribution_oracle.one_answer import checked, shares_of_answers
    from openledger.node.bases import shelf
    from openledger.node.operator import NodeBlobs

    state = proven_state(app, trusted)
    claim = must_claim(state, number)
    if not any(claim.scores):
        raise NotFound(f"the scores of claim {number} are not published", "they are once its vote has closed")
    job = attribution_job(state, number)
    with app.stage("load", f"Load model {claim.model} and the answers"):
        bundle, answers = checked(job, NodeBlobs(app.client), shelf(app.home, folders))
    with app.stage("shares", "Score the answers") as running:
        chosen = range(len(answers)) if answer is None else [answer]
        found = []
        for one in shares_of_answers(bundle, answers, chosen):
            found.append(one)
            running.progress(len(found), len(chosen), "answers scored")
    shown = [_one_answer(one, bundle.texts, top) for one in found]
    lines = [line for one in shown for line in _said_of(one)]
    data = {"claim": number, "answers": shown, "block": {"number": state.number, "hash": to_hex(state.hash)}}
    app.emit(data, [*lines, "", trust(state, trusted)])


def _one_answer(one: AnswerShares, texts: Sequence[str], top: int) -> dict[str, Any]:
    earning = one.earning
    return {
        "number": one.number,
        "session": one.answer.session,
        "index": one.answer.index,
        "query": one.answer.query,
        "answer": one.answer.answer,
        **shares_view(one),
        "earning": len(earning),
        "rows": [{"row": row, "ppb": ppb, "text": texts[row]} for row, ppb in earning[:top]],
    }


def shares_view(one: AnswerShares) -> dict[str, Any]:
    """Shares of an answer for machines, in ppm."""
    return {"shares": {to_checksum(who): ppm for who, ppm in one.shares}, "unattributed": one.unattributed}


def share_lines(view: dict[str, Any], more: str = "") -> list[str]:
    """``shares_view`` for people, the largest share first; ``more`` stands in the last line."""
    by_share = sorted(view["shares"].items(), key=lambda item: (-item[1], item[0]))
    lines = [f"├ {who} {ppm / 10**4:.4f} %" for who, ppm in by_share]
    return [*lines, f"└ unattributed {view['unattributed'] / 10**4:.4f} %{more}"]


def _said_of(one: dict[str, Any]) -> list[str]:
    """The shares of one answer for people."""
    lines = ["", f"answer {one['number']}: {short(one['query'] + ' …' + one['answer'])}"]
    lines += share_lines(one, f"; {one['earning']} rows earn")
    return lines + [f"  ├ row {r['row']}: {r['ppb'] / 10**7:.4f} %: {short(r['text'])}" for r in one["rows"]]


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
