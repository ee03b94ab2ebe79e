"""Random bytes, and damaged messages, on the ABCI socket of the real application: a line in the log, a closed
connection, and a node that lives on."""

from __future__ import annotations

import asyncio
import logging
import random
from pathlib import Path

import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app.gossip import encode_bundle
from openledger.abci_app.protocol import messages as m
from openledger.abci_app.protocol.codec import decode_request, decode_response, encode_request
from openledger.abci_app.protocol.framing import FrameReader, frame
from openledger.abci_app.protocol.server import AbciServer
from openledger.primitives.errors import OpenLedgerError

ASKING = (
    m.RequestEcho, m.RequestFlush, m.RequestInfo, m.RequestQuery, m.RequestCheckTx, m.RequestInsertTx, m.RequestReapTxs,
    m.RequestListSnapshots,
)  # fmt: skip
"""What may come at any time. A decided block that is out of order, or no block at all, must stop the node."""


def noise(rng: random.Random) -> bytes:
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.randrange(1, 400))
    if kind == 1:
        return frame(rng.randbytes(rng.randrange(60)))
    if kind == 2:
        return b"\xff" * rng.randrange(1, 30)
    return frame(b"") * rng.randrange(1, 4)


def damaged(rng: random.Random, samples: list[bytes]) -> bytes:
    raw = bytearray(rng.choice(samples))
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(raw))
        if rng.random() < 0.5:
            raw[at] ^= 1 << rng.randrange(8)
        else:
            del raw[at : at + rng.randrange(1, 9)]
        if not raw:
            break
    return bytes(raw)


def harmless(raw: bytes) -> bool:
    """False for what decodes to a call of the consensus connection, which is CometBFT's alone."""
    try:
        return isinstance(decode_request(raw), ASKING)
    except OpenLedgerError:
        return True


async def talk(path: str, data: bytes) -> None:
    """Send, read what comes, hang up."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(data)
    writer.write_eof()
    frames = FrameReader()
    while chunk := await asyncio.wait_for(reader.read(1 << 16), 10):
        frames.feed(chunk)
    while (answer := frames.next()) is not None:
        decode_response(answer)
    writer.close()


@pytest.mark.parametrize("seed", range(3))
async def test_noise_and_damaged_messages_leave_a_node_that_lives_on(
    tmp_path: Path, chain: Harness, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    rng = random.Random(seed)
    transfer = chain.transfer(1, ACCOUNTS[2][0], 1)
    samples = [
        encode_request(request)
        for request in (
            m.RequestCheckTx(transfer),
            m.RequestCheckTx(encode_bundle(1, [transfer, chain.transfer(2, ACCOUNTS[3][0], 1)])),
            m.RequestCheckTx(transfer, m.RECHECK),
            m.RequestInsertTx(encode_bundle(2, [transfer])),
            m.RequestReapTxs(1000, 5),
            m.RequestQuery(path="/datanet/1"),
            m.RequestInfo(version="0.40.0", abci_version="2.0.0"),
            m.RequestEcho("hello"),
        )
    ]
    faults: list[BaseException] = []
    path = str(tmp_path / "abci.sock")
    server = AbciServer(chain.app, f"unix://{path}", on_fault=faults.append)
    await server.start()
    with caplog.at_level(logging.ERROR):
        for _ in range(60):
            await talk(path, noise(rng))
            mutated = [raw for raw in (damaged(rng, samples) for _ in range(20)) if harmless(raw)]
            await talk(path, b"".join(frame(raw) for raw in mutated))
    assert faults == []
    assert "closing an ABCI connection" in caplog.text
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(frame(encode_request(m.RequestEcho("alive"))))
    frames = FrameReader()
    frames.feed(await asyncio.wait_for(reader.read(1 << 16), 10))
    answer = frames.next()
    assert answer is not None
    assert decode_response(answer) == m.ResponseEcho("alive")
    writer.close()
    await server.stop()
    for raw in [chain.transfer(3, ACCOUNTS[4][0], 1)]:
        assert chain.submit(raw).code == 0
    assert any(receipt.status == 1 for receipt in chain.block())
