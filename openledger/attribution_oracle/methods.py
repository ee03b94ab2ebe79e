"""The registry of attribution methods, and the making of an index."""

from __future__ import annotations

from openledger.attribution_oracle.index import Index, bytes_of, entries_of, joined
from openledger.attribution_oracle.influence import GradientDot, Method, Run
from openledger.attribution_oracle.ports import Progress, silent
from openledger.attribution_oracle.preconditioned import DataInf, EkFac, LoGra
from openledger.attribution_oracle.replayed import Aside, PathInfluence, PathUndecayed
from openledger.attribution_oracle.tape import Place
from openledger.primitives.errors import InvalidModel, OracleError

DEFAULT_METHOD = "gradient-dot"
REPLAY = {"lora": 4.0, "full": 6.0}
UNDECAYED = 1.5
FACTORS = 1.5
SLOWER = 2.5
JOB_SECONDS = 600
"""Longest turn of a verifying process on one claim, and its longest step (node.oracle_worker)."""
WIDEST = 256 << 20
"""A part of a replay's step holds some twelve tensors of this size, and a validator's process has 6 GiB."""
ROW_BYTES = 1 << 16
WHOLE = 1 << 24
"""Bytes of an adapter's index whose rows are whole whatever they take."""
LARGEST = 1 << 28
"""Bytes of the largest index; a blob travels whole."""
_ASIDE = Aside()
METHODS: dict[str, Method] = {
    method.name: method
    for method in (GradientDot(), PathInfluence(_ASIDE), PathUndecayed(_ASIDE), EkFac(), LoGra(), DataInf())
}


def method(name: str) -> Method:
    """A method by name. Raises OracleError for an unknown one."""
    if name not in METHODS:
        raise OracleError(f"unknown attribution method {name!r}", "known: " + ", ".join(METHODS))
    return METHODS[name]


def best(kind: str, pretrained: bool = False) -> tuple[str, float]:
    """The most accurate method for a fine-tune of this kind, on a base in a folder or the built-in one, and how many
    times the training a validator needs at most to replay it (docs/lab/methods.md, docs/lab/attribution.md)."""
    return ("path-undecayed", UNDECAYED) if pretrained else ("path-influence", REPLAY[kind])


def fitting(kind: str, training: float, vote: float, widest: int = 0, pretrained: bool = False) -> str:
    """The most accurate method that validators can recheck in time, on a machine like this one: ``training`` CPU
    seconds of the fine-tune just made, ``vote`` seconds that a claim is voted on. They need as many times the training
    as ``best`` and ``FACTORS`` say, and may be ``SLOWER`` than this machine. A replay goes on turn after turn, for a
    half of a long vote, since other claims have turns too; factors are one step. Nor do they have the memory to replay
    rows whose logits are ``widest`` bytes, where these are more than ``WIDEST``. On ``pretrained`` bases factors tell
    no more than gradient dot."""
    if widest > WIDEST:
        return DEFAULT_METHOD
    within = min(vote, JOB_SECONDS) / SLOWER
    name, times = best(kind, pretrained)
    if training * times <= max(within, vote / 2 / SLOWER):
        return name
    factors = kind == "lora" and not pretrained and training * FACTORS <= within
    return "ek-fac" if factors else DEFAULT_METHOD


def reason(chosen: str, kind: str, training: float, vote: float, widest: int = 0, pretrained: bool = False) -> str:
    """Why ``fitting`` has chosen this, in a sentence."""
    name, times = best(kind, pretrained)
    if widest > WIDEST:
        return f"auto took {chosen}: validators lack the memory to replay rows whose logits have {widest >> 20} MiB"
    needed = (
        f"about {max(1, round(training * times))} s of a core like this one, and a claim is voted on for {vote:.0f} s"
    )
    if chosen == name:
        return f"auto took {chosen}, the most accurate: validators replay the training in {needed}"
    return (
        f"auto took {chosen}: the most accurate is {name}, but to replay the training validators would need {needed};"
        f" --method {name} takes it all the same"
    )


def usual_bytes(kind: str, rows: int, dim: int) -> int:
    """The largest row of an index unless somebody says another. Rows of an adapter lose by what is left out, and only
    of whole ones a run has segments: where all together have ``WHOLE`` bytes at most, they are whole."""
    return max(ROW_BYTES, dim if kind == "lora" and rows * dim <= WHOLE else 0)


def make_index(
    run: Run, name: str = DEFAULT_METHOD, progress: Progress = silent, place: Place | None = None,
    row_bytes: int | None = None,
) -> Index:  # fmt: skip
    """The index of all rows. ``place`` is where a long work is kept and how much memory its rows may take;
    ``row_bytes`` bounds a row's size (None: ``usual_bytes``). Raises OracleError for an unknown method, or when disk or
    memory do not suffice; InvalidModel when a vector is not finite, or when the method cannot index this model."""
    chosen = method(name)
    dim = chosen.dim(run)
    usual = usual_bytes(run.settings.kind, len(run.rows), dim)
    entries = entries_of(usual if row_bytes is None else row_bytes, dim)
    size = len(run.rows) * bytes_of(entries, dim)
    if size > LARGEST:
        raise InvalidModel(
            f"the index would have {size >> 20} MiB, {LARGEST >> 20} are allowed", "take fewer --row-bytes"
        )
    return joined(name, list(chosen.index_rows(run, entries, place or Place(), progress)), dim)


__all__ = ["DEFAULT_METHOD", "METHODS", "best", "fitting", "make_index", "method", "reason", "usual_bytes"]
