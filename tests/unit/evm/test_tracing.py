"""Tracers: geth's forms, its accounting, its words; nothing that is traced is kept."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from eth_abi.abi import encode

from openledger.evm.engine import CallMessage
from openledger.evm.precompiles import NativeAnswer
from openledger.evm.pyevm import PyEvmEngine
from openledger.evm.reasons import ERROR_SELECTOR
from openledger.evm.tracing.opcodes import NAMES, opcode_name
from openledger.evm.tracing.tracer import TraceBounds
from openledger.primitives.errors import CallFailed, NonceTooLow
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import DATANETS_ADDRESS, to_hex

ALICE, BOB, COINBASE = b"\xa1" * 20, b"\xb0" * 20, b"\xc0" * 20
LEAF, ROOT = b"\x1e" * 20, b"\x1f" * 20
STORE = bytes.fromhex("602a60015560015460005260206000f3")  # slot 1 := 42; return slot 1


@pytest.fixture
def run(world: Any, tx: Any) -> Any:
    """Trace a transaction of Alice to Bob, or a call with ``call=True``."""

    def go(tracer: str = "", *, bounds: TraceBounds | None = None, call: bool = False, **fields: Any) -> Any:
        config = fields.pop("config", {})
        made = CallMessage(**{"sender": ALICE, "to": BOB, "gas": 1_000_000, **fields}) if call else tx(**fields)
        return world.engine.trace(world.env, (), made, world.state, tracer, config, bounds or TraceBounds())

    return go


def calling(target: bytes, opcode: str = "f1", value: int = 0, data: int = 0) -> bytes:
    """Code that calls ``target`` with ``data`` bytes of memory and stops."""
    words = [0, 0, data, 0] + ([value] if opcode in ("f1", "f2") else [])
    pushes = b"".join(b"\x60" + bytes([w]) for w in words)
    return pushes + b"\x73" + target + b"\x5a" + bytes.fromhex(opcode) + b"\x00"


def test_the_struct_log_has_an_entry_for_each_opcode(world: Any, run: Any) -> None:
    world.state.put(BOB, 1, 0, STORE)
    found = run()
    assert found["failed"] is False
    assert found["returnValue"] == "0x" + "00" * 31 + "2a"
    assert found["gas"] == world.run().gas_used
    logs = found["structLogs"]
    assert [(e["pc"], e["op"]) for e in logs] == [
        (0, "PUSH1"), (2, "PUSH1"), (4, "SSTORE"), (5, "PUSH1"), (7, "SLOAD"), (8, "PUSH1"), (10, "MSTORE"),
        (11, "PUSH1"), (13, "PUSH1"), (15, "RETURN"),
    ]  # fmt: skip
    assert [e["gasCost"] for e in logs] == [3, 3, 22_100, 3, 100, 3, 6, 3, 3, 0]
    assert all(e["depth"] == 1 for e in logs)
    assert logs[0]["gas"] == 1_000_000 - 21_000
    assert logs[2]["stack"] == ["0x2a", "0x1"]
    slot = {"0x" + "00" * 31 + "01": "0x" + "00" * 31 + "2a"}
    assert (logs[2]["storage"], logs[4]["storage"]) == (slot, slot)
    assert "memory" not in logs[9]


def test_the_options_of_the_struct_log_turn_parts_off_and_on(world: Any, run: Any) -> None:
    world.state.put(BOB, 1, 0, STORE)
    bare = run(config={"disableStack": True, "disableStorage": True})["structLogs"]
    assert set(bare[2]) == {"pc", "op", "gas", "gasCost", "depth"}
    full = run(config={"enableMemory": True})["structLogs"]
    assert full[9]["memory"] == ["0x" + "00" * 31 + "2a"]
    assert len(run(config={"limit": 200})["structLogs"]) < 4
    world.state.put(LEAF, 1, 0, bytes.fromhex("602a60005260206000f3"))
    world.state.put(BOB, 1, 0, calling(LEAF))
    after = run(config={"enableReturnData": True})["structLogs"][-1]
    assert after["returnData"] == "0x" + "00" * 31 + "2a"


def test_a_call_costs_what_it_hands_over_and_its_callee_stands_behind_it(world: Any, run: Any) -> None:
    world.state.put(LEAF, 1, 0, b"\x58\x00")
    world.state.put(BOB, 1, 0, calling(LEAF))
    logs = run()["structLogs"]
    place = next(i for i, e in enumerate(logs) if e["op"] == "CALL")
    call, first = logs[place], logs[place + 1]
    left = call["gas"] - 2_600
    assert call["gasCost"] == 2_600 + left - left // 64
    assert (first["op"], first["depth"], first["gas"]) == ("PC", 2, left - left // 64)
    assert logs[-1]["gas"] == call["gas"] - 2_600 - 2


def test_a_creation_costs_without_the_gas_of_its_frame(world: Any, run: Any) -> None:
    world.state.put(BOB, 1, 0, bytes.fromhex("600060006000f000"))
    logs = run()["structLogs"]
    create = next(e for e in logs if e["op"] == "CREATE")
    assert create["gasCost"] == 32_000
    assert logs[-1]["gas"] == create["gas"] - 32_000


def test_an_opcode_that_cannot_run_says_why(world: Any, run: Any) -> None:
    world.state.put(BOB, 1, 0, b"\x01")
    found = run()
    assert (found["failed"], found["structLogs"][0]["error"]) == (True, "stack underflow")
    world.state.put(BOB, 1, 0, STORE)
    short = run(gas=21_020)
    assert (short["failed"], short["gas"], short["returnValue"]) == (True, 21_020, "0x")
    assert short["structLogs"][-1]["error"] == "out of gas"
    world.state.put(BOB, 1, 0, b"\xfe")
    assert "error" not in run()["structLogs"][0]


def test_refunds_are_counted_and_undone_with_their_frame(world: Any, run: Any) -> None:
    world.state.put(LEAF, 1, 0, bytes.fromhex("6000600155600080fd"))
    world.state.slots[LEAF] = {1: 5}
    world.state.put(BOB, 1, 0, calling(LEAF))
    logs = run()["structLogs"]
    inner = [e for e in logs if e["depth"] == 2]
    assert [e.get("refund", 0) for e in inner] == [0, 0, 4_800, 4_800, 4_800, 4_800], "an SSTORE has its own"
    assert "refund" not in logs[-1]


def test_the_call_tracer_nests_calls_with_their_kinds(world: Any, run: Any) -> None:
    world.state.put(LEAF, 1, 0, STORE)
    code = b"".join(calling(LEAF, op, data=4)[:-1] for op in ("f1", "f2", "f4", "fa"))
    world.state.put(BOB, 1, 7, code + b"\0")
    top = run("callTracer", value=3)
    assert (top["type"], top["from"], top["to"], top["value"]) == ("CALL", to_hex(ALICE), to_hex(BOB), "0x3")
    assert (top["gas"], top["gasUsed"]) == (hex(1_000_000), hex(world.run(value=3).gas_used))
    kinds = [c["type"] for c in top["calls"]]
    assert kinds == ["CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"]
    assert all((c["from"], c["to"], c["input"]) == (to_hex(BOB), to_hex(LEAF), "0x00000000") for c in top["calls"])
    assert [c.get("value") for c in top["calls"]] == ["0x0", "0x0", "0x3", None]
    assert top["calls"][0]["output"] == "0x" + "00" * 31 + "2a"
    assert top["calls"][3]["error"] == "write protection"
    assert top["calls"][3]["gasUsed"] == top["calls"][3]["gas"]
    assert "output" not in top


def test_a_revert_has_its_reason(world: Any, run: Any) -> None:
    data = ERROR_SELECTOR + encode(["string"], ["too few rows"])
    words = [data[i : i + 32].ljust(32, b"\0") for i in range(0, len(data), 32)]
    stores = b"".join(b"\x7f" + w + b"\x60" + bytes([32 * i]) + b"\x52" for i, w in enumerate(words))
    world.state.put(LEAF, 1, 0, stores + b"\x60" + bytes([len(data)]) + b"\x60\0\xfd")
    world.state.put(BOB, 1, 0, calling(LEAF))
    inner = run("callTracer")["calls"][0]
    assert (inner["error"], inner["revertReason"]) == ("execution reverted", "too few rows")
    assert inner["output"] == to_hex(data)
    assert "error" not in run("callTracer")


def test_frames_that_never_began_are_shown_with_their_error(world: Any, run: Any) -> None:
    world.state.put(BOB, 1, 0, calling(LEAF, value=9) + b"")
    (poor,) = run("callTracer")["calls"]
    assert (poor["error"], poor["value"], poor["gasUsed"]) == ("insufficient balance for transfer", "0x9", "0x0")
    world.state.put(BOB, 1, 0, bytes.fromhex("600060006009f000"))
    (create,) = run("callTracer")["calls"]
    assert (create["type"], create["error"]) == ("CREATE", "insufficient balance for transfer")
    assert "to" not in create
    taken = keccak256(b"\xff" + BOB + bytes(32) + keccak256(b""))[12:]
    world.state.put(taken, 1, 0, b"\x00")
    world.state.put(BOB, 1, 0, bytes.fromhex("6000600060006000f500"))
    (collision,) = run("callTracer")["calls"]
    assert (collision["error"], collision["gas"]) == ("contract address collision", collision["gasUsed"])


def test_a_creation_of_too_much_initcode_fails_its_creator_and_is_no_frame(world: Any, run: Any) -> None:
    world.state.put(LEAF, 1, 0, bytes.fromhex("61c0015f5ff000"))
    world.state.put(BOB, 1, 0, calling(LEAF))
    found = run("callTracer")
    assert (found["from"], found["to"], "error" in found) == (to_hex(ALICE), to_hex(BOB), False)
    (leaf,) = found["calls"]
    assert (leaf["from"], leaf["to"], leaf["error"], "calls" in leaf) == (
        to_hex(BOB),
        to_hex(LEAF),
        "out of gas",
        False,
    )
    assert leaf["gasUsed"] == leaf["gas"]
    logs = run()["structLogs"]
    assert [(e["op"], e["depth"], "error" in e) for e in logs[-3:]] == [
        ("PUSH0", 2, False), ("CREATE", 2, True), ("STOP", 1, False),
    ]  # fmt: skip


def test_selfdestruct_is_shown_as_a_frame(world: Any, run: Any) -> None:
    world.state.put(BOB, 1, 5, b"\x73" + LEAF + b"\xff")
    (gone,) = run("callTracer")["calls"]
    assert gone == {
        "type": "SELFDESTRUCT", "from": to_hex(BOB), "to": to_hex(LEAF), "value": "0x5", "gas": "0x0", "gasUsed": "0x0",
        "input": "0x",
    }  # fmt: skip


def test_creations_show_their_code_and_what_went_wrong(world: Any, run: Any) -> None:
    init = bytes.fromhex("60fe60005360016000f3")
    made = run("callTracer", to=None, data=init)
    assert (made["type"], made["input"], made["output"]) == ("CREATE", to_hex(init), "0xfe")
    short = run("callTracer", to=None, data=init, gas=53_000 + 2 + 16 * 7 + 4 * 3 + 100)
    assert short["error"] == "contract creation code storage out of gas"


def test_logs_are_shown_with_their_place_and_go_with_a_failed_frame(world: Any, run: Any) -> None:
    log = bytes.fromhex("60aa60005260076020" + "6000" + "a1")
    world.state.put(LEAF, 1, 0, log + b"\0")
    world.state.put(ROOT, 1, 0, log + b"\xfe")
    code = log + calling(LEAF)[:-1] + calling(ROOT)[:-1] + log
    world.state.put(BOB, 1, 0, code + b"\0")
    assert "logs" not in run("callTracer")
    top = run("callTracer", config={"withLog": True})
    assert [(e["position"], e["index"]) for e in top["logs"]] == [("0x0", "0x0"), ("0x2", "0x2")]
    assert top["calls"][0]["logs"][0] == {
        "address": to_hex(LEAF), "topics": ["0x" + "00" * 31 + "07"], "data": "0x" + "00" * 31 + "aa",
        "position": "0x0", "index": "0x1",
    }  # fmt: skip
    assert "logs" not in top["calls"][1]
    only = run("callTracer", config={"withLog": True, "onlyTopCall": True})
    assert "calls" not in only
    assert len(only["logs"]) == 2


def test_the_prestate_is_what_was_there_before(world: Any, run: Any) -> None:
    world.state.put(BOB, 1, 0, STORE)
    world.state.slots[BOB] = {1: 5}
    found = run("prestateTracer", value=1)
    rich = world.balance(ALICE)
    assert found == {
        to_hex(ALICE): {"balance": hex(rich)},
        to_hex(BOB): {
            "balance": "0x0", "nonce": 1, "code": to_hex(STORE), "codeHash": to_hex(keccak256(STORE)),
            "storage": {"0x" + "00" * 31 + "01": "0x" + "00" * 31 + "05"},
        },
    }  # fmt: skip
    bare = run("prestateTracer", config={"disableCode": True, "disableStorage": True, "includeEmpty": True})
    assert bare[to_hex(BOB)] == {"balance": "0x0", "nonce": 1, "codeHash": to_hex(keccak256(STORE))}
    assert bare[to_hex(COINBASE)] == {"balance": "0x0"}


def test_the_diff_mode_says_what_changed(world: Any, run: Any) -> None:
    world.state.put(BOB, 1, 0, STORE)
    found = run("prestateTracer", config={"diffMode": True}, value=1)
    before = world.balance(ALICE)
    result = world.run(value=1)
    assert found["post"] == {
        to_hex(ALICE): {"balance": hex(world.balance(ALICE)), "nonce": 1},
        to_hex(BOB): {"balance": "0x1", "storage": {"0x" + "00" * 31 + "01": "0x" + "00" * 31 + "2a"}},
        to_hex(COINBASE): {"balance": hex(world.balance(COINBASE))},
    }
    assert world.balance(COINBASE) == result.gas_used * 2
    assert found["pre"][to_hex(ALICE)] == {"balance": hex(before)}
    assert "storage" not in found["pre"][to_hex(BOB)]
    assert to_hex(COINBASE) not in found["pre"]
    with pytest.raises(CallFailed, match="diffMode"):
        run("prestateTracer", config={"diffMode": True, "includeEmpty": True}, nonce=1)


def test_the_four_byte_tracer_counts_selectors_but_not_of_precompiles(world: Any, run: Any) -> None:
    class Echo:
        def answer(self, state: Any, data: bytes, gas: int) -> NativeAnswer:
            return NativeAnswer(True, 10, data)

    world.engine = PyEvmEngine(precompiles={DATANETS_ADDRESS: Echo()})
    world.state.put(LEAF, 1, 0, b"\0")
    code = calling(LEAF, data=36)[:-1] + calling(LEAF, data=36)[:-1] + calling(DATANETS_ADDRESS, data=9)[:-1]
    world.state.put(BOB, 1, 0, code + b"\0")
    assert run("4byteTracer", data=b"\1\2\3\4") == {"0x01020304-0": 1, "0x00000000-32": 2}
    calls = run("callTracer")["calls"]
    assert (calls[2]["to"], calls[2]["gasUsed"], calls[2]["output"]) == (
        to_hex(DATANETS_ADDRESS),
        "0xa",
        "0x" + "00" * 9,
    )
    assert run("noopTracer") == {}


def test_a_bundler_sees_of_each_frame_what_erc_7562_asks_for(world: Any, run: Any) -> None:
    """The same as geth 1.17.10 gives, which was compared over transactions and calls of all kinds."""
    world.state.put(LEAF, 1, 0, b"\0")
    code = "5a50" + "73" + LEAF.hex() + "3b1550" + "73" + ROOT.hex() + "3f50"  # GAS; EXTCODESIZE ISZERO; EXTCODEHASH
    code += "60055450" + "6007600555" + "60055450" + "60015c50" + "600260015d" + "602060002050"
    world.state.put(BOB, 1, 0, bytes.fromhex(code) + calling(LEAF))
    world.state.slots[BOB] = {5: 9}
    slot = {number: f"0x{number:064x}" for number in (1, 5, 9)}
    found = run("erc7562Tracer")
    assert found["usedOpcodes"] == {
        "0x5a": 1, "0x3b": 1, "0x3f": 1, "0x54": 2, "0x55": 1, "0x5c": 1, "0x5d": 1, "0x20": 1, "0xf1": 1, "0x0": 1,
    }, "GAS counts where no call follows"  # fmt: skip
    assert found["accessedSlots"] == {
        "reads": {slot[5]: [slot[9]]}, "writes": {slot[5]: 1},
        "transientReads": {slot[1]: 1}, "transientWrites": {slot[1]: 1},
    }  # fmt: skip
    assert found["extCodeAccessInfo"] == [to_hex(ROOT)], "asking whether there is code is allowed"
    assert found["contractSize"] == {
        to_hex(LEAF): {"contractSize": 1, "opcode": 0x3B}, to_hex(ROOT): {"contractSize": 0, "opcode": 0x3F},
    }  # fmt: skip
    assert found["keccak"] == ["0x" + "00" * 32]
    assert found["outOfGas"] is False
    callee = found["calls"][0]
    assert (callee["to"], callee["usedOpcodes"], callee["contractSize"]) == (to_hex(LEAF), {"0x0": 1}, {})
    every = run("erc7562Tracer", config={"ignoredOpcodes": []})["usedOpcodes"]
    assert every["0x50"] == 7
    for wrong in ("0x5a", [90], ["x"]):
        with pytest.raises(CallFailed, match="ignoredOpcodes"):
            run("erc7562Tracer", config={"ignoredOpcodes": wrong})
    hashed = {to_hex(keccak256(bytes(32))): "0x" + "00" * 32}
    assert run("keccak256PreimageTracer") == hashed
    assert run("muxTracer", config={"keccak256PreimageTracer": {}}) == {"keccak256PreimageTracer": hashed}


def test_a_frame_that_runs_out_of_gas_and_code_made_on_the_way_are_seen(world: Any, run: Any) -> None:
    world.state.put(LEAF, 1, 0, bytes.fromhex("5b600056"))
    world.state.put(BOB, 1, 0, calling(LEAF).replace(b"\x5a\xf1", b"\x61\x10\x00\xf1"))
    assert [call["outOfGas"] for call in run("erc7562Tracer")["calls"]] == [True]
    # CREATE with code that returns two bytes of memory, then EXTCODESIZE of what it made
    world.state.put(BOB, 1, 0, bytes.fromhex("6460026000f3600052" + "6005601b6000f0" + "3b00"))
    made = run("erc7562Tracer")
    address = made["calls"][0]["to"]
    assert made["contractSize"] == {address: {"contractSize": 2, "opcode": 0x3B}}


def test_a_trace_leaves_the_state_as_it_was_and_gives_what_the_run_gives(world: Any, run: Any, tx: Any) -> None:
    world.state.put(BOB, 1, 0, STORE)
    before = world.state.root()
    assert run("callTracer")["gasUsed"] == hex(world.batch([tx()]).results[0].gas_used)
    assert world.state.root() == before
    second = world.engine.trace(world.env, [tx()], tx(nonce=1), world.state, "", {}, TraceBounds())
    assert second["structLogs"][2]["gasCost"] == 2_200
    with pytest.raises(NonceTooLow):
        world.engine.trace(world.env, [tx()], tx(), world.state, "", {}, TraceBounds())


def test_a_call_can_be_traced_without_nonce_or_price(world: Any, run: Any) -> None:
    world.state.put(BOB, 1, 0, STORE)
    found = run("callTracer", call=True)
    assert (found["gas"], found["output"]) == (hex(1_000_000), "0x" + "00" * 31 + "2a")


def test_bounds_of_steps_size_and_time_end_a_trace(world: Any, run: Any) -> None:
    world.state.put(BOB, 1, 0, bytes.fromhex("5b600056"))
    for bounds, words in (
        (TraceBounds(steps=1000), "more than 1000 steps"),
        (TraceBounds(size=10_000), "larger than 10000 bytes"),
        (TraceBounds(expired=lambda: True), "execution timeout"),
    ):
        with pytest.raises(CallFailed, match=words):
            run(bounds=bounds)


def test_what_looks_at_code_again_and_again_tells_of_it_within_the_bound(world: Any, run: Any) -> None:
    world.state.put(BOB, 1, 0, bytes.fromhex("5b30" + "3b50" + "600056"))
    with pytest.raises(CallFailed, match="larger than 10000 bytes"):
        run("erc7562Tracer", bounds=TraceBounds(size=10_000))


@pytest.mark.parametrize(
    ("tracer", "config", "words"),
    [
        ("{step: function() {}}", {}, "tracer not found"),
        ("callTracer", {"withLog": 1}, "withLog is true or false"),
        ("", {"limit": "x"}, "limit is a number"),
    ],
)
def test_unknown_tracers_and_options_of_another_type_are_refused(
    run: Any, tracer: str, config: Any, words: str
) -> None:
    with pytest.raises(CallFailed, match=words):
        run(tracer, config=config)


def test_a_thousand_nested_calls_are_traced(world: Any, run: Any) -> None:
    """A contract that calls itself until depth or gas ends it."""
    world.state.put(BOB, 1, 0, bytes.fromhex("60006000600060006000305af100"))
    world.env = dataclasses.replace(world.env, gas_limit=2**38)
    frame, depth = run("callTracer", gas=2**38), 0
    while frame.get("calls"):
        frame, depth = frame["calls"][0], depth + 1
    assert depth == 1025
    assert frame["error"] == "max call depth exceeded"


def test_every_opcode_of_the_fork_has_its_name() -> None:
    from eth.vm.forks.prague.opcodes import PRAGUE_OPCODES

    assert set(NAMES) | {0xFE} == set(PRAGUE_OPCODES) | {0xFE}
    for number, opcode in PRAGUE_OPCODES.items():
        mnemonic = getattr(opcode, "mnemonic", None) or opcode.__wrapped__.mnemonic
        known = {"SHA3": "KECCAK256", "PREVRANDAO": "DIFFICULTY", "BLOB_BASEFEE": "BLOBBASEFEE"}
        assert opcode_name(number) == known.get(mnemonic, mnemonic), hex(number)
    assert opcode_name(0x0C) == "opcode 0xc not defined"
