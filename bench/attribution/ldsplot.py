"""LDS by method as SVG text: a bar for rows and one for contributors, with the jackknife's error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

LEFT, WIDTH, BAR, GAP, TOP = 260, 460, 13, 14, 64
COLOURS = ("#0072b2", "#d55e00")


@dataclass(frozen=True)
class Bars:
    """A method: (LDS, its error) over rows and over contributors."""

    name: str
    values: Sequence[tuple[float, float]]


def bars(title: str, methods: Sequence[Bars]) -> str:
    """All methods below each other, on an axis from 0 to 1; what is below 0 is drawn at 0."""
    row = 2 * BAR + GAP
    height = TOP + row * len(methods) + 34
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 90}" height="{height}" '
        f'viewBox="0 0 {LEFT + WIDTH + 90} {height}" font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{LEFT + WIDTH + 90}" height="{height}" fill="white"/>',
        f'<text x="20" y="26" font-size="16" font-weight="bold">{escape(title)}</text>',
    ]
    for place, (what, colour) in enumerate(zip(("over rows", "over contributors"), COLOURS, strict=True)):
        out.append(f'<text x="{LEFT + 130 * place}" y="48" fill="{colour}">{what}</text>')
    for tick in range(0, 11, 2):
        x = LEFT + WIDTH * tick / 10
        out.append(f'<line x1="{x}" y1="{TOP - 6}" x2="{x}" y2="{height - 30}" stroke="#d8d8d8"/>')
        out.append(f'<text x="{x}" y="{height - 14}" text-anchor="middle">{tick / 10:g}</text>')
    for number, method in enumerate(methods):
        y = TOP + row * number
        out.append(f'<text x="{LEFT - 10}" y="{y + BAR + 4}" text-anchor="end">{escape(method.name)}</text>')
        for place, (value, error) in enumerate(method.values):
            end, at = LEFT + WIDTH * max(0.0, value), y + BAR * place
            reach = WIDTH * error
            out.append(
                f'<rect x="{LEFT}" y="{at}" width="{end - LEFT:.1f}" height="{BAR - 2}" fill="{COLOURS[place]}"/>'
            )
            out.append(f'<line x1="{end - reach:.1f}" y1="{at + BAR / 2 - 1}" x2="{end + reach:.1f}" '
                       f'y2="{at + BAR / 2 - 1}" stroke="#222"/>')  # fmt: skip
            out.append(f'<text x="{end + reach + 6:.1f}" y="{at + BAR - 3}" font-size="10">{value:.2f}</text>')
    return "\n".join([*out, "</svg>", ""])


__all__ = ["Bars", "bars"]
