"""Serving over HTTP: no answer without payment, none for strangers, and nothing lost by a restart."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from openledger.attribution_oracle import claims, factory, payment, serve
from openledger.attribution_oracle.payment import Ledger, Receipt
from openledger.attribution_oracle.serve import Served
from openledger.primitives.attribution import SettlementFacts, Voucher
from openledger.primitives.errors import CorruptDatabase, OracleError, VoucherInvalid
from openledger.primitives.keys import address_of_private_key, recover_signature
from openledger.primitives.types import to_hex
from tests.unit.oracle.shops import CHAIN, CONSUMER, PRICE, STRANGER, Chain, Shop


async def test_without_payment_the_answer_is_402_with_the_price(shop: Shop) -> None:
    async with shop.http.post(shop.url + "/v1/completions", json={"model": "toy-model", "prompt": "apple"}) as reply:
        body = await reply.json()
    assert reply.status == 402
    assert (body["price"], body["model"], body["chain_id"]) == (str(PRICE), "toy-model", CHAIN)
    assert body["error"]["type"] == "payment_required"
    assert "inference.open" in body["how"]
    status, models = await shop.get("/v1/models")
    assert status == 200
    assert models["data"][0]["id"] == "toy-model"


async def test_answers_are_paid_one_by_one_with_vouchers(shop: Shop) -> None:
    status, body = await shop.ask(0)
    assert status == 200
    receipt = body["openledger"]["receipt"]
    assert body["choices"][0]["text"] == receipt["answer"] != ""
    status, owing = await shop.ask(1)
    assert status == 402
    assert owing["owed"] == str(PRICE)
    status, _ = await shop.pay(owing["voucher"], STRANGER)
    assert status == 400
    status, paid = await shop.pay(owing["voucher"])
    assert (status, paid["accepted"]) == (200, True)
    status, body = await shop.ask(1, path="chat/completions")
    assert status == 200
    assert body["object"] == "chat.completion"
    _, state = await shop.get("/v1/sessions/1")
    assert (state["next_answer"], state["owed"]) == (2, str(PRICE))
    await shop.pay(state["voucher"])
    (voucher, signature), *others = shop.serving.vouchers()
    assert others == []
    assert (voucher.cumulative, voucher.answers) == (2 * PRICE, 2)
    assert recover_signature(voucher.digest(CHAIN), signature) == address_of_private_key(CONSUMER)
    answers = shop.serving.answers(1)
    assert claims.receipts_root(7, answers) == voucher.receipts
    claim = factory.claim(shop.made.bundle, answers, [SettlementFacts(1, 0, 2, 2 * PRICE, to_hex(voucher.receipts))])
    assert sum(p for _, p in claim.shares) + claim.unattributed == 1_000_000


async def test_a_receipt_shows_who_raised_the_answer(shop: Shop) -> None:
    _, body = await shop.ask(0, temperature=0)
    status, receipt = await shop.get("/v1/receipts/" + body["id"])
    assert status == 200
    found = receipt["attribution"]
    assert sum(c["ppm"] for c in found["contributors"]) + found["unattributed"] == 1_000_000
    assert found["contributors"][0]["rows"][0]["text"] in shop.made.bundle.texts
    assert (await shop.get("/v1/receipts/nothing"))[0] == 404


async def test_a_thousand_who_ask_for_a_receipt_at_once_cost_one_look(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one paid answer keeps the thread that answers others busy for as long as its buyer likes."""
    looks, attribution = [0], serve.attribution

    def counted(bundle: Any, receipt: Any) -> Any:
        looks[0] += 1
        return attribution(bundle, receipt)

    monkeypatch.setattr(serve, "attribution", counted)
    _, body = await shop.ask(0, temperature=0)
    found = await asyncio.gather(*(shop.get("/v1/receipts/" + body["id"]) for _ in range(20)))
    assert all(status == 200 and told == found[0][1] for status, told in found)
    assert looks == [1]


async def test_what_could_not_be_told_of_a_receipt_is_told_the_next_time(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*asked: Any) -> Any:
        raise OracleError("out of memory")

    _, body = await shop.ask(0, temperature=0)
    with monkeypatch.context() as patched:
        patched.setattr(serve, "attribution", failing)
        assert (await shop.get("/v1/receipts/" + body["id"]))[0] == 400
    assert (await shop.get("/v1/receipts/" + body["id"]))[0] == 200


def test_what_a_full_disk_does_not_take_was_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    receipt = Receipt("cmpl-1", 1, 0, 7, "query", "answer", 5, 1)

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("openledger.attribution_oracle.payment.os.fsync", full)
        with pytest.raises(OracleError, match="No space left"):
            ledger.add_receipt(receipt)
    ledger.add_receipt(receipt)
    ledger.close()
    again = Ledger(tmp_path / "ledger.jsonl")
    assert again.book(1).receipts == [receipt]
    again.close()


@pytest.mark.parametrize("temperature", [1e-5, 1e-30, 1e-300, 5e-324])
async def test_an_answer_that_is_nearly_cold_is_the_cold_one(shop: Shop, temperature: float) -> None:
    """Logits divided by so little are no numbers, and there was no answer."""
    status, body = await shop.ask(0, temperature=temperature)
    _, state = await shop.get("/v1/sessions/1")
    await shop.pay(state["voucher"])
    _, cold = await shop.ask(1, temperature=0)
    assert (status, body["choices"][0]["text"]) == (200, cold["choices"][0]["text"])


async def test_a_receipt_shows_evidence_apart_from_what_is_paid(shop: Shop) -> None:
    _, body = await shop.ask(0, temperature=0)
    status, found = await shop.get(f"/v1/receipts/{body['id']}/evidence")
    assert status == 200
    assert "not pay" in found["note"]
    assert found["similar"][0]["text"] in shop.made.bundle.texts
    assert "evidence" not in (await shop.get("/v1/receipts/" + body["id"]))[1]
    assert (await shop.get("/v1/receipts/nothing/evidence"))[0] == 404


async def test_strangers_cannot_use_a_session(shop: Shop) -> None:
    status, body = await shop.ask(0, secret=STRANGER)
    assert status == 401
    assert body["next_answer"] == 0
    assert (await shop.ask(5))[0] == 401
    assert (await shop.ask(0, session=99))[0] == 404
    _, state = await shop.get("/v1/sessions/1")
    assert state["next_answer"] == 0


async def test_a_used_up_closed_or_expired_session_pays_nothing(shop: Shop) -> None:
    _, body = await shop.ask(0, session=2)
    _, state = await shop.get("/v1/sessions/2")
    await shop.pay(state["voucher"])
    status, body = await shop.ask(1, session=2)
    assert status == 402
    assert "deposit" in body["error"]["message"]
    for change in ({"status": "closed"}, {"expiry": int(time.time()) + 1}, {"model": 8}):
        before = dict(shop.chain.sessions[1])
        shop.chain.sessions[1].update(change)
        assert (await shop.ask(0))[0] == 402
        shop.chain.sessions[1] = before


async def test_streams_are_server_sent_events_that_end_with_the_receipt(shop: Shop) -> None:
    status, text = await shop.ask(0, stream=True, path="chat/completions")
    assert status == 200
    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert events.pop() == "[DONE]"
    chunks = [json.loads(e) for e in events]
    said = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks)
    assert chunks[-1]["openledger"]["receipt"]["answer"] == said
    assert chunks[-1]["choices"][0]["finish_reason"] in ("length", "stop")


def events_of(text: str) -> list[dict[str, Any]]:
    """The chunks of a stream that ended well."""
    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert events.pop() == "[DONE]"
    return [json.loads(event) for event in events]


async def test_a_chat_stream_begins_with_the_role_and_counts_its_tokens_when_asked(shop: Shop) -> None:
    _, text = await shop.ask(0, stream=True, path="chat/completions", stream_options={"include_usage": True})
    first, *_, ending, last = events_of(text)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert first["usage"] is ending["usage"] is None
    assert ending["choices"][0]["finish_reason"]
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"]
    assert last["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("path", ["completions", "chat/completions"])
async def test_an_answer_ends_before_the_first_of_its_stops(shop: Shop, path: str) -> None:
    """In a stream nothing is told that turns out to belong to a stop, and what is paid for is what was told."""
    _, body = await shop.ask(0, path=path, temperature=0)
    whole = body["openledger"]["receipt"]["answer"]
    await shop.pay((await shop.get("/v1/sessions/1"))[1]["voucher"])
    for number, stop in ((1, whole[len(whole) // 2 :][:5]), (2, whole[:-1])):
        _, text = await shop.ask(number, path=path, temperature=0, stream=True, stop=["never in it", stop])
        chunks = events_of(text)
        said = [c["choices"][0] for c in chunks]
        told = "".join(one.get("text") or one.get("delta", {}).get("content", "") for one in said)
        assert told == whole[: whole.index(stop)] == chunks[-1]["openledger"]["receipt"]["answer"]
        assert said[-1]["finish_reason"] == "stop"
        if number == 1:
            await shop.pay((await shop.get("/v1/sessions/1"))[1]["voucher"])
    assert (await shop.get("/v1/receipts/" + chunks[-1]["id"]))[1]["attribution"]["unattributed"] == 1_000_000


@pytest.mark.parametrize(
    ("field", "value"),
    [("n", 2), ("best_of", 3), ("logprobs", 0), ("logprobs", True), ("echo", True), ("suffix", "end"),
     ("tools", [{"type": "function"}]), ("response_format", {"type": "json_object"}), ("presence_penalty", 0.5),
     ("logit_bias", {"50256": -100}), ("stop", ["a"] * 5), ("stop", ""), ("stop", [1]), ("stop", {}),
     ("stream_options", {"include_usage": 1}), ("stream_options", [])],
)  # fmt: skip
async def test_what_would_be_another_answer_is_refused_by_its_name_before_it_costs(
    shop: Shop, field: str, value: Any
) -> None:
    status, body = await shop.ask(0, **{field: value})
    assert (status, body["error"]["param"]) == (400, field)
    assert field in body["error"]["message"]


async def test_what_asks_for_nothing_is_no_reason_to_refuse(shop: Shop) -> None:
    usual: dict[str, Any] = {"n": 1, "logprobs": None, "echo": False, "tools": [], "presence_penalty": 0.0, "stop": [],
             "response_format": {"type": "text"}, "logit_bias": {}, "user": "me", "stream_options": None}  # fmt: skip
    assert (await shop.ask(0, **usual))[0] == 200


async def test_one_model_is_shown_by_name_and_by_number(shop: Shop) -> None:
    for name in ("toy-model", "7"):
        status, found = await shop.get("/v1/models/" + name)
        assert (status, found["id"], found["number"], found["object"]) == (200, "toy-model", 7, "model")
    status, found = await shop.get("/v1/models/8")
    assert (status, found["error"]["code"], found["error"]["param"]) == (404, "model_not_found", "model")
    status, found = await shop.get("/v1/embeddings")
    assert (status, found["error"]["message"]) == (404, "Not Found: GET /v1/embeddings")


def test_models_of_one_name_are_asked_by_their_numbers(made: Any, tmp_path: Path) -> None:
    """Else the last of them answered for all, at its own price."""
    models = [Served(name, number, PRICE, made.bundle) for name, number in [("a", 1), ("a", 2), ("b", 3), ("1", 4)]]
    ledger = Ledger(tmp_path / "ledger.jsonl")
    server = serve.Server(models, Chain(), ledger, CHAIN)
    ledger.close()
    assert [m.id for m in server.offered] == ["1", "2", "b", "4"]
    assert {name: m.number for name, m in server.models.items()} == {"1": 1, "2": 2, "b": 3, "3": 3, "4": 4}


async def test_a_restart_loses_no_receipt_and_no_voucher(shop: Shop) -> None:
    _, body = await shop.ask(0)
    _, state = await shop.get("/v1/sessions/1")
    await shop.pay(state["voucher"])
    await shop.ask(1)
    before = (shop.serving.vouchers(), shop.serving.answers())
    await shop.close()
    with (shop.folder / "serving.jsonl").open("ab") as file:
        file.write(b'{"type":"receipt","id":"half')
    await shop.open()
    assert (shop.serving.vouchers(), shop.serving.answers()) == before
    status, owing = await shop.ask(2)
    assert status == 402
    await shop.pay(owing["voucher"])
    assert (await shop.ask(2))[0] == 200
    assert (await shop.get("/v1/receipts/" + body["id"]))[0] == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"model":1}', b'{"model":"toy-model"}', b'{"model":"toy-model","prompt":""}', b"[" * 100_000,
     b'{"model":"toy-model","prompt":"x","max_tokens":-1}', b'{"model":"toy-model","prompt":"x","temperature":"hot"}',
     b'{"model":"toy-model","prompt":"x","n":2}', b'{"model":"toy-model","prompt":"\\ud800"}', b"\xff\xfe"],
)  # fmt: skip
async def test_malformed_requests_get_openai_errors(shop: Shop, body: bytes) -> None:
    async with shop.http.post(shop.url + "/v1/completions", data=body) as reply:
        answer = await reply.json()
    assert reply.status == 400
    assert set(answer["error"]) == {"message", "type", "param", "code"}


async def test_unknown_models_paths_and_vouchers_get_errors(shop: Shop) -> None:
    async with shop.http.post(shop.url + "/v1/completions", json={"model": "gpt", "prompt": "x"}) as reply:
        assert reply.status == 404
    async with shop.http.post(shop.url + "/v1/nothing", data=b"") as reply:
        assert reply.status == 404
        assert (await reply.json())["error"]["message"]
    for body in (b"", b"[]", b'{"session":1}', b'{"session":{}}'):
        async with shop.http.post(shop.url + "/v1/vouchers", data=body) as reply:
            assert reply.status in (400, 404)


def test_a_voucher_of_another_sum_is_refused(tmp_path: Path) -> None:
    ledger = payment.Ledger(tmp_path / "x.jsonl")
    ledger.add_receipt(payment.Receipt("a", 1, 0, 7, "q", "a", 5, 0))
    due = ledger.book(1).due(1)
    consumer = address_of_private_key(CONSUMER)
    for wrong in (Voucher(1, 4, 1, due.receipts), Voucher(1, 5, 1, b"\0" * 32), Voucher(1, 5, 2, due.receipts)):
        with pytest.raises(VoucherInvalid):
            ledger.add_voucher(CHAIN, consumer, payment.sign_voucher(CONSUMER, CHAIN, wrong))
    for broken in ({}, {"session": "1"}, {**payment.voucher_json(due), "signature": "0x00"}):
        with pytest.raises(VoucherInvalid):
            ledger.add_voucher(CHAIN, consumer, broken)
    assert ledger.add_voucher(CHAIN, consumer, payment.sign_voucher(CONSUMER, CHAIN, due)) == due
    assert ledger.book(1).owed == 0
    ledger.close()


def test_two_servers_never_write_one_ledger(tmp_path: Path) -> None:
    """Each would give answer 1 of session 5, and no voucher could pay for both."""
    path = tmp_path / "ledger.jsonl"
    first = Ledger(path)
    first.add_receipt(Receipt("cmpl-0", 5, 0, 7, "query", "answer", 5, 1))
    with pytest.raises(OracleError, match="a model server writes") as err:
        Ledger(path)
    assert "one command" in str(err.value.hint)
    first.add_receipt(Receipt("cmpl-1", 5, 1, 7, "query", "answer", 5, 1))
    first.close()
    again = Ledger(path)
    assert [r.index for r in again.book(5).receipts] == [0, 1]
    again.close()


def test_a_damaged_ledger_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"type":"voucher"}\n')
    with pytest.raises(CorruptDatabase, match="line 1"):
        payment.Ledger(path)


def test_paying_needs_no_torch() -> None:
    """The client alone signs requests and vouchers, and reads the corpus."""
    code = (
        "import sys; from openledger.attribution_oracle import corpus, payment, ports; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


async def test_a_price_that_is_not_the_chains_is_not_served(made: Any, tmp_path: Path) -> None:
    serving = factory.Serving([Served("toy-model", 7, PRICE + 1, made.bundle)], Chain(), tmp_path, CHAIN)
    with pytest.raises(OracleError, match="price"):
        await serving.start()
    serving.ledger.close()


async def test_answers_settled_elsewhere_stop_a_session(shop: Shop) -> None:
    shop.chain.sessions[1]["answers"] = 3
    assert (await shop.ask(0))[0] == 409
