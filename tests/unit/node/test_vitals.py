"""How a node is, as /healthz, /readyz, /metrics and the status tell it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from openledger.genesis.presets import dev_accounts
from openledger.node.config import Config, RpcConfig
from openledger.node.devnet import devnet_node
from openledger.node.meters import LoopWatch
from openledger.node.metrics import CATALOGUE, PROCESS, NodeMetrics
from openledger.node.vitals import Vitals
from openledger.node.wiring import Node
from openledger.primitives.errors import ConsensusFault
from openledger.primitives.keys import address_of_private_key
from openledger.primitives.transactions import sign_transaction
from openledger.rpc.ports import ConsensusStatus
from tests.waiting import until

GWEI = 10**9


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    running = devnet_node(tmp_path / "dev", Config(rpc=RpcConfig(port=0)), lite=True)
    await running.start()
    yield running
    await running.stop()


async def ask(node: Node, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.get(node.url + path) as response:
        return response.status, await response.text()


async def send(node: Node, nonce: int) -> dict[str, Any]:
    secret = dev_accounts()[0][1]
    raw = sign_transaction(
        secret, chain_id=161237, nonce=nonce, max_priority_fee=GWEI, max_fee=9 * GWEI, gas=21_000,
        to=address_of_private_key(secret), value=1,
    )  # fmt: skip
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": ["0x" + raw.hex()]}
    async with aiohttp.ClientSession() as http, http.post(node.url, json=body) as response:
        answer: dict[str, Any] = await response.json()
        return answer


def samples(text: str) -> dict[str, float]:
    """name{labels} -> value of every sample."""
    return {
        s.name + "".join(f"|{v}" for k, v in sorted(s.labels.items()) if k != "le"): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


async def test_metrics_count_what_the_node_does_and_each_is_in_the_catalogue(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openledger.node.vitals.METRICS_EVERY", 0.0)
    before = samples((await ask(node, "/metrics"))[1])
    assert "result" in await send(node, 0)
    assert "error" in await send(node, 0)
    assert node.app is not None
    await until(lambda: node.app.head().number)
    status, text = await ask(node, "/metrics")
    found = samples(text)
    assert status == 200
    assert before["openledger_consensus_height"] == 0
    assert found["openledger_consensus_height"] == node.app.head().number >= 1
    assert found["openledger_mempool_admitted_total"] == 1
    assert sum(value for name, value in found.items() if name.startswith("openledger_mempool_refused_total|")) == 1
    assert found["openledger_consensus_call_seconds_count|finalize_block"] >= 1
    assert found["openledger_evm_transactions_total"] >= 1
    assert found["openledger_evm_gas_total"] >= 21_000
    assert found["openledger_block_gas_total"] == 21_000
    assert found["openledger_rpc_requests_total|eth_sendRawTransaction"] == 2
    assert found["openledger_rpc_errors_total|eth_sendRawTransaction"] == 1
    assert found["openledger_rpc_seconds_count|eth_sendRawTransaction"] == 2
    assert found["openledger_validator_power"] == 10
    assert found["openledger_database_bytes"] > 0
    assert found["openledger_blobs_bytes"] == 0
    assert found["openledger_blobs_limit_bytes"] == 64 * 2**30
    assert found["process_open_fds"] > 0
    known = {entry.name for entry in (*CATALOGUE, *PROCESS)}
    families = {f.name + ("_total" if f.type == "counter" else "") for f in text_string_to_metric_families(text)}
    assert families <= known
    assert {entry.name for entry in CATALOGUE} - families == {"openledger_oracle_jobs_total"}  # no job, no outcome


async def test_however_often_the_metrics_are_asked_for_they_are_made_once_a_second(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openledger.node.vitals.METRICS_EVERY", 600.0)
    made: list[int] = []
    text = NodeMetrics.text

    async def counted(metrics: NodeMetrics) -> bytes:
        made.append(1)
        return await text(metrics)

    monkeypatch.setattr(NodeMetrics, "text", counted)
    pages = await asyncio.gather(*(ask(node, "/metrics") for _ in range(20)))
    assert {status for status, _ in pages} == {200}
    assert len({page for _, page in pages}) == len(made) == 1
    monkeypatch.setattr("openledger.node.vitals.METRICS_EVERY", 0.0)
    await ask(node, "/metrics")
    assert len(made) == 2


async def test_a_healthy_node_is_alive_and_ready(node: Node) -> None:
    assert (await ask(node, "/healthz"))[0] == 200
    status, text = await ask(node, "/readyz")
    assert status == 200
    assert '"reasons": []' in text


async def test_the_status_has_disk_memory_signing_and_mempool(node: Node) -> None:
    assert node.vitals is not None
    facts = await node.vitals.facts()
    assert facts["disk"]["free"] > facts["disk"]["used"] > 0
    assert facts["memory"] > 10_000_000
    assert facts["signing"]["power"] == 10
    assert facts["signing"]["signedPercent"] == 100
    assert facts["signing"]["oracle"] is True
    assert facts["mempool"] == {"transactions": 0, "bytes": 0}


# --- bad days -------------------------------------------------------------------------------------------------


class Engine:
    """An engine that says what it is told to say."""

    def __init__(self, answer: ConsensusStatus | Exception) -> None:
        self.answer = answer

    async def status(self) -> ConsensusStatus:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def vitals(answer: ConsensusStatus | Exception, *, age: int = 0, stale: float = 60) -> Vitals:
    app = SimpleNamespace(head=lambda: SimpleNamespace(number=7, timestamp=int(time.time()) - age))
    return Vitals(cast(Any, app), cast(Any, Engine(answer)), Path(), stale)


@pytest.mark.parametrize(
    ("answer", "age", "reason"),
    [
        (ConsensusStatus("cometbft", False, 3, "", answering=False), 0, "CometBFT does not answer"),
        (ConsensusStatus("cometbft", True, 3, ""), 0, "catching up with the network"),
        (ConsensusStatus("cometbft", False, 3, ""), 100, "the newest block is 10"),
        (ConsensusFault("the node has stopped: no room"), 0, "the node has stopped: no room"),
    ],
)
async def test_a_node_that_is_not_ready_says_why(answer: ConsensusStatus | Exception, age: int, reason: str) -> None:
    ready, body = await vitals(answer, age=age).ready()
    assert not ready
    assert len(body["reasons"]) == 1
    assert body["reasons"][0].startswith(reason)


async def test_where_blocks_come_on_demand_an_old_block_is_nothing_bad() -> None:
    assert (await vitals(ConsensusStatus("solo", False, 0, ""), age=10**6, stale=0).ready())[0]


def test_the_board_for_grafana_asks_for_metrics_that_are_there() -> None:
    board = json.loads((Path(__file__).parents[3] / "docs" / "reference" / "grafana.json").read_text())
    asked = {name for panel in board["panels"] for target in panel["targets"]
             for name in re.findall(r"(?:openledger|process)_[a-z_]+", target["expr"])}  # fmt: skip
    known = {e.name + ("_bucket" if e.kind == "histogram" else "") for e in (*CATALOGUE, *PROCESS)}
    assert len(asked) > 15
    assert asked <= known


def test_the_alerts_for_prometheus_ask_for_metrics_that_are_there_and_say_what_to_do() -> None:
    text = (Path(__file__).parents[3] / "docs" / "reference" / "alerts.yml").read_text()
    rules = text.split("      - alert: ")[1:]
    assert len({rule.split(maxsplit=1)[0] for rule in rules}) == len(rules) > 10
    known = {e.name for e in (*CATALOGUE, *PROCESS)}
    for rule in rules:
        expression = re.search(r"^        expr: (.+)$", rule, re.MULTILINE)
        assert expression, rule
        assert set(re.findall(r"(?:openledger|process)_[a-z_]+", expression[1])) <= known, rule
        assert re.search(r"severity: (page|warn)", rule), rule
        assert 'summary: "' in rule, rule
        assert 'do: "' in rule, rule


@pytest.mark.parametrize(("offset", "words"), [(60, "60 seconds behind"), (-60, "60 seconds ahead of"), (-3, "")])
def test_a_clock_off_by_a_minute_is_told_by_the_blocks(offset: float, words: str) -> None:
    node = vitals(ConsensusStatus("cometbft", False, 3, ""))
    assert node.clock_trouble() == ""  # nothing is known yet
    node.meters.offsets.extend([offset] * 4 + [0.0])
    assert words in node.clock_trouble()
    assert bool(node.clock_trouble()) is bool(words)


async def test_old_blocks_of_a_node_that_catches_up_say_nothing_of_its_clock(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = node.vitals
    assert own is not None
    own.stale = 60.0
    own.meters.offsets.extend([-800.0] * 5)
    assert "ahead of the times of new blocks" in (await own.facts())["clock"]
    behind = ConsensusStatus("cometbft", True, 3, "")
    monkeypatch.setattr(own.engine, "status", lambda: asyncio.sleep(0, behind))
    assert (await own.facts())["clock"] == "ok"


async def test_a_stuck_event_loop_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openledger.node.meters._LAG_EVERY", 0.01)
    watch = LoopWatch()
    watch.start()
    await asyncio.sleep(0.03)
    time.sleep(0.2)  # noqa: ASYNC251  (the very thing)
    await asyncio.sleep(0.03)
    await watch.stop()
    assert watch.worst > 0.1
    sick = vitals(ConsensusStatus("solo", False, 0, ""))
    sick.loop.worst = 12.0
    well, body = await sick.alive()
    assert not well
    assert "12 seconds" in body["reasons"][0]
