"""``openledger datanet diff|refine``: what changed between versions, and the next one with rows corrected or gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from openledger.node import rows
from openledger.node.cli.common import App, Command, Whole, pass_app, short, table
from openledger.node.quality import remarks, told_of
from openledger.primitives.amounts import format_amount
from openledger.primitives.errors import AlreadyExists, NotFound
from openledger.primitives.types import Address, parse_address, to_checksum

Rows = Mapping[Address, list[bytes]]


@click.command(cls=Command)
@click.argument("number", metavar="DATANET", type=Whole(1))
@click.argument("old", required=False, type=Whole(0))
@click.argument("new", required=False, type=Whole(1))
@click.option("--stat", is_flag=True, help="Only how many rows came and went, by contributor.")
@pass_app
def diff(app: App, number: int, old: int | None, new: int | None, stat: bool) -> None:
    """Compare two versions row by row: by default the newest with the one that it followed; 0 is before the first.

    The rows of both are checked against their roots on the chain.
    """
    new = new or int(app.call("openledger_getDatanet", number)["head"])
    if not new:
        raise NotFound(f"datanet {number} has no version yet")
    old = int(app.call("openledger_getCommit", number, new)["parent"]) if old is None else old
    before, after = held(app, number, old), held(app, number, new)
    changed: list[dict[str, Any]] = []
    lines = [f"datanet {number}, version {old} to {new}"]
    for who in sorted(before.keys() | after.keys()):
        was, now = before.get(who, []), after.get(who, [])
        gone, come = list(less(was, now)), list(less(now, was))
        changed.append({"contributor": to_checksum(who), "removed": gone, "added": come, "same": len(was) - len(gone)})
        if not stat and (gone or come):
            lines += [
                "",
                to_checksum(who),
                *(f"- {short(text)}" for text in gone),
                *(f"+ {short(text)}" for text in come),
            ]
    cells = [[c["contributor"], len(c["removed"]), len(c["added"]), c["same"]] for c in changed]
    lines += ["", *table(["contributor", "removed", "added", "same"], cells)]
    app.emit({"datanet": number, "old": old, "new": new, "contributors": changed}, lines)


def held(app: App, number: int, version: int) -> Rows:
    """The rows of a version by contributor, in order; they have the version's root. None before the first."""
    from openledger.node.contributing import checked_parts

    found: dict[Address, list[bytes]] = {}
    for who, blob in checked_parts(app.client, number, version)[0] if version else []:
        found.setdefault(who, []).extend(rows.rows_of(blob))
    return found


def less(these: Iterable[bytes], those: Iterable[bytes]) -> Iterable[str]:
    """Texts of ``these`` rows without ``those``, each as often as it stands there, in order."""
    left = Counter(those)
    for row in these:
        if left[row]:
            left[row] -= 1
        else:
            yield rows.text_of(row)


@click.command(cls=Command)
@click.argument("number", metavar="DATANET", type=Whole(1))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--message", "-m", default="", help="What changes, in a sentence.")
@click.option("--dry-run", is_flag=True, help="Only say what would change; send nothing.")
@click.option("--no-promise", is_flag=True, help="Show the rows at once: whoever sees them on their way can be first.")
@click.option("--contributor", metavar="ADDRESS", help="Whose rows they are, where the owner commits for others.")
@pass_app
def refine(
    app: App, number: int, file: Path, message: str, dry_run: bool, no_promise: bool, contributor: str | None
) -> None:
    """Commit a version in which the rows of FILE are all the rows of --key: corrected, removed, added.

    Get them with datanet pull --contributor, and change the file. A commit of yours none of whose rows change stays as
    it is. Of any other the rows that stay come again: as to who was first with them, they count from now.
    """
    from openledger.node.cli.datanets import contribution, refuse
    from openledger.node.contributing import parts_of, refined

    texts = rows.read_file(file)
    found = remarks(texts)
    refuse(found)
    me = app.signer().address if contributor is None else parse_address(contributor)
    head = int(app.call("openledger_getDatanet", number)["head"])
    mine = [blob for who, blob in (parts_of(app.client, number, head) if head else []) if who == me]
    if not mine:
        raise NotFound(f"{to_checksum(me)} has no rows in datanet {number}", f"openledger datanet add {number} {file}")
    plan = refined(mine, [rows.row_bytes(text) for text in texts])
    if not plan.remove and not plan.blob:
        raise AlreadyExists(f"the rows of {file} are those of version {head}", "change the file first")
    said = [*told_of(found, texts), f"{plan.stay} rows stay, {plan.go} go, {plan.new} come"]
    said += [f"{plan.again} more shared a commit with what goes, and come again"] if plan.again else []
    data: dict[str, Any] = {name: getattr(plan, name) for name in ("stay", "go", "new", "again")}
    if dry_run:
        app.emit({"datanet": number, **data}, said)
        return
    done = contribution(app, said).commit(
        number, plan.blob, message, promise=not no_promise, contributor=me, remove=plan.remove
    )
    data |= {
        "datanet": number,
        "version": done.version,
        "rows": done.rows,
        "transaction": done.receipt and done.receipt["transactionHash"],
    }
    said.append(f"datanet {number} version {done.version}: {done.rows} rows in all")
    if done.bond is not None:
        data["bond"] = hex(done.bond)
        said.append(f"it waits for its reviewers; {format_amount(done.bond)} bonded")
    app.emit(data, said)


COMMANDS = [diff, refine]
