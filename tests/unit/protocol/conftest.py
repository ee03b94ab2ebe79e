import asyncio
import importlib.util
from pathlib import Path

import pytest

from openledger.abci_app.protocol.codec import decode_response, encode_request
from openledger.abci_app.protocol.framing import FrameReader, frame


@pytest.fixture(scope="session")
def counter():
    path = Path(__file__).parents[2] / "e2e" / "counter.py"
    spec = importlib.util.spec_from_file_location("counter_app_for_protocol", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Client:
    """Plays CometBFT on one connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer, self.frames = reader, writer, FrameReader()

    async def answer(self):
        while (raw := self.frames.next()) is None:
            data = await asyncio.wait_for(self.reader.read(1 << 16), 10)
            if not data:
                return None
            self.frames.feed(data)
        return decode_response(raw)

    async def call(self, *requests):
        self.writer.write(b"".join(frame(encode_request(request)) for request in requests))
        return [await self.answer() for _ in requests]

    def close(self):
        self.writer.close()


@pytest.fixture
async def connect():
    clients = []

    async def open_client(address):
        kind, _, rest = address.partition("://")
        if kind == "unix":
            streams = await asyncio.open_unix_connection(rest)
        else:
            host, _, port = rest.rpartition(":")
            streams = await asyncio.open_connection(host, int(port))
        clients.append(Client(*streams))
        return clients[-1]

    yield open_client
    for client in clients:
        client.close()
