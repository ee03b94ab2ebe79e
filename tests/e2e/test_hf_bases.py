"""A model on a Hugging Face base, through the commands as people type them: trained, published, served, asked, claimed.
The validator lacks the base at first: it says so and does not vote, and votes once its operator has named the folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openledger.node import bases, operator
from openledger.node.cli.models import served_so_far, serving_folder
from openledger.node.cli.root import run
from openledger.node.keystore import dev_signer
from openledger.node.serving import ModelServer
from openledger.node.testnet import free_starting_port
from openledger.primitives.amounts import OPEN
from openledger.rpc.client import Client
from tests.e2e.node_process import devnet, openledger, said, wait
from tests.e2e.test_claims_with_the_oracle import contribute

pytest.importorskip("transformers", reason="the extra for Hugging Face bases is not installed")


def asked(home: Path, client: Client, number: int, folder: Path) -> Any:
    """Serve the model, ask it once; the bundle."""
    from openledger.attribution_oracle import factory

    record = client.call("openledger_getModel", number)
    known = bases.shelf(home, [folder])
    bundle = factory.load_bundle(operator.NodeBlobs(client), record["bundle"], known=known)
    served = factory.Served(record["name"], number, int(record["price"], 16), bundle)
    with ModelServer([served], client.url, serving_folder(_app(home, client.url)), client.chain_id()) as server:
        words = ["infer", str(number), "The public debt", "--url", server.start()]
        answer = said(home, client.url, "--key", "dev5", *words, "--verify", "--base", str(folder))
        assert answer["text"]
        assert sum(answer["verified"]["shares"].values()) + answer["verified"]["unattributed"] == 1_000_000
    return bundle


def test_a_base_in_a_folder_goes_the_whole_way_and_a_validator_without_it_is_silent(tmp_path: Path) -> None:
    from tests.unit.oracle.hf_folders import make_folder

    folder, home, port = make_folder(tmp_path / "base", "llama"), tmp_path / "home", free_starting_port(1)
    output = tmp_path / "model"
    owner = dev_signer("dev4")
    assert owner is not None
    with devnet(home, port, tmp_path / "first.log") as client:
        datanet = str(contribute(client))
        looked = said(home, client.url, "model", "base", str(folder))
        assert looked["targets"] == ["q_proj", "v_proj"]
        train = ["model", "train", "--data", datanet, "--base", str(folder), "-o", str(output), "--size", "small"]
        trained = said(home, client.url, *train, "--rank", "2", "--target", "q_proj,v_proj,down_proj")
        assert trained["base"] == looked["name"]
        assert (output / "adapter" / "adapter_model.safetensors").exists()
        number = said(home, client.url, "--key", "dev4", "model", "publish", str(output), "--name", "foreign")["model"]
        record = client.call("openledger_getModel", number)
        assert (record["base"], record["mints"]) == (looked["name"], False)
        lost = openledger(home, "--node", client.url, "model", "serve", str(number), "--port", "0", check=False)
        assert lost.returncode == 1
        assert "in none of this machine's folders" in lost.stderr
        bundle = asked(home, client, number, folder)
        vouchers, answers = served_so_far(_app(home, client.url), number)
        epoch = operator.settled_epoch(operator.settle(client, owner, vouchers)[-1])
        operator.wait_until("the epoch's end", lambda: operator.epoch_of(client) > epoch, 60)
        opened = operator.open_claim(client, owner, number, epoch, bundle, answers, lambda step, total, text: None)
        wait("a word about the base", lambda: looked["name"] in (tmp_path / "first.log").read_text())
        assert "put its folder into [oracle] bases" in (tmp_path / "first.log").read_text()
        checks = json.loads(openledger(home, "--json", "--node", client.url, "doctor", check=False).stdout)
        assert [c["level"] for c in checks if looked["name"] in c["found"]] == ["warn"]
        assert client.call("openledger_getClaim", opened.number)["status"] in ("pending", "voting")
    with devnet(home, port, tmp_path / "second.log", OPENLEDGER_ORACLE_BASES=str(folder)) as client:
        record = operator.follow_claim(client, opened, 120)
        assert record["status"] == "accepted", (tmp_path / "second.log").read_text()
        assert [v["verdict"] for v in client.call("openledger_getVerdicts", opened.number)] == ["yes"]
        assert int(client.call("openledger_getRewards", "0x" + owner.address.hex())["fees"], 16) > 0
        assert int(record["minted"], 16) == 0
        assert int(record["fee"], 16) == OPEN


def _app(home: Path, url: str) -> Any:
    from openledger.node.cli.common import App

    app = App()
    app.home_given, app.node_given = home, url
    return app


@pytest.mark.parametrize(("change", "sentence"), [("pickle", "never opened"), ("code", "no code of a model")])
def test_a_dangerous_folder_is_refused_by_the_command_line(
    change: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.unit.oracle.hf_folders import make_folder

    folder = make_folder(tmp_path / "base")
    if change == "pickle":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    else:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "x.Y"}}))
    command = ["model", "train", "--data", "1", "--base", str(folder), "-o", str(tmp_path / "m")]
    for words in (command, ["model", "base", str(folder)]):
        assert run(["--home", str(tmp_path), *words]) == 1
        error = capsys.readouterr().err
        assert sentence in error
        assert "hint" in error
        assert "Traceback" not in error
