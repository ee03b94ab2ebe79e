"""``openledger model list|show|base|methods|retire``: what is known of models, and the end of one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from openledger.node import bases
from openledger.node.cli.common import App, Command, Whole, amount, facts, need_torch, pass_app, table


@click.command("methods", cls=Command)
@pass_app
def show_methods(app: App) -> None:
    """Say how rows can be credited, and what each method costs."""
    need_torch()
    from openledger.attribution_oracle.methods import METHODS as REGISTRY

    found = [{"name": m.name, "cost": m.cost} for m in REGISTRY.values()]
    lines = [f"{m['name']}: {m['cost']}" for m in found]
    app.emit(found, [*lines, "", "how well each tells the truth: openledger model eval MODEL --lds SUBSETS"])


@click.command("base", cls=Command)
@click.argument("folder", type=bases.FOLDER)
@pass_app
def show_base(app: App, folder: Path) -> None:
    """Look whether a folder can be a base, and say its name on chain and the layers that can be adapted."""
    need_torch()
    from openledger.attribution_oracle import factory

    found = factory.in_folder(folder)
    kinds = list(dict.fromkeys(name.rsplit(".", 1)[-1] for name, _ in found.build().adapted()))
    view = {
        "name": found.name,
        **found.config.to_json(),
        "longest": found.longest,
        "layers": kinds,
        "targets": list(found.targets),
    }
    app.emit(view, [f"{k:<8} {', '.join(v) if isinstance(v, list) else v}" for k, v in view.items()])


@click.command("list", cls=Command)
@pass_app
def list_models(app: App) -> None:
    """List the models of the chain."""
    found = app.call("openledger_listModels")
    cells = [[m["id"], m["name"], m["base"], m["rows"], amount(m["price"]), standing(m), m["owner"]] for m in found]
    app.emit(found, table(["id", "name", "base", "rows", "price", "status", "owner"], cells))


def standing(record: Mapping[str, Any]) -> str:
    """Whether a model is sold."""
    return "refuted" if record["refuted"] else "retired" if record["retired"] else "active"


@click.command(cls=Command)
@click.argument("number", metavar="MODEL", type=Whole(1))
@pass_app
def show(app: App, number: int) -> None:
    """Show one model."""
    found = app.call("openledger_getModel", number)
    words = {
        k: f"{found[k] / 1e6:.4f} nats a token" if found[k] else "not measured" for k in ("baseLoss", "heldOutLoss")
    }
    words["data"] = ", ".join(f"{ref['datanet']}:{ref['version']}" for ref in found["data"])
    words["lds"] = f"{found['lds'] / 1e6:.3f} over rows, its owner's word" if found["lds"] else "not measured"
    again = f"anybody measures how well its attribution tells the truth: openledger model eval {number} --lds"
    app.emit(found, [*facts(found, **words), "", again])


@click.command(cls=Command)
@click.argument("number", metavar="MODEL", type=Whole(1))
@pass_app
def retire(app: App, number: int) -> None:
    """Sell MODEL no more; only its owner may. Sessions that are open go on, and its bond comes back after a while."""
    from openledger.abci_app.modules.models.retire import ModelRetire

    receipt = app.send(ModelRetire(model=number))
    wait, record = int(app.call("openledger_getParams")["unbondingSeconds"]), app.call("openledger_getModel", number)
    data = {"model": number, "transaction": receipt["transactionHash"]}
    app.emit(data, f"model {number} is retired: no new sessions; {amount(record['bond'])} come back in {wait:,} s")


COMMANDS = [list_models, show, show_base, show_methods, retire]
