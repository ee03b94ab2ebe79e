"""Calls in processes of their own: what a worker sees is what the node sees, and what takes too much is ended."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from openledger.primitives.errors import CallReverted, StatePruned
from openledger.rpc.backend import RpcSettings
from openledger.rpc.errors import RpcError
from openledger.rpc.workers import wire
from openledger.rpc.workers.pool import WorkerLink
from tests.unit.rpc.conftest import start_chain, stop_chain
from tests.waiting import until

AT = "0x" + "77" * 20
ENDLESS = "0x5b600056"
ANSWER = "0x602a60005260206000f3"
LONG_GAS = "0x1c9c380"

one_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def isolated(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """A chain whose calls run in two processes, with a deadline of 1.5 seconds."""
    settings = RpcSettings(call_workers=2, call_seconds=1.5, proxies=("127.0.0.0/8",))
    running = await start_chain(tmp_path_factory.mktemp("isolated"), settings)
    await running.call("eth_estimateGas", {"to": "0x" + "78" * 20, "data": "0x00"})  # the first process is there
    yield running
    await stop_chain(running)


def with_code(code: str) -> dict[str, Any]:
    return {AT: {"code": code}}


def pool(chain: Any) -> Any:
    return chain.server._workers._pool


def processes(chain: Any) -> list[int]:
    return [link.pid for link in pool(chain)._links if link.ready]


def has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def all_ready(chain: Any) -> None:
    await until(lambda: len(processes(chain)) == 2)


@one_loop
async def test_traces_calls_and_estimates_from_a_worker_are_those_of_the_node(isolated: Any, counter: Any) -> None:
    made = await isolated.send(data=counter.init, to=None, gas=300_000)
    done = await isolated.send(nonce=1, data=b"\1", to=bytes.fromhex(made["contractAddress"][2:]), gas=100_000)
    call = {"to": made["contractAddress"], "data": "0x01", "gas": LONG_GAS, "gasPrice": "0x0"}
    asked = [
        ("eth_estimateGas", call),
        ("eth_createAccessList", call),
        ("debug_traceTransaction", done["transactionHash"], {"tracer": "callTracer"}),
        ("debug_traceTransaction", done["transactionHash"]),
        ("debug_traceBlockByNumber", done["blockNumber"],
         {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}),
        ("debug_traceCall", call, "latest", {"tracer": "callTracer"}),
        ("debug_traceCall", call, done["blockNumber"], {"txIndex": "0x0", "tracer": "prestateTracer"}),
        ("trace_block", done["blockNumber"]),
        ("trace_transaction", done["transactionHash"]),
        ("trace_filter", {"fromBlock": "0x0", "toBlock": "latest", "toAddress": [made["contractAddress"]]}),
        ("ots_getContractCreator", made["contractAddress"]),
        ("ots_traceTransaction", done["transactionHash"]),
        ("ots_getInternalOperations", done["transactionHash"]),
        ("eth_simulateV1", {"blockStateCalls": [{"calls": [call | {"gas": "0xffff"}] * 2}]}, "latest"),
        ("eth_call", {"to": AT, "gas": LONG_GAS, "data": "0x"}, "latest", with_code("0x5a60005260206000f3")),
        ("eth_call", call, made["blockNumber"]),
        ("openledger_listClaims", 1, 10),
        ("openledger_explainReward", "0x" + isolated.addresses[0].hex()),
    ]  # fmt: skip
    apart = [await isolated.ask(*question) for question in asked]
    held, isolated.server._workers._pool = pool(isolated), None
    try:
        here = [await isolated.ask(*question) for question in asked]
    finally:
        isolated.server._workers._pool = held
    for one, other, question in zip(apart, here, asked, strict=True):
        assert {**one, "id": 0} == {**other, "id": 0}, question
        assert "result" in one, (question, one)


@one_loop
async def test_an_endless_call_is_really_stopped_and_others_go_on_meanwhile(
    isolated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the others take longer than the deadline because the machine is busy, it is asked with a longer one."""
    for seconds in (1.5, 6, 24):
        monkeypatch.setattr(pool(isolated), "_seconds", seconds)
        if await others_went_on(isolated, seconds):
            return
    raise AssertionError("the others waited for the endless call")


async def others_went_on(isolated: Any, seconds: float) -> bool:
    """Whether six calls were answered beside an endless one, which is then stopped with its process."""
    await all_ready(isolated)
    before = set(processes(isolated))
    endless = asyncio.create_task(
        isolated.ask("eth_call", {"to": AT, "gas": "0x1c9c380"}, "latest", with_code(ENDLESS))
    )
    await asyncio.sleep(0.05)
    for _ in range(3):
        answer = await isolated.call(
            "eth_call", {"to": AT, "gas": LONG_GAS}, "latest", with_code("0x5a50" + ANSWER[2:])
        )
        assert int(answer, 16) == 42
        assert int(await isolated.call("eth_call", {"to": AT}, "latest", with_code(ANSWER)), 16) == 42
    went_on = not endless.done()
    error = (await endless)["error"]
    assert (error["code"], error["message"]) == (-32000, f"execution aborted (timeout = {seconds:g}s)")
    await all_ready(isolated)
    gone = before - set(processes(isolated))
    assert len(gone) == 1
    pid = gone.pop()
    await until(lambda: has_ended(pid))
    return went_on


@one_loop
async def test_the_event_loop_is_not_held_up_by_eight_endless_calls(isolated: Any) -> None:
    await all_ready(isolated)
    calls = [
        asyncio.create_task(isolated.ask("eth_call", {"to": AT, "gas": LONG_GAS}, "latest", with_code(ENDLESS)))
        for _ in range(8)
    ]
    worst, turns = 0.0, 0
    while not all(call.done() for call in calls):
        before = time.thread_time()  # what this thread computes between two turns: a busy machine adds nothing to it
        await asyncio.sleep(0.005)
        worst, turns = max(worst, time.thread_time() - before), turns + 1
    assert all("timeout" in answer["error"]["message"] for answer in await asyncio.gather(*calls))
    assert worst < 0.3
    assert turns > 10


@one_loop
async def test_endless_calls_of_one_client_leave_a_process_for_others(
    isolated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the others take longer than the deadline because the machine is busy, it is asked with a longer one."""

    async def ask(client: str, code: str) -> Any:
        params = [{"to": AT, "gas": LONG_GAS}, "latest", with_code(code)]
        body = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": params}
        return await isolated.post(body, headers={"X-Forwarded-For": client})

    looks = "0x5a50" + ANSWER[2:]  # at its gas, so it is not run on the event loop
    for seconds in (1.5, 6, 24):
        monkeypatch.setattr(pool(isolated), "_seconds", seconds)
        await all_ready(isolated)
        first = await ask("203.0.113.2", looks)
        flood = [asyncio.create_task(ask("203.0.113.1", ENDLESS)) for _ in range(8)]
        await until(lambda: any(link.job for link in pool(isolated)._links))
        answers = [first] + [await ask("203.0.113.2", looks) for _ in range(5)]
        went_on = not any(task.done() for task in flood)
        assert all("timeout" in answer["error"]["message"] for answer in await asyncio.gather(*flood))
        await until(lambda: not pool(isolated).waiting and not pool(isolated)._waiting._running)
        if went_on and all("result" in answer for answer in answers):
            return
    raise AssertionError("the others waited for the endless calls")


@one_loop
async def test_a_worker_that_is_killed_fails_its_call_only(isolated: Any) -> None:
    await all_ready(isolated)
    call = asyncio.create_task(isolated.ask("eth_call", {"to": AT, "gas": LONG_GAS}, "latest", with_code(ENDLESS)))
    while not (busy := [link for link in pool(isolated)._links if link.job]):  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    os.kill(busy[0].pid, signal.SIGKILL)
    assert (await call)["error"]["code"] == -32603
    await all_ready(isolated)
    assert int(await isolated.call("eth_estimateGas", {"to": AT, "data": "0x00"}), 16) > 21_000


@one_loop
async def test_workers_come_back_once_there_are_open_files_again(
    isolated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await all_ready(isolated)
    refused: list[int] = []

    def none_left() -> Any:
        refused.append(1)
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("openledger.rpc.workers.pool.RESTART_SECONDS", 0.05)
    with monkeypatch.context() as patched:
        patched.setattr("openledger.rpc.workers.pool.socket.socketpair", none_left)
        for pid in processes(isolated):
            os.kill(pid, signal.SIGKILL)
        await until(lambda: len(refused) > 4)
    await all_ready(isolated)


@one_loop
async def test_a_process_above_its_memory_is_ended_with_a_clear_error(isolated: Any) -> None:
    await all_ready(isolated)
    held, pool(isolated)._memory = pool(isolated)._memory, 1024 * 1024
    try:
        error = await isolated.error("eth_call", {"to": AT, "gas": LONG_GAS}, "latest", with_code(ENDLESS))
    finally:
        pool(isolated)._memory = held
    assert error["message"] == "execution aborted (memory above 1 MB)"
    await all_ready(isolated)


def hoard(megabytes: int) -> str:
    """A job that leaves memory behind."""
    return f"from openledger.rpc.workers import wire; wire.KEPT = b'x' * ({megabytes} << 20)"


@one_loop
async def test_a_process_that_keeps_much_memory_after_its_job_makes_room_for_another(
    isolated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await all_ready(isolated)
    before = set(processes(isolated))
    monkeypatch.setattr(pool(isolated), "_seconds", 60)
    monkeypatch.setattr(pool(isolated), "_memory", max(link.memory() for link in pool(isolated)._links) + (80 << 20))
    await pool(isolated).run(exec, hoard(1))
    assert set(processes(isolated)) == before
    await pool(isolated).run(exec, hoard(60))
    await all_ready(isolated)
    assert len(before - set(processes(isolated))) == 1
    assert not any(link.job for link in pool(isolated)._links)


@one_loop
async def test_a_call_whose_client_has_left_ends_too(isolated: Any) -> None:
    await all_ready(isolated)
    job = asyncio.create_task(pool(isolated).run(time.sleep, 30))
    while not any(link.job for link in pool(isolated)._links):  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    job.cancel()
    await asyncio.wait([job])
    await all_ready(isolated)
    assert not any(link.job for link in pool(isolated)._links)


@one_loop
async def test_a_worker_remembers_the_newest_states_and_never_confuses_them(isolated: Any) -> None:
    await all_ready(isolated)
    to = "0x" + "79" * 20
    read = "0x5a50" + "73" + to[2:] + "3160005260206000f3"  # GAS POP, BALANCE of ``to``
    nonce = int(await isolated.call("eth_getTransactionCount", "0x" + isolated.addresses[2].hex(), "latest"), 16)
    found = []
    for step in range(3):
        await isolated.send(2, nonce + step, to=bytes.fromhex(to[2:]), value=1)
        for block in ("latest", "0x0"):
            call = {"to": AT, "gas": LONG_GAS}
            found.append(int(await isolated.call("eth_call", call, block, with_code(read)), 16))
    assert found == [1, 0, 2, 0, 3, 0]


def test_what_a_worker_sends_can_make_objects_of_this_program_only() -> None:
    assert wire.value_from_worker(pickle.dumps({"a": [1, b"x", None]})) == {"a": [1, b"x", None]}
    for bad in (Path("x"), os.system, print, json.loads):
        with pytest.raises(pickle.UnpicklingError):
            wire.value_from_worker(pickle.dumps(bad))
    # what a module of this program has imported, by the module's name or behind a dot
    for module, name in (
        ("openledger.node.processes", "subprocess.Popen"), ("openledger.rpc.workers.pool", "Path"),
        ("openledger.rpc.backend", "Backend.__init__"), ("openledger.state.blobs", "os.PathLike"),
    ):  # fmt: skip
        raw = b"\x80\x04" + b"".join(b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name)) + b"\x93."
        with pytest.raises(pickle.UnpicklingError):
            wire.value_from_worker(raw)


def test_a_message_that_claims_to_be_endless_ends_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    link = WorkerLink(cast("Any", None))
    monkeypatch.setattr(WorkerLink, "kill", lambda _: ended.append("killed"))
    link.data_received(wire.HEAD.pack(wire.MAX_FRAME + 1, wire.DONE) + b"x")
    assert ended == ["killed"]
    assert not link._buffer


def test_errors_arrive_from_a_worker_with_all_that_they_say() -> None:
    reverted = wire.error_of(wire.value_from_worker(wire.pack_error(CallReverted("execution reverted: no", b"\1\2"))))
    assert isinstance(reverted, CallReverted)
    assert (reverted.message, reverted.data) == ("execution reverted: no", b"\1\2")
    pruned = wire.error_of(wire.value_from_worker(wire.pack_error(StatePruned("gone", "ask an archive"))))
    assert isinstance(pruned, StatePruned)
    assert (pruned.message, pruned.hint) == ("gone", "ask an archive")
    refused = wire.error_of(wire.value_from_worker(wire.pack_error(RpcError(-32000, "no", {"a": 1}))))
    assert isinstance(refused, RpcError)
    assert refused.as_json() == {"code": -32000, "message": "no", "data": {"a": 1}}
    fault = wire.error_of(wire.value_from_worker(wire.pack_error(KeyError("x"))))
    assert isinstance(fault, wire.WorkerFault)
