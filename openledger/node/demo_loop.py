"""The steps of the demo, one method each. Every step goes through the node's public RPC."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.promise import DatanetPromise
from openledger.abci_app.modules.datanets.records import Part
from openledger.abci_app.modules.rewards.claim import RewardsClaim
from openledger.attribution_oracle import corpus, factory
from openledger.attribution_oracle.claims import explain
from openledger.node import operator, rows
from openledger.node.consumer import Answer, Session, open_session
from openledger.node.demo_view import View, shorten
from openledger.node.keystore import Signer, dev_signer
from openledger.node.serving import ModelServer
from openledger.primitives.amounts import OPEN, PPM, format_amount
from openledger.primitives.attribution import SCORE_UNIT, promise_digest
from openledger.primitives.errors import OpenLedgerError
from openledger.primitives.hashing import sha256
from openledger.primitives.types import to_checksum
from openledger.rpc.client import Client

PRICE = 2 * OPEN
QUESTIONS_EACH = 5
"""Of each author's held-out documents: so many that the best author earns more than an answer costs."""
TOKENS = 40
VERDICT_SECONDS = 150
OWNER, CONSUMER = "dev0", "dev8"


@dataclass(frozen=True)
class Author:
    """A contributor of the demo: a person of the corpus with an account of the devnet."""

    person: corpus.Person
    signer: Signer

    @property
    def address(self) -> str:
        return to_checksum(self.signer.address)


def dev(name: str) -> Signer:
    """An account of the devnet."""
    signer = dev_signer(name)
    if signer is None:
        raise OpenLedgerError(f"{name} is not an account of the devnet")
    return signer


class Loop:
    """State of one run of the demo."""

    def __init__(self, client: Client, view: View, folder: Path, size: str) -> None:
        self.client, self.view, self.folder, self.size = client, view, folder, size
        self.blobs = operator.NodeBlobs(client)
        self.owner, self.consumer = dev(OWNER), dev(CONSUMER)
        self.authors = [Author(p, dev(f"dev{i}")) for i, p in enumerate(corpus.PEOPLE, 1)]
        self.names = {a.address: a.person.name for a in self.authors}
        self.transactions: dict[str, str] = {}

    def run(self) -> dict[str, Any]:
        """All steps in order; the machine-readable result."""
        before = self.supply()
        earned_before = {a.address: self.rewards(a.address) for a in self.authors}
        datanet = self.collect()
        model, bundle = self.make_model(datanet)
        served = factory.Served("demo", model, PRICE, bundle)
        with ModelServer([served], self.client.url, self.folder, self.client.chain_id()) as server:
            url = server.start()
            answers = self.ask(model, url)
            epoch = self.settle(server)
            opened = self.claim(server, model, epoch, bundle)
            record = self.verdict(opened)
            paid, taken = self.pay_out(earned_before)
            spent = self.spend(model, url, taken)
        after = self.supply()
        return {
            "shares": dict(record["shares"]) | {"unattributed": int(record["unattributed"])},
            "minted": int(record["minted"], 16),
            "paid": paid,
            "supply_before": before["total"],
            "supply_after": after["total"],
            "burned": after["burned"] - before["burned"],
            "fee": int(record["fee"], 16),
            "status": record["status"],
            "datanet": datanet,
            "model": model,
            "claim": opened.number,
            "epoch": epoch,
            "verdicts": self.client.call("openledger_getVerdicts", opened.number),
            "answers": [{"question": a.query, "answer": a.text, "receipt": a.receipt} for a in answers],
            "because": self.because(bundle, opened),
            "spent": spent,
            "transactions": self.transactions,
        }

    # --- facts ----------------------------------------------------------------------------------------------

    def supply(self) -> dict[str, int]:
        """Total, minted and burned wei."""
        found = self.client.call("openledger_getSupply")
        return {name: int(found[name], 16) for name in ("total", "minted", "burned")}

    def rewards(self, address: str) -> int:
        """Wei that an account has ever earned."""
        found = self.client.call("openledger_getRewards", address)
        return int(found["fees"], 16) + int(found["minted"], 16)

    # --- steps ----------------------------------------------------------------------------------------------

    def collect(self) -> int:
        """A new datanet, to which every author commits documents of their own."""
        with self.view.stage("datanet", "Create a datanet") as stage:
            create = DatanetCreate(
                name="Addresses to Congress",
                description="Paragraphs of State of the Union addresses by five presidents",
                licence=corpus.LICENCE,
            )
            receipt = operator.send(self.client, self.owner, create)
            number = operator.created_id(receipt)
            self.transactions["datanet.create"] = receipt["transactionHash"]
            stage.note = f"datanet {number}, licence {corpus.LICENCE}"
        with self.view.stage("commits", f"{len(self.authors)} authors commit documents") as stage:
            stage.say("each promises them first, so that nobody can be quicker with what they show")
            written = {a: corpus.to_lines(d.text for d in corpus.documents(a.person.key)) for a in self.authors}
            salts = self.promise(written)
            parts: list[tuple[bytes, bytes]] = []
            for version, (author, blob) in enumerate(written.items()):
                stage.progress(version, len(self.authors), author.person.name)
                self.commit(number, author, blob, salts[author], parts)
                parts.append((author.signer.address, blob))
            stage.note = f"{rows.version_root(parts)[1]} documents, version {len(parts)}"
        return number

    def promise(self, written: dict[Author, bytes]) -> dict[Author, bytes]:
        """Promise every author's documents; the salts. All are on their way before the first is waited for."""
        salts = {author: secrets.token_bytes(32) for author in written}
        sent = []
        for author, blob in written.items():
            digest = promise_digest(author.signer.address, sha256(blob), salts[author])
            sent.append(self.client.send_native(author.signer.secret, DatanetPromise(digest)))
        for tx_hash in sent:
            self.client.wait_receipt(tx_hash)
        return salts

    def commit(self, number: int, author: Author, blob: bytes, salt: bytes, before: list[tuple[bytes, bytes]]) -> None:
        """One author's documents on top of what the authors ``before`` have committed."""
        root, count = rows.version_root([*before, (author.signer.address, blob)])
        part = Part(author.signer.address, bytes.fromhex(self.client.put_blob(blob)), len(rows.rows_of(blob)))
        message = f"{author.person.name}, {author.person.years}"
        action = DatanetCommit(datanet=number, parent=len(before), root=root, rows=count, add=(part,), message=message,
                               parts=len(before) + 1, salts=(salt,))  # fmt: skip
        receipt = operator.send(self.client, author.signer, action)
        self.transactions[f"datanet.commit {author.person.key}"] = receipt["transactionHash"]

    def make_model(self, datanet: int) -> tuple[int, Any]:
        """Train, index, publish; model number and the bundle loaded back from the node's blobs."""
        data = operator.version_data(self.client, [(datanet, 0)])
        with self.view.stage("train", "Fine-tune a language model (LoRA)") as stage:
            trained = factory.train_model(
                self.blobs, data, size=self.size, held_out=corpus.held_out_texts(), progress=stage.progress
            )
            base, tuned = trained.base_loss / 1e6, trained.held_out_loss / 1e6
            stage.note = f"held-out loss {base:.3f} -> {tuned:.3f} nats a token"
        with self.view.stage("index", "Build the attribution index") as stage:
            index = factory.make_index(trained, progress=stage.progress)
            stage.note = f"{index.rows} rows, method {index.method}"
        with self.view.stage("publish", "Publish model and index") as stage:
            fields = factory.publish(self.blobs, trained, index)
            number, self.transactions["model.publish"] = operator.publish(
                self.client, self.owner, "Addresses to Congress", PRICE, fields
            )
            bundle = factory.load_bundle(self.blobs, fields["bundle"].hex())
            stage.note = f"model {number}, {format_amount(PRICE)} an answer"
        return number, bundle

    def ask(self, model: int, url: str) -> list[Answer]:
        """A consumer pays for answers to the beginnings of documents that the model has never seen."""
        with self.view.stage("answers", "A consumer asks and pays with vouchers") as stage:
            questions = corpus.questions(QUESTIONS_EACH)
            session, self.transactions["inference.open"] = open_session(
                self.client, self.consumer, model, url, len(questions)
            )
            answers = []
            for number, question in enumerate(questions):
                stage.progress(number, len(questions), shorten(question.prompt, 40))
                answers.append(session.ask(question.prompt, max_tokens=TOKENS, seed=number))
            stage.note = f"{len(answers)} answers, {format_amount(session.paid)}, session {session.number}"
        return answers

    def settle(self, server: ModelServer) -> int:
        """Settle the vouchers and wait until their epoch has closed; the epoch."""
        with self.view.stage("settle", "The operator settles; the epoch closes") as stage:
            receipt = operator.settle(self.client, self.owner, server.serving.vouchers(), close=True)[-1]
            self.transactions["inference.settle"] = receipt["transactionHash"]
            epoch = operator.settled_epoch(receipt)
            stage.say(f"epoch {epoch} is running")
            operator.wait_until(f"the end of epoch {epoch}", lambda: operator.epoch_of(self.client) > epoch, 120)
            stage.note = f"epoch {epoch}"
        return epoch

    def claim(self, server: ModelServer, model: int, epoch: int, bundle: Any) -> operator.OpenedClaim:
        """Score every row for the settled answers and claim the attribution."""
        with self.view.stage("claim", "Score the rows, claim the attribution") as stage:
            answers = server.serving.answers()
            opened = operator.open_claim(self.client, self.owner, model, epoch, bundle, answers, stage.progress)
            self.transactions["attribution.claim"] = opened.transaction
            stage.note = f"claim {opened.number}, {len(opened.claim.row_scores)} rows scored"
        return opened

    def verdict(self, opened: operator.OpenedClaim) -> dict[str, Any]:
        """Follow the claim to its verdict and, when accepted, to its mint."""
        with self.view.stage("verdict", "The validators' oracle recomputes and votes") as stage:
            record = operator.follow_claim(self.client, opened, VERDICT_SECONDS, stage.say)
            if record["status"] != "accepted":
                said = self.client.call("openledger_getVerdicts", opened.number)
                why = "; ".join(v["reason"] for v in said if v["reason"]) or "no reason given"
                raise OpenLedgerError(f"claim {opened.number} was {record['status']}: {why}", "see the node's log")
            stage.note = f"accepted in block {int(record['closed'])}"
        with self.view.stage("mint", "OPEN is minted at the close of the epoch") as stage:

            def minted() -> dict[str, Any] | None:
                now: dict[str, Any] = self.client.call("openledger_getClaim", opened.number)
                return now if int(now["minted"], 16) and not now["vests"] else None

            record = {**operator.wait_until("the mint and the end of the time for challenges", minted, 120)}
            stage.note = format_amount(int(record["minted"], 16))
        return record

    def pay_out(self, before: dict[str, int]) -> tuple[dict[str, int], dict[str, int]]:
        """Every author takes their rewards. Wei earned by this run, and wei taken, by address."""
        paid: dict[str, int] = {}
        taken: dict[str, int] = {}
        with self.view.stage("rewards", "The authors take their rewards") as stage:
            for number, author in enumerate(self.authors):
                stage.progress(number, len(self.authors), author.person.name)
                earned = self.rewards(author.address) - before[author.address]
                available = int(self.client.call("openledger_getRewards", author.address)["available"], 16)
                if earned:
                    paid[author.address] = earned
                if available:
                    receipt = operator.send(self.client, author.signer, RewardsClaim())
                    self.transactions[f"rewards.claim {author.person.key}"] = receipt["transactionHash"]
                    taken[author.address] = available
            stage.note = f"{format_amount(sum(taken.values()))} to {len(taken)} authors"
        return paid, taken

    def spend(self, model: int, url: str, taken: dict[str, int]) -> dict[str, Any]:
        """The author who earned most buys an answer of the model: the loop is closed."""
        best = max(taken, key=lambda address: taken[address])
        author = next(a for a in self.authors if a.address == best)
        with self.view.stage("spend", "An author spends some of it on an answer") as stage:
            session: Session
            session, self.transactions["inference.open (author)"] = open_session(
                self.client, author.signer, model, url, 1
            )
            answer = session.ask("The state of the Union", max_tokens=TOKENS)
            stage.note = f"{author.person.name} pays {format_amount(session.paid)}"
        return {
            "by": best,
            "earned": taken[best],
            "paid": session.paid,
            "session": session.number,
            "answer": answer.text,
        }

    def because(self, bundle: Any, opened: operator.OpenedClaim) -> list[dict[str, Any]]:
        """Each contributor's best rows: row number, part of the claim (ppm), text."""
        return [
            {
                "contributor": to_checksum(e.contributor),
                "ppm": e.ppm,
                "rows": [{"row": r, "ppm": score * PPM // SCORE_UNIT, "text": text} for r, score, text in e.rows],
            }
            for e in explain(bundle, opened.claim.row_scores)
        ]
