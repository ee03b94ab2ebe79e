"""Training, replay, numerics, and the files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from openledger.attribution_oracle import bases, claims, corpus, factory, influence, lora, methods, tensors, train
from openledger.attribution_oracle.bases import load_base
from openledger.attribution_oracle.known import known_parts
from openledger.attribution_oracle.model import document_losses, generate, pad, row_losses
from openledger.attribution_oracle.openai import read_ask
from openledger.attribution_oracle.serve import run_model
from openledger.attribution_oracle.tokenizer import END, PAD, START, Tokenizer
from openledger.primitives.errors import InvalidModel, OracleError
from tests.unit.oracle.conftest import Forgetful


def test_replaying_the_receipt_gives_the_same_weights(made: Any) -> None:
    trained = made.model.trained
    receipt = train.read_receipt(train.receipt_bytes(trained.receipt))
    again = train.replay(receipt, trained.base, made.model.texts)
    assert train.distance(trained.tensors, again) < 1e-5


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_a_batch_that_is_too_much_at_once_is_trained_in_parts_to_the_same_weights(
    made: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, seen = made.model.trained.base, list[int]()
    settings = train.Settings(kind=kind, epochs=1, batch=5, lr=2e-3, warmup=2)
    whole = train.train(base, made.model.texts, 3, settings).tensors
    known = train.document_losses

    def looked(model: Any, ids: torch.Tensor) -> torch.Tensor:
        seen.append(len(ids))
        return known(model, ids)

    monkeypatch.setattr(train, "document_losses", looked)
    monkeypatch.setattr(train, "at_once", lambda model, longest, most: min(most, 2))
    assert train.distance(whole, train.train(base, made.model.texts, 3, settings).tensors) < 1e-4
    assert seen[:3] == [2, 2, 1]


def test_a_receipt_of_other_rows_or_another_start_is_not_replayed(made: Any) -> None:
    trained = made.model.trained
    with pytest.raises(InvalidModel, match="other rows"):
        train.replay(trained.receipt, trained.base, made.model.texts[::-1])
    with pytest.raises(InvalidModel, match="seed"):
        train.replay({**trained.receipt, "seed": 6}, trained.base, made.model.texts)


def test_a_dropped_example_shows_in_the_replayed_weights(made: Any) -> None:
    trained = made.model.trained
    batches = [[i for i in b if i != 3] or b for b in trained.receipt["batches"]]
    again = train.replay({**trained.receipt, "batches": batches}, trained.base, made.model.texts)
    assert train.distance(trained.tensors, again) > 1e-3


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"format":"x"}', b"[" * 100_000, b"null"])
def test_a_malformed_receipt_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidModel):
        train.read_receipt(raw)


def test_training_lowers_the_loss_and_an_empty_datanet_is_refused(made: Any) -> None:
    trained = made.model.trained
    ids = train.documents(trained.base, made.model.texts)
    tuned = train.assemble(trained.base, trained.settings, trained.tensors)
    assert train.mean_loss(tuned, ids) < 0.9 * train.mean_loss(trained.base.build(), ids)
    with pytest.raises(OracleError, match="no rows"):
        train.train(trained.base, [], 1)


@pytest.mark.parametrize("changes", [{"lr": float("nan")}, {"epochs": 0}, {"b1": 1.0}, {"kind": "magic"}, {"eps": 0.0}])
def test_settings_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidModel):
        train.sized("medium", **changes)


def test_row_vectors_are_the_rows_gradients(made: Any) -> None:
    """The batched gradients equal those computed one row at a time by plain autograd."""
    run = made.bundle.run
    batched = methods.METHODS["gradient-dot"].row_vectors(run, [0, 13, 30], lambda *a: None)
    for number, vector in zip([0, 13, 30], batched, strict=True):
        parameters = {n: t.clone().requires_grad_(True) for n, t in run.tensors.items()}
        with lora.attached(run.model, run.settings.lora, parameters):
            loss = document_losses(run.model, pad([run.rows[number]], run.model.config.context)).sum()
        single = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(parameters.values()))])
        assert float((single - vector).norm() / single.norm()) < 1e-5


def test_a_step_along_a_rows_gradient_changes_the_answer_as_scored(made: Any) -> None:
    """Sign: a positive score means that learning the row lowers the answer's loss."""
    run, (query, answer) = made.bundle.run, ("apple pear plum", " cherry grape melon")
    vector = methods.METHODS["gradient-dot"].answer_vector(run, query, answer)
    scores = made.bundle.index.dot(vector)
    row = int(np.argmax(scores))
    gradient = methods.METHODS["gradient-dot"].row_vectors(run, [row], lambda *a: None)[0]

    def loss(step: float) -> float:
        moved, at = {}, 0
        for name, tensor in run.tensors.items():
            moved[name] = tensor - step * gradient[at : at + tensor.numel()].reshape(tensor.shape)
            at += tensor.numel()
        ids, counted = influence.answer_ids(run.base, query, answer)
        with torch.no_grad(), lora.attached(run.model, run.settings.lora, moved):
            return float(row_losses(run.model, torch.tensor([ids]), torch.tensor([counted]))[0])

    assert scores[row] > 0
    assert loss(1e-3) < loss(0.0)


def test_index_rows_agree_over_batch_sizes(made: Any) -> None:
    run, index = made.bundle.run, made.bundle.index
    for number in range(0, 36, 5):
        alone = methods.METHODS["gradient-dot"].row_vectors(run, [number], lambda *a: None)[0]
        assert influence.row_error(index, number, alone) < 1e-4


def test_the_index_file_is_read_with_distrust(made: Any) -> None:
    index = made.bundle.index
    raw = index.dump()
    rows, dim = index.q.shape
    assert influence.Index.load(raw, rows, dim).method == "gradient-dot"
    with pytest.raises(InvalidModel):
        influence.Index.load(raw[: len(raw) // 2], rows, dim)
    with pytest.raises(InvalidModel):
        influence.Index.load(raw, rows + 1, dim)
    bad = index.scale.clone()
    bad[0] = float("inf")
    with pytest.raises(InvalidModel, match="NaN or infinity"):
        influence.Index.load(influence.Index(index.method, index.q, bad).dump(), rows, dim)
    with pytest.raises(InvalidModel, match="negative"):
        influence.Index.load(influence.Index(index.method, index.q, -index.scale - 1).dump(), rows, dim)
    with pytest.raises(InvalidModel):
        influence.Index.load(b"", rows, dim)


def test_a_long_answer_and_a_long_query_are_cut_to_the_context(made: Any) -> None:
    base = made.bundle.run.base
    ids, counted = influence.answer_ids(base, "apple " * 200, " pear plum")
    assert len(ids) == base.config.context
    assert sum(counted) == len(base.tokenizer.encode(" pear plum"))
    ids, counted = influence.answer_ids(base, "apple", " pear" * 200)
    assert len(ids) == base.config.context
    assert not counted[0]
    with pytest.raises(OracleError):
        influence.answer_ids(base, "apple", "")


def test_random_numbers_follow_from_seed_and_label() -> None:
    values = tensors.uniform(1, "x", 4)
    assert [round(float(v), 6) for v in values] == [round(float(v), 6) for v in tensors.uniform(1, "x", 4)]
    assert not torch.equal(values, tensors.uniform(2, "x", 4))
    assert not torch.equal(values, tensors.uniform(1, "y", 4))
    assert float(tensors.uniform(1, "x", 10_000).abs().max()) <= 1.0
    assert sorted(tensors.order(3, "e", 50)) == list(range(50))


def test_generation_is_deterministic_and_never_empty(made: Any) -> None:
    model = made.bundle.run.model
    first = list(generate(model, [1, 20], 12, 0.8, 42))
    assert first == list(generate(model, [1, 20], 12, 0.8, 42))
    assert 1 <= len(first) <= 12
    assert list(generate(model, [1, 20], 60, 0.0, 0)) == list(generate(model, [1, 20], 60, 0.0, 9))


@pytest.mark.parametrize(("temperature", "top_p"), [(0.0, 1.0), (0.8, 1.0), (1.2, 0.7)])
def test_an_answer_is_the_same_whether_keys_and_values_are_kept_or_not(
    made: Any, temperature: float, top_p: float
) -> None:
    """Also where the window slides, and where it is full from the beginning."""
    model = made.bundle.run.model
    context = model.config.context
    for asked in ([1, 20], [1, *range(20, 20 + context - 10)], [1, *range(20, 40 + context)]):
        kept = list(generate(model, asked, 30, temperature, 7, top_p))
        assert kept == list(generate(Forgetful(model), asked, 30, temperature, 7, top_p))


def test_every_token_of_an_answer_is_read_once(made: Any) -> None:
    model, read = made.bundle.run.model, list[int]()
    hook = model.embed.register_forward_hook(lambda layer, given, found: read.append(given[0].numel()))
    try:
        said = list(generate(model, [1, 20, 21], 12, 0.8, 42))
    finally:
        hook.remove()
    assert len(said) == 12
    assert read == [3] + [1] * 11


def test_the_tokenizer_round_trips_every_text(made: Any) -> None:
    tokenizer = made.bundle.run.base.tokenizer
    for text in ("apple pear", "Grüße, 世界 🌍", "<|end|> is text", "\n\ttabs", "", "<|pad|>a<|start|><|end|>"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert not {PAD, START, END} & set(tokenizer.encode(text))
    with pytest.raises(InvalidModel):
        Tokenizer("{}")
    with pytest.raises(InvalidModel):
        Tokenizer("not json")


def test_marks_between_the_pieces_of_a_copy_do_not_hide_it_from_all_but_the_model() -> None:
    """They were left out of what the model sees, and broke the words by which copies are found."""
    tokenizer, text = load_base().tokenizer, corpus.documents("kennedy")[3].text
    pieces = [tokenizer.decode([i]) for i in tokenizer.encode(text)]
    disguised = "".join(piece + "<|end|>" * (number % 3 == 0) for number, piece in enumerate(pieces))
    assert known_parts([text, disguised], [0, 1])[1].ppm == 0
    assert len(tokenizer.encode(disguised)) > 2 * len(pieces)


def test_the_built_in_base_is_the_listed_one_and_has_learned() -> None:
    base = bases.load_base()
    assert {base.name: base.digest} == bases.BASES
    ids = train.documents(base, corpus.held_out_texts()[:8])
    assert train.mean_loss(base.build(), ids) < 4.2
    with pytest.raises(InvalidModel, match="allow-listed"):
        bases.load_base("somebody/else")


def test_the_corpus_is_real_text_of_five_people_and_held_out_texts_are_not_in_it() -> None:
    texts = [d.text for p in corpus.PEOPLE for d in corpus.documents(p.key)]
    assert len(texts) == 400
    assert len(set(texts)) == 400
    assert all(250 <= len(t) <= 430 for t in texts)
    assert not set(texts) & set(corpus.held_out_texts())
    asked = corpus.questions(2)
    assert len(asked) == 10
    assert all(q.continuation.startswith(" ") for q in asked)
    with pytest.raises(OracleError):
        corpus.documents("nobody")


def test_models_do_not_belong_to_other_data(made: Any) -> None:
    model = made.model
    with pytest.raises(InvalidModel, match="not trained on"):
        factory.publish(made.blobs, factory.Model(model.trained, model.data[::-1], model.texts), made.bundle.index)


def test_draws_keep_to_the_likeliest_ids(made: Any) -> None:
    model = made.bundle.run.model
    greedy = list(generate(model, [1, 20], 12, 0.0, 0))
    assert list(generate(model, [1, 20], 12, 1.0, 5, top_p=0.0)) == greedy


def test_a_model_that_answers_while_it_is_attributed_says_the_same(made: Any) -> None:
    """Serving and claiming share one model in memory."""
    ask = read_ask(b'{"model":"m","prompt":"apple pear","max_tokens":20,"temperature":0}', chat=False)
    alone = run_model(made.bundle, ask, lambda text: None)
    with ThreadPoolExecutor(1) as pool:
        scoring = pool.submit(lambda: [claims.score_rows(made.bundle, made.answers) for _ in range(10)])
        said = [run_model(made.bundle, ask, lambda text: None) for _ in range(10)]
        found = scoring.result()
    assert said == [alone] * 10
    assert set(found) == {claims.score_rows(made.bundle, made.answers)}
