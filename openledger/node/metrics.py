"""``/metrics`` in Prometheus' format: one catalogue, one collector that reads the node's counters when it is asked.

``CATALOGUE`` is the whole truth: docs/reference/metrics.md is written from it. The counters themselves are in
meters.py, in the RPC's dispatcher, in the mempool and in the oracle; nothing is computed until somebody scrapes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from openledger.rpc.meter import BOUNDS, MethodMeter

if TYPE_CHECKING:
    from openledger.node.vitals import Disk, Vitals
    from openledger.rpc.ports import ConsensusStatus


@dataclass(frozen=True)
class Entry:
    """One metric: counters end in ``_total``, ``labels`` are its label names."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...] = ()


CATALOGUE = (
    Entry("openledger_consensus_height", "gauge", "Newest block."),
    Entry("openledger_consensus_head_timestamp_seconds", "gauge", "Unix time of the newest block."),
    Entry("openledger_consensus_round", "gauge", "Round in which the block before the newest was decided."),
    Entry("openledger_consensus_block_interval_seconds", "histogram", "Time between two commits."),
    Entry("openledger_consensus_call_seconds", "histogram",
          "Calls of the consensus engine into the application: prepare_proposal, finalize_block, commit and so on.",
          ("call",)),
    Entry("openledger_consensus_answering", "gauge", "1 while the consensus engine answers."),
    Entry("openledger_consensus_catching_up", "gauge", "1 while the node is behind the network."),
    Entry("openledger_consensus_peers", "gauge", "Connected peers."),
    Entry("openledger_consensus_restarts_total", "counter", "Times that CometBFT was started again."),
    Entry("openledger_consensus_missed_blocks_total", "counter",
          "Blocks since the start whose commit lacks this node's validator."),
    Entry("openledger_validator_power", "gauge", "Voting power of this node's validator; 0 without one."),
    Entry("openledger_validator_missed_window", "gauge", "Blocks it missed within the window that may jail it."),
    Entry("openledger_validator_jailed", "gauge", "1 while it is jailed."),
    Entry("openledger_block_transactions_total", "counter", "Transactions in blocks since the start, slot 0 included."),
    Entry("openledger_block_gas_total", "counter", "Gas of blocks since the start."),
    Entry("openledger_mempool_transactions", "gauge", "Transactions that wait for a block."),
    Entry("openledger_mempool_bytes", "gauge", "Their bytes."),
    Entry("openledger_mempool_admitted_total", "counter", "Transactions admitted since the start."),
    Entry("openledger_mempool_refused_total", "counter", "Transactions refused, by error.", ("reason",)),
    Entry("openledger_mempool_evicted_total", "counter",
          "Transactions that gave way to a better one or waited too long."),
    Entry("openledger_evm_batch_seconds", "histogram", "Batches of EVM transactions, those of proposals included."),
    Entry("openledger_evm_transactions_total", "counter", "EVM transactions executed, those of proposals included."),
    Entry("openledger_evm_gas_total", "counter", "Gas they used."),
    Entry("openledger_oracle_running", "gauge", "1 while the verifying process runs."),
    Entry("openledger_oracle_waiting", "gauge", "Claims that wait for a verdict of this node."),
    Entry(
        "openledger_oracle_jobs_total", "counter",
        "Turns of verifications by outcome: yes, no, aside (goes on later), failed, or killed for time or memory.",
        ("outcome",),
    ),
    Entry("openledger_oracle_silent_total", "counter", "Claims that closed without a verdict of this node."),
    Entry(
        "openledger_oracle_segments_total", "counter",
        "Segments of training runs by what was done for verdicts: replayed, or left to others.", ("work",),
    ),
    Entry("openledger_oracle_job_seconds_total", "counter", "Time spent in them."),
    Entry("openledger_oracle_starts_total", "counter", "Times that the verifying process was started."),
    Entry("openledger_rpc_requests_total", "counter", "JSON-RPC calls by method.", ("method",)),
    Entry("openledger_rpc_errors_total", "counter",
          "JSON-RPC calls answered with an error; unknown methods count as unknown.", ("method",)),
    Entry("openledger_rpc_seconds", "histogram", "Time to answer, by method.", ("method",)),
    Entry("openledger_rpc_websockets", "gauge", "Open WebSockets."),
    Entry("openledger_rpc_connections", "gauge", "Open connections, WebSockets included."),
    Entry("openledger_rpc_calls_waiting", "gauge", "Calls and traces that wait for a process."),
    Entry("openledger_rpc_calls_killed_total", "counter", "Processes ended with a call that took too much."),
    Entry("openledger_event_loop_lag_seconds", "gauge", "Worst delay of the event loop within the last minute."),
    Entry("openledger_database_bytes", "gauge", "The database on disk."),
    Entry("openledger_home_bytes", "gauge", "The node's whole folder on disk."),
    Entry("openledger_blobs_bytes", "gauge", "All blobs."),
    Entry("openledger_blobs_limit_bytes", "gauge", "Above so many only blobs that the chain names are taken; 0: none."),
    Entry("openledger_blobs_refused_total", "counter", "Blobs that were brought and found no room."),
    Entry("openledger_disk_free_bytes", "gauge", "Free room on its file system."),
)  # fmt: skip
PROCESS = (
    Entry("process_resident_memory_bytes", "gauge", "Resident memory (Linux), as are all of these."),
    Entry("process_virtual_memory_bytes", "gauge", "Virtual memory."),
    Entry("process_cpu_seconds_total", "counter", "Processor time."),
    Entry("process_open_fds", "gauge", "Open files."),
    Entry("process_max_fds", "gauge", "Most open files allowed."),
    Entry("process_start_time_seconds", "gauge", "Unix time of the start."),
    Entry("python_info", "gauge", "Version of Python.", ("version", "implementation", "major", "minor", "patchlevel")),
)
"""What prometheus_client adds by itself."""

Values = Mapping[str, Sequence[tuple[tuple[str, ...], Any]]]


def page() -> str:
    """docs/reference/metrics.md."""
    rows = [
        f"| `{e.name}` | {e.kind} | {', '.join(f'`{label}`' for label in e.labels) or '–'} | {e.text} |"
        for e in (*CATALOGUE, *PROCESS)
    ]
    return "\n".join([
        "# Metrics",
        "",
        "`GET /metrics` of a node answers these in Prometheus' text format. Times are seconds, sizes bytes; counters",
        "begin at zero with the process. The page is written by `make docs` from `openledger/node/metrics.py`. What to",
        "watch is in [guides/run-a-node.md](../guides/run-a-node.md), a board for Grafana is",
        "[grafana.json](grafana.json), alerts for Prometheus [alerts.yml](alerts.yml).",
        "",
        "| metric | kind | labels | what it is |",
        "|---|---|---|---|",
        *rows,
        "",
    ])  # fmt: skip


def _family(entry: Entry, values: Iterable[tuple[tuple[str, ...], Any]]) -> Metric:
    if entry.kind == "histogram":
        histogram = HistogramMetricFamily(entry.name, entry.text, labels=entry.labels)
        for labels, meter in values:
            edges = [*map(str, BOUNDS), "+Inf"]
            histogram.add_metric(labels, list(zip(edges, accumulate(meter.buckets), strict=True)), meter.seconds)
        return histogram
    family: CounterMetricFamily | GaugeMetricFamily
    if entry.kind == "counter":
        family = CounterMetricFamily(entry.name, entry.text, labels=entry.labels)
    else:
        family = GaugeMetricFamily(entry.name, entry.text, labels=entry.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family


class _Snapshot(Collector):
    """The values of one scrape."""

    def __init__(self) -> None:
        self.values: Values = {}

    def collect(self) -> Iterator[Metric]:
        for entry in CATALOGUE:
            if found := self.values.get(entry.name):
                yield _family(entry, found)


class NodeMetrics:
    """Everything of one node, in a registry of its own."""

    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals
        self._snapshot = _Snapshot()
        self._registry = CollectorRegistry()
        self._registry.register(self._snapshot)
        PlatformCollector(registry=self._registry)
        if sys.platform == "linux":
            ProcessCollector(registry=self._registry)

    async def text(self) -> bytes:
        """The answer to a scrape."""
        facts, disk = await self._vitals.facts(), await self._vitals.disk()
        status = await self._vitals.consensus()
        self._snapshot.values = {**self._chain(facts, status, disk), **self._work(), **self._rpc()}
        return generate_latest(self._registry)

    def _chain(self, facts: Mapping[str, Any], status: ConsensusStatus, disk: Disk) -> Values:
        head, signing, blobs = self._vitals.app.head(), facts["signing"] or {}, facts["blobs"] or {}
        restarts = getattr(self._vitals.engine, "restarts", 0)
        return _plain({
            "openledger_consensus_height": head.number,
            "openledger_consensus_head_timestamp_seconds": head.timestamp,
            "openledger_consensus_answering": int(status.answering),
            "openledger_consensus_catching_up": int(status.catching_up),
            "openledger_consensus_peers": status.peers,
            "openledger_consensus_restarts_total": restarts,
            "openledger_validator_power": signing.get("power", 0),
            "openledger_validator_missed_window": signing.get("missed", 0),
            "openledger_validator_jailed": int(signing.get("jailed", False)),
            "openledger_event_loop_lag_seconds": self._vitals.loop.worst,
            "openledger_database_bytes": disk.database,
            "openledger_home_bytes": disk.used,
            "openledger_disk_free_bytes": disk.free,
            "openledger_blobs_bytes": blobs.get("bytes", 0),
            "openledger_blobs_limit_bytes": blobs.get("limit", 0),
        })  # fmt: skip

    def _work(self) -> Values:
        meters, pool, bridge = self._vitals.meters, self._vitals.app.mempool, self._vitals.bridge
        found = _plain({
            "openledger_consensus_round": meters.round,
            "openledger_consensus_missed_blocks_total": meters.missed,
            "openledger_consensus_block_interval_seconds": meters.intervals,
            "openledger_block_transactions_total": meters.transactions,
            "openledger_block_gas_total": meters.block_gas,
            "openledger_mempool_transactions": len(pool),
            "openledger_mempool_bytes": pool.size_bytes,
            "openledger_mempool_admitted_total": pool.admitted,
            "openledger_mempool_evicted_total": pool.evicted,
            "openledger_evm_batch_seconds": meters.evm,
            "openledger_evm_transactions_total": meters.evm_transactions,
            "openledger_evm_gas_total": meters.evm_gas,
            "openledger_oracle_running": int(bridge is not None and bridge.worker.pid != 0),
            "openledger_oracle_waiting": 0 if bridge is None else bridge.waiting,
            "openledger_oracle_job_seconds_total": 0 if bridge is None else bridge.record.seconds,
            "openledger_oracle_silent_total": 0 if bridge is None else bridge.record.silent,
            "openledger_oracle_starts_total": 0 if bridge is None else bridge.worker.starts,
        })  # fmt: skip
        outcomes = {} if bridge is None else bridge.record.turns
        return {
            **found,
            "openledger_consensus_call_seconds": _labelled(meters.calls),
            "openledger_mempool_refused_total": _labelled(meters.refused),
            "openledger_oracle_jobs_total": _labelled(outcomes),
            "openledger_oracle_segments_total": _labelled(
                {"replayed": 0, "left": 0} if bridge is None else bridge.record.segments
            ),
        }

    def _rpc(self) -> Values:
        server = self._vitals.server
        if server is None:
            return {}
        dispatcher = server.dispatcher
        used: dict[str, MethodMeter] = {name: meter for name, meter in dispatcher.meters.items() if meter.calls}
        return {
            "openledger_rpc_requests_total": _labelled(dispatcher.calls),
            "openledger_rpc_errors_total": _labelled(dispatcher.failures),
            "openledger_rpc_seconds": _labelled(used),
            **_plain(
                {
                    "openledger_rpc_websockets": server.websockets,
                    "openledger_rpc_connections": server.connections,
                    "openledger_rpc_calls_waiting": server.calls_waiting,
                    "openledger_rpc_calls_killed_total": server.calls_killed,
                    "openledger_blobs_refused_total": server.blob_room.refused,
                }
            ),
        }


def _plain(values: Mapping[str, Any]) -> dict[str, list[tuple[tuple[str, ...], Any]]]:
    return {name: [((), value)] for name, value in values.items()}


def _labelled(values: Mapping[str, Any]) -> list[tuple[tuple[str, ...], Any]]:
    return [((name,), value) for name, value in sorted(values.items())]
