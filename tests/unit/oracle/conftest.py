"""A toy economy whose attribution is known by construction: three contributors who share no word, a model trained on
all of them, and answers in the words of one."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from openledger.attribution_oracle import claims, corpus, factory, influence, lora, tensors  # noqa: E402
from openledger.attribution_oracle.bases import Base, base_of  # noqa: E402
from openledger.attribution_oracle.bundle import Bundle, VersionData  # noqa: E402
from openledger.attribution_oracle.model import GPT, Config, LanguageModel, initialise  # noqa: E402
from openledger.attribution_oracle.tokenizer import train_tokenizer  # noqa: E402
from openledger.primitives.attribution import AttributionJob, PartFacts, SettlementFacts  # noqa: E402
from openledger.primitives.errors import BlobCorrupt, BlobNotFound  # noqa: E402
from openledger.primitives.types import to_hex  # noqa: E402
from tests.unit.oracle.shops import Shop  # noqa: E402

torch.set_num_threads(1)

WORDS = {
    b"\x01" * 20: ["apple", "pear", "plum", "cherry", "grape", "melon", "quince", "fig"],
    b"\x02" * 20: ["iron", "copper", "zinc", "nickel", "cobalt", "silver", "tin", "lead"],
    b"\x03" * 20: ["river", "ocean", "lake", "pond", "creek", "delta", "fjord", "lagoon"],
}
MODEL = 7
PRICE = 10**15


class MemoryBlobs:
    """A blob store in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, data: bytes, /) -> str:
        name = hashlib.sha256(data).hexdigest()
        self.kept[name] = data
        return name

    def has(self, name: str, /) -> bool:
        return name in self.kept

    def get(self, name: str, /) -> bytes:
        if name not in self.kept:
            raise BlobNotFound(f"no blob {name}")
        if hashlib.sha256(self.kept[name]).hexdigest() != name:
            raise BlobCorrupt(f"blob {name} has other bytes")
        return self.kept[name]


class Forgetful(LanguageModel):
    """A model that reads the whole text again for each token of an answer."""

    def __init__(self, inner: LanguageModel) -> None:
        super().__init__()
        self.inner, self.config = inner, inner.config

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.inner(ids)


def sentences(words: list[str], count: int) -> list[str]:
    """``count`` rows in one contributor's words, different from each other."""
    size = len(words)
    return [" ".join(words[(i + step * (1 + i % 3)) % size] for step in range(8)) for i in range(count)]


def toy_base() -> Base:
    """A very small, untrained base."""
    texts = [row for words in WORDS.values() for row in sentences(words, 8)]
    tokenizer = train_tokenizer(texts, 330)
    config = Config(vocab=tokenizer.size, width=32, layers=2, heads=2, context=48)
    model = GPT(config)
    initialise(model, 3)
    raw = tensors.dump({k: v * (3.0 if v.dim() > 1 else 1.0) for k, v in model.state_dict().items()})
    return base_of("toy", raw, config, tokenizer)


@dataclass
class World:
    """Everything about one published toy model, and an honest claim on it."""

    blobs: MemoryBlobs
    known: dict[str, Base]
    model: factory.Model
    published: dict[str, Any]
    bundle: Bundle
    data: tuple[VersionData, ...]
    answers: list[claims.Answer]
    claim: claims.Claim = field(init=False)
    job: AttributionJob = field(init=False)

    def settle(self) -> None:
        """Settle two sessions and claim them."""
        two = [a for a in self.answers if a.session == 2]
        one = [a for a in self.answers if a.session == 1]
        settlements = (
            SettlementFacts(1, 1, 3, 2 * PRICE, to_hex(claims.receipts_root(MODEL, one))),
            SettlementFacts(2, 0, 1, PRICE, to_hex(claims.receipts_root(MODEL, two))),
        )
        self.claim = claims.build_claim(self.bundle, self.answers, settlements)
        p = self.published
        self.job = AttributionJob(
            claim=1, model=MODEL, method=p["method"], bundle_blob=to_hex(p["bundle"]), index_blob=to_hex(p["index"]),
            index_root=to_hex(p["index_root"]), weights_hash=to_hex(p["weights"]), receipt_hash=to_hex(p["receipt"]),
            parts=tuple(part for v in self.data for part in v.parts),
            roots=tuple(to_hex(r) for r in self.bundle.roots), settlements=settlements,
            shares=tuple((to_hex(a), s) for a, s in self.claim.shares), unattributed=self.claim.unattributed,
            evidence_blob=self.blobs.put(self.claim.evidence), scores_root=to_hex(self.claim.scores_root),
            rows=p["rows"], base=p["base"],
        )  # fmt: skip


def put_data(blobs: MemoryBlobs, rows: dict[bytes, list[str]]) -> tuple[VersionData, ...]:
    """Two datanet versions: the first contributor's alone, then the others together."""
    parts = [
        PartFacts(to_hex(who), "0x" + blobs.put(corpus.to_lines(texts)), len(texts)) for who, texts in rows.items()
    ]
    return VersionData(1, 1, tuple(parts[:1])), VersionData(2, 4, tuple(parts[1:]))


def settled(
    blobs: MemoryBlobs,
    known: dict[str, Base],
    data: tuple[VersionData, ...],
    model: factory.Model,
    index: influence.Index,
) -> World:
    """Publish a model, give four answers and claim them."""
    published = factory.publish(blobs, model, index)
    bundle = factory.load_bundle(blobs, to_hex(published["bundle"]), known=known)
    answers = [
        claims.Answer(1, 0, "silver tin", " lead iron", PRICE),
        claims.Answer(1, 1, "apple pear plum", " cherry grape melon", PRICE),
        claims.Answer(1, 2, "plum cherry", " grape melon quince fig", PRICE),
        claims.Answer(2, 0, "iron copper", " zinc nickel cobalt", PRICE),
    ]
    world = World(blobs, known, model, published, bundle, data, answers)
    world.settle()
    return world


def make_world(blobs: MemoryBlobs, kind: str = "lora", method: str = "gradient-dot", **more: int) -> World:
    """Train, index, publish and load the toy model."""
    base = toy_base()
    known = {"toy": base}
    data = put_data(blobs, {who: sentences(words, 12) for who, words in WORDS.items()})
    settings = {
        "kind": kind,
        "epochs": more.get("epochs", 15),
        "lr": 2e-2 if kind == "lora" else 3e-3,
        "lora": lora.LoraSettings(4, 8.0),
    }
    model = factory.train_model(blobs, data, base="toy", seed=5, settings=settings, known=known)
    index = factory.make_index(model, method=method, row_bytes=more.get("row_bytes", 1 << 16))
    return settled(blobs, known, data, model, index)


def small_model(kind: str, rank: int = 4) -> factory.Model:
    """A trained toy model, three epochs only, for tests of how its index is made."""
    data = put_data(blobs := MemoryBlobs(), {who: sentences(words, 8) for who, words in WORDS.items()})
    settings = {"kind": kind, "epochs": 3, "lr": 3e-3, "lora": lora.LoraSettings(rank, 8.0)}
    return factory.train_model(blobs, data, base="toy", seed=5, settings=settings, known={"toy": toy_base()})


@pytest.fixture(scope="session")
def made() -> World:
    return make_world(MemoryBlobs())


@pytest.fixture
def world(made: World) -> World:
    """A copy whose blobs a test may change."""
    blobs = MemoryBlobs()
    blobs.kept = dict(made.blobs.kept)
    copy = replace(made, blobs=blobs)
    copy.claim, copy.job = made.claim, made.job
    return copy


@pytest.fixture(scope="session")
def full_world() -> World:
    return make_world(MemoryBlobs(), kind="full")


@pytest.fixture(scope="session")
def path_world() -> World:
    return make_world(MemoryBlobs(), method="path-influence")


@pytest.fixture(scope="session")
def full_path_world() -> World:
    return make_world(MemoryBlobs(), kind="full", method="path-influence", epochs=6, row_bytes=1 << 15)


@pytest.fixture(scope="session")
def small_run() -> influence.Run:
    """The run of a small full fine-tune."""
    model = small_model("full")
    t = model.trained
    return influence.Run.of(t.base, t.settings, t.tensors, t.receipt, model.texts)


@pytest.fixture
def memory_blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
async def shop(made: Any, tmp_path: Path) -> AsyncIterator[Shop]:
    found = Shop(made, tmp_path)
    await found.open()
    yield found
    await found.close()
