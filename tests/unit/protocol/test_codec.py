"""Both directions of the ABCI codec; live CometBFT is in tests/e2e."""

import contextlib
import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openledger.abci_app.protocol import messages as m
from openledger.abci_app.protocol.codec import decode_request, decode_response, encode_request, encode_response
from openledger.abci_app.protocol.schema import CLASSES, MESSAGES
from openledger.primitives.errors import InvalidProtobuf, MissingField

BYTES32 = st.binary(min_size=32, max_size=32)
BYTES20 = st.binary(min_size=20, max_size=20)
HEIGHT = st.integers(1, 2**63 - 1)
TIME = st.integers(-62135596800 * 10**9, 2**62)
TXS = st.lists(st.binary(max_size=40), max_size=4).map(tuple)
VALIDATOR = st.builds(m.Validator, BYTES20, st.integers(0, 2**62))
FLAG = st.integers(1, 3)
COMMIT = st.builds(
    m.CommitInfo, st.integers(0, 2**31 - 1), st.lists(st.builds(m.VoteInfo, VALIDATOR, FLAG), max_size=3).map(tuple)
)
EXTENDED = st.builds(
    m.ExtendedCommitInfo,
    st.integers(0, 2**31 - 1),
    st.lists(st.builds(m.ExtendedVoteInfo, VALIDATOR, st.binary(), st.binary(), FLAG), max_size=3).map(tuple),
)
MISBEHAVIOR = st.lists(
    st.builds(m.Misbehavior, st.integers(1, 2), VALIDATOR, HEIGHT, TIME, st.integers(0, 2**62)), max_size=2
).map(tuple)
UPDATES = st.lists(st.builds(m.ValidatorUpdate, BYTES32, st.integers(0, 2**62)), max_size=3).map(tuple)
NUMBER = st.integers(0, 2**62)
PARAMS = st.one_of(
    st.just(m.ConsensusParams()),
    st.builds(m.ConsensusParams, block_max_bytes=NUMBER, block_max_gas=st.integers(-1, 2**62)),
    st.builds(
        m.ConsensusParams,
        vote_extensions_enable_height=NUMBER,
        evidence_max_age_num_blocks=NUMBER,
        evidence_max_age_duration=NUMBER,
        evidence_max_bytes=NUMBER,
        pub_key_types=st.just(("ed25519",)),
    ),
)
TEXT = st.text(max_size=20)
CODE = st.integers(0, 2**32 - 1)
EVENTS = st.lists(st.builds(m.Event, TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple)), max_size=2).map(
    tuple
)
RESULT = st.builds(m.ExecTxResult, CODE, st.binary(), TEXT, TEXT, NUMBER, NUMBER, EVENTS, TEXT)
SNAPSHOT = st.builds(m.Snapshot, NUMBER, CODE, CODE, st.binary(), st.binary())
BLOCK = (COMMIT, MISBEHAVIOR, BYTES32, HEIGHT, TIME, BYTES32, BYTES20)

REQUESTS = st.one_of(
    st.builds(m.RequestEcho, TEXT),
    st.builds(m.RequestFlush),
    st.builds(m.RequestInfo, TEXT, NUMBER, NUMBER, TEXT),
    st.builds(m.RequestInitChain, TIME, st.just("chain-1"), PARAMS, UPDATES, st.binary(), HEIGHT),
    st.builds(m.RequestQuery, st.binary(), TEXT, NUMBER, st.booleans()),
    st.builds(m.RequestCheckTx, st.binary(), st.integers(0, 1)),
    st.builds(m.RequestCommit),
    st.builds(m.RequestPrepareProposal, HEIGHT, TXS, EXTENDED, MISBEHAVIOR, HEIGHT, TIME, BYTES32, BYTES20),
    st.builds(m.RequestProcessProposal, TXS, *BLOCK),
    st.builds(m.RequestFinalizeBlock, TXS, *BLOCK),
    st.builds(m.RequestExtendVote, BYTES32, HEIGHT, TIME, TXS, COMMIT, MISBEHAVIOR, BYTES32, BYTES20),
    st.builds(m.RequestVerifyVoteExtension, BYTES32, BYTES20, HEIGHT, st.binary()),
    st.builds(m.RequestListSnapshots),
    st.builds(m.RequestOfferSnapshot, SNAPSHOT, BYTES32),
    st.builds(m.RequestLoadSnapshotChunk, NUMBER, CODE, CODE),
    st.builds(m.RequestApplySnapshotChunk, CODE, st.binary(), TEXT),
    st.builds(m.RequestInsertTx, st.binary()),
    st.builds(m.RequestReapTxs, NUMBER, NUMBER),
)
RESPONSES = st.one_of(
    st.builds(m.ResponseException, TEXT),
    st.builds(m.ResponseEcho, TEXT),
    st.builds(m.ResponseFlush),
    st.builds(m.ResponseInfo, TEXT, TEXT, NUMBER, NUMBER, st.binary()),
    st.builds(m.ResponseInitChain, st.none() | PARAMS, UPDATES, st.binary()),
    st.builds(m.ResponseQuery, CODE, TEXT, TEXT, NUMBER, st.binary(), st.binary(), NUMBER, TEXT),
    st.builds(m.ResponseCheckTx, CODE, st.binary(), TEXT, TEXT, NUMBER, NUMBER, TEXT),
    st.builds(m.ResponsePrepareProposal, TXS),
    st.builds(m.ResponseProcessProposal, st.integers(0, 2)),
    st.builds(m.ResponseExtendVote, st.binary()),
    st.builds(m.ResponseVerifyVoteExtension, st.integers(0, 2)),
    st.builds(
        m.ResponseFinalizeBlock, st.lists(RESULT, max_size=2).map(tuple), UPDATES, st.none() | PARAMS, BYTES32, EVENTS
    ),
    st.builds(m.ResponseCommit, NUMBER),
    st.builds(m.ResponseListSnapshots, st.lists(SNAPSHOT, max_size=2).map(tuple)),
    st.builds(m.ResponseOfferSnapshot, st.integers(0, 5)),
    st.builds(m.ResponseLoadSnapshotChunk, st.binary()),
    st.builds(
        m.ResponseApplySnapshotChunk, st.integers(0, 5), st.lists(CODE, max_size=3).map(tuple), st.just(("a", "b"))
    ),
    st.builds(m.ResponseInsertTx, CODE),
    st.builds(m.ResponseReapTxs, TXS),
)


@settings(max_examples=300, deadline=None)
@given(REQUESTS)
def test_every_request_survives_the_wire(request):
    assert decode_request(encode_request(request)) == request


@settings(max_examples=300, deadline=None)
@given(RESPONSES)
def test_every_response_survives_the_wire(response):
    assert decode_response(encode_response(response)) == response


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_a_message_or_a_named_refusal(raw):
    for decode in (decode_request, decode_response):
        with contextlib.suppress(InvalidProtobuf, MissingField):
            decode(raw)


@settings(max_examples=200, deadline=None)
@given(REQUESTS, st.data())
def test_a_message_cut_short_is_never_another_exception(request, data):
    raw = encode_request(request)
    cut = data.draw(st.integers(0, len(raw)))
    with contextlib.suppress(InvalidProtobuf, MissingField):
        decode_request(raw[:cut])


def test_known_bytes():
    assert encode_request(m.RequestCheckTx(b"abc", m.RECHECK)) == bytes.fromhex("42070a036162631001")
    assert encode_request(m.RequestFlush()) == bytes.fromhex("1200")
    assert encode_response(m.ResponseCommit(7)) == bytes.fromhex("62021807")
    assert encode_response(m.ResponseFlush()) == bytes.fromhex("1a00")
    assert encode_response(m.ResponseProcessProposal(m.ACCEPT)) == bytes.fromhex("92010208" + "01")


def _required():
    for spec in MESSAGES.values():
        for field in spec.fields:
            if field.required and spec.name.startswith("Request"):
                yield pytest.param(spec.name, field.name, id=f"{spec.name}.{field.name}")


@pytest.mark.parametrize(("message", "field"), list(_required()))
def test_a_missing_field_is_refused_by_name(message, field):
    whole = _sample(message)
    whole.ClearField(field)
    name = next(f.name for f in MESSAGES["Request"].fields if f.type == message)
    raw = CLASSES["Request"](**{name: whole}).SerializeToString()
    with pytest.raises(MissingField, match=rf"{message}\.{field} is missing"):
        decode_request(raw)


def _sample(name):
    values = {"int64": 1, "uint64": 1, "int32": 1, "uint32": 1, "bytes": b"x" * 32, "string": "text", "bool": True}
    kwargs = {}
    for field in MESSAGES[name].fields:
        if field.type == "PublicKey":
            value = CLASSES["PublicKey"](ed25519=bytes(32))
        else:
            value = _sample(field.type) if field.is_message else values[field.type]
        kwargs[field.name] = [value] if field.repeated else value
    return CLASSES[name](**kwargs)


def test_an_unknown_or_empty_request_is_refused():
    with pytest.raises(MissingField, match=r"Request\.value"):
        decode_request(b"")
    with pytest.raises(MissingField, match=r"Request\.value"):
        decode_request(bytes.fromhex("2200"))  # number 4: SetOption of old


def test_a_key_that_is_not_ed25519_is_refused():
    update = CLASSES["ValidatorUpdate"](pub_key=CLASSES["PublicKey"](secp256k1=bytes(33)), power=1)
    chain = _sample("RequestInitChain")
    del chain.validators[:]
    chain.validators.append(update)
    with pytest.raises(InvalidProtobuf, match="secp256k1"):
        decode_request(CLASSES["Request"](init_chain=chain).SerializeToString())


def test_text_that_is_not_utf8_is_refused():
    with pytest.raises(InvalidProtobuf):
        decode_request(bytes.fromhex("0a040a02fffe"))


def test_nanoseconds_outside_of_a_second_are_refused():
    block = _sample("RequestFinalizeBlock")
    block.time.nanos = 10**9
    with pytest.raises(InvalidProtobuf, match="nanos"):
        decode_request(CLASSES["Request"](finalize_block=block).SerializeToString())


def test_half_a_group_of_parameters_is_a_fault_because_cometbft_would_zero_the_rest():
    response = m.ResponseInitChain(consensus_params=m.ConsensusParams(block_max_bytes=1))
    with pytest.raises(ValueError, match="max_gas"):
        encode_response(response)


def test_unknown_fields_are_skipped():
    assert decode_request(bytes.fromhex("42070a036162637801")) == m.RequestCheckTx(b"abc")


def test_every_message_of_the_table_has_a_plain_value():
    for part in ("Request", "Response"):
        for field in MESSAGES[part].fields:
            names = {item.name for item in dataclasses.fields(getattr(m, field.type))}
            assert names <= {f.name for f in MESSAGES[field.type].fields}
