"""``openledger datanet``: make data sets, add documents, commit them, read them back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openledger.node import rows
from openledger.node.cli import refining
from openledger.node.cli.common import App, Group, Whole, facts, moment, pass_app, table
from openledger.node.quality import inspect, remarks, spdx, told, told_of
from openledger.primitives.amounts import format_amount, parse_amount
from openledger.primitives.errors import AlreadyExists, MalformedAction, NotFound, OpenLedgerError
from openledger.primitives.hashing import sha256
from openledger.primitives.types import from_hex, parse_address, to_checksum, to_hex

if TYPE_CHECKING:
    from openledger.node.contributing import Contribution

MANY = 1_000
"""Rows from which on a bar shows how far they are compared."""


@click.group(cls=Group)
def datanet() -> None:
    """Data sets with owners, rules and history."""


def review_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that are the rules of a reviewed datanet."""
    for option in (
        click.option("--stake", default="0", metavar="OPEN", help="What a reviewer stakes on a review."),
        click.option("--bond", default="0", metavar="OPEN", help="What a contributor bonds on a commit."),
        click.option("--quorum", type=Whole(1, 255), help="Reviewers that decide; default: more than half."),
        click.option("--reviewer", "reviewers", multiple=True, metavar="ADDRESS", help="A reviewer; may be repeated."),
    ):
        command = option(command)
    return command


def reviewed_rules(given: dict[str, Any]) -> dict[str, Any]:
    """Fields of an action of what ``review_options`` were given."""
    reviewers = tuple(sorted(parse_address(address) for address in given["reviewers"]))
    quorum = given["quorum"] or (len(reviewers) // 2 + 1 if reviewers else 0)
    bond, stake = (parse_amount(given[name]) for name in ("bond", "stake"))
    return {"reviewers": reviewers, "review_quorum": quorum, "bond": bond, "stake": stake}


@datanet.command("set-policy")
@click.argument("number", metavar="DATANET", type=Whole(1))
@click.option("--policy", required=True, type=click.Choice(["open", "invited", "reviewed"]),
              help="As of `datanet create`.")  # fmt: skip
@review_options
@pass_app
def set_policy(app: App, /, number: int, policy: str, **rules: Any) -> None:
    """Change who may commit, and who reviews; only the owner may. What waits for reviewers keeps its rules."""
    from openledger.abci_app.modules.datanets.set_policy import DatanetSetPolicy

    receipt = app.send(DatanetSetPolicy(datanet=number, policy=policy, **reviewed_rules(rules)))
    data = {"datanet": number, "policy": policy, "transaction": receipt["transactionHash"]}
    app.emit(data, f"datanet {number} is {policy} now")


@datanet.command()
@click.argument("number", metavar="DATANET", type=Whole(1))
@click.argument("version", type=Whole(1))
@click.option("--accept/--reject", default=None, help="What you say of it; one of the two is needed.")
@click.option("--reason", required=True, help="Why, in a sentence or two; everybody can read it.")
@pass_app
def review(app: App, number: int, version: int, accept: bool | None, reason: str) -> None:
    """Accept or reject a version that waits for its reviewers, of whom you are one, and stake on it. Look at its rows
    first: openledger datanet pull DATANET --version VERSION."""
    from openledger.abci_app.modules.datanets.review import DatanetReview

    if accept is None:
        raise click.UsageError("say --accept or --reject")
    stake = int(app.call("openledger_getReview", number, version)["stake"], 16)
    receipt = app.send(DatanetReview(datanet=number, version=version, accept=accept, reason=reason, stake=stake))
    found = app.call("openledger_getReview", number, version)
    data = {**found, "transaction": receipt["transactionHash"]}
    app.emit(data, f"version {version} of datanet {number}: {_standing(found)}; {format_amount(stake)} staked")


def _standing(found: dict[str, Any]) -> str:
    """How the review of a version stands, in words."""
    votes = f"{found['accepts']} accept, {found['rejects']} reject, {found['quorum']} decide"
    when = f", until {moment(found['deadline'])}" if found["status"] == "pending" else ""
    return f"{found['status']} ({votes}{when})"


@datanet.command()
@click.argument("name")
@click.option("--description", default="", help="What it is about.")
@click.option("--licence", default="CC0-1.0", show_default=True, help="SPDX expression.")
@click.option("--policy", default="open", show_default=True, type=click.Choice(["open", "invited", "reviewed"]),
              help="Who may commit: anybody, whoever the owner commits for, or whom the reviewers accept.")  # fmt: skip
@review_options
@pass_app
def create(app: App, /, name: str, description: str, licence: str, policy: str, **rules: Any) -> None:
    """Make a new datanet called NAME."""
    from openledger.abci_app.modules.datanets.create import DatanetCreate
    from openledger.node.operator import created_id

    licence = spdx(licence)
    action = DatanetCreate(name=name, description=description, licence=licence, policy=policy, **reviewed_rules(rules))
    receipt = app.send(action)
    number = created_id(receipt)
    app.emit({"datanet": number, "transaction": receipt["transactionHash"]}, f"datanet {number}: {name}")


def staged(app: App, number: int) -> Path:
    """The file that collects rows until they are committed; each chain counts its datanets from 1."""
    return app.home / "staged" / str(app.client.chain_id()) / f"datanet-{number}.jsonl"


@datanet.command()
@click.argument("number", metavar="DATANET", type=Whole(1))
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@pass_app
def add(app: App, number: int, files: tuple[Path, ...]) -> None:
    """Collect documents for the next commit: .jsonl has a row a line, other text is cut at empty lines."""
    texts = [text for file in files for text in rows.read_file(file)]
    found = remarks(texts)
    refuse(found)
    app.call("openledger_getDatanet", number)
    path = staged(app, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    earlier = rows.rows_of(path.read_bytes()) if path.exists() else []
    again = len(set(earlier).intersection(map(rows.row_bytes, texts)))
    with path.open("ab") as file:
        file.write(rows.blob_of(texts))
    total = len(earlier) + len(texts)
    lines = told_of(found, texts)
    if again:
        lines.append(f"{again} of them were collected before: openledger datanet reset {number} drops all that wait")
    data = {"added": len(texts), "staged": total, "findings": [f.__dict__ for f in found]}
    app.emit(data, [*lines, f"{len(texts)} rows added; {total} wait for `datanet commit {number}`"])


@datanet.command()
@click.argument("number", metavar="DATANET", type=Whole(1))
@pass_app
def reset(app: App, number: int) -> None:
    """Drop the rows that were collected for the next commit. Your files, and promises, stay."""
    path, blob = collected(app, number)
    path.unlink()
    count = len(rows.rows_of(blob))
    app.emit(
        {"datanet": number, "dropped": count}, f"{count} rows dropped; nothing waits for `datanet commit {number}`"
    )


def salt_of(text: str) -> bytes:
    """The salt of a promise. Raises MalformedAction."""
    try:
        return from_hex(text, 32)
    except OpenLedgerError:
        raise MalformedAction("a salt is 0x and 64 hex digits", "datanet promise shows it to the contributor") from None


def keep_newer(path: Path, blob: bytes) -> None:
    """Take ``blob`` out of the collected rows; those that came while it was committed wait for the next commit."""
    newer = path.read_bytes().removeprefix(blob)
    if newer:
        path.write_bytes(newer)
    else:
        path.unlink()


NO_FILES = {"allow_extra_args": True}
"""Files named to a command that takes what was collected come to ``collected``, which says what to do."""


def collected(app: App, number: int) -> tuple[Path, bytes]:
    """The rows that wait for a commit. Raises NotFound, and MalformedAction where the command names files itself."""
    if files := click.get_current_context().args:
        raise MalformedAction(
            "this command takes the rows that were collected before, and no files",
            f"openledger datanet add {number} {' '.join(files)}, then this command without them",
        )
    path = staged(app, number)
    if not path.exists():
        raise NotFound(f"nothing is collected for datanet {number}", f"openledger datanet add {number} FILE")
    return path, path.read_bytes()


def contribution(app: App, said: list[str]) -> Contribution:
    """The way of --key to a datanet; what it says is added to ``said``."""
    from openledger.node.contributing import Contribution, Salts

    return Contribution(app.client, app.signer(), Salts(app.home / "promises"), said.append)


@datanet.command(context_settings=NO_FILES)
@click.argument("number", metavar="DATANET", type=Whole(1))
@pass_app
def promise(app: App, number: int) -> None:
    """Promise the collected rows, and commit them later; or hand them with the salt to the owner of an invited datanet,
    who commits them for you and can no longer be first with them."""
    path, blob = collected(app, number)
    said: list[str] = []
    salt = contribution(app, said).promise(sha256(blob))
    data = {"file": str(path), "blob": to_hex(sha256(blob)), "salt": to_hex(salt)}
    app.emit(data, [*said, f"rows: {path}", f"salt: {data['salt']}, a secret until they are committed"])


def refuse(findings: list[rows.Finding]) -> None:
    """Raise MalformedAction for the first finding that forbids a commit."""
    for finding in findings:
        if finding.refused:
            raise MalformedAction(
                f"row {finding.row} is refused: {finding.reason}", "openledger datanet check FILE shows all"
            )


@datanet.command(context_settings=NO_FILES)
@click.argument("number", metavar="DATANET", type=Whole(1))
@click.option("--message", "-m", default="", help="What changes, in a sentence.")
@click.option("--dry-run", is_flag=True, help="Only check, against everything in the datanet; send nothing.")
@click.option("--no-promise", is_flag=True, help="Show the rows at once: whoever sees them on their way can be first.")
@click.option("--contributor", metavar="ADDRESS", help="Whose rows they are, where the owner commits for others.")
@click.option("--salt", metavar="HEX", help="The salt of a promise that the contributor has made.")
@pass_app
def commit(
    app: App, number: int, message: str, dry_run: bool, no_promise: bool, contributor: str | None, salt: str | None
) -> int:
    """Promise the collected rows, upload them and commit them as the next version, in the name of --key. Broken off,
    it goes on where it was."""
    path, blob = collected(app, number)
    if dry_run:
        return report(app, [rows.text_of(row) for row in rows.rows_of(blob)], committed(app, [number]))
    said: list[str] = []
    done = contribution(app, said).commit(
        number,
        blob,
        message,
        promise=not no_promise,
        contributor=None if contributor is None else parse_address(contributor),
        salt=None if salt is None else salt_of(salt),
    )
    data: dict[str, Any] = {
        "datanet": number,
        "version": done.version,
        "rows": done.rows,
        "transaction": done.receipt and done.receipt["transactionHash"],
    }
    said.append(f"datanet {number} version {done.version}: {done.rows} rows in all")
    keep_newer(path, blob)
    if done.bond is not None:
        kept = path.with_name(f"datanet-{number}-version-{done.version}.jsonl")
        kept.write_bytes(blob)
        found = app.call("openledger_getReview", number, done.version)
        data |= {"status": found["status"], "bond": hex(done.bond), "deadline": found["deadline"], "kept": str(kept)}
        said.append(f"{_standing(found)}; {format_amount(done.bond)} bonded; the rows are kept in {kept}")
    app.emit(data, said)
    return 0


@datanet.command()
@click.argument("number", metavar="DATANET", type=Whole(1))
@pass_app
def log(app: App, number: int) -> None:
    """Show the versions of a datanet, newest first."""
    found = app.call("openledger_getCommits", number)
    lines = table(
        ["version", "status", "time", "rows", "author", "message"],
        [[c["version"], c["status"], moment(c["time"]), c["rows"], c["author"], c["message"]] for c in reversed(found)],
    )
    app.emit(found, lines)


@datanet.command()
@click.argument("number", metavar="DATANET", type=Whole(1))
@pass_app
def show(app: App, number: int) -> None:
    """Show one datanet, who brought how much of its newest version, and what waits for its reviewers."""
    found = app.call("openledger_getDatanet", number)
    head = int(found["head"])
    version = app.call("openledger_getCommit", number, head) if head else None
    held = version["contributors"] if version else {}
    commits = app.call("openledger_getCommits", number) if int(found["versions"]) > head else []
    waiting = [app.call("openledger_getReview", number, c["version"]) for c in commits if c["status"] == "pending"]
    unused = () if found["policy"] == "reviewed" else ("reviewQuorum", "bond", "stake", "reviewers")
    lines = facts(found, **dict.fromkeys(unused))
    lines += ["", *table(["contributor", "rows"], sorted(held.items()))] if held else []
    path = staged(app, number)
    here = len(rows.rows_of(path.read_bytes())) if path.exists() else 0
    lines += ["", f"{here} rows wait here for `datanet commit {number}`; `datanet reset {number}` drops them"] * bool(
        here
    )
    for entry in waiting:
        lines += ["", f"version {entry['version']} of {entry['author']}: {_standing(entry)}"]
        lines += [
            f"  {o['reviewer']} {'accepts' if o['accept'] else 'rejects'}: {' '.join(o['reason'].split())}"
            for o in entry["opinions"]
        ]
    app.emit({**found, "contributors": held, "waiting": waiting, "collected": here}, lines)


@datanet.command("list")
@pass_app
def list_datanets(app: App) -> None:
    """List the datanets of the chain."""
    found = app.call("openledger_listDatanets")
    cells = [[d["id"], d["name"], d["head"], d["policy"], d["licence"], d["owner"]] for d in found]
    app.emit(found, table(["id", "name", "version", "policy", "licence", "owner"], cells))


@datanet.command()
@click.argument("number", metavar="DATANET", type=Whole(1))
@click.option("--version", type=Whole(1), help="Version; default: the newest.")
@click.option("--contributor", metavar="ADDRESS", help="Only this contributor's rows.")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="File to write (JSON Lines); - is the output.",
)
@pass_app
def pull(app: App, number: int, version: int | None, contributor: str | None, output: Path | None) -> None:
    """Fetch all rows of a version and check them against the root on the chain."""
    from openledger.node.contributing import checked_parts

    version = version or int(app.call("openledger_getDatanet", number)["head"])
    if not version:
        raise NotFound(f"datanet {number} has no version yet")
    parts, root = checked_parts(app.client, number, version)
    if contributor is not None:
        parts = [one for one in parts if one[0] == parse_address(contributor)]
        if not parts:
            raise NotFound(f"version {version} has no rows of {contributor}", f"openledger datanet show {number}")
    content = b"".join(blob for _, blob in parts)
    if output is None:
        output = Path(f"datanet-{number}-v{version}.jsonl")
        if output.exists() and output.read_bytes() != content:  # edited, perhaps, on the way to datanet refine
            raise AlreadyExists(f"{output} is here and has other rows", "--output FILE writes where you say")
    if str(output) == "-":
        click.echo(content, nl=False)
        return
    output.write_bytes(content)
    holders, count = sorted({to_checksum(a) for a, _ in parts}), sum(len(rows.rows_of(blob)) for _, blob in parts)
    data = {"datanet": number, "version": version, "rows": count, "file": str(output), "contributors": holders}
    app.emit(data, f"{count} rows of {len(holders)} contributors in {output}; the version has the root {to_hex(root)}")


@datanet.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--datanet", "numbers", multiple=True, type=Whole(1),
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
    if len(texts) + len(earlier) < MANY:
        found = inspect(texts, earlier)
    else:
        with app.stage("check", "Compare the rows") as running:
            found = inspect(texts, earlier, running.progress)
    bad = any(f.refused for f in found)
    lines = [told(f, texts) for f in found]
    verdict = "would be refused" if bad else "fine to commit"
    app.emit(
        {"rows": len(texts), "ok": not bad, "findings": [f.__dict__ for f in found]},
        [*lines, f"{len(texts)} rows, {len(rows.blob_of(texts))} bytes: {verdict}"],
    )
    return 1 if bad else 0


for command in refining.COMMANDS:
    datanet.add_command(command)
COMMANDS = [datanet]
