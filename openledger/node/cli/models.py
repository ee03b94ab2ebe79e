"""``openledger model``: train, publish, serve, claim."""

from __future__ import annotations

import math
import re
import shutil
import tempfile
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openledger.node import bases, evaluation, model_folder
from openledger.node.cli import modelviews
from openledger.node.cli.common import App, Group, Whole, amount, need_torch, pass_app
from openledger.node.evaluation import lds_options
from openledger.primitives.amounts import parse_amount
from openledger.primitives.attribution import METHODS
from openledger.primitives.errors import AlreadyExists, MalformedAction, NotFound, OracleError
from openledger.primitives.types import to_hex

if TYPE_CHECKING:
    from openledger.attribution_oracle.bundle import Bundle
    from openledger.attribution_oracle.measured import Measurement
    from openledger.node.claiming import Scores

DEFAULT_METHOD = "gradient-dot"


@click.group(cls=Group)
def model() -> None:
    """Models: trained on datanets, served for OPEN."""


def data_ref(text: str) -> tuple[int, int]:
    """``3`` or ``3:2``: datanet and version, 0 for the newest. Raises MalformedAction."""
    found = re.fullmatch(r"([0-9]{1,20})(?::([0-9]{1,20}))?", text)
    if found is None:
        raise MalformedAction(f"not a datanet: {text!r}", "write its number, or number:version")
    return int(found[1]), int(found[2] or 0)


@model.command()
@click.option("--data", "refs", multiple=True, required=True, metavar="DATANET[:VERSION]", help="Data to train on.")
@click.option(
    "--output", "-o", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write."
)
@click.option("--size", default="medium", show_default=True, type=click.Choice(["small", "medium", "large"]),
              help="How much to learn.")  # fmt: skip
@click.option("--base", default="openledger/tiny-v1", show_default=True, metavar="NAME|FOLDER",
              help="What to start from: the built-in model, or a folder in Hugging Face's form.")  # fmt: skip
@click.option("--seed", default=1, show_default=True, help="Seed of the training.")
@click.option("--method", default="auto", show_default=True, type=click.Choice(("auto", *METHODS)),
              help="How rows are credited: openledger model methods says what each costs. auto takes the most accurate"
              " one that validators can recheck while a claim is voted on.")  # fmt: skip
@click.option("--kind", default="lora", show_default=True, type=click.Choice(["lora", "full"]),
              help="Train a small adapter, or all weights.")  # fmt: skip
@click.option("--rank", type=Whole(1, 256), help="Rank of the adapter.")
@click.option("--target", "targets", metavar="NAME,...", default="",
              help="Layers to adapt, such as q_proj,v_proj; openledger model base FOLDER lists them.")  # fmt: skip
@click.option("--context", type=Whole(16, 4096), metavar="TOKENS",
              help="How much of a row the model is shown, where its base allows (in a folder: 512).")  # fmt: skip
@click.option("--memory", default=1024, show_default=True, type=Whole(1), metavar="MB",
              help="Most memory for making the index, beside the program's own; more rows: more passes.")  # fmt: skip
@click.option("--row-bytes", type=Whole(4096, 1 << 24), metavar="BYTES",
              help="Largest row of the index; of longer rows the largest entries are kept (65536, but an adapter's are "
                   "whole where all have 16 MiB together).")  # fmt: skip
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda", "mps"]),
              help="Where to compute; auto takes a CUDA device where there is one.")  # fmt: skip
@click.option("--held-out", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Documents that are not trained on, for the held-out loss.")  # fmt: skip
@lds_options
@pass_app
def train(
    app: App, refs: tuple[str, ...], output: Path, size: str, base: str, seed: int, method: str, kind: str,
    rank: int | None, targets: str, context: int | None, memory: int, row_bytes: int | None, device: str,
    held_out: Path | None, subsets: int | None, seconds: int, plot: Path | None,
) -> None:  # fmt: skip
    """Fine-tune a model on datanets and build its attribution index.

    Run again with the same words after it was broken off, it goes on with the index where it was. With --lds the index
    is measured, on the documents of --held-out, and the number goes on chain with the model. --json has the method, and
    as why the reason where auto took it, else null.
    """
    evaluation.require(subsets, plot)
    need_torch()
    from openledger.attribution_oracle import factory
    from openledger.node.operator import Layered, NodeBlobs, version_data
    from openledger.node.rows import read_file

    texts = read_file(held_out) if held_out else []
    if subsets and not texts:
        raise OracleError("an LDS is measured on held-out documents", "add --held-out FILE")
    device = factory.usual_device(device)
    start, shelf = bases.chosen(app.home, base)
    output.mkdir(parents=True, exist_ok=True)
    blobs = Layered(model_folder.store(output), NodeBlobs(app.client))
    data = version_data(app.client, [data_ref(ref) for ref in refs])
    with app.stage("train", "Train") as running:
        steps: list[str] = []

        def step(done: int, total: int, text: str = "") -> None:
            steps.append(text)
            running.progress(done, total, text)

        trained = factory.train_model(
            blobs, data, base=start, size=size, seed=seed, settings=factory.shape(kind, rank), held_out=texts,
            device=device, progress=step, known=shelf, targets=[t.strip() for t in targets.split(",") if t],
            context=context,
        )  # fmt: skip
        running.note = f"{len(steps)} steps: {steps[0]}, then {steps[-1]}"
    factory.write_adapter(trained, output / "adapter")
    why: str | None = None
    if method == "auto":
        method, why = rechecked_in_time(app, trained, kind, device)
    with app.stage("index", f"Build the attribution index: {method}") as running:
        index = factory.make_index(
            trained, method=method, device=device, progress=running.progress, folder=output / "index-work",
            memory=memory << 20, row_bytes=row_bytes,
        )  # fmt: skip
    fields = factory.publish(blobs, trained, index)
    measurement: dict[str, Any] = {}
    said = [*([why] if why else []), *bases.noted(trained, method)]
    if subsets:
        bundle = factory.load_bundle(blobs, to_hex(fields["bundle"]), known=shelf)
        measurement, lines, found = measured(app, bundle, texts, subsets, seconds, plot, f"{output.name}, {method}")
        said += lines
        fields["lds"] = measurement["lds"]
        told = evaluation.how(found, len(texts))
        fields["bundle"] = factory.note_measurement(blobs, to_hex(fields["bundle"]), told)
    view = {k: to_hex(v) if isinstance(v, bytes) else v for k, v in fields.items()}
    earlier = model_folder.write(output, view)
    seen = len(set(texts).intersection(trained.texts))
    said += evaluation.losses(fields, len(texts), seen) if texts else []
    said += [f"the model that was here before is in {earlier}"] if earlier else []
    app.emit(
        {
            "folder": str(output),
            **view,
            "documents": len(texts),
            "documents_trained_on": seen,
            **measurement,
            "why": why,
            "context": trained.trained.base.config.context,
            "cut": trained.cut,
        },
        [*said, f"{fields['rows']} rows; next: openledger model publish {output} --name NAME"],
    )


def rechecked_in_time(app: App, trained: Any, kind: str, device: str) -> tuple[str, str]:
    """Name of the method of ``auto``, and why. Where no CPU trained, nobody knows how long validators without that
    device would take; of EK-FAC on few rows see ``preconditioned.SPAN``."""
    from openledger.attribution_oracle.folders import is_name
    from openledger.attribution_oracle.methods import fitting, reason

    if device != "cpu":
        return DEFAULT_METHOD, f"auto took {DEFAULT_METHOD}: how long validators without {device} need is not known"
    vote, training = int(app.call("openledger_getParams")["voteSeconds"]), trained.trained.seconds
    pretrained = is_name(trained.trained.base.name)
    found = fitting(kind, training, vote, trained.widest, pretrained)
    if found == "ek-fac" and not trained.spans:
        found = DEFAULT_METHOD
    return found, reason(found, kind, training, vote, trained.widest, pretrained)


def measured(
    app: App, bundle: Any, texts: list[str], subsets: int, seconds: int, plot: Path | None, title: str
) -> tuple[dict[str, Any], list[str], Measurement]:
    """The LDS of a model's index, for machines, in lines for people, and whole; draws the plot."""
    from openledger.attribution_oracle import factory

    with app.stage("lds", "Measure the index by retraining") as running:
        found = factory.measure(bundle, texts, subsets, running.progress, seconds)
    view, lines = evaluation.fields(found, bundle.index.method), evaluation.lines(found)
    if plot is not None:
        evaluation.draw(plot, title, found)
        view, lines = {**view, "plot": str(plot)}, [*lines, f"the plot is in {plot}"]
    return view, lines, found


@model.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--name", required=True, help="Name of the model.")
@click.option("--price", default="1 OPEN", show_default=True, help="Price of one answer.")
@pass_app
def publish(app: App, folder: Path, name: str, price: str) -> None:
    """Upload a trained model and register it, owned by --key. A bond answers for its index until it is retired."""
    from openledger.node import operator

    fields, signer, wei = model_folder.read(folder), app.signer(), parse_amount(price)
    operator.publishing(name, wei, fields)  # before much is uploaded for nothing
    there = operator.published(app.client, signer.address, name, wei, fields["bundle"])
    if there is not None:
        raise AlreadyExists(
            f"{folder} is model {there} already, under this name and at this price", f"openledger model serve {there}"
        )
    names, store = model_folder.files(folder, fields), model_folder.store(folder)
    with app.stage("upload", "Upload the model's files") as running:
        for count, blob in enumerate(names, 1):
            app.client.put_blob(store.get(blob))
            running.progress(count, len(names))
    number, transaction = operator.publish(app.client, signer, name, wei, fields)
    bond = amount(app.call("openledger_getModel", number)["bond"])
    app.emit(
        {"model": number, "transaction": transaction},
        [
            f"{amount(wei)} an answer; {bond} bonded for its index, back after it is retired",
            f"model {number}: {name}; next: openledger model serve {number}",
        ],
    )


@model.command("eval")
@click.argument("number", metavar="MODEL", type=Whole(1))
@click.option("--held-out", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Documents to measure on (default: those of the shipped corpus).")  # fmt: skip
@bases.bases_option
@lds_options
@pass_app
def evaluate(
    app: App, number: int, held_out: Path | None, folders: tuple[Path, ...], subsets: int | None, seconds: int,
    plot: Path | None,
) -> None:  # fmt: skip
    """Measure a published model on documents that it has not seen, against its base.

    With --lds its attribution is measured as well: the model is trained again without halves of its data, and what
    this did to the documents is compared with what the index says that it would do.
    """
    evaluation.require(subsets, plot)
    need_torch()
    from openledger.attribution_oracle import corpus, factory
    from openledger.node.operator import NodeBlobs
    from openledger.node.rows import read_file

    texts = read_file(held_out) if held_out else corpus.held_out_texts()
    record = app.call("openledger_getModel", number)
    with app.stage("load", f"Load model {number}"):
        bundle = factory.load_bundle(NodeBlobs(app.client), record["bundle"], known=bases.shelf(app.home, folders))
    with app.stage("losses", f"Ask it and its base about {len(texts)} documents"):
        found: dict[str, Any] = dict(factory.evaluate(bundle, texts))
    found["documents_trained_on"] = len(set(texts).intersection(bundle.texts))
    lines = evaluation.losses(found, len(texts), found["documents_trained_on"])
    if subsets:
        title = f"Model {number} ({record['name']}), {record['method']}"
        view, said, _ = measured(app, bundle, texts, subsets, seconds, plot, title)
        found |= view
        lines += said
        if record["lds"]:
            lines.append(f"on chain its owner says {record['lds'] / 1e6:.3f} over rows{owners_way(bundle.manifest)}")
    app.emit(found, lines)


def owners_way(manifest: Mapping[str, Any]) -> str:
    """How a model's owner has measured it, by a manifest that he wrote; nothing where it does not say."""
    try:
        told = manifest["measured"]["rows"]
        return f" ± {int(told['error']) / 1e6:.3f}, from {int(told['subsets'])} subsets"
    except (KeyError, TypeError, ValueError):
        return ""


@model.command()
@click.argument("numbers", metavar="MODEL...", nargs=-1, required=True, type=Whole(1))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8600, show_default=True, type=Whole(0, 65535), help="Port; 0 takes a free one.")
@bases.bases_option
@pass_app
def serve(app: App, numbers: tuple[int, ...], host: str, port: int, folders: tuple[Path, ...]) -> None:
    """Answer questions for OPEN over an OpenAI-compatible API, until Ctrl-C."""
    need_torch()
    from openledger.attribution_oracle import factory
    from openledger.node.operator import NodeBlobs
    from openledger.node.serving import ModelServer

    blobs, served, shelf = NodeBlobs(app.client), [], bases.shelf(app.home, folders)
    said: list[str] = []
    for number in numbers:
        record = app.call("openledger_getModel", number)
        stands = modelviews.standing(record)
        closed = "" if stands == "active" else f", and {stands}: nobody can open a session any more"
        said.append(f"model {number} ({record['name']}): {amount(record['price'])} an answer{closed}")
        with app.stage("load", f"Load model {number}"):
            bundle = factory.load_bundle(blobs, record["bundle"], known=shelf)
        served.append(factory.Served(record["name"], number, int(record["price"], 16), bundle))
    folder = serving_folder(app)
    with ModelServer(served, app.node, folder, app.client.chain_id()) as server:
        url = server.start(host, port)
        data = {"url": url, "models": list(numbers)}
        app.emit(data, [*said, f"serving at {url}/v1; receipts in {folder}"])
        threading.Event().wait()


@model.command()
@click.argument("number", metavar="MODEL", type=Whole(1))
@click.option("--epoch", type=Whole(1), help="Claim this epoch only, settled before, and settle nothing.")
@click.option(
    "--seconds", type=Whole(1), help="How long to wait for an epoch's end, and for verdicts (default: until they come)."
)
@bases.bases_option
@pass_app
def claim(app: App, number: int, epoch: int | None, seconds: int | None, folders: tuple[Path, ...]) -> int:
    """Settle the answers served from this home folder, wait for the epoch's close, claim the attribution, and publish
    its scores when they are asked for: without them a claim is lost, so let it run. Broken off, it goes on where it
    was when it is given again. Exit code 1 where a claim is not accepted."""
    need_torch()
    from openledger.node import claiming, operator

    signer, client, limit = app.signer(), app.client, math.inf if seconds is None else seconds
    vouchers, answers = served_so_far(app, number)
    scores = claiming.Scores(serving_folder(app) / "scores")
    numbers = claiming.undecided(client, number, scores)
    if epoch is None:
        settled = {operator.settled_epoch(one) for one in operator.settle(client, signer, vouchers)}
        epochs = sorted(settled.union(claiming.unclaimed(client, number, {a.session for a in answers})))
    else:
        epochs = [epoch]
    if not epochs and not numbers:
        raise NotFound(f"model {number} has no paid answers that are not claimed", "proof show tells of earlier claims")
    records = verdicts(app, numbers, scores, limit)
    bundle: Bundle | None = None
    for one in epochs:
        with app.stage("epoch", f"Wait for the end of epoch {one}"):
            operator.wait_until(f"the end of epoch {one}", partial(claiming.ended, client, one), limit)
        bundle = bundle or published_bundle(app, number, folders)
        numbers, more = [], True
        while more:
            with app.stage("scores", "Score the rows") as running:
                made = operator.open_claim(
                    client, signer, number, one, bundle, answers, running.progress, scores.keep
                )  # fmt: skip
            numbers.append(made.number)
            more = claiming.waits(client, number, one)
        records += verdicts(app, numbers, scores, limit)
    lines = [f"claim {r['id']}: {r['status']}; see openledger proof show {r['id']}" for r in records]
    app.emit({**records[-1], "claims": [int(r["id"]) for r in records]}, lines)
    return 0 if all(r["status"] == "accepted" for r in records) else 1


def verdicts(app: App, numbers: list[int], scores: Scores, limit: float) -> list[dict[str, Any]]:
    """Claims when they are decided. A reveal does not wait, so this comes before anything that takes long."""
    from openledger.node import claiming

    if not numbers:
        return []
    with app.stage("verdict", f"Verdict on claim {', '.join(map(str, numbers))}") as running:
        return claiming.follow(app.client, numbers, scores, limit, running.say)


def published_bundle(app: App, number: int, folders: tuple[Path, ...]) -> Bundle:
    """A model as the chain's files have it."""
    from openledger.attribution_oracle import factory
    from openledger.node.operator import NodeBlobs

    record, shelf = app.call("openledger_getModel", number), bases.shelf(app.home, folders)
    with app.stage("load", f"Load model {number}"):
        return factory.load_bundle(NodeBlobs(app.client), record["bundle"], known=shelf)


def serving_folder(app: App) -> Path:
    """Where answers and vouchers are kept: each chain counts its sessions from 1."""
    return app.home / "serving" / str(app.client.chain_id())


def served_so_far(app: App, number: int) -> tuple[list[Any], list[Any]]:
    """Vouchers and answers of a model in this home folder. Reads a copy, so that a running server is not disturbed."""
    from openledger.attribution_oracle.claims import Answer
    from openledger.attribution_oracle.payment import Ledger

    path = serving_folder(app) / "serving.jsonl"
    if not path.exists():
        raise NotFound(f"nothing was served on this chain from {app.home}", f"openledger model serve {number}")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "serving.jsonl"
        shutil.copyfile(path, copy)
        ledger = Ledger(copy)
        ledger.close()
    mine = {s for s, book in ledger.books.items() if any(r.model == number for r in book.receipts)}
    answers = [
        Answer(r.session, r.index, r.query, r.answer, r.price) for s in sorted(mine) for r in ledger.books[s].receipts
    ]
    return [(v, signature) for v, signature in ledger.vouchers() if v.session in mine], answers


for command in modelviews.COMMANDS:
    model.add_command(command)
COMMANDS = [model]
