"""Claims on a running network, from the rows of a datanet to the verdict, with accounts dev0 to dev5."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from network.oracle import score

from openledger.abci_app.modules.attribution.claim import AttributionClaim
from openledger.abci_app.modules.attribution.records import Share
from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.records import Part
from openledger.abci_app.modules.models.open import InferenceOpen
from openledger.abci_app.modules.models.publish import ModelPublish
from openledger.abci_app.modules.models.records import DataRef
from openledger.abci_app.modules.models.settle import InferenceSettle
from openledger.node import operator
from openledger.node.keystore import Signer, dev_signer
from openledger.primitives.amounts import OPEN
from openledger.primitives.attribution import Voucher, receipt_leaf, score_leaf
from openledger.primitives.errors import NodeUnreachable
from openledger.primitives.hashing import merkle_root
from openledger.primitives.keys import join_signature, sign_digest
from openledger.rpc.client import Client

PRICE = OPEN // 10
ROWS = 12
ANSWERS = 3
PATIENCE = 90


@dataclass(frozen=True)
class Ended:
    """A claim that came to its end: its number, status, and what each validator said, by operator."""

    number: int
    status: str
    verdicts: dict[str, str]


def dev(number: int) -> Signer:
    """One of the well-known accounts."""
    signer = dev_signer(f"dev{number}")
    if signer is None:
        raise LookupError(f"there is no dev{number}")
    return signer


def patiently(ask: Callable[[], Any]) -> Any:
    """The answer, asked for again while the node does not answer or has no blocks to give."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except NodeUnreachable:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


class Claims:
    """Makes ``count`` claims one after the other through one node, in a thread of its own."""

    def __init__(self, url: str, count: int) -> None:
        self.ended: list[Ended] = []
        self.failure: Exception | None = None
        self._url = url
        self._count = count
        self._answers = 0
        self._thread = threading.Thread(target=self._guarded, name="claims", daemon=True)

    def start(self) -> None:
        if self._count:
            self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def _guarded(self) -> None:
        try:
            with Client(self._url) as client:
                self._publish(client)
                for _ in range(self._count):
                    self.ended.append(self._claim(client, self._settle(client)))
        except Exception as err:  # noqa: BLE001 (raised again by whoever waits for this thread)
            self.failure = err

    def _publish(self, client: Client) -> None:
        """A datanet of dev1 to dev3, a model of dev4 on it, a session of dev5."""
        self._datanet = operator.created_id(operator.send(client, dev(0), DatanetCreate("speeches")))
        for i in (1, 2, 3):
            part = Part(dev(i).address, bytes([i]) * 32, ROWS // 3)
            commit = DatanetCommit(self._datanet, i - 1, bytes([9, i]) * 16, part.rows * i, (part,))
            operator.send(client, dev(i), commit)
        h, data = bytes(32), (DataRef(self._datanet, 3),)
        model = ModelPublish("m", "openledger/tiny-v1", data, h, h, h, h, h, ROWS, "gradient-dot", 5, 4, 0, PRICE)
        operator.send(client, dev(4), model)
        operator.send(client, dev(5), InferenceOpen(1, 1000 * OPEN, int(time.time()) + 100_000))

    def _settle(self, client: Client) -> int:
        """Some answers, paid for; the epoch, when it has closed."""
        self._answers += ANSWERS
        paid = self._answers * PRICE
        root = merkle_root([receipt_leaf(1, f"q{i}", f"a{i}", PRICE) for i in range(self._answers)])
        voucher = Voucher(1, paid, self._answers, root)
        signature = join_signature(*sign_digest(dev(5).secret, voucher.digest(client.chain_id())))
        settle = InferenceSettle(1, paid, self._answers, root, signature)
        epoch = operator.settled_epoch(operator.send(client, dev(4), settle))
        operator.wait_until("the end of the epoch", lambda: operator.epoch_of(client) > epoch, PATIENCE)
        return epoch

    def _claim(self, client: Client, epoch: int) -> Ended:
        scores = [score(row) for row in range(ROWS)]
        raw = b"".join(one.to_bytes(8, "big", signed=True) for one in scores)
        root = merkle_root([score_leaf(row, one) for row, one in enumerate(scores)])
        shares = tuple(sorted((Share(dev(i).address, 300_000) for i in (1, 2, 3)), key=lambda s: s.contributor))
        action = AttributionClaim(
            model=1, epoch=epoch, first=0, last=1, shares=shares, unattributed=100_000, evidence=bytes(32),
            scores_root=root, scores=hashlib.sha256(raw).digest(),
        )  # fmt: skip
        receipt = operator.send(client, dev(4), action)
        claim: Any = SimpleNamespace(scores=raw)
        opened = operator.OpenedClaim(operator.created_id(receipt), str(receipt["transactionHash"]), claim)
        record = patiently(lambda: operator.follow_claim(client, opened, PATIENCE))
        said = client.call("openledger_getVerdicts", opened.number)
        verdicts = {str(v["operator"]).lower(): str(v["verdict"]) for v in said}
        return Ended(opened.number, str(record["status"]), verdicts)
