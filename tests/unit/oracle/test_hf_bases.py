"""Models of Hugging Face as bases: what is loaded, what is refused unread, and that all methods work on them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", reason="the extra for Hugging Face bases is not installed")

from openledger.attribution_oracle import factory, influence, lora, methods, tensors, train  # noqa: E402
from openledger.attribution_oracle.bases import Base, Shelf, load_base  # noqa: E402
from openledger.attribution_oracle.folders import read_folder  # noqa: E402
from openledger.attribution_oracle.gradients import Gradients  # noqa: E402
from openledger.attribution_oracle.hf import load_hf, write_peft  # noqa: E402
from openledger.attribution_oracle.influence import GradientDot  # noqa: E402
from openledger.attribution_oracle.model import document_losses, generate, pad  # noqa: E402
from openledger.attribution_oracle.ports import silent  # noqa: E402
from openledger.attribution_oracle.replayed import Trainable, trainable_losses  # noqa: E402
from openledger.attribution_oracle.tokenizer import ForeignTokenizer  # noqa: E402
from openledger.attribution_oracle.verify import verify_job  # noqa: E402
from openledger.node.bases import FAR_APART, noted  # noqa: E402
from openledger.node.cli.models import rechecked_in_time  # noqa: E402
from openledger.primitives.errors import BaseMissing, InvalidModel, OpenLedgerError  # noqa: E402
from tests.unit.oracle.conftest import WORDS, Forgetful, MemoryBlobs, World, put_data, sentences, settled  # noqa: E402
from tests.unit.oracle.hf_folders import KINDS, TEXTS, make_folder, tokenizer  # noqa: E402

SHORT = train.Settings(epochs=2, batch=6, lr=5e-3, warmup=2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: make_folder(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


@pytest.fixture(scope="module", params=list(KINDS))
def base(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Base:
    return load_hf(read_folder(folders[request.param]))


def adapted(base: Base) -> train.Settings:
    return train.Settings(**{**SHORT.__dict__, "lora": lora.LoraSettings(2, 4.0, base.targets)})


@pytest.fixture(scope="module")
def run(base: Base) -> influence.Run:
    trained = train.train(base, TEXTS, 3, adapted(base))
    return influence.Run.of(base, trained.settings, trained.tensors, trained.receipt, TEXTS)


# --- what is loaded -----------------------------------------------------------------------------------------


def test_the_logits_are_those_of_the_library(base: Base, folders: dict[str, Path], request: Any) -> None:
    import transformers

    kind = request.node.callspec.params["base"]
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folders[kind], dtype=torch.float32).eval()
    ids = torch.arange(1, 31).view(2, 15)
    with torch.no_grad():
        assert torch.allclose(base.build()(ids), theirs(ids - 1).logits, atol=1e-5)


def test_a_row_has_the_same_loss_alone_and_in_any_batch(base: Base) -> None:
    model, rows = base.build(), [base.tokenizer.document(text) for text in TEXTS]
    together = document_losses(model, pad(rows, base.config.context))
    for number, row in enumerate(rows):
        alone = document_losses(model, pad([row], base.config.context))
        assert float((alone[0] - together[number]).abs()) < 1e-5


def test_text_survives_the_tokenizer_and_marks_written_out_are_text(base: Base) -> None:
    for text in ("apple pear", "été 漢字 \n <|end|> x", " <|start|>"):
        ids = base.tokenizer.encode(text)
        assert not {0, base.config.start, base.config.end} & set(ids)
        assert base.tokenizer.decode(ids) == text
    document = base.tokenizer.document("iron")
    assert (document[0], document[-1]) == (base.config.start, base.config.end)


def test_a_mark_that_is_a_word_of_its_tokenizer_is_seen_by_the_model() -> None:
    told = json.loads(tokenizer(False).to_str())
    told["added_tokens"][0]["special"] = False
    words = ForeignTokenizer(json.dumps(told), 0, 0)
    assert words.encode("app<|end|>le") == [*words.encode("app"), words.end, *words.encode("le")]


def test_generation_begins_with_a_token_and_stops_at_the_end_mark(base: Base) -> None:
    asked = [base.config.start, *base.tokenizer.encode("apple pear")]
    said = list(generate(base.build(), asked, 100, 0.0, 1))
    assert 1 <= len(said) <= 100
    assert base.config.end not in said
    assert max(said) < base.config.vocab


@pytest.mark.parametrize(("temperature", "top_p"), [(0.0, 1.0), (0.9, 0.8)])
def test_an_answer_is_the_same_whether_keys_and_values_are_kept_or_not(
    base: Base, temperature: float, top_p: float
) -> None:
    """With an adapter, and beyond the 64 tokens of the context, where the window slides."""
    model = base.build()
    settings = lora.LoraSettings(2, 4.0, base.targets)
    adapter = {name: t + 0.1 for name, t in lora.create(model, settings, 1).items()}
    asked = [base.config.start, *base.tokenizer.encode("apple pear")]
    assert model.reader() is not None
    with lora.attached(model, settings, adapter):
        for seed in range(3):
            kept = list(generate(model, asked, 80, temperature, seed, top_p))
            assert kept == list(generate(Forgetful(model), asked, 80, temperature, seed, top_p))


@pytest.mark.parametrize("more", [{"sliding_window": 8}, {}], ids=["mistral", "mamba"])
def test_models_that_keep_something_else_answer_the_same(more: dict[str, Any], tmp_path: Path) -> None:
    """Keys of a window only, or a state and no keys at all."""
    kind = "mistral" if more else "mamba"
    base = load_hf(read_folder(make_folder(tmp_path, kind, **more)))
    asked = [base.config.start, *base.tokenizer.encode("apple pear")]
    assert list(generate(base.build(), asked, 40, 0.0, 1)) == list(generate(Forgetful(base.build()), asked, 40, 0.0, 1))


def test_a_model_that_goes_on_wrongly_keeps_nothing(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried on loading: one whose library's class forgets what it was given reads all of it for each token."""
    import transformers

    known = transformers.LlamaForCausalLM.forward

    def forgetting(self: Any, input_ids: Any = None, cache: Any = None, **more: Any) -> Any:
        return known(self, input_ids=input_ids, **more)

    monkeypatch.setattr(transformers.LlamaForCausalLM, "forward", forgetting)
    assert load_hf(read_folder(folders["llama"])).build().reader() is None


def test_models_share_the_frozen_weights_and_nothing_else(base: Base) -> None:
    first, second = base.build(), base.build()
    assert {t.data_ptr() for t in first.parameters()} == {t.data_ptr() for t in second.parameters()}
    settings, ids = lora.LoraSettings(2, 4.0, base.targets), torch.arange(1, 13).view(1, 12)
    adapter = {name: t + 0.1 for name, t in lora.create(first, settings, 1).items()}
    plain = second(ids)
    with lora.attached(first, settings, adapter):
        assert not torch.allclose(first(ids), plain)
        assert torch.equal(second(ids), plain)


def test_sharded_weights_are_read_and_the_name_follows_from_the_bytes(tmp_path: Path) -> None:
    whole = make_folder(tmp_path / "whole")
    parts = make_folder(tmp_path / "parts", shard="40KB")
    assert len(read_folder(parts).weights) > 1
    ids = torch.arange(1, 21).view(2, 10)
    assert torch.equal(load_hf(read_folder(parts)).build()(ids), load_hf(read_folder(whole)).build()(ids))
    lines = "".join(
        f"{hashlib.sha256((whole / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("config.json", "model.safetensors", "tokenizer.json")
    )
    assert read_folder(whole).name == "hf:" + hashlib.sha256(lines.encode()).hexdigest()
    copied = shutil.copytree(whole, tmp_path / "copy")
    (copied / "README.md").write_text("not looked at")
    assert read_folder(copied).name == read_folder(whole).name
    (copied / "tokenizer.json").write_text((whole / "tokenizer.json").read_text() + "\n")
    assert read_folder(copied).name != read_folder(whole).name


# --- how much of a row is looked at -------------------------------------------------------------------------


def test_a_base_is_shown_what_is_asked_for_up_to_what_it_was_made_for(tmp_path: Path) -> None:
    base = load_hf(read_folder(make_folder(tmp_path, "llama", max_position_embeddings=1024)))
    assert (base.config.context, base.longest) == (512, 1024)
    wide, narrow = base.shown(1024), base.shown(16)
    assert (wide.config.context, narrow.config.context) == (1024, 16)
    assert wide.build().inner.get_output_embeddings().weight is base.model.inner.get_output_embeddings().weight
    ids = torch.arange(600).remainder(90).add(1).view(1, -1)
    assert torch.allclose(wide.build()(ids)[:, :500], base.build()(ids[:, :500]), atol=1e-4)
    with pytest.raises(InvalidModel, match="do not fit"):
        base.build()(ids)
    for wrong in (0, 15, 1025):
        with pytest.raises(InvalidModel, match="16 to 1024 tokens"):
            base.shown(wrong)
    with pytest.raises(InvalidModel, match="128 tokens"):
        load_base().shown(256)


def test_a_context_that_memory_does_not_hold_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    folder = read_folder(make_folder(tmp_path, "llama", max_position_embeddings=4096))
    assert load_hf(folder).shown(4096).config.context == 4096
    tight = load_hf(folder, folder.size + (1 << 30))
    with pytest.raises(BaseMissing, match="1536 MiB of memory beside the weights, 1024 are left") as refusal:
        tight.shown(4096)
    assert "memory_mb" in str(refusal.value.hint)


def test_what_stands_beyond_the_context_is_not_looked_at_and_all_agree_on_where_that_is(
    folders: dict[str, Path],
) -> None:
    """The context stands in manifest and receipt: a validator takes it from there."""
    blobs, shelf = MemoryBlobs(), Shelf([folders["llama"]])
    data = put_data(blobs, {who: sentences(words, 4) for who, words in WORDS.items()})
    settings = {"epochs": 1, "batch": 4}
    name = next(iter(shelf))
    made = factory.train_model(blobs, data, base=name, settings=settings, known=shelf, context=16)
    assert made.trained.receipt["context"] == 16
    assert made.cut == 12
    published = factory.publish(blobs, made, factory.make_index(made, method="gradient-dot"))
    bundle = factory.load_bundle(blobs, published["bundle"].hex(), known=shelf)
    assert bundle.run.model.config.context == 16
    longer = influence.Run.of(
        bundle.run.base, made.trained.settings, made.trained.tensors, made.trained.receipt,
        [text + " something else entirely" for text in made.texts],
    )  # fmt: skip
    ours, theirs = (GradientDot().row_vectors(run, range(12), silent) for run in (bundle.run, longer))
    assert torch.equal(ours, theirs)
    manifest = json.loads(blobs.get(published["bundle"].hex()))
    for wrong, sentence in ((64, "the context"), (65, "16 to 64 tokens"), ("16", "another")):
        lie = {**manifest, "config": {**manifest["config"], "context": wrong}}
        with pytest.raises(InvalidModel, match=sentence):
            factory.load_bundle(blobs, blobs.put(json.dumps(lie).encode()), known=shelf)


@pytest.mark.parametrize("name", ["path-influence", "ek-fac"])
def test_two_models_of_one_receipt_that_are_shown_different_lengths_are_not_taken_for_each_other(
    folders: dict[str, Path], name: str
) -> None:
    """A receipt need not name the context. What a process has seen before must not decide its verdict."""
    base = load_hf(read_folder(folders["llama"]))
    texts = [f"{text} {text} {text}" for text in TEXTS]
    trained = train.train(base, texts, 3, adapted(base))
    receipt = {key: value for key, value in trained.receipt.items() if key != "context"}
    short, long = (
        influence.Run.of(base.shown(context), trained.settings, trained.tensors, receipt, texts) for context in (16, 64)
    )
    fresh, used = type(methods.METHODS[name])(), type(methods.METHODS[name])()
    if name == "path-influence":
        assert used.replay(short).ids.shape[1] == 16 < used.replay(long).ids.shape[1]
        return
    used.row_vectors(short, [0], silent)
    assert torch.equal(used.row_vectors(long, [0], silent), fresh.row_vectors(long, [0], silent))


@pytest.mark.parametrize(("name", "method"), [("openledger/tiny-v1", "path-influence"), (None, "path-undecayed")])
def test_auto_takes_the_most_accurate_method_of_a_base_and_says_so(
    name: str | None, method: str, folders: dict[str, Path]
) -> None:
    app: Any = SimpleNamespace(call=lambda asked: {"voteSeconds": 3600})
    base = SimpleNamespace(name=name or read_folder(folders["llama"]).name)
    trained = SimpleNamespace(widest=1, trained=SimpleNamespace(base=base, seconds=5.0))
    found, why = rechecked_in_time(app, trained, "lora", "cpu")
    assert found == method
    assert why.startswith(f"auto took {method}, the most accurate")
    found, why = rechecked_in_time(app, trained, "lora", "cuda")
    assert (found, "without cuda" in why) == ("gradient-dot", True)


def test_the_owner_is_told_of_rows_that_are_cut_and_of_rows_that_machines_may_not_agree_on(
    folders: dict[str, Path],
) -> None:
    base = SimpleNamespace(name=read_folder(folders["llama"]).name, config=SimpleNamespace(context=512))
    cut, sound = (SimpleNamespace(cut=n, trained=SimpleNamespace(base=base)) for n in (3, 0))
    assert noted(cut, "path-influence") == [  # type: ignore[arg-type]
        "3 rows are longer than 512 tokens: what is behind is not learned, and earns nothing",
        FAR_APART,
    ]
    assert noted(sound, "gradient-dot") == noted(sound, "path-undecayed") == []  # type: ignore[arg-type]


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.fixture
def folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A sound folder that a test may spoil."""
    return shutil.copytree(folders["gpt2"], tmp_path / "base")


def spoil(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def pickle_instead(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_off(folder: Path) -> None:
    raw = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(raw[:-100])


def no_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x80\x04\x95" * 1000)


def with_weights(folder: Path, change: Any) -> None:
    held = tensors.load((folder / "model.safetensors").read_bytes(), "weights")
    change(held)
    (folder / "model.safetensors").write_bytes(tensors.dump(held))


def not_a_number(folder: Path) -> None:
    with_weights(folder, lambda held: held["transformer.h.0.mlp.c_fc.weight"].fill_(float("nan")))


def another_shape(folder: Path) -> None:
    with_weights(folder, lambda held: held.update({"transformer.wpe.weight": torch.zeros(3, 5)}))


def without_a_layer(folder: Path) -> None:
    with_weights(folder, lambda held: held.pop("transformer.h.1.mlp.c_fc.weight"))


def index_of_pickles(folder: Path) -> None:
    pickle_instead(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "pytorch_model.bin"}}')


def index_outside(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "model.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../model.safetensors"}}')


SPOILED: dict[str, tuple[Any, str]] = {
    "no folder": (shutil.rmtree, "there is no folder"),
    "no configuration": (lambda f: (f / "config.json").unlink(), "has no config.json"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), "is not JSON"),
    "a list": (lambda f: (f / "config.json").write_text("[]"), "holds no JSON object"),
    "no type": (lambda f: spoil(f, model_type=None), "names no model_type"),
    "own code": (lambda f: spoil(f, auto_map={"AutoModelForCausalLM": "evil.Model"}), "code of its own"),
    "own code inside": (lambda f: spoil(f, text_config={"auto_map": {}}), "code of its own"),
    "quantised": (lambda f: spoil(f, quantization_config={"quant_method": "x"}), "quantised"),
    "unknown type": (lambda f: spoil(f, model_type="../../evil"), "knows no model of the type"),
    "no language model": (lambda f: spoil(f, model_type="vit"), "no causal language model"),
    "looks ahead": (lambda f: spoil(f, model_type="bert"), "lack"),
    "senseless": (lambda f: spoil(f, n_head="many"), "not sound"),
    "other width": (lambda f: spoil(f, n_embd=36, n_head=4), "do not fit"),
    "larger vocabulary": (lambda f: spoil(f, vocab_size=20), "do not fit"),
    "no end": (lambda f: spoil(f, eos_token_id=None), "eos_token_id"),
    "end beyond": (lambda f: spoil(f, eos_token_id=100_000), "eos_token_id"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer.json"),
    "bad tokenizer": (
        lambda f: (f / "tokenizer.json").write_text('{"version": "1.0"}'),
        "tokenizer file cannot be read",
    ),
    "an adapter": (lambda f: (f / "adapter_config.json").write_text("{}"), "holds an adapter"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "has neither model.safetensors"),
    "pickle": (pickle_instead, "as a pickle (pytorch_model.bin), which could run code"),
    "index of pickles": (index_of_pickles, "no safetensors file beside it"),
    "index outside": (index_outside, "no safetensors file beside it"),
    "cut off": (cut_off, "is cut off"),
    "no safetensors": (no_safetensors, "is not a safetensors file"),
    "NaN": (not_a_number, "hold NaN or infinity in 'transformer.h.0.mlp.c_fc.weight'"),
    "another shape": (another_shape, "do not fit its config.json"),
    "a layer missing": (without_a_layer, "lack 'transformer.h.1.mlp.c_fc.weight'"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_bad_folder_is_refused_in_one_sentence(what: str, folder: Path) -> None:
    change, said = SPOILED[what]
    change(folder)
    with pytest.raises(InvalidModel, match=re.escape(said)) as caught:
        load_hf(read_folder(folder))
    assert "\n" not in caught.value.message


def test_a_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    words = json.loads((folder / "tokenizer.json").read_text())
    words["added_tokens"].append({**words["added_tokens"][0], "id": 100_000, "content": "<|far|>"})
    (folder / "tokenizer.json").write_text(json.dumps(words))
    with pytest.raises(InvalidModel, match=r"the tokenizer in .* has"):
        load_hf(read_folder(folder))


def test_a_model_that_looks_ahead_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from openledger.attribution_oracle import hf

    monkeypatch.setattr(hf.HfModel, "forward", lambda self, ids: self.inner(input_ids=ids.flip(1) - 1).logits)
    with pytest.raises(InvalidModel, match="looks ahead"):
        load_hf(read_folder(folder))


def test_pickles_and_code_beside_sound_weights_are_never_opened(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n")
    (folder / "modeling_gpt2.py").write_text("raise SystemExit")
    assert load_hf(read_folder(folder)).build()(torch.ones(1, 3, dtype=torch.long)).shape[:2] == (1, 3)


def test_a_base_larger_than_the_memory_is_refused_with_the_size(folder: Path) -> None:
    with pytest.raises(BaseMissing, match=r"needs 1024 MiB of memory, 512 are allowed") as caught:
        load_hf(read_folder(folder), 512 << 20)
    assert "memory_mb" in str(caught.value.hint)


def test_a_name_without_its_folder_says_how_to_help(folders: dict[str, Path]) -> None:
    name = "hf:" + "0" * 64
    for known in (None, Shelf([]), Shelf(list(folders.values()))):
        with pytest.raises(BaseMissing, match="in none of this machine's folders") as caught:
            load_base(name, known)
        assert "[oracle] bases" in str(caught.value.hint)
    for other in ("hf:", "hf:../../x", "hf:" + "A" * 64):
        with pytest.raises(InvalidModel, match="not an allow-listed base"):
            load_base(other, Shelf([]))


def test_a_shelf_sees_that_a_folder_has_changed(folder: Path) -> None:
    shelf = Shelf([folder])
    (name,) = shelf
    assert shelf[name].name == name
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + "\n")
    (other,) = shelf
    assert other != name
    assert shelf[other].name == other


def test_a_folder_that_changes_while_it_is_loaded_is_not_believed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openledger.attribution_oracle import hf

    def slow(*given: Any) -> Base:
        found = load_hf(*given)
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes() + b" ")
        return found

    shelf = Shelf([folder])
    (name,) = shelf
    monkeypatch.setattr(hf, "load_hf", slow)
    with pytest.raises(BaseMissing, match="changed while"):
        shelf[name]


def test_nothing_is_asked_of_a_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*given: Any, **more: Any) -> Any:
        raise AssertionError(f"somebody wanted to connect: {given}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    spoil(folder, _name_or_path="somebody/else", _attn_implementation="somebody/kernels", transformers_version="1.0")
    load_hf(read_folder(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(InvalidModel):
        load_hf(read_folder(folder))


def test_only_adapters_are_trained_and_only_on_layers_that_there_are(base: Base) -> None:
    with pytest.raises(InvalidModel, match="only adapters"):
        train.train(base, TEXTS, 1, train.Settings(kind="full"))
    wrong = train.Settings(lora=lora.LoraSettings(2, 4.0, ("qkv",)))
    with pytest.raises(InvalidModel, match="no linear layer 'qkv'") as caught:
        train.train(base, TEXTS, 1, wrong)
    assert base.targets[0] in str(caught.value.hint)


# --- training and attribution -------------------------------------------------------------------------------


def test_a_receipt_replays_to_the_same_adapter(run: influence.Run) -> None:
    again = train.replay(run.receipt, run.base, TEXTS)
    assert train.distance(run.tensors, again) == 0
    assert train.mean_loss(run.model, run.rows) < train.mean_loss(run.base.build(), run.rows)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's own, about transformers
def test_peft_opens_the_adapter_and_computes_the_same(
    run: influence.Run, folders: dict[str, Path], request: Any, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    import transformers

    kind = request.node.callspec.params["base"]
    write_peft(tmp_path, run.base, run.settings.lora, run.tensors)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folders[kind], dtype=torch.float32)
    tuned = peft.PeftModel.from_pretrained(theirs, tmp_path).eval()
    ids = torch.arange(1, 31).view(2, 15)
    with torch.no_grad():
        ours, plain, found = run.model(ids), run.base.build()(ids), tuned(ids - 1).logits
    assert float((ours - found).abs().max()) < 1e-5
    assert float((ours - plain).abs().max()) > 1e-3


@pytest.mark.parametrize("every", [False, True])
def test_the_fast_path_gives_each_rows_own_gradient(base: Base, every: bool) -> None:
    """With the usual layers, and with all that can be adapted."""
    kinds = tuple(dict.fromkeys(name.rsplit(".", 1)[-1] for name, _ in base.build().adapted()))
    settings = train.Settings(lora=lora.LoraSettings(2, 4.0, kinds if every else base.targets))
    start = lora.create(base.build(), settings.lora, 2)
    adapter = {n: t + 0.02 * tensors.uniform(4, n, t.numel()).view(t.shape) for n, t in start.items()}
    gradients = Gradients(Trainable(base, settings, adapter), trainable_losses)
    ids = pad([base.tokenizer.document(text) for text in TEXTS], base.config.context)
    fast = gradients.rows(gradients.now(), ids)
    assert gradients._direct
    gradients._direct = gradients._together = False
    plain = gradients.rows(gradients.now(), ids)
    assert float((fast - plain).norm() / plain.norm()) < 1e-5


def test_the_fast_path_takes_all_weights_of_such_models(base: Base) -> None:
    """As ``bench.attribute`` is given them: embeddings, norms, tied heads and biases included."""
    model = base.build().requires_grad_(True)
    try:
        gradients = Gradients(model, document_losses)
        ids = pad([base.tokenizer.document(text) for text in TEXTS[:6]], base.config.context)
        fast = gradients.rows(gradients.now(), ids)
        assert gradients._direct
        gradients._direct = gradients._together = False
        plain = gradients.rows(gradients.now(), ids)
    finally:
        model.requires_grad_(False)
    assert gradients.size == sum(p.numel() for p in model.parameters())
    assert float((fast - plain).norm() / plain.norm()) < 1e-5


@pytest.mark.parametrize("name", list(methods.METHODS))
def test_every_method_indexes_and_rechecks_its_rows_in_other_batches(run: influence.Run, name: str) -> None:
    index = methods.make_index(run, name)
    fresh = type(methods.method(name))()
    some = [17, 3, 11]
    worst = max(
        influence.row_error(index, number, row)
        for number, row in zip(some, fresh.row_vectors(run, some, silent), strict=True)
    )
    assert worst < 1e-4
    score = index.dot(methods.method(name).answer_vector(run, "apple pear", " plum cherry"))
    assert bool(torch.isfinite(torch.as_tensor(score)).all())


def test_another_number_of_threads_changes_nothing_that_counts(run: influence.Run) -> None:
    chosen, before = methods.method("gradient-dot"), torch.get_num_threads()
    one = chosen.row_vectors(run, range(len(run.rows)), silent)
    torch.set_num_threads(2)
    try:
        two = chosen.row_vectors(run, range(len(run.rows)), silent)
    finally:
        torch.set_num_threads(before)
    assert float(((one - two).norm(dim=1) / one.norm(dim=1)).max()) < 1e-5


# --- a claim ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(folders: dict[str, Path]) -> World:
    blobs, known = MemoryBlobs(), Shelf([folders["llama"]])
    data = put_data(blobs, {who: sentences(words, 8) for who, words in WORDS.items()})
    (name,) = known
    model = factory.train_model(blobs, data, base=name, seed=5, settings={"epochs": 6, "lr": 1e-2}, known=known)
    return settled(blobs, known, data, model, factory.make_index(model))


def test_a_claim_is_recomputed_by_whoever_has_the_base(world: World, folders: dict[str, Path]) -> None:
    assert world.published["base"] == read_folder(folders["llama"]).name
    assert sum(ppm for _, ppm in world.claim.shares) > 0
    verdict = verify_job(world.job, world.blobs, seed=b"seed", known=Shelf([folders["llama"]]))
    assert verdict.valid, verdict.reason


def test_who_lacks_the_base_says_nothing(world: World, folders: dict[str, Path]) -> None:
    for known in (None, Shelf([]), Shelf([folders["gpt2"]])):
        with pytest.raises(BaseMissing):
            verify_job(world.job, world.blobs, seed=b"seed", known=known)


def test_a_base_that_may_mint_is_no_cover_for_another(world: World, folders: dict[str, Path]) -> None:
    """What may mint is decided by the base that the chain knows: the bundle must be on the same one."""
    from dataclasses import replace

    lied = replace(world.job, base="openledger/tiny-v1")
    verdict = verify_job(lied, world.blobs, seed=b"seed", known=Shelf([folders["llama"]]))
    assert not verdict.valid
    assert "the chain says openledger/tiny-v1" in verdict.reason


def test_nothing_that_a_loader_raises_is_a_vote(world: World, folders: dict[str, Path], tmp_path: Path) -> None:
    """A folder that has the right bytes and cannot be loaded here is this machine's trouble, not the claim's."""
    copied = shutil.copytree(folders["llama"], tmp_path / "llama")
    with pytest.raises(OpenLedgerError) as caught:
        verify_job(world.job, world.blobs, seed=b"seed", known=Shelf([copied], memory=1 << 20))
    assert isinstance(caught.value, BaseMissing)
