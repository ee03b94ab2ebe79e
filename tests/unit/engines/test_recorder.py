import pytest

from openledger.abci_app.protocol import messages as m
from openledger.abci_app.protocol.codec import encode_request
from openledger.abci_app.protocol.framing import frame
from openledger.node.engines.recorder import Recorder, read_recording
from openledger.primitives.errors import InvalidProtobuf, UnexpectedMessage


def block(height, txs=(b"a",)):
    return m.RequestFinalizeBlock(txs, m.CommitInfo(), (), bytes(31) + b"h", height, height, b"n" * 32, b"p" * 20)


def write(path, blocks):
    recorder = Recorder(path)
    for one in blocks:
        recorder.record(one)
    recorder.close()


def test_blocks_come_back_as_they_were_and_a_second_run_appends(tmp_path):
    path = tmp_path / "blocks"
    write(path, [block(1), block(2, (b"x" * 3_000_000, b""))])
    write(path, [block(3)])
    assert list(read_recording(path)) == [block(1), block(2, (b"x" * 3_000_000, b"")), block(3)]


def test_a_record_cut_off_by_a_crash_is_dropped_and_written_over(tmp_path):
    path = tmp_path / "blocks"
    write(path, [block(1), block(2)])
    path.write_bytes(path.read_bytes()[:-5])
    assert list(read_recording(path)) == [block(1)]
    write(path, [block(2), block(3)])
    assert list(read_recording(path)) == [block(1), block(2), block(3)]


def test_a_block_replayed_after_a_crash_is_read_once(tmp_path):
    path = tmp_path / "blocks"
    write(path, [block(1), block(2), block(2), block(1), block(2), block(3)])
    assert [b.height for b in read_recording(path)] == [1, 2, 3]


def test_two_different_blocks_of_one_height_are_refused(tmp_path):
    path = tmp_path / "blocks"
    write(path, [block(1), block(1, (b"other",))])
    with pytest.raises(UnexpectedMessage, match="height 1"):
        list(read_recording(path))


def test_what_is_no_recording_is_refused(tmp_path):
    path = tmp_path / "blocks"
    path.write_bytes(frame(encode_request(m.RequestEcho("hi"))))
    with pytest.raises(UnexpectedMessage, match="RequestEcho"):
        list(read_recording(path))
    path.write_bytes(frame(b"\x07garbage"))
    with pytest.raises(InvalidProtobuf):
        list(read_recording(path))
