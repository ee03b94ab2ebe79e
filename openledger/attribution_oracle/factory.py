"""The factory's front door for the command line and the demo: plain inputs, progress callbacks, no torch types.

corpus blobs -> train_model -> make_index -> publish -> (chain: model.publish) -> open_model -> Serving -> claim
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from aiohttp import web

from openledger.attribution_oracle import bundle as bundles
from openledger.attribution_oracle import claims, influence, measured, methods, train
from openledger.attribution_oracle.bases import TINY, Base, load_base
from openledger.attribution_oracle.bundle import Bundle, VersionData
from openledger.attribution_oracle.folders import is_name, read_folder
from openledger.attribution_oracle.lora import LoraSettings
from openledger.attribution_oracle.model import choose_device
from openledger.attribution_oracle.payment import Ledger
from openledger.attribution_oracle.ports import Blobs, ChainReader, Progress, silent
from openledger.attribution_oracle.preconditioned import spans
from openledger.attribution_oracle.serve import Served, Server, quantity
from openledger.attribution_oracle.tape import MEMORY, Place
from openledger.primitives.amounts import exact_amount
from openledger.primitives.attribution import SettlementFacts, Voucher
from openledger.primitives.errors import OracleError
from openledger.primitives.types import to_hex

FULL_RATE = 5e-4


def set_threads(count: int) -> None:
    """How many threads torch may use in this process."""
    torch.set_num_threads(max(1, count))


def usual_device(wanted: str) -> str:
    """``auto`` is CUDA where there is a device, else the CPU; other names stay."""
    return wanted if wanted != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def shape(kind: str, rank: int | None = None) -> dict[str, Any]:
    """Settings for ``train_model``: of a full fine-tune, whose learning rate is lower, or of an adapter's rank."""
    if kind == "full":
        return {"kind": kind, "lr": FULL_RATE}
    return {"kind": kind, **({} if rank is None else {"lora": LoraSettings(rank, 2.0 * rank)})}


def in_folder(path: Path, memory: int | None = None) -> Base:
    """The base in a folder in Hugging Face's form. Raises InvalidModel, BaseMissing, MissingExtra (``hf.load_hf``)."""
    from openledger.attribution_oracle.hf import load_hf

    return load_hf(read_folder(path), memory)


@dataclass(frozen=True)
class Model:
    """A trained model with its data, before it is published. Losses are micro-nats per token, 0 = not measured."""

    trained: train.Trained
    data: tuple[VersionData, ...]
    texts: tuple[str, ...]

    @property
    def widest(self) -> int:
        """Bytes of the logits of its longest row."""
        t = self.trained
        longest = min(max(map(len, train.documents(t.base, self.texts))), t.base.config.context)
        return 4 * longest * t.base.config.vocab

    @property
    def spans(self) -> bool:
        """Whether the rows of an adapter are enough for EK-FAC."""
        t = self.trained
        lengths = map(len, train.documents(t.base, self.texts))
        tokens, needed = spans(lengths, t.base.config.context, (tensor.shape for tensor in t.tensors.values()))
        return tokens >= needed

    @property
    def cut(self) -> int:
        """Rows that are longer than what the base is shown of them: what is behind is not learned."""
        base = self.trained.base
        return sum(len(row) > base.config.context for row in train.documents(base, self.texts))

    @property
    def base_loss(self) -> int:
        return int(self.trained.receipt["base_loss"])

    @property
    def held_out_loss(self) -> int:
        return int(self.trained.receipt["held_out_loss"])


def train_model(
    blobs: Blobs, data: Sequence[VersionData], *, base: str = TINY, seed: int = 1, size: str = "medium",
    settings: Mapping[str, Any] | None = None, held_out: Sequence[str] = (), device: str = "cpu",
    progress: Progress = silent, known: Mapping[str, Base] | None = None, targets: Sequence[str] = (),
    context: int | None = None,
) -> Model:  # fmt: skip
    """Fine-tune ``base`` on datanet versions, whose parts lie in ``blobs``. ``settings`` changes what ``size`` (small,
    medium, large) gives, e.g. ``{"epochs": 5, "kind": "full"}``; ``targets`` are the kinds of layers that are adapted
    (none: those that the base says), ``context`` how many tokens of a row it is shown (None: the usual number). Raises
    OracleError, InvalidModel, BlobNotFound, BaseMissing."""
    start, chosen = load_base(base, known), train.sized(size, **dict(settings or {}))
    start = start if context is None else start.shown(context)
    chosen = replace(chosen, lora=replace(chosen.lora, targets=tuple(targets) or start.targets))
    lines, _, roots = bundles.read_data(blobs, data)
    texts = tuple(bundles.text_of(line) for line in lines)
    trained = train.train(
        start, texts, seed, chosen, progress,
        data_roots=[to_hex(root) for root in roots], held_out=held_out, device=choose_device(device),
    )  # fmt: skip
    return Model(trained, tuple(data), texts)


def write_adapter(model: Model, folder: Path) -> bool:
    """Write an adapter of a Hugging Face base in peft's form; False for other models."""
    t = model.trained
    if not is_name(t.base.name):
        return False
    from openledger.attribution_oracle.hf import HfBase, write_peft

    write_peft(folder, cast(HfBase, t.base), t.settings.lora, t.tensors)
    return True


def make_index(
    model: Model, *, method: str = methods.DEFAULT_METHOD, device: str = "cpu", progress: Progress = silent,
    folder: Path | None = None, memory: int = MEMORY, row_bytes: int | None = None,
) -> influence.Index:  # fmt: skip
    """The attribution index of a trained model. A long work is kept in ``folder``, to go on there after it was broken
    off, and holds at most ``memory`` bytes of rows at once; ``row_bytes`` bounds a row's size (None: as
    ``methods.usual_bytes`` says)."""
    t = model.trained
    run = influence.Run.of(t.base, t.settings, t.tensors, t.receipt, model.texts, choose_device(device))
    index = methods.make_index(run, method, progress, Place(folder, memory), row_bytes)
    if folder is not None:
        with suppress(OSError):
            folder.rmdir()
    return index


def measure(
    bundle: Bundle, texts: Sequence[str], subsets: int, progress: Progress = silent, seconds: float = math.inf
) -> measured.Measurement:
    """LDS of a published model's index over rows and contributors, by real retraining (see measured.measure)."""
    return measured.measure(bundle.run, bundle.index, bundle.contributors, texts, subsets, progress, seconds=seconds)


def publish(blobs: Blobs, model: Model, index: influence.Index) -> dict[str, Any]:
    """Put all files; gives the fields of ``model.publish`` but name and price (hashes as bytes)."""
    return bundles.publish_bundle(blobs, model.trained, index, model.data)


def note_measurement(blobs: Blobs, name: str, how: Mapping[str, Any]) -> bytes:
    """Write into a bundle's manifest how its LDS was measured; the new manifest's hash."""
    return bundles.with_measurement(blobs, name, how)


def load_bundle(blobs: Blobs, name: str, *, device: str = "cpu", known: Mapping[str, Base] | None = None) -> Bundle:
    """A published model by the hash of its manifest (hex, with or without 0x)."""
    return bundles.load_bundle(blobs, name, known=known, device=choose_device(device))


def evaluate(bundle: Bundle, texts: Sequence[str]) -> dict[str, int]:
    """Loss on ``texts`` in micro-nats per token: of the base, and of the tuned model."""
    base = bundle.run.base
    ids = train.documents(base, texts)
    with bundle.run.lock:
        tuned = train.mean_loss(bundle.run.model, ids)
    return {
        "base_loss": round(train.mean_loss(base.build(), ids) * 1e6),
        "held_out_loss": round(tuned * 1e6),
        "documents": len(ids),
    }


class Serving:
    """Serves published models on a loopback port, and gives the operator what settling and claiming need."""

    def __init__(self, models: Sequence[Served], chain: ChainReader, folder: Path, chain_id: int) -> None:
        """``folder`` keeps receipts and vouchers (``serving.jsonl``)."""
        self.ledger = Ledger(folder / "serving.jsonl")
        self.server = Server(models, chain, self.ledger, chain_id)
        self._runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen; gives the base URL. Port 0 takes a free one. Raises OSError when the port is taken, OracleError when
        a model is not on chain or has another price there."""
        for model in self.server.offered:
            facts = await self.server.chain.model(model.number)
            if facts is None or quantity(facts["price"]) != model.price:
                raise OracleError(f"model {model.number} is not on chain with a price of {exact_amount(model.price)}")
        self._runner = web.AppRunner(self.server.app(), access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        return f"http://{host}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening and close the file."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def vouchers(self) -> list[tuple[Voucher, bytes]]:
        """The last voucher of every session and the consumer's signature, for ``inference.settle``."""
        return self.ledger.vouchers()

    def answers(self, session: int | None = None) -> list[claims.Answer]:
        """All answers given (of one session), for ``claim``."""
        chosen = [session] if session is not None else sorted(self.ledger.books)
        receipts = [r for number in chosen for r in self.ledger.book(number).receipts]
        return [claims.Answer(r.session, r.index, r.query, r.answer, r.price) for r in receipts]


def claim(
    bundle: Bundle,
    answers: Sequence[claims.Answer],
    settlements: Sequence[SettlementFacts],
    progress: Progress = silent,
) -> claims.Claim:
    """The attribution claim for settled answers (see claims.build_claim)."""
    return claims.build_claim(bundle, answers, settlements, progress)


__all__ = [
    "Model", "Served", "Serving", "VersionData", "claim", "evaluate", "in_folder", "load_bundle", "make_index",
    "measure", "note_measurement", "publish", "set_threads", "shape", "train_model", "usual_device",
    "write_adapter",
]  # fmt: skip
