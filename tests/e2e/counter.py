"""A small application for the tests of the protocol and the engines: it adds numbers up, and says so in vote
extensions.

State is a JSON file that Commit replaces atomically. Slot 0 of each block carries the extensions of the height
before, and PrepareProposal checks their signatures. Run as a program, it serves one ABCI address until it is killed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from openledger.abci_app.protocol import messages as m
from openledger.abci_app.protocol.canonical import extension_sign_bytes
from openledger.abci_app.protocol.server import AbciServer
from openledger.primitives.errors import AlreadyKnown, UnsupportedTransactionType
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import consensus_address, ed25519_verify

SLOT = b"slot0:"


class Pool:
    def __init__(self) -> None:
        self.txs: dict[bytes, None] = {}

    def reap(self) -> list[bytes]:
        return list(self.txs)

    def find(self, tx_hash):
        return next((raw for raw in self.txs if keccak256(raw) == tx_hash), None)

    def knows(self, tx_hash) -> bool:
        return self.find(tx_hash) is not None

    def remove(self, hashes) -> None:
        for tx_hash in hashes:
            self.txs.pop(self.find(tx_hash), None)


class Gossip:
    """Tells single transactions in place of bundles."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.told: dict[bytes, None] = {}

    def next_bundle(self):
        return next((self.told.setdefault(raw) or raw for raw in self.pool.txs if raw not in self.told), None)

    def returned(self, bundle) -> None:
        self.told.pop(bundle, None)

    def again(self) -> None:
        self.told.clear()


class CounterApp:
    def __init__(self, genesis=None, path: Path | None = None) -> None:
        self.genesis = genesis
        self.path = path
        self.mempool = Pool()
        self.gossip = Gossip(self.mempool)
        self.state = {"height": 0, "sum": 0, "time": 0, "chain_id": "", "keys": {}, "seen": 0}
        if path is not None and path.exists():
            self.state = json.loads(path.read_text())
        self.next = None
        self.calls: list[str] = []
        self.fail_at = 0
        self.due_now = False
        self.say = lambda height: b"sum at %d" % height

    def _hash(self, state) -> bytes:
        return hashlib.sha256(str(state["sum"]).encode()).digest()

    def head(self):
        height, time = self.state["height"], self.state["time"]
        return SimpleNamespace(number=height, timestamp=time // 10**9) if height else None

    def signers(self):
        return tuple(m.Validator(v.address, v.power) for v in self.genesis.validators)

    def params(self):
        return self.genesis.params

    def due(self, unix_seconds: int) -> bool:
        return self.due_now

    def info(self, request):
        self.calls.append("info")
        height = self.state["height"]
        return m.ResponseInfo("counter", "1", 1, height, self._hash(self.state) if height else b"")

    def init_chain(self, request):
        self.calls.append("init_chain")
        keys = {consensus_address(v.pub_key).hex(): v.pub_key.hex() for v in request.validators}
        self.state |= {"chain_id": request.chain_id, "keys": keys, "sum": 0, "height": 0}
        return m.ResponseInitChain(app_hash=self._hash(self.state))

    def query(self, request):
        return m.ResponseQuery(key=request.data, value=json.dumps(self.state).encode(), height=self.state["height"])

    def admit(self, raws):
        return [self._admit(raw) for raw in raws]

    def _admit(self, raw):
        if not raw.startswith(b"add:"):
            return UnsupportedTransactionType("only additions are known")
        if raw in self.mempool.txs:
            return AlreadyKnown("already known")
        self.mempool.txs[raw] = None
        return None

    def on_heard(self, listener) -> None:
        """Others bring nothing."""

    def insert_tx(self, request):
        refusal = self._admit(request.tx)
        return m.ResponseInsertTx(refusal.code if refusal else 0)

    def reap_txs(self, request):
        txs = []
        while (raw := self.gossip.next_bundle()) is not None:
            txs.append(raw)
        return m.ResponseReapTxs(tuple(txs))

    def check_tx(self, request):
        if not request.tx.startswith(b"add:"):
            return m.ResponseCheckTx(code=15, log="only additions are known")
        if request.type == m.NEW:
            self.mempool.txs[request.tx] = None
        return m.ResponseCheckTx(gas_wanted=1)

    def prepare_proposal(self, request):
        self.calls.append("prepare")
        parts = []
        for vote in request.local_last_commit.votes:
            if vote.block_id_flag != m.FLAG_COMMIT:
                continue
            key = bytes.fromhex(self.state["keys"][vote.validator.address.hex()])
            message = extension_sign_bytes(
                self.state["chain_id"], request.height - 1, request.local_last_commit.round, vote.vote_extension
            )
            if not ed25519_verify(key, message, vote.extension_signature):
                raise ValueError(f"the extension of {vote.validator.address.hex()} is not signed")
            parts.append(vote.vote_extension)
        txs, left = [SLOT + b"|".join(parts)], request.max_tx_bytes - 10_000
        for tx in request.txs:
            left -= len(tx) + 8
            if left < 0:
                break
            txs.append(tx)
        return m.ResponsePrepareProposal(tuple(txs))

    def process_proposal(self, request):
        self.calls.append("process")
        good = bool(request.txs) and request.txs[0].startswith(SLOT) and len(request.hash) == 32
        return m.ResponseProcessProposal(m.ACCEPT if good else m.REJECT)

    def extend_vote(self, request):
        self.calls.append("extend")
        return m.ResponseExtendVote(self.say(request.height))

    def verify_vote_extension(self, request):
        self.calls.append("verify")
        good = len(request.vote_extension) <= 4096
        return m.ResponseVerifyVoteExtension(m.ACCEPT if good else m.REJECT)

    def finalize_block(self, request):
        self.calls.append("finalize")
        if request.height == self.fail_at:
            raise RuntimeError("the disk is on fire")
        self.next = {**self.state, "height": request.height, "time": request.time}
        results = []
        for tx in request.txs:
            if tx.startswith(SLOT):
                self.next["seen"] += tx.count(b"sum at")
            else:
                self.next["sum"] += int(tx.split(b":")[1])
            results.append(m.ExecTxResult(gas_used=1, events=(m.Event("added", (("who", "me"),)),)))
            self.next["txs"] = self.next.get("txs", 0) + 1
        self.included = request.txs
        return m.ResponseFinalizeBlock(tx_results=tuple(results), app_hash=self._hash(self.next))

    def commit(self):
        self.calls.append("commit")
        self.state = self.next
        for tx in self.included:
            self.mempool.txs.pop(tx, None)
        if self.path is not None:
            temporary = self.path.with_suffix(".new")
            with temporary.open("w") as file:
                file.write(json.dumps(self.state))
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self.path)
        return m.ResponseCommit()

    def list_snapshots(self):
        return m.ResponseListSnapshots()

    def offer_snapshot(self, request):
        return m.ResponseOfferSnapshot(3)

    def load_snapshot_chunk(self, request):
        return m.ResponseLoadSnapshotChunk()

    def apply_snapshot_chunk(self, request):
        return m.ResponseApplySnapshotChunk(2)


async def serve(address: str, path: str, sleep: float) -> None:
    app = CounterApp(path=Path(path))
    finalize = app.finalize_block

    def slow(request):
        time.sleep(sleep)
        return finalize(request)

    app.finalize_block = slow
    over = asyncio.Event()
    server = AbciServer(app, address, on_fault=lambda err: over.set())
    await server.start()
    print(server.address, flush=True)
    await over.wait()
    await server.stop()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 0.0))
