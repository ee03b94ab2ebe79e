"""openledger_ methods, native transactions in every Ethereum view, blobs, and the client."""

from __future__ import annotations

import asyncio
import hashlib
import io
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from eth_account import Account

from openledger.abci_app import queries
from openledger.abci_app.action import build_native, encode_action, intrinsic_gas
from openledger.abci_app.modules.attribution.records import (
    CHALLENGED,
    CLAIMED,
    PHASE,
    PROMISED,
    RESOLVED,
    SAID,
    VESTED,
)
from openledger.abci_app.modules.datanets.commit import DatanetCommit, Part
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.primitives.attribution import row_leaf
from openledger.primitives.errors import (
    BlobCorrupt,
    BlobError,
    BlobNotFound,
    BlobTooLarge,
    NodeUnreachable,
    NonceTooLow,
    NotFound,
    OpenLedgerError,
    ReplacementUnderpriced,
)
from openledger.primitives.hashing import merkle_root, merkle_verify
from openledger.rpc import openledger
from openledger.rpc.backend import RpcSettings
from openledger.rpc.client import AsyncClient, Client
from openledger.rpc.logs import deadline
from tests.unit.rpc.conftest import threads_of
from tests.waiting import PATIENCE

GWEI = 10**9
DATANETS = "0x0000000000000000000000000000000000000800"


def hexed(raw: bytes) -> str:
    return "0x" + raw.hex()


@pytest.fixture
async def client(chain: Any) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(chain.url) as found:
        yield found


async def test_a_native_transaction_is_seen_by_every_ethereum_reader(chain: Any, client: AsyncClient) -> None:
    action = DatanetCreate("poems")
    tx_hash = await client.send_native(chain.secrets[0], action)
    receipt = await client.wait_receipt(tx_hash)
    sender = hexed(chain.addresses[0])
    assert (receipt["type"], receipt["status"], receipt["to"], receipt["from"]) == ("0x50", "0x1", DATANETS, sender)
    assert int(receipt["gasUsed"], 16) == intrinsic_gas(action)
    assert receipt["logs"][0]["address"] == DATANETS
    tx = await client.call("eth_getTransactionByHash", tx_hash)
    assert (tx["type"], tx["to"], tx["value"], tx["input"]) == ("0x50", DATANETS, "0x0", hexed(encode_action(action)))
    assert tx["v"] in ("0x1b", "0x1c")
    assert int(tx["v"], 16) - 27 == int(tx["yParity"], 16)
    assert {"r", "s", "gas", "accessList", "maxFeePerGas", "maxPriorityFeePerGas", "chainId"} <= tx.keys()
    block = await client.call("eth_getBlockByNumber", "latest", True)
    assert tx in block["transactions"]
    assert await client.call("eth_getTransactionCount", sender, "latest") == "0x1", "one account, one nonce"
    found = await client.call("openledger_getDatanet", 1)
    assert (found["name"], found["owner"].lower()) == ("poems", sender)
    assert await client.call("openledger_listDatanets") == [found]


async def test_a_wallet_signs_what_build_transaction_gives(chain: Any, client: AsyncClient) -> None:
    wallet = Account.from_key(chain.secrets[3])
    fields = {"name": "letters", "licence": "CC-BY-4.0"}
    built = await client.call("openledger_buildTransaction", "datanet.create", fields, {"from": wallet.address})
    assert built["typedData"]["primaryType"] == "DatanetCreate"
    assert built["typedData"]["message"]["name"] == "letters"
    signature = wallet.sign_typed_data(full_message=built["typedData"]).signature
    arguments = ("datanet.create", fields, built["options"], hexed(signature))
    whole = await client.call("openledger_buildTransaction", *arguments)
    sent = await client.call("eth_sendRawTransaction", whole["raw"])
    assert sent == whole["hash"]
    receipt = await client.wait_receipt(sent)
    assert receipt["from"] == wallet.address.lower()


async def test_a_signature_may_have_each_form_that_wallets_give(chain: Any) -> None:
    fields = {"name": "letters", "licence": "CC0-1.0"}
    for account in range(4):  # both parities are among them
        wallet = Account.from_key(chain.secrets[account])
        built = await chain.call("openledger_buildTransaction", "datanet.create", fields, {"from": wallet.address})
        signed = wallet.sign_typed_data(full_message=built["typedData"])
        parity, whole = signed.v - 27, bytes(signed.signature)
        short = signed.r.to_bytes(32, "big") + (signed.s | parity << 255).to_bytes(32, "big")
        given = ["datanet.create", fields, built["options"]]
        expected = await chain.call("openledger_buildTransaction", *given, hexed(whole))
        for other in (whole[:64] + bytes([parity]), short):
            assert await chain.call("openledger_buildTransaction", *given, hexed(other)) == expected
        for wrong in (whole[:64] + b"\x02", whole[:63], whole + b"\0", b""):
            error = await chain.error("openledger_buildTransaction", *given, hexed(wrong))
            assert "signature" in error["message"]


async def test_a_signature_of_somebody_else_is_refused(chain: Any, client: AsyncClient) -> None:
    sender = {"from": hexed(chain.addresses[3])}
    built = await client.call("openledger_buildTransaction", "datanet.create", {"name": "x"}, sender)
    signature = Account.from_key(chain.secrets[4]).sign_typed_data(full_message=built["typedData"]).signature
    with pytest.raises(OpenLedgerError, match="the signature is of"):
        await client.call(
            "openledger_buildTransaction", "datanet.create", {"name": "x"}, built["options"], hexed(signature)
        )


@pytest.mark.parametrize(
    ("kind", "fields", "options", "text"),
    [
        ("datanet.destroy", {}, {}, "there is no native transaction of kind"),
        ("datanet.create", {}, {"nonce": "0x0"}, "lacks the field 'name'"),
        ("datanet.create", {"name": "x", "colour": "red"}, {"nonce": "0x0"}, "no field 'colour'"),
        ("datanet.create", {"name": "x"}, {}, "options lack 'from'"),
        ("datanet.create", {"name": "x"}, {"nonce": "zero"}, "options: "),
        ("datanet.create", {"name": "x", "licence": "???"}, {"nonce": "0x0"}, "licence must be"),
    ],
)
async def test_malformed_native_fields_are_named(chain: Any, kind: str, fields: Any, options: Any, text: str) -> None:
    error = await chain.error("openledger_buildTransaction", kind, fields, options)
    assert text in error["message"]


async def test_native_bytes_go_through_both_doors_and_ethereum_bytes_only_through_one(chain: Any) -> None:
    common = {"chain_id": 161237, "max_priority_fee": GWEI, "max_fee": 4 * GWEI}
    first = build_native(chain.secrets[0], nonce=0, action=DatanetCreate("a"), **common)
    second = build_native(chain.secrets[0], nonce=1, action=DatanetCreate("b"), **common)
    await chain.call("openledger_sendTransaction", hexed(first))
    await chain.call("eth_sendRawTransactionSync", hexed(second))
    assert len(await chain.call("openledger_listDatanets")) == 2
    error = await chain.error("openledger_sendTransaction", hexed(chain.signed(nonce=2)))
    assert error["message"] == "this is no native transaction"


async def test_the_facts_of_the_chain_are_served(chain: Any) -> None:
    status = await chain.call("openledger_getNodeStatus")
    assert (status["mode"], status["oracle"], status["height"]) == ("solo", "off", "0x0")
    supply = await chain.call("openledger_getSupply")
    assert int(supply["total"], 16) == (10 * 10_000 + 10) * 10**18  # the accounts, and the stake of the validator
    assert (await chain.call("openledger_getParams"))["blockGasLimit"] == 30_000_000
    assert "number" in await chain.call("openledger_getEpoch")
    (validator,) = await chain.call("openledger_listValidators")
    page = await chain.call("openledger_listDelegators", validator["operator"])
    assert [one["amount"] for one in page["delegators"]] == [validator["own"]]
    assert page["next"] is None
    assert page == await chain.call("openledger_listDelegators", validator["address"], "0x" + "00" * 20, 1)
    assert "datanet.create" in await chain.call("openledger_listKinds")
    account = hexed(chain.addresses[0])
    assert (await chain.call("openledger_getRewards", account))["available"] == "0x0"
    assert (await chain.call("openledger_explainReward", account))["claims"] == []
    for method in ("getDatanet", "getModel", "getClaim", "getSession", "getVerdicts", "getCommits"):
        error = await chain.error(f"openledger_{method}", 5)
        assert error["data"]["code"] == NotFound.code, method
    for method in ("listModels", "listClaims", "listDatanets"):
        assert await chain.call(f"openledger_{method}", 1, 10) == []


async def test_one_row_of_a_version_can_be_proved(
    chain: Any, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f'{{"text":"line {i}"}}'.encode() for i in range(5)]
    blob = await client.put_blob(b"".join(row + b"\n" for row in rows))
    author = chain.addresses[0]
    await client.wait_receipt(await client.send_native(chain.secrets[0], DatanetCreate("poems")))
    root = merkle_root([row_leaf(author, row) for row in rows])
    commit = DatanetCommit(1, 0, root, 5, (Part(author, bytes.fromhex(blob), 5),), (), "first")
    await client.wait_receipt(await client.send_native(chain.secrets[0], commit))
    found = await client.call("openledger_getRowProof", 1, 1, 3)
    proof = [bytes.fromhex(node[2:]) for node in found["proof"]]
    assert found["text"] == rows[3].decode()
    assert merkle_verify(root, row_leaf(author, rows[3]), 3, 5, proof)
    with pytest.raises(NotFound, match="5 rows"):
        await client.call("openledger_getRowProof", 1, 1, 5)
    # a version may have gigabytes: they are read line by line, for a while only, and no line is shown that is too long
    monkeypatch.setattr(chain.server._backend.blobs, "get", None)
    assert await client.call("openledger_getRowProof", 1, 1, 3) == found
    with monkeypatch.context() as patched:
        patched.setattr(openledger, "deadline", lambda _: deadline(-1.0))
        with pytest.raises(OpenLedgerError, match="query timeout exceeded"):
            await client.call("openledger_getRowProof", 1, 1, 3)
    monkeypatch.setattr(openledger, "MAX_ROW", 5)
    with pytest.raises(OpenLedgerError, match="fetch its blob"):
        await client.call("openledger_getRowProof", 1, 1, 3)


@pytest.mark.parametrize(("name", "params"), [
    ("list_claims", [1, 1000]), ("get_commits", [1]), ("get_settlements", [1, 1]),
    ("explain_reward", ["0x" + "11" * 20]),
])  # fmt: skip
async def test_lists_that_grow_with_the_chain_are_not_made_on_the_event_loop(
    chain: Any, monkeypatch: pytest.MonkeyPatch, name: str, params: list[Any]
) -> None:
    threads = threads_of(monkeypatch, queries, name)
    head, *rest = name.split("_")
    await chain.ask("openledger_" + head + "".join(map(str.title, rest)), *params)
    assert threads
    assert threading.get_ident() not in threads


async def test_a_claim_is_told_when_it_is_new_and_whenever_it_changes_also_after_it_was_settled(
    chain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    someone = bytes(range(20))
    blocks = {
        1: [CLAIMED.log(1, 1, 1, someone, 5)],
        2: [PHASE.log(1, 2, 99), PHASE.log(1, 4, 0), CLAIMED.log(2, 1, 1, someone, 5)],
        3: [SAID.log(1, someone, 1, 1, ""), PROMISED.log(someone, 1, bytes(32))],  # neither changes a claim
        4: [CHALLENGED.log(1, someone, 7, bytes(20), 1)],
        5: [PHASE.log(3, 4, 0), replace(CLAIMED.log(2, 1, 1, someone, 5), address=someone)],  # not of claims
        6: [RESOLVED.log(1, someone, 2), VESTED.log(2)],
    }
    monkeypatch.setattr(chain.app.store, "block", lambda number: SimpleNamespace(
        receipts=[SimpleNamespace(logs=blocks[number])]))  # fmt: skip
    asked: list[tuple[int, int]] = []

    def page(_state: Any, start: int, limit: int) -> list[dict[str, Any]]:
        asked.append((start, limit))
        return [{"id": claim} for claim in (1, 2, 4) if claim >= start][:limit]

    monkeypatch.setattr("openledger.rpc.subscriptions.list_claims", page)
    subscriptions = chain.server._subscriptions
    subscriptions._committed(1)
    assert not asked  # nobody listens
    async with chain.http.ws_connect(chain.url) as socket:
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["openledger_claims"]})
        ident = (await socket.receive_json(timeout=PATIENCE))["result"]
        for height in blocks:
            subscriptions._committed(height)
        told = [(await socket.receive_json(timeout=PATIENCE))["params"] for _ in range(6)]
        assert {message["subscription"] for message in told} == {ident}
        assert [message["result"]["id"] for message in told] == [1, 1, 2, 1, 1, 2]
    assert set(asked) == {(1, 1), (2, 1), (3, 1)}  # only what the blocks name


# --- blobs --------------------------------------------------------------------------------------------------


async def test_a_blob_comes_back_as_it_was_put(client: AsyncClient, chain: Any) -> None:
    body = bytes(range(256)) * 5000
    name = await client.put_blob(body)
    assert name == hashlib.sha256(body).hexdigest()
    assert await client.put_blob(body) == name, "again is free"
    assert await client.get_blob(name) == body
    assert await client.get_blob("0x" + name) == body
    async with chain.http.head(f"{chain.url}/blobs/{name}") as response:
        assert (response.status, response.content_length) == (200, len(body))
        assert await response.read() == b""


async def test_a_blob_under_a_wrong_name_is_refused_and_not_kept(client: AsyncClient, chain: Any) -> None:
    wrong = "ab" * 32
    async with chain.http.put(f"{chain.url}/blobs/{wrong}", data=b"other bytes") as response:
        assert response.status == 400
    with pytest.raises(BlobNotFound):
        await client.get_blob(wrong)
    for name in ("x", "AB" * 32, "ab" * 31, "..%2f" + "ab" * 30):
        async with chain.http.get(f"{chain.url}/blobs/{name}") as response:
            assert response.status in (400, 404)


async def test_a_damaged_blob_is_never_served(client: AsyncClient, chain: Any) -> None:
    name = await client.put_blob(b"good")
    store = chain.server._backend.blobs
    await asyncio.to_thread(Path(store._path(name)).write_bytes, b"evil")
    with pytest.raises(BlobError, match="500"):
        await client.get_blob(name)


class TestBounds:
    @pytest.fixture
    def settings(self) -> RpcSettings:
        return RpcSettings(max_blob=1000)

    async def test_a_blob_has_a_size_limit_declared_or_streamed(self, client: AsyncClient, chain: Any) -> None:
        with pytest.raises(BlobTooLarge):
            await client.put_blob(b"x" * 1001)

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(50):
                yield b"x" * 100

        name = hashlib.sha256(b"x" * 5000).hexdigest()
        async with chain.http.put(f"{chain.url}/blobs/{name}", data=chunks()) as response:
            assert response.status == 413


class TestClosed:
    @pytest.fixture
    def settings(self) -> RpcSettings:
        return RpcSettings(accept_blobs=False)

    async def test_a_node_may_accept_no_blobs(self, client: AsyncClient) -> None:
        with pytest.raises(BlobError, match="accepts no blobs"):
            await client.put_blob(b"x")


# --- the client ---------------------------------------------------------------------------------------------


async def test_the_client_raises_what_the_chain_refused(chain: Any, client: AsyncClient) -> None:
    await client.wait_receipt(await client.send_raw(chain.signed()))
    with pytest.raises(NonceTooLow, match="nonce too low"):
        await client.send_raw(chain.signed(value=1))
    assert await client.balance(chain.addresses[5]) == 10_000 * 10**18
    assert await client.batch([("eth_chainId", []), ("net_version", [])]) == ["0x275d5", "161237"]
    assert await client.batch([]) == []


async def test_waiting_for_a_failed_transaction_raises_its_reason(
    chain: Any, client: AsyncClient, counter: Any
) -> None:
    address = (await chain.send(to=None, data=counter.init, gas=300_000))["contractAddress"]
    tx_hash = await client.send_raw(chain.signed(nonce=1, to=bytes.fromhex(address[2:]), gas=100_000))
    with pytest.raises(OpenLedgerError, match="failed in block 2: execution reverted"):
        await client.wait_receipt(tx_hash)


async def test_waiting_ends(client: AsyncClient) -> None:
    with pytest.raises(OpenLedgerError, match="within 0"):
        await client.wait_receipt("0x" + "00" * 32, timeout=0)


def test_a_node_that_is_not_there_is_one_sentence_and_a_hint() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(NodeUnreachable, match="no node answers at") as caught:
        client.call("eth_chainId")
    assert caught.value.hint is not None


async def test_commands_of_one_account_side_by_side_all_get_through(chain: Any) -> None:
    """Each asks for the next nonce by itself, so several get the same one."""
    clients = [AsyncClient(chain.url) for _ in range(4)]
    sent = await asyncio.gather(
        *(client.send_native(chain.secrets[0], DatanetCreate(f"net {n}")) for n, client in enumerate(clients))
    )
    receipts = await asyncio.gather(*(client.wait_receipt(one) for client, one in zip(clients, sent, strict=True)))
    assert sorted(int(r["logs"][0]["topics"][1], 16) for r in receipts) == [1, 2, 3, 4]
    for client in clients:
        await client.close()


async def test_a_nonce_that_is_always_taken_is_an_error_in_the_end(
    client: AsyncClient, chain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[bytes] = []

    async def taken(_client: AsyncClient, raw: bytes) -> str:
        tries.append(raw)
        raise ReplacementUnderpriced("replacement transaction underpriced")

    monkeypatch.setattr(AsyncClient, "send_raw", taken)
    with pytest.raises(ReplacementUnderpriced):
        await client.send_native(chain.secrets[0], DatanetCreate("poems"))
    assert len(tries) == 6


async def test_the_client_without_a_loop_does_the_same(chain: Any) -> None:
    def work() -> tuple[int, str]:
        with Client(chain.url) as client:
            client.wait_receipt(client.send_native(chain.secrets[0], DatanetCreate("poems")))
            assert client.get_blob(client.put_blob(b"bytes")) == b"bytes"
            client.close()
            return client.url.count("http"), "done"

    assert await asyncio.to_thread(work) == (1, "done")


async def test_bytes_that_do_not_fit_their_name_are_refused_by_the_client(client: AsyncClient, chain: Any) -> None:
    name = await client.put_blob(b"good")
    chain.server._backend.blobs.open = lambda _name: io.BytesIO(b"evil")
    with pytest.raises(BlobCorrupt):
        await client.get_blob(name)


def test_the_client_needs_no_database_torch_evm_or_protobuf() -> None:
    code = (
        "import sys, openledger.rpc.client\n"
        "heavy = {'plyvel', 'torch', 'eth', 'google.protobuf', 'numpy'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
