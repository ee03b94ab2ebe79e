"""How far honest verifiers of a model on a pretrained base are apart, and how fast it answers.

    .venv/bin/python bench/attribution/pretrained.py FOLDER [--rows 8] [--letters 200] [--rank 4]

    .venv/bin/python bench/attribution/pretrained.py FOLDER --path 1,2,8

Trains an adapter on paragraphs shipped with the package, then makes the same index rows, losses and shares again as
another machine might: row by row, on two threads, with every matrix product in another order, in fp64. Rows are
compared relative to their length, shares in ppm of total variation, losses in nats a token. Then answers are made with
keys and values kept, and with the whole text read for each token. With ``--path`` runs of so many epochs are replayed
instead, and index rows of path-undecayed are compared at checkpoints and ends, also as a verifier compares them, and
so are weights and moments.
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from costs import Whole, texts
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from openledger.attribution_oracle import claims, corpus, factory, train
from openledger.attribution_oracle.bundle import Bundle, VersionData
from openledger.attribution_oracle.claims import Answer
from openledger.attribution_oracle.folders import read_folder
from openledger.attribution_oracle.hf import HfBase, load_hf
from openledger.attribution_oracle.index import Checkpoint, Index, entries_of, small
from openledger.attribution_oracle.influence import GradientDot, Run
from openledger.attribution_oracle.lora import LoraSettings
from openledger.attribution_oracle.methods import ROW_BYTES
from openledger.attribution_oracle.model import document_losses, generate, pad
from openledger.attribution_oracle.path import Moments
from openledger.attribution_oracle.ports import silent
from openledger.attribution_oracle.recheck import state_error
from openledger.attribution_oracle.replayed import PathUndecayed, Replay
from openledger.attribution_oracle.segments import cuts
from openledger.primitives.attribution import PartFacts
from openledger.primitives.types import to_hex
from openledger.state.blobs import BlobStore

aten = torch.ops.aten
CONTRIBUTORS = 4
ANSWERS, TOKENS = 4, 32


class OtherOrder(TorchDispatchMode):
    """Matrix products whose terms are added in another order: shuffled, and in two halves."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in (aten.mm.default, aten.bmm.default, aten.addmm.default):
            return func(*args, **(kwargs or {}))
        *before, left, right = args
        order = torch.randperm(left.shape[-1], generator=torch.Generator().manual_seed(left.shape[-1]))
        half = len(order) // 2
        if not half:
            return func(*args, **(kwargs or {}))
        a, b = (left[..., some] for some in (order[:half], order[half:]))
        c, d = (right[..., some, :] for some in (order[:half], order[half:]))
        plain = aten.bmm.default if left.dim() == 3 else aten.mm.default
        return func(*before, a, c, **(kwargs or {})) + plain(b, d)


@contextmanager
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    try:
        yield
    finally:
        torch.set_num_threads(1)


def timed(what: Callable[[], Any]) -> tuple[Any, float]:
    """A result, and the CPU seconds that it took."""
    begin = time.process_time()
    return what(), time.process_time() - begin


def rows(run: Run, alone: bool = False) -> Tensor:
    """Index rows of gradient dot, in batches or one by one."""
    numbers = range(len(run.rows))
    parts = [[number] for number in numbers] if alone else [list(numbers)]
    return torch.cat([GradientDot().row_vectors(run, part, silent) for part in parts])


def losses(run: Run) -> Tensor:
    """Of all rows, one by one."""
    with torch.no_grad():
        return torch.stack([document_losses(run.model, pad([row], run.base.config.context))[0] for row in run.rows])


def in_fp64(run: Run) -> Run:
    """The same run with a model of its own in fp64."""
    model = copy.deepcopy(run.model).double()
    for _, layer in model.adapted():
        if layer.a is not None and layer.b is not None:
            layer.a, layer.b = layer.a.double(), layer.b.double()
    return replace(run, model=model, tensors={name: t.double() for name, t in run.tensors.items()})


def apart(ours: Tensor, theirs: Tensor) -> float:
    """The largest distance of two rows, relative."""
    return float(((ours.double() - theirs.double()).norm(dim=1) / theirs.double().norm(dim=1)).max())


def largest(base: HfBase, ids: list[int]) -> float:
    """The largest number that comes out of any layer."""
    found, model = [0.0], base.build()

    def look(layer: Any, given: Any, out: Any) -> None:
        if isinstance(out, Tensor) and out.is_floating_point():
            found.append(float(out.abs().max()))

    for layer in model.modules():
        layer.register_forward_hook(look)
    with torch.no_grad():
        model(torch.tensor([ids]))
    return max(found)


def published(base: HfBase, wanted: list[str], rank: int) -> Bundle:
    """A model trained on these texts by some contributors, with its index."""
    blobs, parts = BlobStore("memory://pretrained"), []
    for number in range(CONTRIBUTORS):
        mine = wanted[number::CONTRIBUTORS]
        who = to_hex(bytes([number + 1]) * 20)
        parts.append(PartFacts(who, "0x" + blobs.put(corpus.to_lines(mine)), len(mine), number))
    known, settings = {base.name: base}, {"epochs": 2, "batch": 4, "lora": LoraSettings(rank, 2.0 * rank)}
    made = factory.train_model(
        blobs, (VersionData(1, 1, tuple(parts)),), base=base.name, settings=settings, known=known
    )
    index = factory.make_index(made, method="gradient-dot", row_bytes=1 << 22)
    return factory.load_bundle(blobs, to_hex(factory.publish(blobs, made, index)["bundle"]), known=known)


def shares(bundle: Bundle, answers: list[Answer]) -> dict[Any, int]:
    """In ppm; None is what nobody earns."""
    found, rest = claims.shares_from_scores(claims.score_rows(bundle, answers), bundle.contributors)
    return {**dict(found), None: rest}


def varied(ours: dict[Any, int], theirs: dict[Any, int]) -> float:
    """Total variation."""
    return sum(abs(ours.get(who, 0) - theirs.get(who, 0)) for who in {*ours, *theirs}) / 2


Followed = tuple[Tensor, dict[int, tuple[Tensor, Moments]]]


def followed(base: HfBase, wanted: list[str], rank: int, epochs: int, how: Callable[[], Any]) -> Followed:
    """Where a run of ``epochs`` with batches of three starts; rows of path-undecayed and the state, after the steps
    where it has its checkpoints, and at its end."""
    settings = train.Settings(epochs=epochs, batch=3, lora=LoraSettings(rank, 2.0 * rank, base.targets))
    batches, lrs = train.plan(len(wanted), 1, settings)
    start = train.start_tensors(base, base.build(), 1, settings)
    optimizer = {"kind": "adam", "b1": settings.b1, "b2": settings.b2, "eps": settings.eps}
    receipt = {"batches": batches, "lrs": lrs, "optimizer": optimizer, "seed": 1}
    replay = Replay(Run.of(base, settings, start, receipt, wanted), form=PathUndecayed.form)
    size, numbers = replay.gradients.size, range(len(wanted))
    ends = [*cuts(len(batches), len(wanted), size, size), len(batches)]
    with how():
        found = {end: replay.segment(replay.source(1 << 40), None, end, numbers, silent) for end in ends}
    return replay.start(), found


def along(folder: Path, count: int, letters: int, rank: int, epochs: list[int]) -> Iterator[dict[str, Any]]:
    """What ``--path`` prints."""
    base, wanted = load_hf(read_folder(folder)), texts(count, 1, letters)
    for number in epochs:
        start, ours = followed(base, wanted, rank, number, nullcontext)
        for name, how in (("two threads", two_threads), ("other order", OtherOrder)):
            for end, (theirs, state) in followed(base, wanted, rank, number, how)[1].items():
                rows, adam = ours[end]
                size = rows.shape[1]
                found: dict[str, Any] = {"steps": end, "of": max(ours), "change": name, "rows": apart(theirs, rows)}
                for entries in sorted({size, entries_of(ROW_BYTES, size)}):
                    index = Index.of("path-undecayed", small(rows, entries), size)
                    found[f"by a verifier, {entries} entries"] = max(index.error(i, v) for i, v in enumerate(theirs))
                none = Index.of("path-undecayed", small(rows[:0], size), size)
                found["state"] = state_error(state, Checkpoint(end, adam.theta, adam.m, adam.v, none), start)
                yield {**found, "shortest": float(rows.norm(dim=1).min()), "longest": float(rows.norm(dim=1).max())}


def measure(folder: Path, count: int, letters: int, rank: int) -> dict[str, Any]:
    """What ``main`` prints."""
    read, hashing = timed(lambda: read_folder(folder))
    base, loading = timed(lambda: load_hf(read))
    wanted = texts(count + ANSWERS, 1, letters)
    bundle, making = timed(lambda: published(base, wanted[:count], rank))
    run = bundle.run
    ours, indexing = timed(lambda: rows(run))
    answers, found = list[Answer](), dict[str, Any]()
    for number, text in enumerate(wanted[count:]):
        query = " ".join(text.split()[:12])
        asked, said = [base.tokenizer.start, *base.tokenizer.encode(query)], dict[str, list[int]]()
        for name, model in (("kept", run.model), ("read whole", Whole(run.model))):
            begin = time.process_time()
            said[name] = list(generate(model, asked, TOKENS, 0.7, number))
            found[f"answers, {name}"] = found.get(f"answers, {name}", 0.0) + time.process_time() - begin
        found["same tokens"] = found.get("same tokens", True) and said["kept"] == said["read whole"]
        answers.append(Answer(1, number, query, base.tokenizer.decode(said["kept"]), 10**15))
    paid, scoring = timed(lambda: shares(bundle, answers))
    own = losses(run)
    found |= {
        "tokens": sum(map(len, run.rows)), "hashing": hashing, "loading": loading, "training and index": making,
        "index": indexing, "scores": scoring, "largest activation": largest(base, list(run.rows[0])),
        "loss": float(own.mean()), "unattributed": paid[None],
    }  # fmt: skip
    for name, how in (("row by row", nullcontext), ("two threads", two_threads), ("other order", OtherOrder)):
        with how():
            found[f"rows, {name}"] = apart(rows(run, name == "row by row"), ours)
            if name != "row by row":
                found[f"losses, {name}"] = float((losses(run) - own).abs().max())
                found[f"shares, {name}"] = varied(shares(bundle, answers), paid)
    found["losses, fp64"] = float((losses(in_fp64(run)) - own).abs().max())
    found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--letters", type=int, default=200, help="of each paragraph")
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--path", help="epochs of the runs to follow, with commas between them")
    options = parser.parse_args()
    factory.set_threads(1)
    if options.path:
        epochs = [int(number) for number in options.path.split(",")]
        for line in along(options.folder, options.rows, options.letters, options.rank, epochs):
            print(
                json.dumps({k: float(f"{v:.3g}") if isinstance(v, float) else v for k, v in line.items()}), flush=True
            )
        return
    found = measure(options.folder, options.rows, options.letters, options.rank)
    print(json.dumps({k: float(f"{v:.3g}") if isinstance(v, float) else v for k, v in found.items()}, indent=2))


if __name__ == "__main__":
    main()
