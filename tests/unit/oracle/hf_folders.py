"""Tiny random models of several kinds, as folders in Hugging Face's form, with a tokenizer trained here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

SMALL: dict[str, Any] = {"num_attention_heads": 4, "max_position_embeddings": 64}
LLAMA: dict[str, Any] = {
    **SMALL, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_key_value_heads": 2
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "llama": LLAMA,
    "qwen2": {**LLAMA, "tie_word_embeddings": True},
    "gpt_neox": {**SMALL, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2},
}
OTHERS: dict[str, dict[str, Any]] = {
    "mistral": LLAMA,
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
}
TEXTS = [
    " ".join(words[(i + step * (1 + i % 3)) % len(words)] for step in range(4 + i % 5))
    for words in (["apple", "pear", "plum", "cherry"], ["iron", "copper", "zinc", "lead"], ["river", "lake", "pond"])
    for i in range(6)
]


def tokenizer(start: bool) -> Any:
    """A byte-level BPE of some 300 ids, with an end mark, and a start mark of its own or not."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|end|>", *(["<|start|>"] if start else [])],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False,
    )  # fmt: skip
    found.train_from_iterator(TEXTS, trainer)
    return found


def make_folder(path: Path, kind: str = "gpt2", shard: str = "1GB", seed: int = 1, **more: Any) -> Path:
    """A folder with a model of this kind; ``more`` changes its configuration."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    words = tokenizer(kind == "llama")
    end, start = 0, 1 if kind == "llama" else 0
    given = {
        "vocab_size": words.get_vocab_size(),
        "bos_token_id": start,
        "eos_token_id": end,
        **{**KINDS, **OTHERS}[kind],
        **more,
    }
    config = transformers.AutoConfig.for_model(kind, **given)
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3.0)
    model.save_pretrained(path, max_shard_size=shard)
    words.save(str(path / "tokenizer.json"))
    return path
