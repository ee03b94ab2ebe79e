"""Base models in Hugging Face's form on this machine: those of ``[oracle] bases``, and those named in a command."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from openledger.node import config as configuration
from openledger.node.checks import MISS, OK, WARN, Check, has_module
from openledger.node.config import Config
from openledger.primitives.errors import InvalidModel, OpenLedgerError
from openledger.rpc.client import Client

if TYPE_CHECKING:
    from openledger.attribution_oracle.bases import Shelf
    from openledger.attribution_oracle.factory import Model

F = TypeVar("F", bound=Callable[..., Any])
PAGE, MODELS = 100, 1_000
"""Of the chain's models so many are asked for at once, and looked at."""
FAR_APART = (
    "path influence with decay on such a base: after the first steps of a run, rows of honest machines were half of the"
    " tolerance apart, so a claim may be refused; path-undecayed has room, and told more"
)
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


def noted(model: Model, method: str) -> list[str]:
    """What the owner of a trained model should know of its base: rows that are longer than it is shown, a method
    whose rows honest machines may not agree on."""
    from openledger.attribution_oracle.folders import is_name

    base, said = model.trained.base, list[str]()
    if model.cut:
        shown = base.config.context
        said.append(
            f"{model.cut} rows are longer than {shown} tokens: what is behind is not learned, and earns nothing"
        )
    if method == "path-influence" and is_name(base.name):
        said.append(FAR_APART)
    return said


def examined(config: Config, node: str = "") -> list[Check]:
    """The doctor's lines about ``[oracle] bases``, and about models of the node's chain whose bases are missing."""
    from openledger.attribution_oracle.folders import read_folder

    checks: list[Check] = []
    here = set[str]()
    for path in configuration.base_folders(config):
        try:
            folder = read_folder(path)
        except InvalidModel as err:
            checks.append(Check("base", WARN, f"{err.message}: claims on it get no vote", err.hint or ""))
            continue
        here.add(folder.name)
        checks.append(Check("base", OK, f"{folder.name} in {path}, {folder.size >> 20} MiB as fp32"))
    if checks and not has_module("transformers"):
        checks.append(Check("base", MISS, "transformers is missing, so none of them can be loaded", "make install-hf"))
    return [*checks, *lacking(_models(node), here)]


def lacking(models: Sequence[Mapping[str, Any]], here: set[str]) -> list[Check]:
    """A line for each base in a folder that ``models`` of the chain are on and that is not ``here``."""
    from openledger.attribution_oracle.folders import is_name

    on: dict[str, list[int]] = {}
    for model in models:
        if is_name(model["base"]) and not model["retired"] and model["base"] not in here:
            on.setdefault(model["base"], []).append(model["id"])
    return [
        Check("base", WARN, f"{name} is missing: this machine's oracle does not vote on claims of model"
              f" {', '.join(map(str, numbers))}", "get the folder from the model's owner; put it into [oracle] bases")
        for name, numbers in on.items()
    ]  # fmt: skip


def _models(node: str) -> list[Mapping[str, Any]]:
    """The first models of a node's chain, none where no node answers."""
    if not node:
        return []
    client = Client(node)
    try:
        return [m for at in range(1, MODELS, PAGE) for m in client.call("openledger_listModels", at, PAGE)]
    except OpenLedgerError:
        return []
    finally:
        client.close()


__all__ = ["bases_option", "chosen", "examined", "lacking", "noted", "shelf"]
