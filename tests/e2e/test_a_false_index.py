"""A published index with one false row, through the commands as people type them: challenged by somebody else, made
again by the oracle, and the model refuted. The challenge of a row that is right is lost.

The publisher lies in one row alone and builds the rest with the library's own functions, so that file, Merkle root,
manifest and chain agree with each other.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openledger.abci_app.modules.models.close import InferenceClose
from openledger.abci_app.modules.models.open import InferenceOpen
from openledger.node import operator
from openledger.node.consumer import open_session
from openledger.node.serving import ModelServer
from openledger.node.testnet import free_starting_port
from openledger.primitives.amounts import OPEN
from openledger.primitives.errors import WrongPhase
from openledger.rpc.client import Client
from tests.e2e.node_process import devnet, openledger, said
from tests.e2e.test_claims_with_the_oracle import contribute, dev

pytest.importorskip("torch", reason="the oracle extra is not installed")

FALSE_ROW, ROWS = 7, 12
MODEL_BOND, CHALLENGE_BOND, PRICE = 10 * OPEN, 5 * OPEN, OPEN
CONSUMER, WAITING, CHALLENGER = 5, 6, 7


@dataclasses.dataclass(frozen=True)
class Chain:
    """A devnet, and the numbers of an honest model and of one with a false row."""

    client: Client
    home: Path
    folder: Path
    honest: int
    false: int

    def said(self, *arguments: str) -> Any:
        return said(self.home, self.client.url, *arguments)

    def model(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.client.call("openledger_getModel", number)
        return found

    def challenged(self, model: int, row: int) -> tuple[dict[str, Any], int]:
        """By ``CHALLENGER``: the challenge when it has ended, and what its transaction cost in wei."""
        words = ["--key", f"dev{CHALLENGER}", "proof", "challenge", "--model", str(model), "--row", str(row)]
        receipt = self.said(*words)
        number = operator.created_id(receipt)

        def ended() -> Any:
            now = self.client.call("openledger_getIndexChallenge", number)
            return now if now["outcome"] != "open" else None

        return operator.wait_until("the end of the challenge", ended, 120), cost(receipt)


def cost(receipt: dict[str, Any]) -> int:
    """Wei."""
    return int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)


def turned(index: Any) -> Any:
    """The same index with one row turned round: who wrote it is charged for what he is owed."""
    q = index.q.clone()
    q[FALSE_ROW] = -q[FALSE_ROW]
    return dataclasses.replace(index, q=q)


def publish(chain: tuple[Path, str], folder: Path, owner: int) -> int:
    """Train and publish, as the commands do it; the model's number."""
    home, url = chain
    train = ["model", "train", "--data", "1", "--size", "small", "--method", "gradient-dot", "-o", str(folder)]
    said(home, url, *train)
    found = said(home, url, "--key", f"dev{owner}", "model", "publish", str(folder), "--name", folder.name)
    return int(found["model"])


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    from openledger.attribution_oracle import factory

    folder = tmp_path_factory.mktemp("chain")
    home = folder / "home"
    make = factory.make_index
    with devnet(home, free_starting_port(1), folder / "log") as client, pytest.MonkeyPatch.context() as patch:
        assert contribute(client, 400) == 1
        honest = publish((home, client.url), folder / "honest", 3)
        patch.setattr(factory, "make_index", lambda *args, **options: turned(make(*args, **options)))
        before = client.balance(dev(4).address)
        false = publish((home, client.url), folder / "false", 4)
        assert before - MODEL_BOND - OPEN // 100 < client.balance(dev(4).address) < before - MODEL_BOND
        yield Chain(client, home, folder, honest, false)


def burned(client: Client, block: int) -> int:
    return int(client.call("openledger_getSupply", hex(block))["burned"], 16)


def settle_two_answers(chain: Chain) -> tuple[int, int, Any, Any]:
    """Paid and settled, not claimed: what the consumer had before, less what his transaction cost; epoch, bundle,
    answers."""
    from openledger.attribution_oracle import factory

    client, consumer = chain.client, dev(CONSUMER)
    before = client.balance(consumer.address)
    bundle = factory.load_bundle(operator.NodeBlobs(client), chain.model(chain.false)["bundle"])
    served = factory.Served("false", chain.false, PRICE, bundle)
    with ModelServer([served], client.url, chain.folder / "serving", client.chain_id()) as server:
        session, opened = open_session(client, consumer, chain.false, server.start(), 2)
        for number, prompt in enumerate(("The public debt", "Our navy must")):
            session.ask(prompt, max_tokens=8, seed=number)
        receipts = operator.settle(client, dev(4), server.serving.vouchers(), close=True)
        answers = server.serving.answers()
    assert len(receipts) == 1
    before -= cost(client.wait_receipt(opened))
    assert client.balance(consumer.address) == before - 2 * PRICE
    return before, operator.settled_epoch(receipts[0]), bundle, answers


@pytest.mark.parametrize(("which", "row"), [("honest", FALSE_ROW), ("false", FALSE_ROW - 1)])
def test_a_challenge_of_a_row_that_is_right_is_dismissed_and_its_bond_burns(chain: Chain, which: str, row: int) -> None:
    """Also beside a false row: what nobody has named is not looked at."""
    client, challenger, number = chain.client, dev(CHALLENGER).address, getattr(chain, which)
    before, model = client.balance(challenger), chain.model(number)
    found, gas = chain.challenged(number, row)
    assert (found["status"], found["outcome"]) == ("accepted", "dismissed")
    assert [v["verdict"] for v in client.call("openledger_getVerdicts", found["id"])] == ["yes"]
    assert client.balance(challenger) == before - gas - CHALLENGE_BOND
    assert burned(client, found["closed"]) - burned(client, found["closed"] - 1) == CHALLENGE_BOND
    after = chain.model(number)
    assert after == model
    assert (after["refuted"], after["mints"], int(after["bond"], 16)) == (0, True, MODEL_BOND)


def test_a_false_row_refutes_its_model_and_everybody_has_what_the_design_says(chain: Chain) -> None:
    client, challenger, publisher = chain.client, dev(CHALLENGER).address, dev(4).address
    model = chain.model(chain.false)
    assert (model["mints"], int(model["bond"], 16), model["rows"]) == (True, MODEL_BOND, ROWS)
    consumer_before, epoch, bundle, answers = settle_two_answers(chain)
    waiting = open_for_an_hour(chain)
    before, publisher_before = client.balance(challenger), client.balance(publisher)
    stake = client.call("openledger_listValidators")[0]["stake"]
    found, gas = chain.challenged(chain.false, FALSE_ROW)
    assert (found["status"], found["outcome"], found["row"]) == ("refused", "upheld", FALSE_ROW)
    (vote,) = client.call("openledger_getVerdicts", found["id"])
    assert vote["verdict"] == "no"
    assert f"row {FALSE_ROW} " in vote["reason"]
    assert client.balance(challenger) == before - gas + MODEL_BOND // 2
    assert client.balance(publisher) == publisher_before
    assert burned(client, found["closed"]) - burned(client, found["closed"] - 1) == MODEL_BOND // 2
    after = chain.model(chain.false)
    assert (after["refuted"], after["mints"], int(after["bond"], 16)) == (found["id"], False, 0)
    assert client.call("openledger_listValidators")[0]["stake"] == stake
    operator.wait_until("the refund", lambda: client.balance(dev(CONSUMER).address) == consumer_before, 60)
    took_back(chain, *waiting)
    nothing_more(chain, epoch, bundle, answers)


def open_for_an_hour(chain: Chain) -> tuple[int, int]:
    """A session of somebody who has not asked yet: its number, and what he had before, less what opening cost."""
    before = chain.client.balance(dev(WAITING).address)
    receipt = operator.send(chain.client, dev(WAITING), InferenceOpen(chain.false, 3 * PRICE, int(time.time()) + 3600))
    session = operator.created_id(receipt)
    with pytest.raises(WrongPhase, match="runs until"):
        operator.send(chain.client, dev(WAITING), InferenceClose(session))
    assert chain.client.balance(dev(WAITING).address) == before - cost(receipt) - 3 * PRICE
    return session, before - cost(receipt)


def took_back(chain: Chain, session: int, before: int) -> None:
    """The whole deposit, long before the session's end."""
    gas = cost(operator.send(chain.client, dev(WAITING), InferenceClose(session)))
    assert chain.client.balance(dev(WAITING).address) == before - gas


def nothing_more(chain: Chain, epoch: int, bundle: Any, answers: Any) -> None:
    """No session, no claim, no second challenge, nothing unclaimed and no mint; each refusal says why."""
    client = chain.client
    operator.wait_until("the epoch's end", lambda: operator.epoch_of(client) > epoch, 60)
    settled = client.call("openledger_getSettlements", chain.false, epoch)
    assert settled["claimed"] == len(settled["settlements"]) == 1
    with pytest.raises(WrongPhase, match="was refuted"):
        operator.send(client, dev(CONSUMER), InferenceOpen(chain.false, PRICE, int(time.time()) + 3600))
    claims = client.call("openledger_listClaims")
    with pytest.raises(WrongPhase, match="was refuted"):
        operator.open_claim(client, dev(4), chain.false, epoch, bundle, answers, lambda step, total, text: None)
    assert client.call("openledger_listClaims") == claims == []
    assert int(client.call("openledger_getSupply")["minted"], 16) == 0
    words = ["--key", f"dev{CHALLENGER}", "proof", "challenge", "--model", str(chain.false), "--row", "1"]
    shown = openledger(chain.home, "--node", client.url, "model", "show", str(chain.honest)).stdout
    assert "bond         10 OPEN" in shown
    again = openledger(chain.home, "--node", client.url, *words, check=False)
    assert again.returncode == 1
    assert "was refuted" in again.stderr
