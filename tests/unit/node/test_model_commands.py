"""What the command line says of models that are sold, and of those that are not any more."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from openledger.attribution_oracle.payment import Ledger, Receipt
from openledger.node import claiming, operator, serving
from openledger.node.cli import models
from openledger.node.cli.common import App
from openledger.node.cli.root import run
from openledger.primitives.errors import MalformedAction, NotFound, WrongPhase

pytestmark = pytest.mark.usefixtures("clean")
RECORD = {"name": "orator", "price": hex(10**17), "bundle": "0x12", "refuted": 0, "retired": False, "bond": hex(10**19)}


def answers(_app: App, method: str, *params: Any) -> dict[str, Any]:
    """A node with model 1, which is sold, and model 2, which is retired."""
    if method == "openledger_getParams":
        return {"unbondingSeconds": 1_814_400}
    return {**RECORD, "retired": params[0] == 2}


def test_a_model_is_retired_by_a_command_that_says_what_follows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []

    def send(_app: App, action: Any) -> dict[str, str]:
        sent.append(action)
        return {"transactionHash": "0x1"}

    monkeypatch.setattr(App, "send", send)
    monkeypatch.setattr(App, "call", answers)
    assert run(["model", "retire", "2", "--key", "dev4"]) == 0
    assert [(action.KIND, action.model) for action in sent] == [("model.retire", 2)]
    assert capsys.readouterr().out == "model 2 is retired: no new sessions; 10 OPEN come back in 1,814,400 s\n"


def test_serving_says_the_prices_and_which_models_nobody_can_pay_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from openledger.attribution_oracle import factory

    class Server(nullcontext[Any]):
        def __init__(self, *_: Any) -> None:
            super().__init__(self)

        def start(self, host: str, port: int) -> str:
            return f"http://{host}:{port}"

    class Interrupted:
        def wait(self) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(App, "call", answers)
    monkeypatch.setattr(App, "client", SimpleNamespace(chain_id=lambda: 1))
    monkeypatch.setattr(factory, "load_bundle", lambda *_, **__: None)
    monkeypatch.setattr(serving, "ModelServer", Server)
    monkeypatch.setattr(models, "threading", SimpleNamespace(Event=Interrupted))
    assert run(["model", "serve", "1", "2", "--port", "8600"]) == 130
    said = capsys.readouterr().out
    assert "model 1 (orator): 0.1 OPEN an answer\n" in said
    assert "model 2 (orator): 0.1 OPEN an answer, and retired: nobody can open a session any more\n" in said
    assert "serving at http://127.0.0.1:8600/v1" in said


def test_answers_of_another_chain_are_neither_settled_nor_counted_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `devnet --fresh` session 1 is another one: its consumer was refused, and no claim could be made."""
    app = App()
    app.home_given = tmp_path
    chain = SimpleNamespace(chain_id=lambda: 1)
    monkeypatch.setattr(App, "client", chain)
    ledger = Ledger(models.serving_folder(app) / "serving.jsonl")
    ledger.add_receipt(Receipt("cmpl-1", 1, 0, 7, "query", "answer", 5, 1))
    ledger.close()
    assert [a.session for a in models.served_so_far(app, 7)[1]] == [1]
    chain.chain_id = lambda: 2
    with pytest.raises(NotFound, match="nothing was served on this chain"):
        models.served_so_far(app, 7)
    ledger = Ledger(models.serving_folder(app) / "serving.jsonl")
    assert ledger.books == {}
    ledger.close()


@pytest.mark.parametrize(("status", "code"), [("accepted", 0), ("refused", 1), ("lapsed", 1)])
def test_a_claim_that_is_not_accepted_is_no_success(
    status: str, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(App, "client", SimpleNamespace(chain_id=lambda: 1))
    monkeypatch.setattr(models, "served_so_far", lambda *_: ([], []))
    monkeypatch.setattr(operator, "settle", lambda *_: [])
    monkeypatch.setattr(claiming, "undecided", lambda *_: [4])
    monkeypatch.setattr(claiming, "unclaimed", lambda *_: [])
    monkeypatch.setattr(claiming, "follow", lambda *_: [{"id": 4, "status": status}])
    assert run(["model", "claim", "1", "--key", "dev4"]) == code
    assert f"claim 4: {status}; see openledger proof show 4" in capsys.readouterr().out


@pytest.mark.parametrize("status", ["pending", "rejected", "expired"])
def test_nothing_is_trained_that_could_not_be_published(status: str) -> None:
    def call(method: str, _datanet: int, version: int = 0) -> dict[str, Any]:
        if method == "openledger_getDatanet":
            return {"head": 2}
        return {"status": "accepted" if version == 2 else status, "parts": []}

    node: Any = SimpleNamespace(call=call)
    assert [v.version for v in operator.version_data(node, [(1, 0), (2, 2)])] == [2, 2]
    with pytest.raises(MalformedAction, match="datanet 1 is named twice"):
        operator.version_data(node, [(1, 2), (2, 2), (1, 0)])
    with pytest.raises(WrongPhase, match=f"version 3 of datanet 1 is {status}"):
        operator.version_data(node, [(1, 3)])
