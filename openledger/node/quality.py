"""Checks of rows before a fee is paid: form and size, likeness to what was committed earlier, personal data.

Likeness is measured as the pay rule does it (attribution_oracle/near.py), so what is found here is what would
earn less. Personal data are patterns, hence remarks: whoever commits decides, and a committed row is public for ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from openledger.node.rows import Finding, check
from openledger.primitives.amounts import PPM
from openledger.primitives.errors import MalformedAction

MOST_REMARKS = 10
_NUMBER = r"(?<![\w.,-])(?:\+|00)\d[\d ()/.-]{7,16}\d(?![\w-])"
PATTERNS = {
    "an e-mail address": re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-zA-Z]{2,}(?!\w)"),
    "a telephone number": re.compile(_NUMBER + r"|(?<![\w.-])(?<!\d )\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?![\w-])"),
    "a social security number": re.compile(r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])"),
}
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?(?!\w)")


def luhn(digits: str) -> bool:
    """Whether the check digit of a payment card is right (ISO/IEC 7812)."""
    doubled = [int(d) * (2 if i % 2 else 1) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def iban(text: str) -> bool:
    """Whether the check digits of a bank account are right (ISO 13616)."""
    plain = text.replace(" ", "")
    return len(plain) >= 15 and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def personal(text: str) -> list[str]:
    """What in a text looks like personal data."""
    found = [what for what, pattern in PATTERNS.items() if pattern.search(text)]
    if any(luhn(re.sub(r"\D", "", m.group())) for m in _CARD.finditer(text)):
        found.append("the number of a payment card")
    if any(iban(m.group()) for m in _IBAN.finditer(text)):
        found.append("the number of a bank account")
    return found


def remarks(texts: Sequence[str]) -> list[Finding]:
    """Findings that need nothing but the rows themselves: form, size, repetitions, personal data."""
    told = [Finding(n, False, f"looks as if it held {what}") for n, text in enumerate(texts) for what in personal(text)]
    return sorted([*check(texts), *told], key=lambda f: f.row)


def inspect(
    texts: Sequence[str], earlier: Sequence[tuple[str, str]] = (), progress: Callable[[int, int], None] | None = None
) -> list[Finding]:
    """All findings about rows, by row. ``earlier``: (name, text) of rows that were committed before, oldest first.
    ``progress`` hears how many rows of how many have been looked at, every hundred."""
    found = remarks(texts)
    from openledger.attribution_oracle.near import FirstCommits  # it loads numpy: not for every command

    first, every = FirstCommits(), [*(text for _, text in earlier), *texts]
    for number, text in enumerate(every):
        if progress is not None and number % 100 == 0:
            progress(number, len(every))
        known = first.add(number, text)
        if known.ppm and number >= len(earlier):
            found.append(Finding(number - len(earlier), False, _likeness(known.ppm, known.sources, earlier)))
    return sorted(found, key=lambda f: f.row)


def told(finding: Finding, texts: Sequence[str]) -> str:
    """A finding as a line, with the first words of its row."""
    word, begin = "refused" if finding.refused else "remark", " ".join(texts[finding.row][:40].split())
    return f"row {finding.row}: {word}: {finding.reason}" + (f" ({begin})" if begin else "")


def told_of(found: Sequence[Finding], texts: Sequence[str]) -> list[str]:
    """The first findings as lines, and how many there are more."""
    more = len(found) - MOST_REMARKS
    rest = [f"and {more} remarks more: openledger datanet check FILE"] if more > 0 else []
    return [*(told(finding, texts) for finding in found[:MOST_REMARKS]), *rest]


def spdx(licence: str) -> str:
    """A licence as SPDX writes it, since it cannot be changed later. Raises MalformedAction for one that SPDX does not
    know."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    try:
        return canonicalize_license_expression(licence)
    except InvalidLicenseExpression as err:
        raise MalformedAction(
            f"{licence[:80]!r} is no SPDX expression: {err}",
            "for example CC0-1.0 or CC-BY-4.0 (https://spdx.org/licenses); your own: LicenseRef-NAME",
        ) from None


def _likeness(ppm: int, sources: Sequence[tuple[int, int]], earlier: Sequence[tuple[str, str]]) -> str:
    part = f"{ppm * 100 // PPM} % of what it could earn"
    if not sources:
        return f"says the same again and again: {part} is lost"
    best = max(sources, key=lambda source: source[1])[0]
    name = earlier[best][0] if best < len(earlier) else f"row {best - len(earlier)} here"
    return f"much of it stands in {name}, committed earlier, which gets {part}"


__all__ = ["inspect", "personal", "remarks", "spdx", "told", "told_of"]
