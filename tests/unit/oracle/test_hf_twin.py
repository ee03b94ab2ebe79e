"""The built-in base, written as a folder of the type GPT-NeoX: a trained model whose losses and gradients are known
from another implementation of the same function."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", reason="the extra for Hugging Face bases is not installed")

from openledger.attribution_oracle import corpus, influence, lora, methods, train  # noqa: E402
from openledger.attribution_oracle.bases import Base, load_base  # noqa: E402
from openledger.attribution_oracle.explained import explained_fraction  # noqa: E402
from openledger.attribution_oracle.folders import read_folder  # noqa: E402
from openledger.attribution_oracle.hf import load_hf  # noqa: E402
from openledger.attribution_oracle.model import document_losses, pad  # noqa: E402
from openledger.attribution_oracle.ports import silent  # noqa: E402

NAMES = {"out": "attention.dense", "up": "mlp.dense_h_to_4h", "down": "mlp.dense_4h_to_h"}


@pytest.fixture(scope="module")
def tiny() -> Base:
    return load_base()


@pytest.fixture(scope="module")
def twin(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Base:
    path, shape, w = tmp_path_factory.mktemp("twin"), tiny.config, tiny.weights
    config = transformers.AutoConfig.for_model(
        "gpt_neox", vocab_size=shape.vocab, hidden_size=shape.width, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, intermediate_size=4 * shape.width, max_position_embeddings=shape.context,
        hidden_act="gelu_pytorch_tanh", use_parallel_residual=False, layer_norm_eps=1e-5, attention_bias=False,
        tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 1.0},
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    found = {"gpt_neox.embed_in.weight": w["embed.weight"], "lm_head.weight": w["embed.weight"]}
    found |= {f"gpt_neox.final_layer_norm.{x}": w[f"norm.{x}"] for x in ("weight", "bias")}
    for n in range(shape.layers):
        ours, theirs = f"blocks.{n}.", f"gpt_neox.layers.{n}."
        for a, b in (("norm1", "input_layernorm"), ("norm2", "post_attention_layernorm")):
            found |= {f"{theirs}{b}.{x}": w[f"{ours}{a}.{x}"] for x in ("weight", "bias")}
        found |= {f"{theirs}{b}.weight": w[f"{ours}{a}.weight"] for a, b in NAMES.items()}
        by_kind = w[f"{ours}qkv.weight"].view(3, shape.heads, -1, shape.width)  # they have them head by head
        found[f"{theirs}attention.query_key_value.weight"] = by_kind.transpose(0, 1).reshape(-1, shape.width)
    left = {k: torch.zeros_like(v) for k, v in model.state_dict().items() if k.endswith(".bias") and k not in found}
    model.load_state_dict(found | left)
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(path)
    (path / "tokenizer.json").write_text(tiny.tokenizer.json)
    return load_hf(read_folder(path))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [d.text[:400] for person in corpus.PEOPLE[:2] for d in corpus.documents(person.key)[:8]]


def test_documents_have_the_same_ids_but_for_the_shift_and_the_same_losses(
    tiny: Base, twin: Base, texts: list[str]
) -> None:
    mine, other = ([b.tokenizer.document(text) for text in texts] for b in (tiny, twin))
    assert [[i + 1 for i in row] for row in mine] == other
    ours = document_losses(tiny.build(), pad(mine, tiny.config.context))
    theirs = document_losses(twin.build(), pad(other, twin.config.context))
    assert float((ours - theirs).abs().max()) < 1e-5
    assert float(ours.mean()) < 5  # it is a trained model


def test_the_same_adapter_gives_the_same_index_and_explains_as_much(tiny: Base, twin: Base, texts: list[str]) -> None:
    settings = train.Settings(epochs=2, lora=lora.LoraSettings(4, 8.0, tuple(NAMES)))
    trained = train.train(tiny, texts, 3, settings)
    ours = influence.Run.of(tiny, settings, trained.tensors, trained.receipt, texts)
    there = {
        name.replace("blocks", "gpt_neox.layers").replace(kind, NAMES[kind]): tensor
        for name, tensor in trained.tensors.items()
        for kind in [name.split(".")[2]]
    }
    targets = tuple(name.rpartition(".")[2] for name in NAMES.values())
    same = train.Settings(epochs=2, lora=lora.LoraSettings(4, 8.0, targets))
    theirs = influence.Run.of(twin, same, there, trained.receipt, texts)
    index, chosen = methods.make_index(ours), methods.method("gradient-dot")
    rows = chosen.row_vectors(theirs, range(len(texts)), silent)
    assert max(influence.row_error(index, i, row) for i, row in enumerate(rows)) < 1e-4
    asked, said = texts[0][:80], texts[0][80:200]
    (a, loss), (b, other) = (chosen.answered(run, asked, said) for run in (ours, theirs))
    assert float((a - b).norm() / a.norm()) < 1e-5
    pairs = ((ours, loss), (theirs, other))
    parts = [explained_fraction(run, run.base.build(), asked, said, tuned) for run, tuned in pairs]
    assert parts[0] > 0.1
    assert parts[0] == pytest.approx(parts[1], abs=1e-4)
