"""Texts by contributor, for the benches: what each of some people has written, in an order that the seed decides.

"speeches" are the paragraphs shipped with the package, two contributors a person; "manuals" docstrings of Python's
standard library, "sources" its code, "tensors" torch's docstrings, a contributor a module or part; "changelogs" what a
Debian system's packages tell of their versions, a contributor a package.
"""

from __future__ import annotations

import gzip
import importlib
import inspect
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from openledger.attribution_oracle import corpus

MODULES = (
    "argparse", "logging", "subprocess", "decimal", "tarfile", "zipfile", "unittest.mock", "asyncio.base_events",
    "statistics", "ipaddress", "difflib", "shutil", "email.message", "inspect",
)  # fmt: skip
CODE = (
    "asyncio.streams", "calendar", "codecs", "concurrent.futures.thread", "configparser", "csv", "dis", "fractions",
    "ftplib", "heapq", "http.cookiejar", "mailbox", "optparse", "plistlib", "smtplib", "textwrap", "turtle",
)  # fmt: skip
PARTS = (
    "torch.nn.modules.activation", "torch.nn.modules.loss", "torch.nn.functional", "torch.nn.init", "torch.linalg",
    "torch.special", "torch.distributions", "torch.optim.lr_scheduler", "torch.autograd.functional", "torch.fft",
    "torch.utils.data", "torch.distributed", "torch.jit", "torch.cuda", "torch.signal.windows",
)  # fmt: skip
LEAST, MOST, PEOPLE = 18, 400, 10
"""Rows that a contributor must have, characters of a row, contributors of a corpus."""
Rows = list[str]


def speeches(chance: random.Random) -> list[Rows]:
    """Paragraphs, two contributors a person."""
    found = []
    for person in corpus.PEOPLE:
        texts = [d.text for held in (False, True) for d in corpus.documents(person.key, held)]
        chance.shuffle(texts)
        found += [texts[::2], texts[1::2]]
    return found


def manuals(chance: random.Random) -> list[Rows]:
    """Docstrings by module."""
    found = []
    for name in MODULES:
        module = importlib.import_module(name)
        own = [x for x in vars(module).values() if getattr(x, "__module__", "") == name]
        members = [f for x in own if inspect.isclass(x) for f in vars(x).values() if inspect.isfunction(f)]
        found.append({inspect.getdoc(x) or "" for x in [*own, *members] if inspect.isclass(x) or inspect.isfunction(x)})
    return _by_contributor(found, chance)


def sources(chance: random.Random) -> list[Rows]:
    """Functions and methods by module."""
    found = []
    for name in CODE:
        module = importlib.import_module(name)
        own = [x for x in vars(module).values() if getattr(x, "__module__", "") == name]
        members = [f for x in own if inspect.isclass(x) for f in vars(x).values()]
        found.append({inspect.cleandoc(_source(x)) for x in [*own, *members] if inspect.isfunction(x)})
    return _by_contributor(found, chance)


def tensors(chance: random.Random) -> list[Rows]:
    """torch's docstrings by part, each in one part only."""
    found, seen = [], set[str]()
    for name in PARTS:
        public = {k: x for k, x in vars(importlib.import_module(name)).items() if callable(x) and k[0] != "_"}
        texts = {" ".join((inspect.getdoc(x) or "").split()) for x in public.values()} - seen
        found.append(texts)
        seen |= texts
    return _by_contributor(found, chance)


def changelogs(chance: random.Random) -> list[Rows]:
    """Entries of Debian's changelogs, of packages with 45 or more."""
    files = sorted(f for f in Path("/usr/share/doc").glob("*/changelog.Debian.gz") if not f.is_symlink())
    chance.shuffle(files)
    found = []
    for file in files:
        entries = gzip.decompress(file.read_bytes()).decode("utf-8", "replace").split("\n -- ")
        texts = {" ".join(entry.partition("\n")[2].split()) for entry in entries}
        if len(texts) >= 45 and not file.parent.is_symlink():
            found.append(texts)
    return _by_contributor(found, chance)


def _source(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return ""


def _by_contributor(texts: Iterable[set[str]], chance: random.Random) -> list[Rows]:
    found = []
    for own in texts:
        kept = sorted(t[:MOST] for t in own if len(t) > 150)
        chance.shuffle(kept)
        if len(kept) >= LEAST:
            found.append(kept)
    return found[:PEOPLE]


CORPORA: dict[str, Callable[[random.Random], list[Rows]]] = {
    "speeches": speeches, "manuals": manuals, "sources": sources, "tensors": tensors,
    "changelogs": changelogs,
}  # fmt: skip
