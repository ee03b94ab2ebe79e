"""The methods of the registry as they are published, int8 rows included, against the truth of lds.py.

    .venv/bin/python bench/attribution/registry.py [--corpus manuals] [--seed 1] [--subsets 40] [--epochs 4]

Prints LDS over rows and over contributors, CPU seconds of the index relative to one fine-tune, and bytes a row. Only
adapters: of a full fine-tune a published index looks at a probe. Path influence runs as a published index has it,
without retrainings.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from lds import CORPORA, Size, World, lds, truth, world

from openledger.attribution_oracle import methods
from openledger.attribution_oracle.bases import load_base
from openledger.attribution_oracle.index import Index
from openledger.attribution_oracle.influence import Run
from openledger.attribution_oracle.tokenizer import PAD
from openledger.attribution_oracle.train import assemble


def run_of(made: World, seed: int) -> Run:
    """The world as a published model's run."""
    model, base = made.model, load_base()
    tensors = {name: getattr(model, name.replace(".", "_")).detach() for name in model.names}
    receipt = {k: made.run[k] for k in ("batches", "lrs", "optimizer")}
    rows = tuple(tuple(int(i) for i in row[row != PAD]) for row in made.train)
    assembled = assemble(base, model.settings, tensors)
    return Run(base, model.settings, seed, tensors, receipt, assembled, rows)


def scored(made: World, run: Run, name: str) -> tuple[np.ndarray, Index]:
    """[queries, rows], and the index."""
    index, chosen, tokenizer = methods.make_index(run, name), methods.method(name), run.base.tokenizer
    texts = [tokenizer.decode([int(i) for i in row]) for row in made.query]
    return np.stack([index.dot(chosen.answer_vector(run, "", text)) for text in texts]), index


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", choices=CORPORA, default="manuals")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--subsets", type=int, default=40, help="retrainings for each of the two truths")
    parser.add_argument("--epochs", type=int, default=4)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    made = world(asked.corpus, asked.seed, False, Size(epochs=asked.epochs))
    run = run_of(made, asked.seed)
    by_row, by_contributor = (truth(made, asked.subsets, by) for by in (False, True))
    print(f"{len(made.train)} rows of {made.groups.max() + 1} contributors; one fine-tune {made.seconds:.1f} s of CPU")
    print(f"{'method':16} {'rows':>6} {'contributors':>12} {'cost, fine-tunes':>16} {'bytes a row':>12}")
    for name in methods.METHODS:
        before = time.process_time()
        scores, index = scored(made, run, name)
        cost = (time.process_time() - before) / made.seconds
        told = f"{lds(scores, *by_row):6.3f} {lds(scores, *by_contributor):12.3f} {cost:16.1f}"
        print(f"{name:16} {told} {index.q.shape[1]:12}", flush=True)


if __name__ == "__main__":
    main()
