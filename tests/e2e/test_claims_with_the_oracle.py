"""The oracle process against the chain: an honest claim is paid, one with shares changed by 5 % is not.

A devnet as people start it, real documents, a real fine-tune (a short one), real vouchers, the real worker process.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openledger.abci_app.modules.attribution.challenge import AttributionChallenge
from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.records import Part
from openledger.abci_app.modules.rewards.records import EARNINGS, Earning
from openledger.abci_app.queries import attribution_job
from openledger.node import operator, rows
from openledger.node.blob_following import job_blobs
from openledger.node.cli.root import run
from openledger.node.consumer import open_session
from openledger.node.evidence import EvidenceProcess
from openledger.node.keystore import Signer, dev_signer
from openledger.node.proven import ProvenState
from openledger.node.serving import ModelServer
from openledger.node.testnet import free_starting_port
from openledger.primitives.amounts import OPEN
from openledger.primitives.attribution import AttributionJob, score_leaf
from openledger.primitives.fields import pack_struct
from openledger.primitives.hashing import merkle_root
from openledger.primitives.types import ZERO_ADDRESS, to_hex
from openledger.rpc.client import Client
from openledger.state.blobs import BlobStore
from tests.e2e.node_process import devnet

torch = pytest.importorskip("torch", reason="the oracle extra is not installed")

PRICE = OPEN // 10


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A devnet in a process of its own."""
    home = tmp_path_factory.mktemp("home")
    with devnet(home, free_starting_port(1), home / "log") as found:
        yield found


def dev(number: int) -> Signer:
    signer = dev_signer(f"dev{number}")
    assert signer is not None
    return signer


def contribute(client: Client, letters: int | None = None) -> int:
    """A datanet with six documents, or their first ``letters``, each of two people."""
    from openledger.attribution_oracle import corpus

    number = operator.created_id(operator.send(client, dev(0), DatanetCreate("two authors")))
    parts: list[tuple[bytes, bytes]] = []
    for version, person in enumerate(corpus.PEOPLE[:2]):
        signer = dev(version + 1)
        blob = corpus.to_lines(d.text[:letters] for d in corpus.documents(person.key)[:6])
        parts.append((signer.address, blob))
        root, count = rows.version_root(parts)
        part = Part(signer.address, bytes.fromhex(client.put_blob(blob)), 6)
        operator.send(client, signer, DatanetCommit(number, version, root, count, (part,)))
    return number


def publish(client: Client, datanet: int) -> tuple[int, Any]:
    from openledger.attribution_oracle import factory

    blobs = operator.NodeBlobs(client)
    data = operator.version_data(client, [(datanet, 0)])
    trained = factory.train_model(blobs, data, size="small", settings={"epochs": 12, "warmup": 0, "lr": 1e-2})
    fields = factory.publish(blobs, trained, factory.make_index(trained))
    model, _ = operator.publish(client, dev(0), "two authors", PRICE, fields)
    return model, factory.load_bundle(blobs, fields["bundle"].hex())


@dataclasses.dataclass(frozen=True)
class World:
    client: Client
    model: int
    bundle: Any
    folder: Path


@pytest.fixture(scope="module")
def world(client: Client, tmp_path_factory: pytest.TempPathFactory) -> World:
    model, bundle = publish(client, contribute(client))
    return World(client, model, bundle, tmp_path_factory.mktemp("serving"))


def settle_answers(world: World, folder: str) -> tuple[int, Any]:
    """Three paid answers, settled in an epoch that has closed: (epoch, answers)."""
    from openledger.attribution_oracle import factory

    served = factory.Served("m", world.model, PRICE, world.bundle)
    with ModelServer([served], world.client.url, world.folder / folder, world.client.chain_id()) as server:
        session, _ = open_session(world.client, dev(8), world.model, server.start(), 3)
        for number, prompt in enumerate(("The public debt", "Our navy must", "The farmers of this country")):
            session.ask(prompt, max_tokens=12, seed=number)
        receipt = operator.settle(world.client, dev(0), server.serving.vouchers(), close=True)[-1]
        answers = server.serving.answers()
    epoch = operator.settled_epoch(receipt)
    operator.wait_until("the epoch's end", lambda: operator.epoch_of(world.client) > epoch, 60)
    return epoch, answers


def claim(world: World, folder: str, monkeypatch: pytest.MonkeyPatch, tamper: Any = None) -> dict[str, Any]:
    """Open a claim, tampered with or not, and follow it to its end."""
    from openledger.attribution_oracle import claims

    epoch, answers = settle_answers(world, folder)
    if tamper is not None:
        honest = claims.build_claim
        monkeypatch.setattr(claims, "build_claim", lambda *args: tamper(honest(*args)))
    opened = operator.open_claim(
        world.client, dev(0), world.model, epoch, world.bundle, answers, lambda step, total, text: None
    )
    return operator.follow_claim(world.client, opened, 120)


def shift_shares(built: Any) -> Any:
    """The larger share gets 5 % more, the other one loses as much."""
    (first, a), (second, b) = built.shares
    change = max(a, b) // 20
    shares = ((first, a + change), (second, b - change)) if a >= b else ((first, a - change), (second, b + change))
    return dataclasses.replace(built, shares=shares)


def test_an_honest_claim_is_recomputed_accepted_paid_minted_and_explained(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = claim(world, "honest", monkeypatch)
    said = world.client.call("openledger_getVerdicts", record["id"])
    assert record["status"] == "accepted"
    assert [v["verdict"] for v in said] == ["yes"]
    assert sum(record["shares"].values()) + record["unattributed"] == 1_000_000
    operator.wait_until(
        "the mint", lambda: int(world.client.call("openledger_getClaim", record["id"])["minted"], 16), 60
    )
    shown_a_lie(world, record, monkeypatch, capsys)
    for person in (1, 2):
        earned = world.client.call("openledger_getRewards", "0x" + dev(person).address.hex())
        assert int(earned["fees"], 16) > 0
        assert int(earned["minted"], 16) > 0
        explained(world, "0x" + dev(person).address.hex(), record, capsys)
    seen(world, record, capsys)
    scored_alone(world, record, capsys)


def test_a_claim_that_is_broken_off_before_its_reveal_goes_on_when_it_is_given_again(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody else has its scores, so it lapsed, with a part of its bond."""
    from openledger.node import claiming

    home = f"home/serving/{world.client.chain_id()}"
    epoch, _ = settle_answers(world, home)
    command = ["--json", "--home", str(world.folder / "home"), "--node", world.client.url, "--key", "dev0"]
    command += ["model", "claim", str(world.model)]

    def broken(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(claiming, "follow", broken)
        assert run(command) == 130
    capsys.readouterr()
    assert run(command) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["status"], record["epoch"], record["claims"]) == ("accepted", epoch, [record["id"]])
    assert list((world.folder / home / "scores").iterdir()) == []
    assert run(command) == 1
    assert "has no paid answers that are not claimed" in capsys.readouterr().err


def explained(world: World, account: str, record: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """``rewards explain`` leads from OPEN to the three answers and to the account's own rows, all checked."""
    capsys.readouterr()
    command = ["--node", world.client.url, "rewards", "explain", account]
    assert run([*command, "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["claims"]
    assert entry["claim"] == record["id"]
    assert len(entry["answers"]) == 3
    assert 0 < len(entry["rows"]) <= entry["rowsHeld"] == 6
    ppm = sum(row["ppb"] for row in entry["rows"]) / 1000
    assert abs(ppm - entry["share"]) <= 1
    assert run(command) == 0
    out = capsys.readouterr().out
    assert entry["rows"][0]["text"][:40] in out
    assert "on the node's word" in out
    trusted = world.client.call("eth_getBlockByNumber", "latest", False)["hash"]
    assert run([*command, "--block-hash", trusted]) == 0
    assert f"{trusted} (the hash you gave)" in capsys.readouterr().out


def shown_a_lie(
    world: World, record: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A node that says that a claim has brought more than it has is found out, and one that leaves a claim away."""
    account = dev(1).address
    command = ["--node", world.client.url, "rewards", "explain", "0x" + account.hex()]
    key, more = EARNINGS.key(account, record["id"]), pack_struct(Earning(10 * OPEN, 10 * OPEN))
    batch, call = Client.batch, Client.call

    def another_record(self: Client, calls: Any) -> list[Any]:
        answers = batch(self, calls)
        return [to_hex(more) if to_hex(key) in asked else a for (_, asked), a in zip(calls, answers, strict=True)]

    def no_claim(self: Client, method: str, *params: Any) -> Any:
        answer = call(self, method, *params)
        return answer | {"claims": []} if method == "openledger_explainReward" else answer

    for name, lie, said in (
        ("batch", another_record, "is not the one that block"),
        ("call", no_claim, "does not name all claims"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(Client, name, lie)
            capsys.readouterr()
            assert run(command) == 1
            assert said in capsys.readouterr().err


def seen(world: World, record: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """``proof evidence`` shows rows like an answer and says that it is not pay."""
    capsys.readouterr()
    command = ["--node", world.client.url, "proof", "evidence", str(record["id"]), "--answer", "1"]
    assert run([*command, "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["answers"]
    assert answer["number"] == 1
    assert answer["similar"]
    told = world.client.call("openledger_getEvidence", record["id"], 1)
    assert told["answer"]["answer"] == answer["answer"]
    shown = [(row["row"], row["contributor"], row["bm25"]) for row in told["similar"]]
    assert shown[:3] == [(row["row"], row["owner"], row["bm25"]) for row in answer["similar"]]
    for contributor, ppm in record["shares"].items():
        earned = world.client.call("openledger_getEarningRows", record["id"], contributor, 100)
        assert abs(sum(row["ppb"] for row in earned["rows"]) - 1000 * ppm) < 1000, "rows add up to the share"
    assert run(command) == 0
    assert "not pay" in capsys.readouterr().out
    assert run([*command[:-1], "99"]) == 1


def job_of(world: World, claim: int) -> AttributionJob:
    return attribution_job(ProvenState(world.client), claim)


def copied(world: World, claim: int) -> Path:
    """All blobs that a claim needs in a store of their own."""
    job, folder = job_of(world, claim), world.folder / "copy"
    store, manifest = BlobStore(str(folder)), json.loads(world.client.get_blob(job.bundle_blob))
    names = {*job_blobs(job), *(manifest[name].removeprefix("0x") for name in ("weights", "receipt", "tokenizer"))}
    for name in names:
        store.put(world.client.get_blob(name))
    return folder


def scored_alone(world: World, record: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Anybody makes the shares of one answer from chain and blobs; the node finds the same ones."""
    capsys.readouterr()
    command = ["--node", world.client.url, "proof", "shares", str(record["id"])]
    assert run([*command, "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert [one["number"] for one in answers] == [0, 1, 2]
    told = asyncio.run(EvidenceProcess(str(copied(world, record["id"])), 140).shares(job_of(world, record["id"]), 1))
    assert (told["shares"], told["unattributed"]) == (answers[1]["shares"], answers[1]["unattributed"])
    assert sum(told["shares"].values()) + told["unattributed"] == 1_000_000
    best = [(row["row"], row["ppb"]) for row in answers[1]["rows"]]
    assert [tuple(row) for row in told["rows"][: len(best)]] == best
    assert run([*command, "--answer", "1"]) == 0
    assert "answer 1: " in capsys.readouterr().out
    assert run([*command, "--answer", "3"]) == 1
    assert "has 3 answers" in capsys.readouterr().err


def test_shares_changed_by_5_percent_are_refused_and_lose_the_bond(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = dev(8).address
    before = world.client.balance(consumer)
    record = claim(world, "false", monkeypatch, shift_shares)
    (said,) = world.client.call("openledger_getVerdicts", record["id"])
    assert record["status"] == "refused"
    assert said["verdict"] == "no"
    assert "share" in said["reason"]
    found = world.client.call("eth_getLogs", {"fromBlock": "0x0", "address": "0x" + "00" * 18 + "0802"})
    data = {log["topics"][0]: log for log in found if int(log["topics"][1], 16) == record["id"]}
    from openledger.abci_app.modules.rewards.records import REFUNDED, SLASHED

    assert int(data["0x" + SLASHED.topic.hex()]["data"], 16) == int(record["bond"], 16)
    assert int(data["0x" + REFUNDED.topic.hex()]["data"], 16) == 3 * PRICE
    assert world.client.balance(consumer) > before - OPEN // 100


def test_a_claim_over_invented_scores_finds_no_yes_although_its_shares_are_right(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Honest shares over a root of invented scores: no honest reveal can match them, so the claim earns nothing."""

    def invent(built: Any) -> Any:
        scores = tuple(score + 10**7 for score in built.row_scores)
        root = merkle_root([score_leaf(row, score) for row, score in enumerate(scores)])
        raw = b"".join(score.to_bytes(8, "big", signed=True) for score in scores)
        return dataclasses.replace(built, scores=raw, scores_root=root)

    epoch, answers = settle_answers(world, "invented")
    from openledger.attribution_oracle import claims

    honest = claims.build_claim
    monkeypatch.setattr(claims, "build_claim", lambda *args: invent(honest(*args)))
    opened = operator.open_claim(
        world.client, dev(0), world.model, epoch, world.bundle, answers, lambda step, total, text: None
    )

    def voided() -> bool:
        record = world.client.call("openledger_getClaim", opened.number)
        if record["status"] == "reveal":
            world.client.put_blob(opened.claim.scores)
        return bool(record["attempt"] == 1)

    operator.wait_until("the retry", voided, 60)
    assert world.client.call("openledger_getClaim", opened.number)["status"] != "accepted"


def test_a_true_claim_that_is_challenged_is_recomputed_and_stands(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = claim(world, "challenged", monkeypatch)
    assert record["status"] == "accepted"
    operator.send(world.client, dev(7), AttributionChallenge(record["id"], 3, ZERO_ADDRESS))

    def ended() -> Any:
        now = world.client.call("openledger_getClaim", record["id"])
        return now if now["challenge"]["outcome"] != "open" else None

    after = operator.wait_until("the end of the challenge", ended, 120)
    assert (after["status"], after["challenge"]["outcome"], after["attempt"]) == ("accepted", "dismissed", 2)
    assert [v["verdict"] for v in world.client.call("openledger_getVerdicts", record["id"])] == ["yes"]


def test_the_index_is_measured_by_one_command_and_the_number_goes_on_chain(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``model train --lds``, ``model publish``, and ``model eval --lds`` of what was published find the same LDS."""
    from openledger.attribution_oracle import corpus

    held_out = tmp_path / "held-out.jsonl"
    held_out.write_bytes(corpus.to_lines(corpus.held_out_texts()[:2]))
    shared = ["--json", "--node", world.client.url]
    measure = ["--held-out", str(held_out), "--lds", "4", "--plot", str(tmp_path / "lds.svg")]

    def said(*arguments: str) -> Any:
        capsys.readouterr()
        assert run([*shared, *arguments]) == 0
        return json.loads(capsys.readouterr().out)

    trained = said("model", "train", "--data", "1", "--size", "small", "-o", str(tmp_path / "m"), *measure)
    published = said("--key", "dev3", "model", "publish", str(tmp_path / "m"), "--name", "measured")
    on_chain = world.client.call("openledger_getModel", published["model"])
    assert on_chain["lds"] == trained["lds"]
    manifest = json.loads(world.client.get_blob(on_chain["bundle"].removeprefix("0x")))
    assert manifest["measured"]["rows"]["lds"] == trained["lds"]
    assert (manifest["measured"]["rows"]["subsets"], manifest["measured"]["documents"]) == (4, 2)
    found = said("model", "eval", str(published["model"]), *measure)
    assert found["lds_rows"]["value"] == pytest.approx(trained["lds_rows"]["value"], abs=0.3)
    assert (found["retrainings"], found["lds_contributors"], found["documents"]) == (4, None, 2)
    assert (tmp_path / "lds.svg").read_text("utf-8").startswith("<svg")


@pytest.mark.parametrize("what", ["pickled weights", "a cut index", "a missing index", "strange data"])
def test_a_spoilt_model_is_refused_by_the_command_line_in_a_sentence(
    world: World, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client, manifest = world.client, dict(world.bundle.manifest)
    if what == "pickled weights":
        manifest["weights"] = "0x" + client.put_blob(b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94")
        receipt = {**world.bundle.run.receipt, "final_hash": manifest["weights"][2:]}
        manifest["receipt"] = "0x" + client.put_blob(json.dumps(receipt).encode())
    elif what == "a cut index":
        manifest["index"] = "0x" + client.put_blob(client.get_blob(manifest["index"][2:])[:-9])
    elif what == "a missing index":
        manifest["index"] = "0x" + "9f" * 32
    else:
        manifest["data"] = [[]]
    hashes = {name: bytes.fromhex(manifest[name][2:]) for name in ("weights", "receipt", "index", "index_root")}
    fields = hashes | {
        "base": manifest["base"], "data": [(1, 2)], "rows": 12, "method": manifest["method"], "base_loss": 0,
        "held_out_loss": 0, "lds": 0, "bundle": bytes.fromhex(client.put_blob(json.dumps(manifest).encode())),
    }  # fmt: skip
    number, _ = operator.publish(client, dev(4), what, PRICE, fields)
    for command in (["model", "eval", str(number)], ["model", "serve", str(number), "--port", "0"]):
        capsys.readouterr()
        assert run(["--home", str(tmp_path), "--node", client.url, *command]) == 1
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert "Traceback" not in said
        assert {"pickled weights": "weights", "a cut index": "index", "a missing index": "9f9f",
                "strange data": "manifest"}[what] in said  # fmt: skip


def test_an_empty_datanet_is_not_trained_on(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    number = operator.created_id(operator.send(world.client, dev(0), DatanetCreate("empty")))
    command = ["model", "train", "--data", str(number), "-o", str(tmp_path / "m")]
    assert run(["--node", world.client.url, *command]) == 1
    assert "no version yet" in capsys.readouterr().err
