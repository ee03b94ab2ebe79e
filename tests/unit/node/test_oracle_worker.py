"""A verifying process that hangs, dies, floods, lies or eats memory costs a verdict, and the next job is answered."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from openledger.node.oracle_jobs import FIRST_SECONDS, MAX_SECONDS, JobQueue, declared_work
from openledger.node.oracle_stderr import LONGEST, MOST, SHOWN, WITHIN, Tail
from openledger.node.oracle_worker import Aside, OracleWorker, parse_answer
from openledger.primitives.attribution import NAMED_ROW, AttributionJob, Named, SettlementFacts, Verdict
from openledger.primitives.errors import BlobNotFound, OracleError
from tests.waiting import PATIENCE, until

ROWS = 3
JOB = AttributionJob(7, 1, "gradient-dot", "", "", "", "", "", (), (), (), (), 0, "", "", ROWS)
GOOD = Verdict(7, True, "recomputed", (1, -2, 3))

PRELUDE = f"""
import json, os, sys, time
from tests.waiting import PATIENCE, until
good = {GOOD.to_json()!r}
def say(text):
    sys.stdout.write(text + "\\n")
    sys.stdout.flush()
first = not os.path.exists(sys.argv[1])
open(sys.argv[1], "w").close()
for line in sys.stdin:
    if not first:
        say(good)
        continue
"""

WOUNDS = {
    "hangs": ("    time.sleep(1000)", "no answer within"),
    "dies": ("    os.abort()", "died"),
    "dies at once without reading": ("    sys.exit(3)", "died"),
    "floods a line without end": ("    while True: sys.stdout.write('x' * 65536)", "more than one answer"),
    "floods lines": ("    while True: os.write(1, (good + chr(10)).encode() * 50)", "more than one answer"),
    "eats memory": ("    hold = b'x' * (300 << 20); time.sleep(1000)", "MiB of memory"),
    "says no JSON": ("    say('not json')", "not JSON"),
    "nests without end": ("    say('[' * 15000)", "not JSON"),
    "speaks of another claim": ("    say(good.replace('7', '8', 1))", "no verdict on this claim"),
    "gives too few scores": ("    say(good.replace('1, -2, ', ''))", "1 scores for 3 rows"),
    "gives scores that no message can hold": ("    say(good.replace('-2', '9' * 20))", "64 bits"),
    "gives a score that is no integer": ("    say(good.replace('-2', '1e999'))", "not"),
    "says true in letters": ("    say(good.replace('true', '\"false\"'))", "no verdict"),
    "gives a reason that cannot be said": ("    say(good.replace('recomputed', chr(92) + 'ud800'))", "Unicode"),
    "puts aside without a place": (
        '    say(\'{"claim": 7, "aside": {"done": 2, "total": 1, "what": "x"}}\')',
        "where it",
    ),
    "replays what is not there": (
        "    say(good.replace('[]', '[3]').replace('segments\": 0', 'segments\": 2'))",
        "segments",
    ),
    "reports an error without words": ('    say(\'{"claim": 7, "error": 1}\')', "without words"),
}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def started() -> AsyncIterator[list[OracleWorker]]:
    workers: list[OracleWorker] = []
    yield workers
    for worker in workers:
        await worker.stop()


@pytest.mark.parametrize("wound", WOUNDS)
async def test_a_wounded_process_costs_one_verdict_and_the_next_job_is_answered(
    wound: str, started: list[OracleWorker], tmp_path: Path
) -> None:
    deed, words = WOUNDS[wound]
    command = [sys.executable, "-c", PRELUDE + deed, f"{tmp_path}/seen"]
    worker = OracleWorker.of_command(command, memory_mb=150, patience=0)
    started.append(worker)
    began = time.monotonic()
    with pytest.raises(OracleError, match=words):
        await worker.verify(JOB, 2 if wound == "hangs" else 30)
    assert time.monotonic() - began < 30
    assert worker.pid == 0
    assert await worker.verify(JOB, 30) == GOOD
    assert worker.starts == 2


@pytest.mark.parametrize(
    ("wound", "ended"), [("hangs", "time"), ("eats memory", "memory"), ("dies", "failed"), ("says no JSON", "failed")]
)
async def test_how_a_turn_without_a_verdict_ended_is_known(
    wound: str, ended: str, started: list[OracleWorker], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", PRELUDE + WOUNDS[wound][0], f"{tmp_path}/seen"]
    worker = OracleWorker.of_command(command, memory_mb=150, patience=0)
    started.append(worker)
    with pytest.raises(OracleError):
        await worker.verify(JOB, 2 if wound == "hangs" else 30)
    assert worker.ended == ended


@pytest.mark.parametrize(("said", "ended"), [("memory", "memory"), ("time", "time"), ("[1]", "failed")])
async def test_a_process_that_ran_out_of_something_by_itself_says_of_what(
    said: str, ended: str, started: list[OracleWorker]
) -> None:
    error = json.dumps({"claim": 7, "error": {"code": 610, "message": "no", "ended": said}})
    worker = OracleWorker.of_command([sys.executable, "-c", f"input(); print({error!r}, flush=True); input()"])
    started.append(worker)
    with pytest.raises(OracleError):
        await worker.verify(JOB, 30)
    assert worker.ended == ended


async def test_the_last_words_of_a_dying_process_are_in_the_log_without_what_moves_a_terminal(
    started: list[OracleWorker], caplog: pytest.LogCaptureFixture
) -> None:
    says = """
import sys
for n in range(10_000):
    print("line", n, file=sys.stderr)
raise SystemExit("\\x1b[2Jno module named torch")
"""
    worker = OracleWorker.of_command([sys.executable, "-c", says])
    started.append(worker)
    with caplog.at_level("INFO"), pytest.raises(OracleError, match="died"):
        await worker.verify(JOB, 30)
    told = [r.getMessage() for r in caplog.records if r.getMessage().startswith("oracle process: ")]
    assert len(told) == SHOWN
    assert told[-1] == "oracle process: ?[2Jno module named torch"
    assert told[-2] == "oracle process: line 9999"


async def test_a_process_that_fills_its_standard_error_still_answers(started: list[OracleWorker]) -> None:
    says = f"""
import sys
for line in sys.stdin:
    sys.stderr.write("x" * (1 << 20))
    print({GOOD.to_json()!r}, flush=True)
"""
    worker = OracleWorker.of_command([sys.executable, "-c", says])
    started.append(worker)
    assert await worker.verify(JOB, 30) == GOOD
    assert await worker.verify(JOB, 30) == GOOD
    assert worker.starts == 1


async def test_what_the_process_reports_is_explained_by_its_log_but_missing_blobs_are_not(
    started: list[OracleWorker], caplog: pytest.LogCaptureFixture
) -> None:
    says = """
import sys
for number, line in enumerate(sys.stdin):
    print("Traceback of", number, file=sys.stderr, flush=True)
    print("no verdict: so it is", file=sys.stderr, flush=True)
    print('{"claim": 7, "error": {"code": %d, "message": "so it is"}}' % (601 if number else 610), flush=True)
"""
    worker = OracleWorker.of_command([sys.executable, "-c", says])
    started.append(worker)
    with caplog.at_level("INFO"):
        for kind in (OracleError, BlobNotFound):
            with pytest.raises(kind):
                await worker.verify(JOB, 30)
    told = [r.getMessage() for r in caplog.records if r.getMessage().startswith("oracle process: ")]
    assert told == ["oracle process: Traceback of 0"], "what the node says itself is not said twice"


def test_a_process_that_says_too_much_is_cut_short_for_a_while() -> None:
    clock = Clock()
    tail = Tail(clock)
    lines = [f"line {n}" for n in range(2 * SHOWN)]
    for _ in range(MOST // SHOWN):
        tail.feed("\n".join(lines).encode() + b"\n")
        assert tail.take() == lines[-SHOWN:]
    tail.feed(b"more\n")
    assert tail.take() == []
    clock.now += WITHIN + 1
    tail.feed(b"x" * 1_000_000 + b"\nlast")
    assert [len(line) for line in tail.take()] == [LONGEST, 4]


async def test_what_a_process_needs_to_start_is_no_part_of_a_turn(started: list[OracleWorker], tmp_path: Path) -> None:
    """Torch and transformers are imported once; the second job has its turn and no more."""
    late = PRELUDE.replace("for line in", "time.sleep(2)\nfor line in", 1)
    for starting in (0.0, 30.0):
        command = [sys.executable, "-c", late + "    say(good); time.sleep(1000)", f"{tmp_path}/{starting}"]
        worker = OracleWorker.of_command(command, patience=0, starting=starting)
        started.append(worker)
        if starting:
            assert await worker.verify(JOB, 1) == GOOD
        with pytest.raises(OracleError, match="no answer within 1 s"):
            await worker.verify(JOB, 1)


async def test_a_process_that_does_not_read_its_job_is_given_up_in_time(started: list[OracleWorker]) -> None:
    worker = OracleWorker.of_command([sys.executable, "-c", "import time; time.sleep(1000)"], patience=0)
    started.append(worker)
    large = replace(JOB, settlements=(SettlementFacts(1, 0, 1, 1, "0x" + "00" * 500_000),))
    with pytest.raises(OracleError, match="no answer within 1 s"):
        await worker.verify(large, 1)
    assert worker.pid == 0


async def test_what_a_process_says_unasked_is_never_taken_for_an_answer(
    started: list[OracleWorker], tmp_path: Path
) -> None:
    says = f"""
import pathlib, sys, time
for line in sys.stdin:
    for _ in range(2):
        print({GOOD.to_json()!r}, flush=True)
        time.sleep(0.2)
    pathlib.Path({str(tmp_path / "said")!r}).touch()
"""
    worker = OracleWorker.of_command([sys.executable, "-c", says])
    started.append(worker)
    assert await worker.verify(JOB, 30) == GOOD
    await until((tmp_path / "said").exists)
    await asyncio.sleep(0.05)  # it is in the pipe, and is read
    assert await worker.verify(JOB, 30) == GOOD
    assert worker.starts == 2


async def test_a_program_that_cannot_be_started_is_a_failed_verification(started: list[OracleWorker]) -> None:
    worker = OracleWorker.of_command(["/nowhere/python"])
    started.append(worker)
    with pytest.raises(OracleError, match="FileNotFoundError"):
        await worker.verify(JOB, 5)


async def test_a_fault_that_the_process_reports_itself_does_not_end_it(started: list[OracleWorker]) -> None:
    says = """
import sys
for number, line in enumerate(sys.stdin):
    code = 601 if number else 610
    print('{"claim": 7, "error": {"code": %d, "message": "so it is"}}' % code, flush=True)
"""
    worker = OracleWorker.of_command([sys.executable, "-c", says])
    started.append(worker)
    with pytest.raises(OracleError, match="so it is"):
        await worker.verify(JOB, 30)
    with pytest.raises(BlobNotFound, match="so it is"):
        await worker.verify(JOB, 30)
    assert worker.starts == 1


async def test_what_a_process_has_started_ends_with_it(started: list[OracleWorker], tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    child = f"import time\nwhile True:\n    open({str(beat)!r}, 'a').write('x'); time.sleep(0.02)"
    says = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(1000)"
    worker = OracleWorker.of_command([sys.executable, "-c", says], patience=0)
    started.append(worker)
    verifying = asyncio.ensure_future(worker.verify(JOB, PATIENCE))
    await until(lambda: beat.exists() and beat.stat().st_size)
    verifying.cancel()
    await asyncio.wait([verifying])
    await asyncio.sleep(0.2)
    size = beat.stat().st_size
    await asyncio.sleep(0.3)
    assert beat.stat().st_size == size > 0


def test_a_verdict_is_read_as_it_was_written() -> None:
    assert parse_answer(GOOD.to_json().encode(), JOB) == GOOD
    no = Verdict(7, False, "index row 3 is wrong")
    assert parse_answer(no.to_json().encode(), JOB) == no
    named = replace(no, named=Named(NAMED_ROW, 2, segment=5))
    assert parse_answer(named.to_json().encode(), JOB) == named
    again = Verdict(7, True, "recomputed")
    assert parse_answer(again.to_json().encode(), replace(JOB, again=True)) == again


@pytest.mark.parametrize(
    "named",
    [
        {"kind": 1, "row": JOB.rows, "contributor": "", "segment": 0},
        {"kind": 1, "row": -1, "contributor": "", "segment": 0},
        {"kind": 1, "row": True, "contributor": "", "segment": 0},
        {"kind": 1, "row": 0, "contributor": "0x" + "11" * 20, "segment": 0},
        {"kind": 2, "row": 0, "contributor": "0x" + "11" * 20, "segment": 0},
        {"kind": 3, "row": 1, "contributor": "", "segment": 0},
        {"kind": 9, "row": 0, "contributor": "", "segment": 0},
        {"kind": 1, "row": 0},
        {"kind": 1, "row": 0, "contributor": "", "segment": 255},
        {"kind": 3, "row": 0, "contributor": "", "segment": 1},
        [1],
        "row 1",
    ],
)
def test_a_no_that_names_what_the_claim_does_not_have_is_no_verdict(named: object) -> None:
    line = {"claim": 7, "valid": False, "reason": "wrong", "scores": [], "named": named}
    with pytest.raises(OracleError, match="no row or share"):
        parse_answer(json.dumps(line).encode(), JOB)


@pytest.mark.parametrize(("replayed", "segments"), [([3], 2), ([2, 1], 2), ([1, 1], 2), ([0], 2), ([True], 2), (1, 2)])
def test_segments_that_the_run_does_not_have_are_no_verdict(replayed: object, segments: int) -> None:
    line = json.loads(GOOD.to_json()) | {"replayed": replayed, "segments": segments}
    with pytest.raises(OracleError, match="segments"):
        parse_answer(json.dumps(line).encode(), JOB)
    line["replayed"] = [1, 2]
    assert parse_answer(json.dumps(line).encode(), JOB) == replace(GOOD, replayed=(1, 2), segments=2)


# --- turns ------------------------------------------------------------------------------------------------


SLOW = f"""
import json, sys, time
done = 0
for line in sys.stdin:
    end = time.monotonic() + json.loads(line)["seconds"]
    while done < 30 and time.monotonic() < end:
        time.sleep(0.1)
        done += 1
    if done < 30:
        print(json.dumps({{"claim": 7, "aside": {{"done": done, "total": 30, "what": "steps"}}}}), flush=True)
    else:
        print({GOOD.to_json()!r}, flush=True)
"""


async def turns(worker: OracleWorker, queue: JobQueue, most: int) -> tuple[list[str], Verdict | None]:
    """What becomes of each turn of one second that the queue gives, until there is a verdict."""
    said: list[str] = []
    for _ in range(most):
        chosen = queue.next()
        if chosen is None:
            break
        key, job, _seconds = chosen
        try:
            found = await worker.verify(job, 1)
        except OracleError as err:
            said.append(err.message)
            queue.failed(key, job, 1)
            continue
        if isinstance(found, Verdict):
            return said, found
        said.append(str(found))
        queue.put_aside(key, job, 1, found)
    return said, None


async def test_a_slow_process_goes_on_turn_after_turn_and_finds_its_verdict(started: list[OracleWorker]) -> None:
    worker = OracleWorker.of_command([sys.executable, "-c", SLOW], patience=20)
    started.append(worker)
    queue = JobQueue()
    queue.add((7, 0), JOB)
    said, verdict = await turns(worker, queue, 20)
    assert verdict == GOOD
    assert worker.starts == 1, "nothing was killed"
    assert len(said) >= 2
    assert all(words.startswith("steps: ") for words in said)
    assert queue._waiting[7, 0].seconds == FIRST_SECONDS, "turns are as short as before"


async def test_a_process_that_hangs_is_killed_and_says_nothing(started: list[OracleWorker]) -> None:
    worker = OracleWorker.of_command([sys.executable, "-c", "import time; time.sleep(1000)"], patience=0.5)
    started.append(worker)
    queue = JobQueue()
    queue.add((7, 0), JOB)
    said, verdict = await turns(worker, queue, 1)
    assert verdict is None
    assert "no answer within" in said[0]
    assert worker.pid == 0
    assert queue._waiting[7, 0].seconds == 2 * FIRST_SECONDS
    assert queue.next() is None, "others come first"


def test_a_poisoned_claim_gets_at_most_its_turn_however_many_wait() -> None:
    """The first of 20 claims eats every slice; each of the others needs 5 seconds."""
    clock = Clock()
    queue = JobQueue(clock)
    for claim in range(20):
        queue.add((claim, 0), replace(JOB, claim=claim))
    ended: dict[int, float] = {}
    while len(ended) < 19:
        chosen = queue.next()
        assert chosen is not None
        key, job, seconds = chosen
        if key[0] == 0:
            clock.now += seconds
            queue.failed(key, job, seconds)
        else:
            clock.now += 5
            ended[key[0]] = clock.now
            queue.drop(key)
    assert max(ended.values()) == FIRST_SECONDS + 19 * 5
    assert list(queue) == [(0, 0)]


def test_a_claim_that_needs_long_costs_at_most_twice_its_time() -> None:
    clock = Clock()
    queue = JobQueue(clock)
    queue.add((1, 0), JOB)
    worked = 0.0
    while True:
        clock.now += queue.delay() or 0.0
        chosen = queue.next()
        assert chosen is not None
        key, job, seconds = chosen
        if seconds >= 200:
            break
        worked += seconds
        queue.failed(key, job, seconds)
    assert worked <= 2 * 200


def test_a_claim_that_gets_ahead_keeps_its_short_turns_and_one_that_does_not_gets_longer_ones() -> None:
    queue = JobQueue(Clock())
    queue.add((1, 0), JOB)
    for at in (Aside(8, 8, "answers"), Aside(3, 24, "steps"), Aside(9, 24, "steps")):
        queue.put_aside((1, 0), JOB, 30, at)
    assert queue.next() == ((1, 0), JOB, FIRST_SECONDS)
    queue.put_aside((1, 0), JOB, 30, Aside(9, 24, "steps"))
    assert queue.next() == ((1, 0), JOB, 2 * FIRST_SECONDS)


def test_a_claim_that_was_put_aside_stands_behind_one_that_has_had_less() -> None:
    queue = JobQueue(Clock())
    queue.add((1, 0), JOB)
    queue.put_aside((1, 0), JOB, 30, Aside(3, 24, "steps"))
    queue.add((2, 0), other := replace(JOB, claim=8))
    assert queue.next() == ((2, 0), other, FIRST_SECONDS)


def test_the_first_turn_follows_the_declared_work_and_slices_are_bounded() -> None:
    queue = JobQueue(Clock())
    large = replace(JOB, rows=1_000_000, settlements=(SettlementFacts(1, 10, 15, 1, ""),))
    assert declared_work(large) == 5_000_000
    queue.add((1, 0), large)
    chosen = queue.next()
    assert chosen is not None
    assert chosen[2] == FIRST_SECONDS + 100
    for _ in range(10):
        queue.failed((1, 0), large, 1)
    assert queue.next() is None
    delay = queue.delay()
    assert delay is not None
    assert delay <= 30
    assert queue._waiting[1, 0].seconds == MAX_SECONDS


def test_claims_whose_blobs_never_come_do_not_take_all_the_time_however_long_that_takes_to_see() -> None:
    clock, worked, honest = Clock(), 0.0, replace(JOB, claim=99)
    queue = JobQueue(clock)
    queue.add((99, 0), honest)
    for claim in range(1, 9):
        queue.add((claim, 0), replace(JOB, claim=claim))
    while clock.now < 600:
        chosen = queue.next()
        if chosen is None:
            clock.now += queue.delay() or 0.0
        elif chosen[0] == (99, 0):
            worked, clock.now = worked + 10.0, clock.now + 10.0
            queue.put_aside((99, 0), honest, 10.0, Aside(int(worked), 10_000, "steps"))
        else:
            clock.now += 6.0
            queue.missing(chosen[0], chosen[1], 6.0)
    assert worked > 600 / 9 / 2


def test_missing_blobs_cost_a_claim_its_turn_and_nothing_else() -> None:
    clock = Clock()
    queue = JobQueue(clock)
    queue.add((1, 0), JOB)
    queue.add((2, 0), replace(JOB, claim=8))
    queue.missing((1, 0), JOB, 0.01)
    chosen = queue.next()
    assert chosen is not None
    assert chosen[0] == (2, 0)
    queue.drop((2, 0))
    assert queue.next() is None
    clock.now += queue.delay() or 0.0
    chosen = queue.next()
    assert chosen is not None
    assert (chosen[0], chosen[2]) == ((1, 0), FIRST_SECONDS)
