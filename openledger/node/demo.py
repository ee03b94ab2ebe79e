"""``openledger demo``: the whole loop on real text, against a running node, through its public door only.

documents of five authors -> datanet -> fine-tuned model with attribution index -> published, served
-> a consumer pays for answers -> settled -> epoch closes -> claim -> validators recompute, vote, reveal
-> fees paid, OPEN minted -> rewards taken -> an author spends some on an answer
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openledger.node import demo_report as report
from openledger.node.checks import has_torch
from openledger.node.demo_view import View
from openledger.primitives.errors import MissingExtra, NodeUnreachable, OpenLedgerError
from openledger.rpc.client import Client

if TYPE_CHECKING:
    from openledger.node.cli.common import App

START_SECONDS = 60


def run_demo(app: App, url: str, *, start_node: bool, size: str) -> None:
    """Run the loop and print what came of it. Raises MissingExtra without torch, NodeUnreachable without a node."""
    if not has_torch():
        raise MissingExtra(
            "the demo trains a model, and torch is not installed",
            "make install-oracle (TORCH_INDEX=<index> for a CPU build)",
        )
    view = View(quiet=app.json)
    with node_at(url, start_node, view), Client(url) as client, tempfile.TemporaryDirectory() as folder:
        status = client.call("openledger_getNodeStatus")
        if not str(status.get("oracle", "on")).startswith("on"):
            raise MissingExtra(
                f"the node at {url} runs without an oracle, so nobody would verify the claim",
                "start it without --lite, where torch is installed",
            )
        with view.stage("torch", "Load torch"):
            from openledger.attribution_oracle import factory
            from openledger.node.demo_loop import Loop

            factory.set_threads(len(os.sched_getaffinity(0)) // 2)  # node and oracle work beside it
        began = time.monotonic()
        loop = Loop(client, view, Path(folder), size)
        found = loop.run()
        found["seconds"] = {"total": round(time.monotonic() - began, 1), **view.seconds}
    if app.json:
        app.emit(found)
    else:
        report.show(view, found, loop.names)


@contextmanager
def node_at(url: str, start_node: bool, view: View) -> Iterator[None]:
    """A node that answers at ``url``: the one that runs, or a devnet for the time of the demo."""
    if answers(url):
        yield
        return
    if not start_node:
        raise NodeUnreachable(
            f"no node answers at {url}", "start one in another terminal: make devnet; or: openledger demo --start"
        )
    port = url.rpartition(":")[2].strip("/")
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, "-m", "openledger.node", "devnet", "--port", port, "--no-demo"]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            with view.stage("node", "Start a devnet") as stage:
                end = time.monotonic() + START_SECONDS
                while not answers(url):
                    if process.poll() is not None or time.monotonic() > end:
                        log.seek(0)
                        words = log.read()[-2000:].decode("utf-8", "replace").strip()
                        raise NodeUnreachable(f"the devnet did not start: {words or 'it said nothing'}")
                    time.sleep(0.1)
                stage.note = url
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def answers(url: str) -> bool:
    """True when an OpenLedger node answers there. Raises what it answers when it is something else."""
    with Client(url) as client:
        try:
            found: Any = client.call("openledger_getNodeStatus")
        except NodeUnreachable:
            return False
        except OpenLedgerError as err:
            raise NodeUnreachable(f"what answers at {url} is no OpenLedger node: {err}", "another --port") from None
    return isinstance(found, dict)
