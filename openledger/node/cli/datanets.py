"""``openledger datanet``: make data sets, add documents, commit them, read them back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from openledger.node import rows
from openledger.node.cli.common import App, Group, pass_app, table, wei
from openledger.node.quality import inspect
from openledger.primitives.errors import MalformedAction, NotFound
from openledger.primitives.types import from_hex, to_checksum, to_hex


@click.group(cls=Group)
def datanet() -> None:
    """Data sets with owners, rules and history."""


@datanet.command()
@click.argument("name")
@click.option("--description", default="", help="What it is about.")
@click.option("--licence", default="CC0-1.0", show_default=True, help="SPDX expression.")
@click.option("--policy", default="open", show_default=True, type=click.Choice(["open", "invited"]),
              help="Who may commit: anybody, or whoever the owner commits for.")  # fmt: skip
@pass_app
def create(app: App, name: str, description: str, licence: str, policy: str) -> None:
    """Make a new datanet called NAME."""
    from openledger.abci_app.modules.datanets.create import DatanetCreate
    from openledger.node.operator import created_id

    receipt = app.send(DatanetCreate(name=name, description=description, licence=licence, policy=policy))
    number = created_id(receipt)
    app.emit({"datanet": number, "transaction": receipt["transactionHash"]}, f"datanet {number}: {name}")


def staged(app: App, number: int) -> Path:
    """The file that collects rows until they are committed."""
    return app.home / "staged" / f"datanet-{number}.jsonl"


@datanet.command()
@click.argument("number", metavar="DATANET", type=click.IntRange(1))
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@pass_app
def add(app: App, number: int, files: tuple[Path, ...]) -> None:
    """Collect documents for the next commit: .jsonl has a row a line, other text is cut at empty lines."""
    texts = [text for file in files for text in rows.read_file(file)]
    refuse(rows.check(texts))
    path = staged(app, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(rows.blob_of(texts))
    total = len(rows.rows_of(path.read_bytes()))
    app.emit(
        {"added": len(texts), "staged": total}, f"{len(texts)} rows added; {total} wait for `datanet commit {number}`"
    )


def refuse(findings: list[rows.Finding]) -> None:
    """Raise MalformedAction for the first finding that forbids a commit."""
    for finding in findings:
        if finding.refused:
            raise MalformedAction(
                f"row {finding.row} is refused: {finding.reason}", "openledger datanet check FILE shows all"
            )


@datanet.command()
@click.argument("number", metavar="DATANET", type=click.IntRange(1))
@click.option("--message", "-m", default="", help="What changes, in a sentence.")
@click.option("--dry-run", is_flag=True, help="Only check, against everything in the datanet; send nothing.")
@click.option("--no-promise", is_flag=True, help="Show the rows at once: whoever sees them on their way can be first.")
@pass_app
def commit(app: App, number: int, message: str, dry_run: bool, no_promise: bool) -> int:
    """Promise the collected rows, upload them and commit them as the next version, in the name of --key. Broken off,
    it goes on where it was."""
    from openledger.node.contributing import Contribution, Salts

    path = staged(app, number)
    if not path.exists():
        raise NotFound(f"nothing is collected for datanet {number}", f"openledger datanet add {number} FILE")
    blob = path.read_bytes()
    if dry_run:
        return report(app, [rows.text_of(row) for row in rows.rows_of(blob)], committed(app, [number]))
    said: list[str] = []
    way = Contribution(app.client, app.signer(), Salts(app.home / "promises"), said.append)
    done = way.commit(number, blob, message, promise=not no_promise)
    path.unlink()
    data = {
        "datanet": number,
        "version": done.version,
        "rows": done.rows,
        "transaction": done.receipt["transactionHash"],
    }
    app.emit(data, [*said, f"datanet {number} version {done.version}: {done.rows} rows in all"])
    return 0


@datanet.command()
@click.argument("number", metavar="DATANET", type=click.IntRange(1))
@pass_app
def log(app: App, number: int) -> None:
    """Show the versions of a datanet, newest first."""
    found = app.call("openledger_getCommits", number)
    lines = table(
        ["version", "time", "rows", "author", "message"],
        [[c["version"], moment(c["time"]), c["rows"], c["author"], c["message"]] for c in reversed(found)],
    )
    app.emit(found, lines)


def moment(seconds: Any) -> str:
    """Readable UTC time."""
    return datetime.fromtimestamp(wei(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S")


@datanet.command()
@click.argument("number", metavar="DATANET", type=click.IntRange(1))
@pass_app
def show(app: App, number: int) -> None:
    """Show one datanet and who brought how much of its newest version."""
    found = app.call("openledger_getDatanet", number)
    head = int(found["head"])
    version = app.call("openledger_getCommit", number, head) if head else None
    held = version["contributors"] if version else {}
    lines = [f"{k:<13} {v}" for k, v in found.items()]
    lines += ["", *table(["contributor", "rows"], sorted(held.items()))] if held else []
    app.emit({**found, "contributors": held}, lines)


@datanet.command("list")
@pass_app
def list_datanets(app: App) -> None:
    """List the datanets of the chain."""
    found = app.call("openledger_listDatanets")
    cells = [[d["id"], d["name"], d["head"], d["policy"], d["licence"], d["owner"]] for d in found]
    app.emit(found, table(["id", "name", "version", "policy", "licence", "owner"], cells))


@datanet.command()
@click.argument("number", metavar="DATANET", type=click.IntRange(1))
@click.option("--version", type=click.IntRange(1), help="Version; default: the newest.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="File to write (JSON Lines).")
@pass_app
def pull(app: App, number: int, version: int | None, output: Path | None) -> None:
    """Fetch all rows of a version and check them against the root on the chain."""
    from openledger.node.contributing import parts_of

    head = int(app.call("openledger_getDatanet", number)["head"])
    version = version or head
    if not version:
        raise NotFound(f"datanet {number} has no version yet")
    commit_record = app.call("openledger_getCommit", number, version)
    parts = parts_of(app.client, number, version)
    root, count = rows.version_root(parts)
    if root != from_hex(commit_record["root"], 32):
        raise MalformedAction(
            f"the rows of version {version} have the root {to_hex(root)}, the chain says {commit_record['root']}",
            "whoever made this version committed a wrong root; nothing was written",
        )
    output = output or Path(f"datanet-{number}-v{version}.jsonl")
    output.write_bytes(b"".join(blob for _, blob in parts))
    holders = sorted({to_checksum(a) for a, _ in parts})
    data = {"datanet": number, "version": version, "rows": count, "file": str(output), "contributors": holders}
    app.emit(
        data, f"{count} rows of {len(holders)} contributors in {output}; they have the root {commit_record['root']}"
    )


@datanet.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--datanet", "numbers", multiple=True, type=click.IntRange(1),
              help="Compare with everything in this datanet, too; may be repeated.")  # fmt: skip
@pass_app
def check(app: App, files: tuple[Path, ...], numbers: tuple[int, ...]) -> int:
    """Check documents before a fee is paid: form, size, repetitions, likeness, personal data.

    Sends nothing; exit code 1 when refused.
    """
    texts = [text for file in files for text in rows.read_file(file)]
    return report(app, texts, committed(app, numbers))


def committed(app: App, numbers: Iterable[int]) -> list[tuple[str, str]]:
    """(name, text) of all rows of the newest versions of datanets, who was first first."""
    found: list[tuple[int, str, str]] = []
    for number in numbers:
        head = int(app.call("openledger_getDatanet", number)["head"])
        if not head:
            continue
        place = 0
        for part in app.call("openledger_getCommit", number, head)["parts"]:
            for row in rows.rows_of(app.client.get_blob(part["blob"].removeprefix("0x"))):
                found.append((int(part["place"]), f"row {place} of datanet {number}", rows.text_of(row)))
                place += 1
    return [(name, text) for _, name, text in sorted(found, key=lambda f: f[0])]


def report(app: App, texts: list[str], earlier: list[tuple[str, str]]) -> int:
    """Print what was found; 1 when a row would be refused."""
    found = inspect(texts, earlier)
    bad = any(f.refused for f in found)
    lines = [f"row {f.row}: {'refused' if f.refused else 'remark'}: {f.reason}" for f in found]
    verdict = "would be refused" if bad else "fine to commit"
    app.emit(
        {"rows": len(texts), "ok": not bad, "findings": [f.__dict__ for f in found]},
        [*lines, f"{len(texts)} rows, {len(rows.blob_of(texts))} bytes: {verdict}"],
    )
    return 1 if bad else 0


COMMANDS = [datanet]
