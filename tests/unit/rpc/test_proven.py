"""Records that a node hands out are believed only as far as a block's hash proves them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.records import DATANETS, must_datanet
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.modules.staking.delegations import Delegation, delegation
from openledger.node.proven import ProvenState
from openledger.node.proven_stake import proven_stake
from openledger.primitives.amounts import OPEN
from openledger.primitives.errors import OpenLedgerError, ProofInvalid
from openledger.primitives.types import from_hex, to_hex
from openledger.rpc.client import AsyncClient, Client

NAMES = ("poems", "songs", "tales")


@pytest.fixture
async def client(chain: Any) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(chain.url) as found:
        yield found


@pytest.fixture
async def datanets(chain: Any, client: AsyncClient) -> str:
    """The url of a node that has three datanets, each of a block of its own."""
    for name in NAMES:
        await client.wait_receipt(await client.send_native(chain.secrets[0], DatanetCreate(name)))
    return str(chain.url)


class Liar:
    """A node that changes what it answers."""

    def __init__(self, url: str, edit: Callable[[str, Any], Any] = lambda method, answer: answer) -> None:
        self.client, self.edit = Client(url), edit

    def call(self, method: str, *params: Any) -> Any:
        return self.edit(method, self.client.call(method, *params))

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [self.edit(method, a) for (method, _), a in zip(calls, self.client.batch(calls), strict=True)]


def read(node: Liar, number: int, trusted: bytes | None = None) -> Any:
    """The name of a datanet, None without one."""
    try:
        found = DATANETS.get(ProvenState(node, trusted), number)
        return found.name if found else None
    finally:
        node.client.close()


async def test_a_record_is_read_as_the_block_has_it_and_its_absence_too(datanets: str) -> None:
    assert [await asyncio.to_thread(read, Liar(datanets), n) for n in range(1, 5)] == [*NAMES, None]


async def test_a_trusted_hash_decides_which_state_is_read(datanets: str, client: AsyncClient) -> None:
    older = await client.call("eth_getBlockByNumber", "0x2", False)
    trusted = from_hex(older["hash"], 32)
    assert await asyncio.to_thread(read, Liar(datanets), 2, trusted) == "songs"
    assert await asyncio.to_thread(read, Liar(datanets), 3, trusted) is None
    with pytest.raises(ProofInvalid, match="knows no block"):
        await asyncio.to_thread(read, Liar(datanets), 2, bytes(32))


def another_record(method: str, answer: Any) -> Any:
    edited = method == "openledger_getRecord" and answer is not None
    return answer.replace(b"poems".hex(), b"pxems".hex()) if edited else answer


def no_record(method: str, answer: Any) -> Any:
    return None if method == "openledger_getRecord" else answer


def another_proof(method: str, answer: Any) -> Any:
    if method == "eth_getProof":
        answer["storageProof"][0]["proof"] = answer["storageProof"][0]["proof"][:-1]
    return answer


def another_account(method: str, answer: Any) -> Any:
    if method == "eth_getProof":
        answer["accountProof"] = answer["accountProof"][1:]
    return answer


def another_root(method: str, answer: Any) -> Any:
    return answer | {"stateRoot": "0x" + "11" * 32} if method.startswith("eth_getBlock") else answer


def no_header(method: str, answer: Any) -> Any:
    return {"hash": answer["hash"]} if method.startswith("eth_getBlock") else answer


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (another_record, "record datanet .* is not the one that block 3 commits to"),
        (no_record, "record datanet .* is not the one that block 3 commits to"),
        (another_proof, "lead up to the root"),
        (another_account, "lead up to the root"),
        (another_root, "header is not that of block"),
        (no_header, "no header that can be read"),
    ],
)
async def test_a_node_that_lies_is_found_out(
    datanets: str, client: AsyncClient, lie: Callable[[str, Any], Any], said: str
) -> None:
    head = await client.call("eth_getBlockByNumber", "latest", False)
    with pytest.raises(ProofInvalid, match=said):
        await asyncio.to_thread(read, Liar(datanets, lie), 1, from_hex(head["hash"], 32))


async def test_what_cannot_be_proved_is_not_told(datanets: str) -> None:
    def ask() -> None:
        node = Liar(datanets)
        state = ProvenState(node)
        assert must_datanet(state, 1).name == "poems"
        try:
            for attempt in (
                lambda: state.records(bytes(20), b""), lambda: state.account(bytes(20)),
                lambda: state.storage(bytes(20), 0), lambda: state.has_storage(bytes(20)),
                lambda: state.code(bytes(32)),
            ):  # fmt: skip
                with pytest.raises(OpenLedgerError):
                    attempt()
        finally:
            node.client.close()

    await asyncio.to_thread(ask)


async def test_what_fresh_stake_has_earned_is_proved_without_any_list(chain: Any, client: AsyncClient) -> None:
    (seat,) = await client.call("openledger_listValidators")
    action = StakeDelegate(from_hex(seat["operator"], 20), 5 * OPEN)
    await client.wait_receipt(await client.send_native(chain.secrets[1], action))

    def ask() -> tuple[int, Delegation]:
        node = Liar(str(chain.url))
        try:
            state, address = ProvenState(node), from_hex(seat["address"], 20)
            return proven_stake(state, chain.addresses[1], [address]), delegation(state, chain.addresses[1], address)
        finally:
            node.client.close()

    earned, held = await asyncio.to_thread(ask)
    assert held.fresh == 5 * OPEN
    assert (
        earned == int((await client.call("openledger_explainReward", to_hex(chain.addresses[1])))["staking"], 16) == 0
    )
