"""JSON-RPC 2.0 as this server speaks it: single requests, batches, notifications, and everything malformed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from openledger.primitives.errors import CallReverted, NonceTooLow
from openledger.rpc import dispatch
from openledger.rpc.dispatch import Dispatcher
from openledger.rpc.errors import RESPONSE_TOO_LARGE, method_not_found
from openledger.rpc.params import LATEST, AddressArg, BlockArg, NumberArg


class Sample:
    """A namespace with one method of every sort."""

    def plain(self) -> str:
        return "0x1"

    async def slow_answer(self) -> str:
        return "0x2"

    def get_balance(self, address: AddressArg, block: BlockArg = LATEST) -> list[str]:
        return [address.hex(), block.tag]

    def numbers(self, first: NumberArg = 7, second: NumberArg = 8) -> list[int]:
        return [first, second]

    def refused(self) -> None:
        raise NonceTooLow("nonce too low", "ask for the next one")

    def reverted(self) -> None:
        raise CallReverted("execution reverted: no", b"\x01\x02")

    def broken(self) -> None:
        raise KeyError("a fault of the program")

    def who(self, *, session: object = None) -> str:
        return "socket" if session is not None else "http"

    def _secret(self) -> str:
        return "never"


@pytest.fixture
def dispatcher() -> Dispatcher:
    return Dispatcher([("test", Sample())], max_batch=3, max_depth=8)


async def ask(dispatcher: Dispatcher, request: Any, session: object = None) -> Any:
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    answer = await dispatcher.answer(body, session)
    return None if answer is None else json.loads(answer)


def request(method: str, *params: Any, ident: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": ident, "method": method, "params": list(params)}


async def test_a_result_carries_the_id_it_was_asked_with(dispatcher: Dispatcher) -> None:
    for ident in (0, 1, "text", None):
        answer = await ask(dispatcher, request("test_plain", ident=ident))
        assert answer == {"jsonrpc": "2.0", "id": ident, "result": "0x1"}


async def test_methods_may_be_coroutines(dispatcher: Dispatcher) -> None:
    assert (await ask(dispatcher, request("test_slowAnswer")))["result"] == "0x2"


async def test_an_unknown_method_is_32601_in_geths_words(dispatcher: Dispatcher) -> None:
    error = (await ask(dispatcher, request("eth_nothing")))["error"]
    assert error == {"code": -32601, "message": "the method eth_nothing does not exist/is not available"}


@pytest.mark.parametrize("name", ["anvil_setBalance", "evm_mine", "hardhat_metadata"])
def test_who_takes_a_network_for_a_devnet_reads_where_such_methods_are(name: str) -> None:
    error = method_not_found(name).as_json()
    assert error["code"] == -32601
    assert error["message"] == f"the method {name} does not exist/is not available"
    assert "a devnet of one validator" in error["data"]["hint"]


@pytest.mark.parametrize("name", ["test__secret", "test_secret", "test_", "_secret", "test___init__", "test_Secret"])
async def test_a_private_name_can_never_be_reached(dispatcher: Dispatcher, name: str) -> None:
    assert (await ask(dispatcher, request(name)))["error"]["code"] == -32601


async def test_missing_and_superfluous_arguments_are_32602(dispatcher: Dispatcher) -> None:
    missing = (await ask(dispatcher, request("test_getBalance")))["error"]
    assert missing == {"code": -32602, "message": "missing value for required argument 0"}
    many = (await ask(dispatcher, request("test_plain", 1)))["error"]
    assert many == {"code": -32602, "message": "too many arguments, want at most 0"}


async def test_a_malformed_argument_is_named_by_its_place(dispatcher: Dispatcher) -> None:
    error = (await ask(dispatcher, request("test_getBalance", "0x12")))["error"]
    assert error["code"] == -32602
    assert error["message"].startswith("invalid argument 0: not an address")
    block = (await ask(dispatcher, request("test_getBalance", "0x" + "11" * 20, "newest")))["error"]
    assert block["message"].startswith("invalid argument 1: ")


async def test_null_for_an_optional_argument_means_its_default(dispatcher: Dispatcher) -> None:
    assert (await ask(dispatcher, request("test_numbers", None, 3)))["result"] == [7, 3]
    assert (await ask(dispatcher, request("test_numbers", 1, None)))["result"] == [1, 8]


async def test_named_parameters_are_refused(dispatcher: Dispatcher) -> None:
    answer = await ask(dispatcher, {"jsonrpc": "2.0", "id": 1, "method": "test_plain", "params": {"a": 1}})
    assert answer["error"] == {"code": -32602, "message": "non-array args"}


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b'{"a":NaN}', b"\xff\xfe", b"[1,", b'"' + b"1" * 20])
async def test_bytes_that_are_not_json_are_32700_with_a_null_id(dispatcher: Dispatcher, body: bytes) -> None:
    answer = await ask(dispatcher, body)
    assert answer["error"]["code"] == -32700
    assert answer["id"] is None


@pytest.mark.parametrize(
    "body", [1, "text", None, True, {}, {"id": 1}, {"jsonrpc": "2.0", "id": 1},
             {"jsonrpc": "1.0", "id": 1, "method": "x"},
             {"jsonrpc": "2.0", "id": 1, "method": 5}, {"jsonrpc": "2.0", "id": {}, "method": "test_plain"}],
)  # fmt: skip
async def test_json_that_is_no_request_is_32600(dispatcher: Dispatcher, body: Any) -> None:
    assert (await ask(dispatcher, body))["error"]["code"] == -32600


async def test_a_batch_is_answered_in_order_and_one_bad_entry_spoils_only_itself(dispatcher: Dispatcher) -> None:
    answers = await ask(dispatcher, [request("test_plain", ident=1), 5, request("nothing_here", ident=3)])
    assert [a["id"] for a in answers] == [1, None, 3]
    assert answers[0]["result"] == "0x1"
    assert [a["error"]["code"] for a in answers[1:]] == [-32600, -32601]


async def test_an_empty_and_a_too_large_batch_are_32600(dispatcher: Dispatcher) -> None:
    assert (await ask(dispatcher, []))["error"] == {"code": -32600, "message": "empty batch"}
    answer = await ask(dispatcher, [request("test_plain")] * 4)
    assert answer["error"] == {"code": -32600, "message": "batch too large: 4 requests, limit 3"}


async def test_notifications_get_no_answer(dispatcher: Dispatcher) -> None:
    note = {"jsonrpc": "2.0", "method": "test_plain"}
    assert await ask(dispatcher, note) is None
    assert await ask(dispatcher, [note, note]) is None
    assert await ask(dispatcher, {"jsonrpc": "2.0", "method": "test_unknown"}) is None
    assert len(await ask(dispatcher, [note, request("test_plain")])) == 1


async def test_deep_nesting_is_refused_and_many_shallow_brackets_are_not(dispatcher: Dispatcher) -> None:
    deep = b'{"jsonrpc":"2.0","id":1,"method":"test_plain","params":' + b"[" * 50 + b"]" * 50 + b"}"
    assert (await ask(dispatcher, deep))["error"]["code"] == -32600
    endless = b"[" * 200_000 + b"]" * 200_000
    assert (await ask(dispatcher, endless))["error"]["code"] == -32600
    wide = {"jsonrpc": "2.0", "id": 1, "method": "test_plain", "params": [[]] * 50}
    assert (await ask(dispatcher, wide))["error"]["code"] == -32602
    text = {"jsonrpc": "2.0", "id": "[" * 50, "method": "test_plain"}
    assert (await ask(dispatcher, text))["result"] == "0x1"


async def test_a_refusal_of_the_chain_keeps_its_code_message_number_and_hint(dispatcher: Dispatcher) -> None:
    error = (await ask(dispatcher, request("test_refused")))["error"]
    assert error == {
        "code": -32000,
        "message": "nonce too low",
        "data": {"code": 3, "hint": "ask for the next one"},
    }


async def test_a_revert_is_code_3_with_its_data(dispatcher: Dispatcher) -> None:
    error = (await ask(dispatcher, request("test_reverted")))["error"]
    assert error == {"code": 3, "message": "execution reverted: no", "data": "0x0102"}


async def test_a_fault_is_32603_tells_nothing_and_spares_the_other_callers(
    dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    error = (await ask(dispatcher, request("test_broken")))["error"]
    assert error["code"] == -32603
    assert "fault of the program" not in json.dumps(error)
    assert "fault in test_broken" in caplog.text
    assert (await ask(dispatcher, request("test_plain")))["result"] == "0x1"


async def test_a_method_may_know_its_connection(dispatcher: Dispatcher) -> None:
    assert (await ask(dispatcher, request("test_who")))["result"] == "http"
    assert (await ask(dispatcher, request("test_who"), session=object()))["result"] == "socket"


async def test_calls_and_failures_are_counted(dispatcher: Dispatcher) -> None:
    await ask(dispatcher, request("test_plain"))
    await ask(dispatcher, request("test_refused"))
    await ask(dispatcher, request("x"))
    assert dispatcher.calls["test_plain"] == 1
    assert dispatcher.failures == {"test_refused": 1, "unknown": 1}


def test_two_namespaces_cannot_define_the_same_method() -> None:
    with pytest.raises(ValueError, match="twice"):
        Dispatcher([("test", Sample()), ("test", Sample())])


class Sends:
    """Sends that wait for something which comes when all are there, as one fsync does."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.all_here = asyncio.Event()

    async def send_raw_transaction(self, raw: str) -> str:
        self.order.append(raw)
        if raw == "bad":
            raise NonceTooLow("nonce too low")
        if len(self.order) == 4:
            self.all_here.set()
        await asyncio.wait_for(self.all_here.wait(), 5)
        return raw

    def block_number(self) -> int:
        return len(self.order)


async def test_sends_of_a_batch_wait_together_and_what_follows_sees_them() -> None:
    sends = Sends()
    dispatcher = Dispatcher([("eth", sends)], max_batch=9)
    batch = [request("eth_sendRawTransaction", raw, ident=i) for i, raw in enumerate(["a", "bad", "b", "c"])]
    answers = await ask(dispatcher, [request("eth_blockNumber", ident=9), *batch, request("eth_blockNumber", ident=10)])
    assert sends.order == ["a", "bad", "b", "c"]
    assert [answer["id"] for answer in answers] == [9, 0, 1, 2, 3, 10]
    assert [answer.get("result") for answer in answers] == [0, "a", None, "b", "c", 4]
    assert "nonce too low" in answers[2]["error"]["message"]


async def test_what_all_batches_gather_is_bounded_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "MOST_GATHERED", 1_000)
    gate = asyncio.Event()

    class Large:
        def text(self) -> str:
            return "x" * 600

        async def wait(self) -> None:
            await gate.wait()

    dispatcher = Dispatcher([("test", Large())])
    waiting = asyncio.create_task(ask(dispatcher, [request("test_text"), request("test_wait")]))
    await asyncio.sleep(0.01)
    other = await ask(dispatcher, [request("test_text"), request("test_text"), request("test_wait")])
    assert [answer.get("error", {}).get("code") for answer in other] == [None, RESPONSE_TOO_LARGE, RESPONSE_TOO_LARGE]
    gate.set()
    assert ["result" in answer for answer in await waiting] == [True, True]
    assert ["result" in answer for answer in await ask(dispatcher, [request("test_text")])] == [True]
    assert dispatcher._gathered == 0
