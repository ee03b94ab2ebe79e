"""What a call costs on the ABCI socket: alone (one round trip after another) and pipelined, as CometBFT does it.

    python bench/abci.py [--calls 5000]

    echo      the socket, the codec and the event loop
    checktx   the same with a CheckTx of 110 bytes and an application that only says yes
    known     CheckTx (recheck) of a transaction that waits in the real mempool
    bundle    CheckTx (recheck) of a bundle of 500 transactions that wait in the real mempool

The server is a process of its own; the client sends prepared bytes and counts answers, so what is measured is the
server. Microseconds for each call, median of 5 rounds, with a unix socket.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from openledger.abci_app.gossip import encode_bundle
from openledger.abci_app.protocol import messages as m
from openledger.abci_app.protocol.codec import decode_response, encode_request
from openledger.abci_app.protocol.framing import FrameReader, frame
from openledger.abci_app.protocol.server import AbciServer
from openledger.genesis.genesis import GenesisValidator
from openledger.genesis.presets import dev_accounts, devnet_genesis
from openledger.primitives.amounts import GWEI
from openledger.primitives.keys import ed25519_public
from openledger.primitives.transactions import sign_transaction

ROUNDS = 5


def transfers(count: int) -> list[bytes]:
    to, secret = dev_accounts()[1][0], dev_accounts()[0][1]
    return [
        sign_transaction(
            secret, chain_id=161237, nonce=n, to=to, value=1, max_fee=9 * GWEI, max_priority_fee=GWEI, gas=21_000
        )
        for n in range(count)
    ]


async def serve(address: str) -> None:
    """Until killed: the real application, or for ``yes`` transactions one that only says yes."""
    from openledger.abci_app.application import Application
    from openledger.abci_app.ports import Silence
    from openledger.evm.pyevm import PyEvmEngine
    from openledger.state.memory import MemoryStore
    from openledger.state.store import StateStore

    genesis = devnet_genesis(
        (GenesisValidator(ed25519_public(bytes(32)), 10, bytes(19) + b"\1", "v"),), 1_700_000_000 * 10**9
    )
    app: Any = Application(genesis, StateStore(MemoryStore()), PyEvmEngine(), Silence())
    check = app.check_tx
    yes = m.ResponseCheckTx(gas_wanted=1)
    app.check_tx = lambda request: yes if request.tx.startswith(b"yes") else check(request)
    await AbciServer(app, address, on_fault=lambda err: sys.exit(repr(err))).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


class Wire:
    """One connection, blocking: the client's own time is small against the server's."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))

    def ask(self, data: bytes, answers: int) -> list[bytes]:
        """Send everything, wait for so many answers."""
        import threading

        sender = threading.Thread(target=self._socket.sendall, args=(data,))
        sender.start()
        frames, found = FrameReader(), []
        while len(found) < answers:
            frames.feed(self._socket.recv(1 << 20))
            while (raw := frames.next()) is not None:
                found.append(raw)
        sender.join()
        return found

    def alone(self, data: bytes) -> None:
        """Send one call, wait for its answer."""
        self._socket.sendall(data)
        self._socket.recv(1 << 16)


def measure(wire: Wire, request: object, calls: int) -> SimpleNamespace:
    data = frame(encode_request(request))
    alone, piped = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(calls // 5):
            wire.alone(data)
        alone.append((time.perf_counter() - began) / (calls // 5))
        began = time.perf_counter()
        wire.ask(data * calls, calls)
        piped.append((time.perf_counter() - began) / calls)
    return SimpleNamespace(alone=1e6 * statistics.median(alone), piped=1e6 * statistics.median(piped))


def rows() -> Sequence[tuple[str, object]]:
    raws = transfers(500)
    bundle = encode_bundle(1, raws)
    return [
        ("fill", m.RequestCheckTx(bundle)),
        ("echo", m.RequestEcho("x")),
        ("checktx", m.RequestCheckTx(b"yes" + bytes(107))),
        ("known", m.RequestCheckTx(raws[0], m.RECHECK)),
        ("bundle", m.RequestCheckTx(bundle, m.RECHECK)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "abci.sock"
        server = subprocess.Popen(
            [sys.executable, __file__, "--serve", f"unix://{path}"], stdout=subprocess.PIPE, text=True
        )
        try:
            if server.stdout is None or server.stdout.readline() != "ready\n":
                raise SystemExit("the server did not start")
            wire = Wire(path)
            for name, request in rows():
                if name == "fill":
                    (answer,) = wire.ask(frame(encode_request(request)), 1)
                    if decode_response(answer).code:
                        raise SystemExit(decode_response(answer).log)
                    continue
                found = measure(wire, request, options.calls if name != "bundle" else options.calls // 10)
                print(f"{name:<8} alone {found.alone:6.1f} us   pipelined {found.piped:6.1f} us", flush=True)
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
