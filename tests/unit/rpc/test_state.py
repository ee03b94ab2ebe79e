"""The state over RPC: proofs and their window, pages of an export, pruned heights, and the export command."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import rlp
from trie import HexaryTrie

from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.genesis.genesis import Genesis
from openledger.node.cli.root import run
from openledger.primitives.blocks import EMPTY_TRIE_ROOT
from openledger.primitives.hashing import KECCAK_EMPTY, keccak256
from openledger.primitives.types import MODULE_ADDRESSES, to_hex
from openledger.rpc.client import AsyncClient
from openledger.state.export import read_export
from openledger.state.leveldb import LevelDbStore
from openledger.state.store import StateStore


def from_hex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def verified(root: str, key: bytes, nodes: list[str]) -> bytes:
    """The value under a key by py-trie's own reading of the proof."""
    found: bytes = HexaryTrie.get_from_proof(from_hex(root), keccak256(key), [rlp.decode(from_hex(n)) for n in nodes])
    return found


async def test_every_native_record_is_proved_to_an_independent_verifier(chain: Any) -> None:
    async with AsyncClient(chain.url) as client:
        await client.wait_receipt(await client.send_native(chain.secrets[0], DatanetCreate("poems")))
    block = await chain.call("eth_getBlockByNumber", "latest", False)
    reader, seen = chain.app.state(), 0
    for module in MODULE_ADDRESSES:
        records = dict(reader.records(module, b""))
        slots = [to_hex(keccak256(key)) for key in records]
        proof = await chain.call("eth_getProof", to_hex(module), slots, block["number"])
        leaf = rlp.decode(verified(block["stateRoot"], module, proof["accountProof"]))
        assert leaf[2] == from_hex(proof["storageHash"])
        for (key, record), entry in zip(records.items(), proof["storageProof"], strict=True):
            value = rlp.decode(verified(proof["storageHash"], keccak256(key), entry["proof"]))
            assert int.from_bytes(value, "big") == int.from_bytes(keccak256(record), "big") == int(entry["value"], 16)
            seen += 1
    assert seen >= 6


async def test_what_is_not_there_is_proved_absent(chain: Any) -> None:
    block = await chain.call("eth_getBlockByNumber", "latest", False)
    nobody = b"\x77" * 20
    proof = await chain.call("eth_getProof", to_hex(nobody), ["0x0"], "latest")
    assert verified(block["stateRoot"], nobody, proof["accountProof"]) == b""
    assert (proof["balance"], proof["nonce"], proof["codeHash"], proof["storageHash"]) == (
        "0x0", "0x0", to_hex(KECCAK_EMPTY), to_hex(EMPTY_TRIE_ROOT),
    )  # fmt: skip


async def test_a_proof_of_an_older_height_names_the_oldest_that_can_be_proved(chain: Any) -> None:
    await chain.send()
    await chain.engine.mine(131)
    head = chain.app.head().number
    for height in (head, head - 128):
        block = await chain.call("eth_getBlockByNumber", hex(height), False)
        proof = await chain.call("eth_getProof", to_hex(chain.addresses[0]), [], hex(height))
        assert verified(block["stateRoot"], chain.addresses[0], proof["accountProof"])
    error = await chain.error("eth_getProof", to_hex(chain.addresses[0]), [], hex(head - 129))
    assert f"no proof for block {head - 129}, the oldest with proofs is {head - 128}" in error["message"]
    assert error["data"] == {"code": 403, "hint": "proofs are kept for the last 128 blocks"}
    old = await chain.call("eth_getBalance", to_hex(chain.addresses[0]), hex(head - 129))
    assert int(old, 16) > 0


async def test_pages_of_the_state_make_the_file_that_proves_itself(chain: Any, tmp_path: Path) -> None:
    await chain.send()
    height = chain.app.head().number
    page = await chain.call("openledger_exportState", "latest", "0x", 3)
    assert page["header"]["height"] == height
    assert len(page["lines"]) == 3
    await chain.send(nonce=1)
    file = tmp_path / "state"
    arguments = ["export", "--node", chain.url, "--height", str(height), "--output", str(file), "--json"]
    assert await asyncio.to_thread(run, arguments) == 0
    export = read_export(file)
    assert export.state_root == chain.app.store.header(height).state_root
    assert export.accounts[chain.addresses[0]].nonce == 1


async def test_a_stopped_node_is_exported_from_its_folder_and_begins_a_new_chain(
    chain: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    database = LevelDbStore(home / "state")
    database.write(list(chain.app.store.kv.iterate(b"", None)))
    (home / "genesis.json").write_text(chain.app.genesis.to_json())
    file = tmp_path / "state"
    arguments = ["export", "--home", str(home), "--output", str(file), "--json"]

    def export() -> int:
        return run(arguments)

    assert await asyncio.to_thread(export) == 1
    assert "is running, but" in json.loads(capsys.readouterr().err)["error"]["message"]
    database.close()
    assert await asyncio.to_thread(export) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["state_root"] == to_hex(chain.app.head().state_root)
    made = tmp_path / "genesis.json"
    assert run(["genesis", "import", str(file), "--output", str(made), "--json"]) == 0
    genesis = Genesis.from_json(made.read_text())
    assert genesis.chain_id == "openledger_161237-2"
    assert genesis.evm_chain_id == chain.app.genesis.evm_chain_id
    assert run(["genesis", "validate", str(made)]) == 0
    assert run(["genesis", "import", str(file), "--output", str(made)]) == 1
    store = StateStore(LevelDbStore(home / "state"))
    assert store.head() == chain.app.head()
    store.close()


def test_a_folder_without_a_chain_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "--home", str(tmp_path), "--output", str(tmp_path / "x")]) == 1
    assert "there is no chain in" in capsys.readouterr().err
    assert run(["genesis", "import", str(Path(__file__)), "--output", str(tmp_path / "x")]) == 1
    assert "gzip" in capsys.readouterr().err
