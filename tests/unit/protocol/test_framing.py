"""Frames, and the sign bytes of vote extensions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openledger.abci_app.protocol.canonical import extension_sign_bytes
from openledger.abci_app.protocol.framing import FrameReader, frame, uvarint
from openledger.primitives.errors import FrameTooLarge, InvalidProtobuf


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 64))
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(payloads, step):
    stream = b"".join(frame(p) for p in payloads)
    reader, found = FrameReader(), []
    for start in range(0, len(stream), step):
        reader.feed(stream[start : start + step])
        while (raw := reader.next()) is not None:
            found.append(raw)
    assert found == payloads
    assert reader.pending == 0


def test_a_frame_above_the_limit_is_refused_before_its_bytes_arrive():
    reader = FrameReader(max_frame=1000)
    reader.feed(uvarint(1001))
    with pytest.raises(FrameTooLarge, match="1001"):
        reader.next()


def test_a_length_that_never_ends_is_refused():
    reader = FrameReader()
    reader.feed(b"\xff" * 20)
    with pytest.raises(InvalidProtobuf, match="varint"):
        reader.next()


def test_uvarint_at_its_borders():
    assert [uvarint(n).hex() for n in (0, 1, 127, 128, 300, 16384)] == ["00", "01", "7f", "8001", "ac02", "808001"]


def test_sign_bytes_leave_zero_fields_out():
    assert extension_sign_bytes("", 0, 0, b"").hex() == "00"
    assert extension_sign_bytes("", 0, 1, b"").hex() == "09" + "19" + "0100000000000000"


def test_sign_bytes_of_a_whole_extension_field_by_field():
    expected = (
        "2c"  # length: 44 bytes follow
        "0a09" + b"extension".hex() + "110100000000000000"  # height 1, little-endian
        "190200000000000000"  # round 2
        "220d" + b"test_chain_id".hex()
    )
    assert extension_sign_bytes("test_chain_id", 1, 2, b"extension").hex() == expected


def test_sign_bytes_of_a_long_extension_have_a_longer_length():
    signed = extension_sign_bytes("c", 3, 0, bytes(200))
    assert signed[:5].hex() == "d7010ac801"
    assert len(signed) == 2 + 0xD7 - 0x80 + 0x80
