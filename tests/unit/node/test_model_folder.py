"""A model between its training and the chain: nothing is overwritten, nothing else uploaded, nothing bonded twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openledger.genesis.presets import dev_accounts
from openledger.node import evaluation, model_folder, operator
from openledger.node.cli.common import App
from openledger.node.cli.root import run
from openledger.primitives.errors import BlobNotFound, NotFound
from openledger.primitives.types import to_checksum, to_hex

pytestmark = pytest.mark.usefixtures("clean")
OWNER = dev_accounts()[4][0]
FILES = ("tokenizer", "weights", "receipt", "index")


def trained(folder: Path, seed: bytes) -> dict[str, Any]:
    """What a training leaves in a folder; its fields."""
    folder.mkdir(exist_ok=True)
    store = model_folder.store(folder)
    names = {name: "0x" + store.put(seed + name.encode()) for name in FILES}
    names["bundle"] = "0x" + store.put(json.dumps({**names, "checkpoints": [names["weights"]]}).encode())
    return {**names, "index_root": to_hex(bytes(32)), "data": [[1, 2]], "rows": 3, "base": "b",
            "method": "gradient-dot", **dict.fromkeys(("base_loss", "held_out_loss", "lds"), 0)}  # fmt: skip


def test_another_model_in_the_folder_is_kept_and_the_same_one_is_not_doubled(tmp_path: Path) -> None:
    first, second = trained(tmp_path / "m", b"1"), trained(tmp_path / "m", b"2")
    assert model_folder.write(tmp_path / "m", first) is None
    assert model_folder.write(tmp_path / "m", first) is None
    kept = model_folder.write(tmp_path / "m", second)
    assert kept == tmp_path / "m" / "model-1.json"
    assert json.loads(kept.read_text()) == first
    assert model_folder.write(tmp_path / "m", first) == tmp_path / "m" / "model-2.json"


def test_only_the_files_of_the_model_are_uploaded(tmp_path: Path) -> None:
    trained(tmp_path, b"1")
    model_folder.write(tmp_path, trained(tmp_path, b"2"))
    fields = model_folder.read(tmp_path)
    assert fields["data"] == [(1, 2)]
    store = model_folder.store(tmp_path)
    found = [store.get(name) for name in model_folder.files(tmp_path, fields)]
    assert found[1:] == [b"2tokenizer", b"2weights", b"2receipt", b"2index", b"2weights"]
    with pytest.raises(BlobNotFound):
        model_folder.files(tmp_path, {**fields, "bundle": bytes(32)})
    with pytest.raises(NotFound, match="names no files"):
        model_folder.files(tmp_path, {**fields, "bundle": bytes.fromhex(store.put(b"[]"))})


class Models:
    """A node with 101 models, and the blobs that it was given."""

    def __init__(self, **changes: Any) -> None:
        self.blobs: list[bytes] = []
        mine = {"owner": to_checksum(OWNER), "name": "orator", "price": hex(10**18), "retired": False}
        other = {**mine, "name": "other", "bundle": "0x", "id": 1}
        self.all = [{**other, "id": n} for n in range(1, 101)] + [{**mine, "id": 101, **changes}]

    def call(self, method: str, start: int) -> list[dict[str, Any]]:
        assert method == "openledger_listModels"
        return self.all[start - 1 : start + 99]


@pytest.mark.parametrize(("words", "said"), [
    (["--name", ""], "name must have 1 to 64 bytes"), (["--name", "x", "--price", "0"], "price must be more than 0"),
])  # fmt: skip
def test_nothing_is_uploaded_for_a_name_or_a_price_that_no_chain_takes(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = dict.fromkeys(("weights", "bundle", "receipt", "index", "index_root"), to_hex(bytes(32)))
    more = {"data": [[1, 2]], "rows": 3, "base": "b", "method": "gradient-dot"}
    more |= dict.fromkeys(("base_loss", "held_out_loss", "lds"), 0)
    (tmp_path / "m").mkdir()
    model_folder.write(tmp_path / "m", hashes | more)
    monkeypatch.setattr(App, "client", None)
    assert run(["--key", "dev4", "model", "publish", "m", *words]) == 1
    assert said in capsys.readouterr().err


def test_the_same_model_is_not_bonded_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = trained(tmp_path / "m", b"1")
    model_folder.write(tmp_path / "m", fields)
    monkeypatch.setattr(App, "client", Models(bundle=fields["bundle"]))
    assert run(["--key", "dev4", "model", "publish", "m", "--name", "orator"]) == 1
    assert "error: m is model 101 already, under this name and at this price\n" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"retired": True}, {"name": "x"}, {"price": "0x1"}, {"owner": "0x0"}])
def test_a_model_that_differs_may_be_published_beside_it(change: dict[str, Any]) -> None:
    bundle = b"\x07" * 32
    client = Models(bundle=to_hex(bundle), **change)
    assert operator.published(client, OWNER, "orator", 10**18, bundle) is None  # type: ignore[arg-type]
    same = Models(bundle=to_hex(bundle))
    assert operator.published(same, OWNER, "orator", 10**18, bundle) == 101  # type: ignore[arg-type]


def test_losses_on_training_rows_are_said_to_flatter() -> None:
    found = {"base_loss": 5_000_000, "held_out_loss": 4_000_000}
    assert evaluation.losses(found, 3, 0) == ["3 documents: 4.0000 nats a token, base 5.0000 (-20.0 %)"]
    assert evaluation.losses(found, 3, 2)[1].startswith("2 of them are training rows")
