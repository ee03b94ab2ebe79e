"""``openledger infer``: pay for an answer, and see for oneself what it is before that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openledger.abci_app.queries import model_job
from openledger.node.bases import bases_option, shelf
from openledger.node.cli.common import App, Command, Whole, amount, moment, need_torch, pass_app
from openledger.node.cli.proofs import block_hash_option, proven_state, share_lines, shares_view, trust
from openledger.primitives.errors import OpenLedgerError
from openledger.primitives.fields import is_unicode
from openledger.primitives.types import to_hex

if TYPE_CHECKING:
    from openledger.node.answer_check import AnswerCheck
    from openledger.node.proven import ProvenState


@click.command(cls=Command)
@click.argument("number", metavar="MODEL", type=Whole(1))
@click.argument("prompt")
@click.option("--url", default="http://127.0.0.1:8600", show_default=True, help="Model server.")
@click.option("--tokens", default=48, show_default=True, type=Whole(1, 96), help="Longest answer.")
@click.option("--seed", type=int, help="Another seed, another answer (default: the prompt gives it, so asking again "
              "brings the same).")  # fmt: skip
@click.option("--temperature", type=click.FloatRange(0, 2), help="0 takes the likeliest words (default: 0.5).")
@click.option("--verify", is_flag=True, help="Make the answer and its shares again on this machine before paying.")
@bases_option
@block_hash_option
@pass_app
def infer(
    app: App, number: int, prompt: str, url: str, tokens: int, seed: int | None, temperature: float | None,
    verify: bool, folders: tuple[Path, ...], trusted: str | None,
) -> None:  # fmt: skip
    """Pay MODEL for one answer that continues PROMPT: opens a session, asks, checks the receipt, signs the voucher.

    With --verify the model is loaded from the chain's own files first. A server that answers with other words than the
    model's, or tells of other shares than those of the published index, gets no voucher; the deposit can be taken back
    an epoch after the session's end (inference.close). Needs torch.
    """
    from openledger.attribution_oracle.openai import MAX_PROMPT
    from openledger.node.consumer import open_session

    if not verify and (folders or trusted is not None):
        raise click.UsageError("--base and --block-hash go with --verify")
    if seed is not None and not -(2**63) <= seed < 2**63:
        raise click.UsageError("--seed has 64 bits")
    if not prompt.strip() or len(prompt) > MAX_PROMPT or not is_unicode(prompt):
        raise click.UsageError(f"PROMPT must be text of 1 to {MAX_PROMPT} characters")  # before money is put aside
    signer, state, check = app.signer(), None, None
    if verify:
        state, check = _loaded(app, number, folders, trusted)
    session, transaction = open_session(app.client, signer, number, url, 1)
    left = (
        f"session {session.number} has {amount(session.price)} of yours; an epoch after {moment(session.expiry)} "
        f"take it back: openledger tx inference.close --session {session.number}"
    )
    try:
        chosen = {name: one for name, one in (("seed", seed), ("temperature", temperature)) if one is not None}
        answer = session.ask(prompt, check, max_tokens=tokens, **chosen)
    except KeyboardInterrupt:
        click.echo(left, err=True)
        raise
    except OpenLedgerError as err:
        raise type(err)(err.message, f"{err.hint}; {left}" if err.hint else left) from None
    data: dict[str, Any] = {**answer.__dict__, "price": str(answer.price), "transaction": transaction}
    words = [prompt + answer.text, "", f"receipt {answer.receipt}, session {session.number}, {amount(answer.price)}"]
    if state is not None and check is not None and check.found is not None:
        shares = shares_view(check.found)
        data["verified"] = {**shares, "block": {"number": state.number, "hash": to_hex(state.hash)}}
        words.append("the answer is the model's own, and so are these shares of its contributors' part:")
        words += [*share_lines(shares), trust(state, trusted)]
    app.emit(data, words)


def _loaded(app: App, number: int, folders: tuple[Path, ...], trusted: str | None) -> tuple[ProvenState, AnswerCheck]:
    """The model of the chain, before any money moves."""
    need_torch()
    from openledger.attribution_oracle.one_answer import published
    from openledger.node.answer_check import AnswerCheck
    from openledger.node.operator import NodeBlobs

    state = proven_state(app, trusted)
    job = model_job(state, number)
    with app.stage("load", f"Load model {number}"):
        return state, AnswerCheck(published(job, NodeBlobs(app.client), shelf(app.home, folders)))


COMMANDS = [infer]
