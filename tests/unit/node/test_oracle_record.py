"""An operator sees how verifications ended, and why a verdict was silence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness import Harness

from openledger.attribution_oracle import worker as process
from openledger.node.checks import OK, WARN
from openledger.node.cli.health import status_lines
from openledger.node.doctor_votes import of_verifications
from openledger.node.oracle_bridge import OracleBridge
from openledger.node.oracle_record import KEPT, REASONS, Record, in_words, last_trouble
from openledger.primitives.attribution import AttributionJob, Verdict
from openledger.primitives.errors import OracleError

JOB = AttributionJob(7, 1, "gradient-dot", "", "", "", "", "", (), (), (), (), 0, "", "", 3)


def test_ends_are_counted_by_kind_and_the_newest_trouble_is_one_sentence() -> None:
    record = Record()
    record.verdict(1, Verdict(1, True, "", (1,), None, (2,), 8))
    assert last_trouble(record.told()) == ""
    record.failed(2, "memory", "it took 7000 MiB of memory, 6144 are allowed")
    assert last_trouble(record.told()).startswith("it was killed for memory on claim 2: it took 7000 MiB")
    record.verdict(3, Verdict(3, False, "index row 5 is wrong"))
    record.aside(4, "steps: 3 of 9")
    record.closed(4)
    assert last_trouble(record.told()) == "it was silent on claim 4: it was not done, and stood at steps: 3 of 9"
    told = "1 yes, 1 no, 1 silent; turns without a verdict: 1 put aside, 1 killed for memory"
    assert in_words(record.told()) == told
    assert record.segments == {"replayed": 1, "left": 7}


def test_what_is_remembered_is_bounded() -> None:
    record = Record()
    for claim in range(2 * REASONS):
        record.failed(claim, "failed", "x" * 10_000)
    told = record.told()
    assert (told["failed"], len(told["recent"]), len(record._reasons)) == (2 * REASONS, KEPT, REASONS)
    assert len(json.dumps(told)) < 5_000


def test_the_doctor_warns_of_lost_verdicts_only() -> None:
    record = Record()
    record.aside(1, "steps: 1 of 2")
    record.verdict(1, Verdict(1, True, "", (1,)))
    assert of_verifications(None) == []
    (good,) = of_verifications(record.told())
    assert good.level == OK
    record.closed(2)
    (bad,) = of_verifications(record.told())
    assert bad.level == WARN
    assert "silent on claim 2: its turn had not come" in bad.hint


async def test_a_claim_that_closes_before_its_verdict_is_counted_as_silence_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Harness()
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    number = chain.claim(epoch, {1: 400_000, 2: 300_000, 3: 300_000})
    bridge = OracleBridge(str(tmp_path / "blobs"), tmp_path / "oracle", "chain")

    async def verify(_job: object, _seconds: float) -> Verdict:
        bridge.worker.ended = "time"
        raise OracleError("no answer within 30 s")

    monkeypatch.setattr(bridge.worker, "verify", verify)
    await bridge.start()
    try:
        bridge.extension(chain.state, 9, chain.addresses[0])
        chosen = bridge._jobs.next()
        assert chosen is not None
        await bridge._try_job(*chosen)
        assert bridge.record.told()["time"] == 1
        assert chain.run_claim(number) == "accepted", "the others have verified it"
        bridge.extension(chain.state, 20, chain.addresses[0])
        told = bridge.record.told()
    finally:
        await bridge.stop()
    assert told["silence"] == 1
    assert told["recent"][-1]["ended"] == "silence"
    assert told["recent"][-1]["reason"] == "no answer within 30 s"


@pytest.mark.parametrize(
    ("fault", "ended"),
    [
        (MemoryError(), "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "memory"),
        (process.TimeUp("too long"), "time"),
        (RuntimeError("shapes differ"), None),
    ],
)
def test_the_process_says_whether_memory_or_time_was_over(
    fault: Exception, ended: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> Verdict:
        raise fault

    monkeypatch.setattr(process, "verify_job", fail)
    line = process.answer_line(JOB.to_json(), process.open_blobs(str(tmp_path)), 0)
    assert json.loads(line)["error"].get("ended") == ended


def test_the_status_says_how_verifications_ended_and_why() -> None:
    record = Record()
    record.failed(9, "time", "no answer within 50 s")
    facts = {
        "url": "http://x", "version": "1", "cometChainId": "c", "chainId": "0x1", "block": 1, "catchingUp": False,
        "mode": "solo", "engine": "revm", "oracle": "on", "verifications": record.told(),
    }  # fmt: skip
    text = "\n".join(status_lines(facts))
    assert "verdicts   0 yes, 0 no, 0 silent; turns without a verdict: 1 killed for time" in text
    assert "last: it was killed for time on claim 9: no answer within 50 s" in text
    assert "verdicts" not in "\n".join(status_lines(facts | {"verifications": None}))
