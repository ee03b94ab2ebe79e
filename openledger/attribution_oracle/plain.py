"""A text as it is compared: without case, accents, invisible signs and escapes, look-alike letters as Latin ones."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Literal

_PIECE = re.compile(r"\S{1,512}")
NEWER = re.compile(
    "[\u0cf3\u0ece\u2ffc-\u2fff\u31ef\U00010efd-\U00010eff\U0001123f-\U00011241\U00011b00-\U00011b09"
    "\U00011f00-\U00011f10\U00011f12-\U00011f3a\U00011f3e-\U00011f59\U0001342f\U00013439-\U00013455"
    "\U0001b132\U0001b155\U0001d2c0-\U0001d2d3\U0001df25-\U0001df2a\U0001e030-\U0001e06d\U0001e08f"
    "\U0001e4d0-\U0001e4f9\U0001f6dc\U0001f774-\U0001f776\U0001f77b-\U0001f77f\U0001f7d9"
    "\U0001fa75-\U0001fa77\U0001fa87-\U0001fa88\U0001faad-\U0001faaf\U0001fabb-\U0001fabd\U0001fabf"
    "\U0001face-\U0001facf\U0001fada-\U0001fadb\U0001fae8\U0001faf7-\U0001faf8\U0002b739"
    "\U0002ebf0-\U0002ee5d\U00031350-\U000323af]"
)
"""Signs that Unicode has had since version 15.0 or 15.1: Python 3.11 does not know them, later ones do, and what is pay
must not hang on which of them a validator runs. They are signs of no kind."""
NO_SIGN = "\uffff"
_UNSEEN = ("Mn", "Me", "Cf")  # marks on letters, and signs that show nothing (Unicode general categories)
_FILLERS = "\u115f\u1160"  # Korean letters that show nothing, after NFKD
ALIKE = str.maketrans(
    "авекмнорстухіјѕԁԛԝһӏαβεζηικμνορτυχօոսհցɑɡɩı℮ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ",
    "abekmhopctyxijsdqwhlabezhikmnoptyxonuhgagiieabcdefghijklmnoprstuvwyz",
)
"""Letters, small or great, that look like a Latin one (of Unicode TR 39, the common ones): Cyrillic, Greek, Armenian,
phonetic, and small capitals."""
_ESCAPES = re.compile(
    r"&(?:#\d{1,7}|#x[\da-f]{1,6}|[a-z][a-z\d]{1,31});|(?:\\u[\da-f]{4})+|(?:\\x[\da-f]{2})+|(?:%[\da-f]{2})+",
    re.I | re.A,
)
_NESTED = 3  # escapes of escapes that are looked into


def plain_of(text: str) -> str:
    """A text without case, accents and invisible signs, with Latin letters for those that look alike."""
    text = unescaped(text)
    if not text.isascii():
        parts = normal("NFKD", text)
        seen = (c for c in parts if unicodedata.category(c) not in _UNSEEN and c not in _FILLERS)
        text = "".join(seen).casefold().translate(ALIKE)
    return text.casefold()


def normal(form: Literal["NFKC", "NFKD"], text: str) -> str:
    """A text in this normal form of Unicode (UAX 15), its ``NEWER`` signs of no kind; but for spaces, at which nothing
    hangs together, and at most 512 signs at a time, since marks out of order take the square of their number to be
    sorted."""
    return _PIECE.sub(lambda piece: unicodedata.normalize(form, piece.group()), NEWER.sub(NO_SIGN, text))


def unescaped(text: str) -> str:
    """With the signs that escapes of HTML, JSON, URLs and programs stand for."""
    for _ in range(_NESTED):
        found = _ESCAPES.sub(_sign, text)
        if found == text:
            break
        text = found
    return text


def _sign(escape: re.Match[str]) -> str:
    written = escape.group()
    if written[0] == "&":
        return html.unescape(written)
    code, form = ("utf-16-be", r"\u") if written[1] in "uU" else ("utf-8", written[:2] if written[0] == "\\" else "%")
    return bytes.fromhex(re.sub(re.escape(form), "", written, flags=re.I)).decode(code, "replace")


__all__ = ["normal", "plain_of", "unescaped"]
