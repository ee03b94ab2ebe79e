"""``model eval --lds`` and ``model train --lds``: the measured LDS in words, as JSON, as a plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openledger.node.plots import Panel, lds_plot
from openledger.primitives.errors import MalformedAction, OracleError

if TYPE_CHECKING:
    from openledger.attribution_oracle.measured import Measurement, Score

SUBSETS, SECONDS = 16, 900


def lds_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--lds``, ``--seconds`` and ``--plot``."""
    for option in (
        click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.svg", callback=_svg,
                     help="Draw the effects that the index tells against those after retraining (with --lds)."),
        click.option("--seconds", default=SECONDS, show_default=True, type=click.IntRange(1),
                     help="After so long no new retraining begins; the number rests on those done by then."),
        click.option("--lds", "subsets", is_flag=False, flag_value=SUBSETS, type=click.IntRange(4, 10_000),
                     metavar="[SUBSETS]",
                     help=f"Measure the attribution: train again without half of the rows, SUBSETS times ({SUBSETS}"
                     " where none is named), and as often without half of the contributors. Each takes about half as"
                     " long as the training did."),
    ):  # fmt: skip
        command = option(command)
    return command


def _svg(_ctx: click.Context, _param: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and value.suffix.lower() != ".svg":
        raise click.BadParameter("the plot is an SVG file: name it FILE.svg")
    return value


def require(subsets: int | None, plot: Path | None) -> None:
    """Raises MalformedAction for a plot without a measurement, or where it cannot be written."""
    if plot is not None and not subsets:
        raise MalformedAction("there is nothing to plot without a measurement", "add --lds")
    if plot is not None and not plot.absolute().parent.is_dir():
        raise MalformedAction(f"there is no folder {plot.absolute().parent} for the plot")


def fields(found: Measurement, method: str) -> dict[str, Any]:
    """For machines: ``lds`` is what goes on chain (ppm over rows, never below 0); errors are standard errors, ppm."""
    rows, owned = found.rows, found.contributors
    return {
        "lds": rows.ppm,
        "lds_rows": _score(rows),
        "lds_contributors": None if owned is None else _score(owned),
        "lds_method": method,
        "retrainings": found.retrainings,
        "retrainings_asked": found.asked,
        "lds_seconds": found.seconds,
        "documents_trained_on": found.seen,
    }


def how(found: Measurement, documents: int) -> dict[str, Any]:
    """What a model's manifest says of its owner's measurement: LDS and standard error in ppm, over how many subsets;
    ``contributors`` is null where they were not measured."""
    told = {"rows": _brief(found.rows), "contributors": None}
    if found.contributors is not None:
        told["contributors"] = _brief(found.contributors)
    return {**told, "retrainings": found.retrainings, "documents": documents, "documents_trained_on": found.seen}


def _brief(score: Score) -> dict[str, int]:
    return {"lds": score.ppm, "error": round(score.error * 1e6), "subsets": len(score.told)}


def _score(score: Score) -> dict[str, Any]:
    return {
        "value": round(score.value, 6),
        "error": round(score.error, 6),
        "subsets": len(score.told),
        "documents": [round(float(x), 6) for x in score.documents],
    }


def losses(found: Mapping[str, Any], documents: int, seen: int) -> list[str]:
    """The losses of a model and its base (micro-nats) on held-out documents, ``seen`` of which are training rows."""
    base, tuned = found["base_loss"] / 1e6, found["held_out_loss"] / 1e6
    said = [f"{documents} documents: {tuned:.4f} nats a token, base {base:.4f} ({(tuned / base - 1) * 100:+.1f} %)"]
    if seen:
        said.append(f"{seen} of them are training rows: hold out documents that are not, else the loss flatters")
    return said


def lines(found: Measurement) -> list[str]:
    """For people."""
    said = [f"LDS over rows         {found.rows.value:6.3f} ± {found.rows.error:.3f} (1 is perfect, 0 is chance)"]
    if found.contributors is None:
        said.append("LDS over contributors not measured: too few contributors, or too little time")
    else:
        said.append(f"LDS over contributors {found.contributors.value:6.3f} ± {found.contributors.error:.3f}")
    said.append(f"{found.retrainings} retrainings in {found.seconds:.0f} s")
    if found.retrainings < found.asked:
        said.append(f"time was up before the other {found.asked - found.retrainings}; --seconds gives more")
    if found.seen:
        said.append(f"{found.seen} of the documents are training rows: the LDS is about documents that are not")
    return said


def draw(path: Path, title: str, found: Measurement) -> None:
    """Write the plot. Raises OracleError where the file cannot be written."""
    scores = [("over rows", found.rows), ("over contributors", found.contributors)]
    panels = [Panel(name, s.told.tolist(), s.true.tolist(), s.documents.tolist(), s.value, s.error)
              for name, s in scores if s is not None]  # fmt: skip
    try:
        path.write_text(lds_plot(title, panels), encoding="utf-8")
    except OSError as err:
        raise OracleError(f"the plot cannot be written to {path}: {err.strerror}") from None


__all__ = ["draw", "fields", "how", "lds_options", "lines", "losses", "require"]
