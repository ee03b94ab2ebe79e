"""What a claim costs who makes it and who verifies it, in CPU seconds of one thread.

    .venv/bin/python bench/attribution/costs.py [--method gradient-dot] [--rows 240] [--answers 16] [--tokens 48]
        [--base FOLDER] [--letters 300]

Makes a model on the paragraphs shipped with the package, its answers and a claim, and verifies the claim as a
validator's process does: of a model that it has not seen yet, and once more. "prove" is what the model's owner has
computed for the claim: training and index (once a model), the answers, the scores. Answers are made with keys and
values kept, as they are served; what they take when the whole text is read for each token stands beside it. No
verifier makes an answer again, so only "prove" hangs on it. The first claim is verified by one of ``--validators``,
which looks at the rows or segments that are dealt to it or that it draws; what one of other numbers of validators does
on the average is computed from it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import random
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from openledger.attribution_oracle import claims, corpus, factory, methods
from openledger.attribution_oracle.bases import TINY, Shelf, load_base
from openledger.attribution_oracle.bundle import Bundle, VersionData
from openledger.attribution_oracle.claims import Answer
from openledger.attribution_oracle.index import bytes_of
from openledger.attribution_oracle.kept import Kept
from openledger.attribution_oracle.known import forget
from openledger.attribution_oracle.looks import Crowd
from openledger.attribution_oracle.model import LanguageModel
from openledger.attribution_oracle.openai import Ask
from openledger.attribution_oracle.recheck import wanted_spots
from openledger.attribution_oracle.serve import run_model
from openledger.attribution_oracle.verify import verify_job
from openledger.primitives.attribution import AttributionJob, PartFacts, SettlementFacts
from openledger.primitives.types import to_hex
from openledger.state.blobs import BlobStore

T = TypeVar("T")
PRICE = 10**15
CONTRIBUTORS = 8
VALIDATORS = 1, 4, 10, 20, 40, 150
DRAWS = 20


def held() -> int:
    """MiB that this process holds at most since ``fresh``, with its models."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def fresh() -> int:
    """Forgets the most that was held until now, where the system lets it (Linux), and gives what is held now."""
    gc.collect()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return held()


def timed(what: Callable[[], T]) -> tuple[T, float]:
    """A result, and the CPU seconds of this process that it took."""
    gc.collect()
    begin = time.process_time()
    found = what()
    return found, time.process_time() - begin


class Whole(LanguageModel):
    """A model that reads the whole text again for each token of an answer."""

    def __init__(self, inner: LanguageModel) -> None:
        super().__init__()
        self.inner, self.config = inner, inner.config

    def forward(self, ids: Tensor) -> Tensor:
        found: Tensor = self.inner(ids)
        return found


def texts(rows: int, seed: int, letters: int | None = None) -> list[str]:
    """Different paragraphs, or their first ``letters``."""
    found = [
        d.text[:letters]
        for person in corpus.PEOPLE
        for held in (False, True)
        for d in corpus.documents(person.key, held)
    ]
    if len(found) < rows:
        raise SystemExit(f"there are {len(found)} paragraphs")
    random.Random(seed).shuffle(found)
    return found[:rows]


def average_part(scores: Sequence[int], validators: int, segments: int) -> float:
    """Segments that one of so many equal validators replays, or rows that it makes again where there is one segment."""
    seen = 0
    for number in range(DRAWS):
        crowd = Crowd((1,) * validators, number % validators, bytes([number]))
        spots = wanted_spots(scores, bytes([number]), crowd, segments)
        seen += len({row if segments == 1 else segment for row, segment in spots})
    return seen / DRAWS


def measure(
    method: str, rows: int, answers: int, tokens: int, seed: int, validators: int, folder: Path | None = None,
    letters: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """CPU seconds by step."""
    blobs, wanted = BlobStore("memory://costs"), texts(rows + answers, seed, letters)
    shelf = Shelf([folder] if folder else [])
    base = next(iter(shelf), TINY)
    known = {base: load_base(base, shelf)}  # loaded before anything is timed
    parts = []
    for number in range(CONTRIBUTORS):
        mine = wanted[number:rows:CONTRIBUTORS]
        who = to_hex(bytes([number + 1]) * 20)
        parts.append(PartFacts(who, "0x" + blobs.put(corpus.to_lines(mine)), len(mine), number))
    data = (VersionData(1, 1, tuple(parts)),)
    model, training = timed(lambda: factory.train_model(blobs, data, base=base, seed=seed, known=known))
    index, indexing = timed(lambda: factory.make_index(model, method=method))
    published = factory.publish(blobs, model, index)
    bundle = factory.load_bundle(blobs, to_hex(published["bundle"]), known=known)
    asked = [" ".join(text.split()[:12]) for text in wanted[rows:]]

    def answer_all(bundle: Bundle) -> list[Answer]:
        found = []
        for number, query in enumerate(asked):
            ask = Ask(
                model="m", query=query, tokens=tokens, temperature=0.7, seed=number, top_p=1.0, stream=False, chat=False
            )
            found.append(Answer(1, number, query, run_model(bundle, ask, lambda piece: None)[0] or " .", PRICE))
        return found

    said, generation = timed(lambda: answer_all(bundle))
    reread = replace(bundle, run=replace(bundle.run, model=Whole(bundle.run.model)))
    _, read_whole = timed(lambda: answer_all(reread))
    root = to_hex(claims.receipts_root(1, said))
    settlements = (SettlementFacts(1, 0, len(said), PRICE * len(said), root),)
    claim, scoring = timed(lambda: claims.build_claim(bundle, said, settlements))
    job = AttributionJob(
        claim=1, model=1, method=method, bundle_blob=to_hex(published["bundle"]), index_blob=to_hex(published["index"]),
        index_root=to_hex(published["index_root"]), weights_hash=to_hex(published["weights"]),
        receipt_hash=to_hex(published["receipt"]), parts=tuple(parts), roots=tuple(to_hex(r) for r in bundle.roots),
        settlements=settlements, shares=tuple((to_hex(a), s) for a, s in claim.shares),
        unattributed=claim.unattributed, evidence_blob=blobs.put(claim.evidence),
        scores_root=to_hex(claim.scores_root), rows=rows, base=published["base"],
    )  # fmt: skip
    methods.METHODS[method] = type(methods.METHODS[method])()  # as in a process that has not seen this model
    forget()
    rows_seen, segments = Kept(), len(bundle.cuts) + 1
    drawing, proving_mib, before_mib = replace(job, powers=(1,) * validators), held(), fresh()
    first, verifying = timed(lambda: verify_job(drawing, blobs, seed=b"seed", kept=rows_seen, known=known))
    verifying_mib = held()
    looked = len({row if segments == 1 else segment for row, segment in rows_seen.right(job)})
    again, second = timed(lambda: verify_job(drawing, blobs, seed=b"other", kept=rows_seen, known=known))
    rows_seen.right(job).update(product(range(rows), range(segments)))  # as after many claims
    last, later = timed(lambda: verify_job(job, blobs, seed=b"last", kept=rows_seen, known=known))
    if not (first.valid and again.valid and last.valid):
        raise SystemExit(f"the claim was refused: {first.reason}")
    prove = training + indexing + generation + scoring
    each = (verifying - later) / looked
    seen = {v: average_part(claim.row_scores, v, segments) for v in VALIDATORS}
    shared = {f"first_of_prove_{v}_validators": (later + each * part) / prove for v, part in seen.items()}
    return {
        "method": method, "rows": rows, "answers": answers,
        "answer_tokens": sum(len(bundle.run.base.tokenizer.encode(a.answer)) for a in said),
        "zero_scores": sum(score == 0 for score in claim.row_scores) / rows,
        "training": training, "index": indexing, "index_of_training": indexing / training,
        "row_bytes": bytes_of(index.q.shape[1], index.dim),
        "generation": generation, "generation_read_whole": read_whole, "scoring": scoring,
        "verify_first": verifying, "verify_second": second, "verify_later": later,
        "first_of_prove": verifying / prove,
        "first_of_prove_read_whole": verifying / (prove - generation + read_whole),
        "first_of_prove_without_generation": verifying / (prove - generation),
        "later_of_generation_and_scoring": later / (generation + scoring),
        "later_of_generation_and_scoring_read_whole": later / (read_whole + scoring),
        "proving_mib": proving_mib, "before_verifying_mib": before_mib, "verifying_mib": verifying_mib,
        "segments": segments, "looked_at": looked, "each": each, **shared,
        **{f"parts_of_{v}_validators": part for v, part in seen.items()},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--method", default="gradient-dot", choices=sorted(methods.METHODS))
    parser.add_argument("--rows", type=int, default=240)
    parser.add_argument("--answers", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--validators", type=int, default=1, help="of equal power; of a long run each replays a part")
    parser.add_argument("--base", type=Path, help="a folder in Hugging Face's form (default: the built-in base)")
    parser.add_argument("--letters", type=int, help="of each paragraph (default: all)")
    options = parser.parse_args()
    factory.set_threads(1)
    found = measure(
        options.method, options.rows, options.answers, options.tokens, options.seed, options.validators, options.base,
        options.letters,
    )  # fmt: skip
    print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in found.items()}))


if __name__ == "__main__":
    main()
