"""What the owner of a model does against a running node: publish, settle, claim. Used by the command line and the demo.

The path of a claim: vouchers of the epoch are settled -> the epoch closes -> evidence is uploaded and the claim is sent
with the hash of its row scores -> validators hold, vote -> in the reveal the scores are uploaded -> verdict.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openledger.abci_app.modules.attribution.claim import AttributionClaim
from openledger.abci_app.modules.attribution.records import Share
from openledger.abci_app.modules.models.publish import ModelPublish
from openledger.abci_app.modules.models.records import DataRef
from openledger.abci_app.modules.models.settle import InferenceSettle
from openledger.node.keystore import Signer
from openledger.primitives.attribution import PartFacts, SettlementFacts, Voucher
from openledger.primitives.errors import BlobNotFound, MalformedAction, NodeUnreachable, NotFound, WrongPhase
from openledger.primitives.hashing import sha256
from openledger.primitives.types import Address, from_hex, to_checksum, to_hex

if TYPE_CHECKING:
    from openledger.abci_app.action import Action
    from openledger.attribution_oracle.bundle import Bundle, VersionData
    from openledger.attribution_oracle.claims import Answer, Claim
    from openledger.attribution_oracle.ports import Blobs
    from openledger.rpc.client import Client

FINAL = ("accepted", "refused", "lapsed")
_POLL_SECONDS = 0.2
Report = Callable[[str], None]


def quiet(_text: str) -> None:
    """A report that nobody reads."""


class NodeBlobs:
    """The blob store of a running node, as the oracle room wants it; what was fetched once stays in memory."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kept: dict[str, bytes] = {}

    def get(self, name: str, /) -> bytes:
        """Bytes of a blob. Raises BlobNotFound, BlobCorrupt."""
        name = name.removeprefix("0x")
        if name not in self._kept:
            self._kept[name] = self._client.get_blob(name)
        return self._kept[name]

    def put(self, data: bytes, /) -> str:
        """Upload; the name."""
        name = self._client.put_blob(data)
        self._kept[name] = data
        return name

    def has(self, name: str, /) -> bool:
        """True when the node has it."""
        try:
            self.get(name)
        except BlobNotFound:
            return False
        return True


class Layered:
    """Reads from the first store, then from the second; writes to the first."""

    def __init__(self, first: Blobs, second: Blobs) -> None:
        self._first, self._second = first, second

    def get(self, name: str, /) -> bytes:
        """Raises BlobNotFound when neither has it."""
        name = name.removeprefix("0x")
        return self._first.get(name) if self._first.has(name) else self._second.get(name)

    def put(self, data: bytes, /) -> str:
        """Into the first store; the name."""
        return self._first.put(data)

    def has(self, name: str, /) -> bool:
        """True when either has it."""
        return self._first.has(name) or self._second.has(name)


def send(client: Client, signer: Signer, action: Action) -> dict[str, Any]:
    """Sign, send, wait; the receipt. Raises the refusal."""
    receipt: dict[str, Any] = client.wait_receipt(client.send_native(signer.secret, action))
    return receipt


def created_id(receipt: dict[str, Any]) -> int:
    """The number of what a native transaction made: the first indexed value of its first event."""
    return int(receipt["logs"][0]["topics"][1], 16)


def version_data(client: Client, refs: Iterable[tuple[int, int]]) -> tuple[VersionData, ...]:
    """Parts of (datanet, version) pairs as the chain has them; version 0 is the newest. Raises NotFound, and
    MalformedAction or WrongPhase before hours of training go into what nobody could publish."""
    from openledger.attribution_oracle.bundle import VersionData

    found: list[VersionData] = []
    for datanet, version in refs:
        if not version:
            version = int(client.call("openledger_getDatanet", datanet)["head"])
        if not version:
            raise NotFound(f"datanet {datanet} has no version yet", f"openledger datanet add {datanet} FILE")
        if datanet in [one.datanet for one in found]:
            raise MalformedAction(f"datanet {datanet} is named twice", "a model takes one version of a datanet")
        commit = client.call("openledger_getCommit", datanet, version)
        if commit["status"] != "accepted":
            raise WrongPhase(
                f"version {version} of datanet {datanet} is {commit['status']}, and only accepted ones are trained on"
            )
        parts = tuple(
            PartFacts(p["contributor"], p["blob"], int(p["rows"]), int(p["height"]), int(p["place"]))
            for p in commit["parts"]
        )
        found.append(VersionData(datanet, version, parts))
    return tuple(found)


def publishing(name: str, price: int, fields: dict[str, Any]) -> ModelPublish:
    """model.publish with the fields of ``publish_bundle``. Raises MalformedAction where no chain would take it."""
    data = tuple(DataRef(datanet, version) for datanet, version in fields["data"])
    action = ModelPublish(**{**fields, "name": name, "price": price, "data": data})
    action.check()
    return action


def publish(client: Client, signer: Signer, name: str, price: int, fields: dict[str, Any]) -> tuple[int, str]:
    """Send model.publish; model number and transaction hash."""
    receipt = send(client, signer, publishing(name, price, fields))
    return created_id(receipt), str(receipt["transactionHash"])


def published(client: Client, owner: Address, name: str, price: int, bundle: bytes) -> int | None:
    """The model that ``publish`` would make once more: of this owner, name and price, with these files, not retired.
    Each of the two would need a bond."""
    wanted, start = (to_checksum(owner), name, to_hex(bundle), price), 1
    while found := client.call("openledger_listModels", start):
        for one in found:
            if (one["owner"], one["name"], one["bundle"], int(one["price"], 16)) == wanted and not one["retired"]:
                return int(one["id"])
        start = int(found[-1]["id"]) + 1
    return None


def settle(
    client: Client, signer: Signer, vouchers: Sequence[tuple[Voucher, bytes]], *, close: bool = False
) -> list[dict[str, Any]]:
    """Settle every voucher that pays more than the chain has settled; the receipts."""
    receipts = []
    for voucher, signature in vouchers:
        session = client.call("openledger_getSession", voucher.session)
        if session["closed"] or int(session["settled"], 16) >= voucher.cumulative:
            continue
        action = InferenceSettle(
            session=voucher.session,
            cumulative=voucher.cumulative,
            answers=voucher.answers,
            receipts=voucher.receipts,
            signature=signature,
            close=close,
        )
        receipts.append(send(client, signer, action))
    return receipts


def settled_epoch(receipt: dict[str, Any]) -> int:
    """The epoch that a settlement was booked in (third indexed value of SessionSettled)."""
    return int(receipt["logs"][0]["topics"][3], 16)


def settlements(client: Client, model: int, epoch: int) -> tuple[int, list[SettlementFacts]]:
    """Where the next claim of (model, epoch) begins, and the settlements that it will cover."""
    found = client.call("openledger_getSettlements", model, epoch)
    first = int(found["claimed"])
    return first, [
        SettlementFacts(int(s["session"]), int(s["first"]), int(s["last"]), int(s["amount"], 16), s["receipts"])
        for s in found["settlements"][first : int(found["next"])]
    ]


def epoch_of(client: Client) -> int:
    """Number of the running epoch."""
    return int(client.call("openledger_getEpoch")["number"])


def wait_until(what: str, ask: Callable[[], Any], seconds: float) -> Any:
    """Ask again and again until the answer is true. Raises NodeUnreachable after ``seconds``."""
    end = time.monotonic() + seconds
    while not (answer := ask()):
        if time.monotonic() > end:
            raise NodeUnreachable(
                f"waited {seconds:g} seconds for {what}", "openledger status shows whether the chain runs"
            )
        time.sleep(_POLL_SECONDS)
    return answer


@dataclass(frozen=True)
class OpenedClaim:
    """A claim on the chain, with what its claimant keeps for the reveal."""

    number: int
    transaction: str
    claim: Claim


def open_claim(
    client: Client, signer: Signer, model: int, epoch: int, bundle: Bundle, answers: Sequence[Answer],
    progress: Callable[[int, int, str], None], keep: Callable[[bytes], None] | None = None,
) -> OpenedClaim:  # fmt: skip
    """Compute the shares of (model, epoch) and send the claim; the epoch must have closed. ``keep`` gets the scores
    before anything is sent: without them in the reveal the claim is lost."""
    from openledger.attribution_oracle.claims import build_claim

    first, covered = settlements(client, model, epoch)
    built = build_claim(bundle, answers, covered, progress)
    if keep is not None:
        keep(built.scores)
    evidence = client.put_blob(built.evidence)
    action = AttributionClaim(
        model=model,
        epoch=epoch,
        first=first,
        last=first + len(covered),
        shares=tuple(Share(who, ppm) for who, ppm in built.shares),
        unattributed=built.unattributed,
        evidence=from_hex("0x" + evidence, 32),
        scores_root=built.scores_root,
        scores=sha256(built.scores),
    )
    receipt = send(client, signer, action)
    return OpenedClaim(created_id(receipt), str(receipt["transactionHash"]), built)


def follow_claim(client: Client, opened: OpenedClaim, seconds: float, report: Report = quiet) -> dict[str, Any]:
    """Wait for the verdict, publishing the scores in the reveal and never before. The claim's record at the end."""
    last = ""

    def step() -> dict[str, Any] | None:
        nonlocal last
        record: dict[str, Any] = client.call("openledger_getClaim", opened.number)
        status = str(record["status"])
        if status != last:
            report(status)
            last = status
            if status == "reveal":
                client.put_blob(opened.claim.scores)
        return record if status in FINAL else None

    found: dict[str, Any] = wait_until(f"the verdict on claim {opened.number}", step, seconds)
    return found
