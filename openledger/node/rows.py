"""Data rows on this side of the chain: files to rows, rows to blobs, checks before a fee is paid.

A content blob is JSON Lines; a row is one canonical line ``{"text": "..."}`` without its newline (design.md, 4).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from openledger.primitives.attribution import row_leaf
from openledger.primitives.errors import InvalidJson, MalformedAction, NotFound
from openledger.primitives.fields import is_unicode
from openledger.primitives.hashing import merkle_root
from openledger.primitives.jsonio import read_json
from openledger.primitives.types import Address, Hash32

MAX_ROW_BYTES = 64 * 1024
MIN_TEXT = 20
TABLES = {".json": "a JSON document", ".csv": "a table", ".tsv": "a table", ".parquet": "a table"}


@dataclass(frozen=True)
class Finding:
    """One remark of a check. ``refused`` ones keep the rows from being committed."""

    row: int
    refused: bool
    reason: str


def row_bytes(text: str) -> bytes:
    """The canonical line of one row, without the newline."""
    return json.dumps({"text": text}, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def blob_of(texts: Iterable[str]) -> bytes:
    """The content blob of rows."""
    return b"".join(row_bytes(text) + b"\n" for text in texts)


def rows_of(blob: bytes) -> list[bytes]:
    """The rows of a content blob."""
    found = blob.split(b"\n")
    return found if found[-1] else found[:-1]


def text_of(row: bytes) -> str:
    """The text of a row. Raises MalformedAction."""
    try:
        found = read_json(row)
    except InvalidJson:
        raise MalformedAction('a row must be a JSON object {"text": "..."}, and this is no JSON') from None
    text = found.get("text") if isinstance(found, dict) else None
    if not isinstance(text, str):
        has = f", and this one has {', '.join(map(repr, found))[:80]}" if isinstance(found, dict) and found else ""
        raise MalformedAction(f'a row must be a JSON object {{"text": "..."}}{has}')
    if not is_unicode(text):
        raise MalformedAction("half of a surrogate pair is not a character", "write the character itself, as UTF-8")
    return text


def read_file(path: Path) -> list[str]:
    """Texts of one file: .jsonl (or .ndjson) holds a row a line; anything else is text, cut into paragraphs at empty
    lines, the lines of each joined by blanks. A table or a JSON document is refused: it would be committed as the text
    that it is, for everybody to see.

    Raises NotFound, or MalformedAction naming file and line, also for a file without any row.
    """
    kind = path.suffix.lower()
    if kind in TABLES:
        raise MalformedAction(
            f"{path} is {TABLES[kind]}, not text",
            'write a row a line, {"text": "..."}, into a .jsonl file; if it is meant as text, call it .txt',
        )
    try:
        content = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    except OSError as err:
        raise MalformedAction(f"{path} cannot be read: {err.strerror or err}") from None
    except UnicodeDecodeError as err:
        likely = "UTF-16" if err.object[:2] in (b"\xff\xfe", b"\xfe\xff") else "WINDOWS-1252"
        raise MalformedAction(
            f"{path} is not UTF-8 text: its byte {err.start + 1} is 0x{err.object[err.start]:02x}",
            f"save it as UTF-8, for example: iconv -f {likely} -t UTF-8 {path} > new.txt",
        ) from None
    if not content.strip():
        raise MalformedAction(f"{path} is empty", "a row is a piece of text")
    if kind not in (".jsonl", ".ndjson"):
        return [" ".join(part.split()) for part in re.split(r"\n\s*\n", content) if part.strip()]
    texts = []
    for number, line in enumerate(content.split("\n"), 1):  # a text may hold other line ends
        if not line.strip():
            continue
        try:
            texts.append(text_of(line.encode()))
        except MalformedAction as err:
            raise MalformedAction(f"{path}, line {number}: {err}", err.hint) from None
    return texts


def check(texts: Sequence[str]) -> list[Finding]:
    """Form and size of rows, and exact repetitions among them."""
    found: list[Finding] = []
    seen = set[str]()
    for number, text in enumerate(texts):
        if len(row_bytes(text)) > MAX_ROW_BYTES:
            found.append(Finding(number, True, f"longer than {MAX_ROW_BYTES} bytes"))
        if not text.strip():
            found.append(Finding(number, True, "empty"))
        elif len(text) < MIN_TEXT:
            found.append(Finding(number, False, f"shorter than {MIN_TEXT} characters: teaches a model little"))
        if any(ord(c) < 32 and c not in "\n\t" for c in text):
            found.append(Finding(number, True, "control characters"))
        if text in seen:
            found.append(Finding(number, False, "repeats an earlier row"))
        seen.add(text)
    return found


def leaves(parts: Iterable[tuple[Address, bytes]]) -> list[Hash32]:
    """Row leaves of (contributor, content blob) parts, in order."""
    return [row_leaf(contributor, row) for contributor, blob in parts for row in rows_of(blob)]


def version_root(parts: Iterable[tuple[Address, bytes]]) -> tuple[Hash32, int]:
    """Merkle root over all rows of a version, and their number."""
    found = leaves(parts)
    return merkle_root(found), len(found)
