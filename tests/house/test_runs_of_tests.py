"""What a run of the tests leaves behind: nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from openledger.node.processes import start_time
from tests.waiting import finish

ROOT = Path(__file__).resolve().parents[2]
SLEEPS = """
import subprocess, time
from tests.waiting import finish, terminable
terminable()

def test_that_starts_a_process():
    process = subprocess.Popen(["sleep", "600"])
    try:
        print(process.pid, flush=True)
        time.sleep(600)
    finally:
        finish(process)
"""


def test_a_run_that_is_told_to_end_takes_down_what_its_tests_have_started(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SLEEPS)
    command = [sys.executable, "-m", "pytest", "-qs", "-p", "no:cacheprovider", "-c", os.devnull, "test_it.py"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        started = int(run.stdout.readline())
        assert start_time(started) is not None
        assert finish(run) == 2  # as after Ctrl-C
    assert start_time(started) is None
