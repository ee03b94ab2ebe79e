"""The ABCI server, with a test that plays CometBFT on the other end of the socket."""

import asyncio
import logging
import stat

import pytest

from openledger.abci_app.protocol import messages as m
from openledger.abci_app.protocol.framing import frame, uvarint
from openledger.abci_app.protocol.server import AbciServer
from openledger.primitives.errors import AlreadyKnown, InvalidConfig, InvalidGenesis, NonceTooLow, PortTaken


@pytest.fixture
def app(counter):
    return counter.CounterApp()


@pytest.fixture
def faults():
    return []


@pytest.fixture(params=["unix", "tcp"])
async def server(request, app, faults, tmp_path):
    address = f"unix://{tmp_path}/abci.sock" if request.param == "unix" else "tcp://127.0.0.1:0"
    server = AbciServer(app, address, on_fault=faults.append, max_frame=1 << 20)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def serve(app, faults, tmp_path):
    """Starts a server for the application as the test has changed it."""
    servers = []

    async def start():
        servers.append(AbciServer(app, f"unix://{tmp_path}/abci.sock", on_fault=faults.append))
        await servers[0].start()
        return servers[0].address

    yield start
    await servers[0].stop()


async def test_four_connections_answer_at_the_same_time(server, connect):
    clients = [await connect(server.address) for _ in range(4)]
    answers = await asyncio.gather(*(c.call(m.RequestEcho(str(i))) for i, c in enumerate(clients)))
    assert answers == [[m.ResponseEcho(str(i))] for i in range(4)]


async def test_a_pipeline_is_answered_in_order(server, connect):
    client = await connect(server.address)
    requests = [m.RequestCheckTx(b"add:1:%d" % i) if i % 3 else m.RequestEcho(str(i)) for i in range(3000)]
    answers = await client.call(*requests, m.RequestFlush())
    assert answers[-1] == m.ResponseFlush()
    assert answers[:-1] == [m.ResponseCheckTx(gas_wanted=1) if i % 3 else m.ResponseEcho(str(i)) for i in range(3000)]


async def test_a_long_pipeline_lets_other_connections_have_their_turn(server, connect):
    busy, other = await connect(server.address), await connect(server.address)
    pipeline = asyncio.create_task(busy.call(*[m.RequestCheckTx(b"add:1:%d" % i) for i in range(20_000)]))
    await asyncio.sleep(0.05)
    assert await other.call(m.RequestEcho("me")) == [m.ResponseEcho("me")]
    assert not pipeline.done()
    assert len(await pipeline) == 20_000


async def test_a_block_goes_through_all_calls(server, connect, app):
    client = await connect(server.address)
    key = bytes(range(32))
    chain = m.RequestInitChain(1, "c-1", m.ConsensusParams(), (m.ValidatorUpdate(key, 5),), b"{}", 1)
    (init,) = await client.call(chain)
    assert len(init.app_hash) == 32
    empty, at = m.CommitInfo(), (bytes(32), bytes(20))
    (prepared,) = await client.call(
        m.RequestPrepareProposal(99999, (b"add:4:x",), m.ExtendedCommitInfo(), (), 1, 9, *at)
    )
    block = (prepared.txs, empty, (), b"h" * 32, 1, 9, *at)
    answers = await client.call(m.RequestProcessProposal(*block), m.RequestFinalizeBlock(*block), m.RequestCommit())
    assert answers[0] == m.ResponseProcessProposal(m.ACCEPT)
    assert [result.code for result in answers[1].tx_results] == [0, 0]
    assert answers[2] == m.ResponseCommit()
    assert app.state["sum"] == 4


async def test_random_bytes_close_their_connection_and_no_other(server, connect, faults, caplog):
    good, bad = await connect(server.address), await connect(server.address)
    with caplog.at_level(logging.ERROR):
        bad.writer.write(frame(b"\x07 this is not protobuf"))
        assert isinstance(await bad.answer(), m.ResponseException)
        assert await bad.answer() is None
    assert "not protobuf" in caplog.text
    assert await good.call(m.RequestEcho("alive")) == [m.ResponseEcho("alive")]
    assert faults == []


async def test_a_frame_above_the_limit_closes_the_connection(server, connect, faults):
    client = await connect(server.address)
    client.writer.write(uvarint(1 << 30))
    answer = await client.answer()
    assert "above the limit" in answer.error
    assert await client.answer() is None
    assert faults == []


async def test_a_missing_field_is_named_in_the_answer(server, connect):
    client = await connect(server.address)
    client.writer.write(frame(bytes.fromhex("a20100")))  # FinalizeBlock with nothing in it
    assert "RequestFinalizeBlock.decided_last_commit is missing" in (await client.answer()).error


async def test_a_fault_of_the_application_is_an_exception_and_stops_the_node(serve, connect, app, faults):
    def broken(request):
        raise ZeroDivisionError("a bug")

    app.query = broken
    address = await serve()
    client = await connect(address)
    answers = await client.call(m.RequestEcho("a"), m.RequestQuery(), m.RequestEcho("b"))
    assert answers[0] == m.ResponseEcho("a")
    assert "a bug" in answers[1].error
    assert answers[2] is None
    assert [str(fault) for fault in faults] == ["a bug"]
    other = await connect(address)
    assert isinstance((await other.call(m.RequestCheckTx(b"add:1:a")))[0], m.ResponseException)
    assert len(faults) == 1


async def test_an_expected_refusal_in_check_tx_or_query_is_an_answer_with_its_number(serve, connect, app, faults):
    def refuse(request):
        raise NonceTooLow("the next nonce is 4")

    app.check_tx = app.query = refuse
    address = await serve()
    client = await connect(address)
    checked, asked = await client.call(m.RequestCheckTx(b"add:1:a"), m.RequestQuery())
    assert (checked.code, checked.log) == (NonceTooLow.code, "the next nonce is 4")
    assert asked.code == NonceTooLow.code
    assert faults == []


async def test_an_expected_refusal_elsewhere_stops_the_node_too(serve, connect, app, faults):
    def refuse(request):
        raise InvalidGenesis("no")

    app.init_chain = refuse
    address = await serve()
    client = await connect(address)
    chain = m.RequestInitChain(1, "c-1", m.ConsensusParams(), (), b"{}", 1)
    assert isinstance((await client.call(chain))[0], m.ResponseException)
    assert isinstance(faults[0], InvalidGenesis)


async def test_the_app_mempool_of_cometbft_inserts_and_reaps(server, connect, faults):
    client = await connect(server.address)
    inserted, again, reaped, empty = await client.call(
        m.RequestInsertTx(b"add:1:x"), m.RequestInsertTx(b"add:1:x"), m.RequestReapTxs(), m.RequestReapTxs()
    )
    assert (inserted.code, again.code) == (0, AlreadyKnown.code)
    assert (reaped.txs, empty.txs) == ((b"add:1:x",), ())
    assert faults == []


async def test_an_observer_sees_each_call_with_its_answer(app, connect, tmp_path):
    seen = []
    server = AbciServer(app, f"unix://{tmp_path}/s", on_fault=print, observer=lambda *pair: seen.append(pair))
    await server.start()
    client = await connect(server.address)
    await client.call(m.RequestCheckTx(b"add:1:a"))
    await server.stop()
    assert seen == [(m.RequestCheckTx(b"add:1:a"), m.ResponseCheckTx(gas_wanted=1))]


async def test_a_unix_socket_is_private_and_replaces_one_left_by_a_killed_process(app, tmp_path):
    path = tmp_path / "abci.sock"
    first = AbciServer(app, f"unix://{path}", on_fault=print)
    await first.start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = AbciServer(app, f"unix://{path}", on_fault=print)
    await second.start()
    await second.stop()
    assert not path.exists()
    await first.stop()


async def test_a_file_in_the_way_of_the_socket_is_not_removed(app, tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(PortTaken):
        await AbciServer(app, f"unix://{path}", on_fault=print).start()
    assert path.read_text() == "data"


async def test_a_taken_port_is_one_clear_error(app):
    first = AbciServer(app, "tcp://127.0.0.1:0", on_fault=print)
    await first.start()
    with pytest.raises(PortTaken, match="cannot listen"):
        await AbciServer(app, first.address, on_fault=print).start()
    await first.stop()


@pytest.mark.parametrize(
    "address", ["", "unix://", "http://127.0.0.1:1", "tcp://nowhere", "26658", "tcp://::1:99999", "tcp://h:²"]
)
async def test_a_wrong_address_is_refused(app, address):
    with pytest.raises(InvalidConfig, match="ABCI address"):
        await AbciServer(app, address, on_fault=print).start()
