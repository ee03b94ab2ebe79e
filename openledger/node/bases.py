"""Base models in Hugging Face's form on this machine: those of ``[oracle] bases``, and those named in a command."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from openledger.node import config as configuration
from openledger.node.config import Config
from openledger.node.doctor import MISS, OK, WARN, Check, has_module
from openledger.primitives.errors import InvalidModel

if TYPE_CHECKING:
    from openledger.attribution_oracle.bases import Shelf

F = TypeVar("F", bound=Callable[..., Any])
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def bases_option(command: F) -> F:
    """``--base FOLDER``, for commands that work with published models."""
    text = "Folder with the model's base, where it is not built in; [oracle] bases lists more."
    return click.option("--base", "folders", multiple=True, type=FOLDER, metavar="FOLDER", help=text)(command)


def shelf(home: Path, more: Sequence[Path] = ()) -> Shelf:
    """All bases that this machine's operator has. Raises InvalidConfig."""
    from openledger.attribution_oracle.bases import Shelf

    return Shelf([*more, *configuration.base_folders(configuration.load(home))])


def chosen(home: Path, text: str) -> tuple[str, Shelf]:
    """A base by its name, or by its folder: its name, and where to find it. Raises InvalidModel."""
    from openledger.attribution_oracle.bases import BASES
    from openledger.attribution_oracle.folders import is_name, read_folder

    if text in BASES or is_name(text):
        return text, shelf(home)
    path = Path(text).expanduser()
    if not path.exists() and os.sep not in text:
        raise InvalidModel(f"there is no base {text!r}", f"built in: {', '.join(BASES)}; others are folders: ./{text}")
    return read_folder(path).name, shelf(home, [path])


def examined(config: Config) -> list[Check]:
    """The doctor's lines about ``[oracle] bases``."""
    from openledger.attribution_oracle.folders import read_folder

    checks = []
    for path in configuration.base_folders(config):
        try:
            folder = read_folder(path)
        except InvalidModel as err:
            checks.append(Check("base", WARN, f"{err.message}: claims on it get no vote", err.hint or ""))
            continue
        checks.append(Check("base", OK, f"{folder.name} in {path}, {folder.size >> 20} MiB as fp32"))
    if checks and not has_module("transformers"):
        checks.append(Check("base", MISS, "transformers is missing, so none of them can be loaded", "make install-hf"))
    return checks


__all__ = ["bases_option", "chosen", "examined", "shelf"]
