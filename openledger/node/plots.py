"""Plots as SVG text, drawn by hand: no library to install, and any browser shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean, pstdev

SIDE, MARGIN, TOP, GAP = 340, 56, 96, 84
STRIP = 240
LIMIT = 3.2
"""Standard deviations that a scatter shows; what lies beyond is drawn on its edge."""
BOLD = 'font-weight="bold"'
INK, FAINT, COLOURS = "#222", "#d8d8d8", ("#0072b2", "#d55e00")


@dataclass(frozen=True)
class Panel:
    """One scatter: ``told`` and ``true`` effects [subsets][documents], and what it is called. ``each`` are the
    documents' correlations, ``score`` their mean, ``error`` its standard error."""

    name: str
    told: Sequence[Sequence[float]]
    true: Sequence[Sequence[float]]
    each: Sequence[float]
    score: float
    error: float


def standard(values: Sequence[float]) -> list[float]:
    """In standard deviations from the mean; zeros where nothing varies."""
    middle, spread = fmean(values), pstdev(values)
    return [(v - middle) / spread if spread > 0 else 0.0 for v in values]


def points(panel: Panel) -> list[tuple[float, float]]:
    """(told, true) of every document and subset, each document in its own standard deviations."""
    found: list[tuple[float, float]] = []
    for told, true in zip(zip(*panel.told, strict=True), zip(*panel.true, strict=True), strict=True):
        found += zip(standard(told), standard(true), strict=True)
    return found


def _text(x: float, y: float, text: str, size: int = 12, anchor: str = "middle", extra: str = "") -> str:
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{INK}" {extra}>'
            f"{escape(text)}</text>")  # fmt: skip


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, extra: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {extra}/>'


def _scatter(panel: Panel, left: float, colour: str) -> list[str]:
    def at(x: float, y: float) -> tuple[float, float]:
        inside = [max(-LIMIT, min(LIMIT, v)) / LIMIT for v in (x, y)]
        return left + SIDE / 2 * (1 + inside[0]), TOP + SIDE / 2 * (1 - inside[1])

    spots = points(panel)
    out = [f'<rect x="{left}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="none" stroke="{FAINT}"/>']
    for tick in range(-3, 4):
        (x, bottom), (_, y) = at(tick, -LIMIT), at(-LIMIT, tick)
        out += [_line(x, TOP, x, TOP + SIDE, FAINT), _line(left, y, left + SIDE, y, FAINT)]
        out += [_text(x, bottom + 16, str(tick), 11), _text(left - 8, y + 4, str(tick), 11, "end")]
    out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}" fill-opacity="0.4"/>'
            for x, y in (at(*spot) for spot in spots)]  # fmt: skip
    size = math.fsum(x * x for x, _ in spots)
    slope = math.fsum(x * y for x, y in spots) / size if size > 0 else 0.0
    out.append(_line(*at(-LIMIT, -LIMIT), *at(LIMIT, LIMIT), "#999", 'stroke-dasharray="5 4"'))
    out.append(_line(*at(-LIMIT, -LIMIT * slope), *at(LIMIT, LIMIT * slope), colour, 'stroke-width="2.5"'))
    out.append(
        _text(left + SIDE / 2, TOP - 30, f"{panel.name}: LDS {panel.score:.3f} ± {panel.error:.3f}", 15, extra=BOLD)
    )
    out.append(_text(left + SIDE / 2, TOP - 12, f"{len(panel.told)} retrainings, {len(panel.each)} documents", 11))
    out.append(_text(left + SIDE / 2, TOP + SIDE + 38, "effect that the index tells (standard deviations)"))
    across, middle = left - 34, TOP + SIDE / 2
    out.append(_text(across, middle, "effect after retraining (standard deviations)", 12, "middle",
                     f'transform="rotate(-90 {across} {middle})"'))  # fmt: skip
    return out


def _strip(panels: Sequence[Panel], left: float) -> list[str]:
    """Each document's correlation, a column a panel, with the mean and its error."""

    def height(value: float) -> float:
        return TOP + SIDE / 2 * (1 - max(-1.0, min(1.0, value)))

    out = [_text(left + STRIP / 2, TOP - 30, "Each document", 15, extra=BOLD)]
    for tick in (-1.0, -0.5, 0.0, 0.5, 1.0):
        out.append(_line(left, height(tick), left + STRIP, height(tick), "#999" if tick == 0 else FAINT))
        out.append(_text(left - 8, height(tick) + 4, f"{tick:g}", 11, "end"))
    for number, panel in enumerate(panels):
        middle, colour = left + STRIP * (number + 0.5) / len(panels), COLOURS[number]
        for place, value in enumerate(sorted(panel.each)):
            x = middle + 44 * ((place * 0.618) % 1.0 - 0.5)
            out.append(f'<circle cx="{x:.1f}" cy="{height(value):.1f}" r="3" fill="{colour}" fill-opacity="0.45"/>')
        out.append(
            _line(middle - 34, height(panel.score), middle + 34, height(panel.score), colour, 'stroke-width="3"')
        )
        out.append(_line(middle, height(panel.score - panel.error), middle, height(panel.score + panel.error), colour,
                         'stroke-width="2"'))  # fmt: skip
        out.append(_text(middle, TOP + SIDE + 16, panel.name, 11))
    return [*out, _text(left + STRIP / 2, TOP + SIDE + 38, "rank correlation, mean and its error")]


def lds_plot(title: str, panels: Sequence[Panel]) -> str:
    """SVG of one or two scatters, told against measured, and of each document's rank correlation."""
    width = len(panels) * (SIDE + GAP) + STRIP + 2 * MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{TOP + SIDE + 64}" '
        f'viewBox="0 0 {width} {TOP + SIDE + 64}" font-family="system-ui, sans-serif">',
        f'<rect width="{width}" height="{TOP + SIDE + 64}" fill="white"/>',
        _text(width / 2, 30, title, 17, extra=BOLD),
    ]
    for number, panel in enumerate(panels):
        out += _scatter(panel, MARGIN + number * (SIDE + GAP), COLOURS[number])
    out += _strip(panels, MARGIN + len(panels) * (SIDE + GAP))
    return "\n".join([*out, "</svg>", ""])


__all__ = ["Panel", "lds_plot", "points", "standard"]
