"""A node as ``openledger start`` runs it, but for its oracle: ``scripted_node.py HOME yes|no``.

The bridge between chain and oracle is the real one; in place of the verifying process stands one that gives the
verdict asked for at once. Row r of a claim has the score (r + 1) * 10^7, as the test claims.
"""

from __future__ import annotations

import sys
from pathlib import Path

from openledger.node import config, network, oracle_bridge, wiring
from openledger.node.logging import setup
from openledger.primitives.attribution import AttributionJob, Verdict


class ScriptedWorker:
    """Stands where ``OracleWorker`` stands."""

    def __init__(self, blobs_url: str, python: str) -> None:
        """As the real one; neither is needed."""

    async def verify(self, job: AttributionJob) -> Verdict:
        if sys.argv[2] == "no":
            return Verdict(job.claim, False, "scripted to say no")
        return Verdict(job.claim, True, "", tuple(10**7 * (row + 1) for row in range(job.rows)))

    async def stop(self) -> None:
        """There is no process."""


if __name__ == "__main__":
    oracle_bridge.OracleWorker = ScriptedWorker  # type: ignore[assignment,misc]
    wiring.oracle_state = lambda config, lite: (True, "scripted")
    home = Path(sys.argv[1])
    settings = config.load(home)
    setup(settings.log)
    node = network.network_node(home, settings)
    wiring.run_loop(node.run(lambda ready: print(f"Ready: {ready.url}", flush=True)))
