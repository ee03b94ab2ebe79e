"""What each precompile answers, asked as Solidity asks; and what makes it revert."""

from __future__ import annotations

from typing import Any

import pytest
from harness import ACCOUNTS, PRICE, Harness

from openledger.abci_app import reads
from openledger.abci_app.modules.attribution.challenge import AttributionChallenge
from openledger.abci_app.modules.attribution.challenge_index import AttributionChallengeIndex
from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.promise import DatanetPromise
from openledger.abci_app.modules.datanets.records import VERSIONS, Part
from openledger.abci_app.modules.datanets.review import DatanetReview
from openledger.abci_app.modules.governance.propose import GovPropose
from openledger.abci_app.modules.governance.records import must_proposal
from openledger.abci_app.modules.governance.vote import GovVote
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.modules.staking.redelegate import StakeRedelegate
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.abci_app.registry import PRECOMPILES, READS
from openledger.primitives.amounts import OPEN
from openledger.primitives.attribution import row_leaf
from openledger.primitives.hashing import keccak256, merkle_proof, merkle_root
from openledger.primitives.types import (
    ATTRIBUTION_ADDRESS,
    DATANETS_ADDRESS,
    GOVERNANCE_ADDRESS,
    MODELS_ADDRESS,
    MODULE_ADDRESSES,
    STAKING_ADDRESS,
)

DATANETS = ("IDatanets", DATANETS_ADDRESS)
MODELS = ("IModels", MODELS_ADDRESS)
ATTRIBUTION = ("IAttribution", ATTRIBUTION_ADDRESS)
STAKING = ("IStaking", STAKING_ADDRESS)
GOVERNANCE = ("IGovernance", GOVERNANCE_ADDRESS)
NOBODY = "0x" + "11" * 20
ZERO = bytes(20)


def hexed(address: bytes) -> str:
    return "0x" + address.hex()


def test_the_functions_are_exactly_those_of_the_interfaces(interfaces: Any) -> None:
    names = ("IDatanets", "IModels", "IAttribution", "IStaking", "IGovernance")
    for name, found in zip(names, READS, strict=True):
        wanted = {}
        for entry in interfaces[name].abi:
            arguments = ",".join(i["type"] for i in entry["inputs"])
            wanted[f"{entry['name']}({arguments})"] = [o.get("type") for o in entry["outputs"]]
            assert entry["stateMutability"] == "view"
        assert {f.signature for f in found.functions} == set(wanted)
        for function in found.functions:
            assert len(function.returns) == len(wanted[function.signature])
    assert tuple(address for address, _ in PRECOMPILES) == MODULE_ADDRESSES


def test_datanets(chain: Harness, calls: Any) -> None:
    assert calls.ask(*DATANETS, "datanetCount") == 0
    rows = [b'{"text":"a"}', b'{"text":"b"}', b'{"text":"c"}']
    alice = ACCOUNTS[1][0]
    leaves = [row_leaf(alice, row) for row in rows]
    chain.act(0, DatanetCreate("speeches", "famous ones", licence="CC0-1.0"))
    assert calls.ask(*DATANETS, "getDatanet", 1)[-2:] == (0, 0)
    chain.act(1, DatanetCommit(1, 0, merkle_root(leaves), 3, (Part(alice, b"\x07" * 32, 3),), message="first"))
    view = chain.query("get_datanet", 1)
    found = calls.ask(*DATANETS, "getDatanet", 1)
    assert found == (
        hexed(ACCOUNTS[0][0]), "speeches", "famous ones", view["schema"], "CC0-1.0", view["policy"],
        view["reviewQuorum"], int(view["bond"], 16), int(view["stake"], 16), (), 1, 1,
    )  # fmt: skip
    commit = calls.ask(*DATANETS, "getCommit", 1, 1)
    assert commit == (hexed(alice), 0, merkle_root(leaves), 3, chain.query("get_commit", 1, 1)["time"], "first")
    height = chain.app.head().number
    assert calls.ask(*DATANETS, "getParts", 1, 1) == ((hexed(alice), b"\x07" * 32, 3, height, 1),)
    chain.act(2, DatanetPromise(b"\x05" * 32))
    promise = chain.query("get_promise", b"\x05" * 32)
    told = calls.ask(*DATANETS, "getPromise", b"\x05" * 32)
    assert told == (hexed(ACCOUNTS[2][0]), height + 1, 2, promise["expires"])
    for index, row in enumerate(rows):
        arguments: list[Any] = [1, 1, index, alice, keccak256(row), merkle_proof(leaves, index)]
        assert calls.ask(*DATANETS, "verifyRow", *arguments) is True
        assert calls.ask(*DATANETS, "verifyRow", *arguments[:2], index + 1, *arguments[3:]) is False
        assert calls.ask(*DATANETS, "verifyRow", *arguments[:3], ACCOUNTS[2][0], *arguments[4:]) is False
        assert calls.ask(*DATANETS, "verifyRow", *arguments[:5], []) is False


def test_reviews(chain: Harness, calls: Any) -> None:
    alice, reviewer = ACCOUNTS[1][0], ACCOUNTS[2][0]
    chain.act(0, DatanetCreate("d", "", "text", "CC0-1.0", "reviewed", 1, OPEN, 2 * OPEN, (reviewer,)))
    assert calls.ask(*DATANETS, "getDatanet", 1)[5:] == ("reviewed", 1, OPEN, 2 * OPEN, (hexed(reviewer),), 0, 0)
    chain.act(1, DatanetCommit(1, 0, bytes(32), 3, (Part(alice, b"\x07" * 32, 3),), bond=OPEN))
    deadline = chain.query("get_review", 1, 1)["deadline"]
    assert calls.ask(*DATANETS, "getReview", 1, 1) == (hexed(alice), OPEN, 2 * OPEN, 1, 1, False, 0, 0, deadline)
    assert calls.ask(*DATANETS, "isAccepted", 1, 1) is False
    chain.act(2, DatanetReview(1, 1, True, "fine", 2 * OPEN))
    assert calls.ask(*DATANETS, "getReview", 1, 1)[4:8] == (2, False, 1, 0)
    assert [calls.ask(*DATANETS, "isAccepted", 1, version) for version in (0, 1, 2)] == [False, True, False]
    assert calls.ask(*DATANETS, "getDatanet", 1)[-2:] == (1, 1)


def test_models_and_sessions(chain: Harness, calls: Any) -> None:
    chain.publish()
    chain.settle(answers=3)
    assert (calls.ask(*MODELS, "modelCount"), calls.ask(*MODELS, "sessionCount")) == (1, 1)
    model = calls.ask(*MODELS, "getModel", 1)
    assert model[:3] == (hexed(ACCOUNTS[4][0]), "m", "openledger/tiny-v1")
    assert model[8:] == (12, "gradient-dot", 5, 4, 0, PRICE, False)
    assert calls.ask(*MODELS, "getData", 1) == ((1, 3),)
    session = calls.ask(*MODELS, "getSession", 1)
    assert session[:5] == (1, hexed(ACCOUNTS[5][0]), OPEN, 3 * PRICE, 3)
    assert session[6] is False


def test_claims_tallies_and_rewards(chain: Harness, calls: Any) -> None:
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    number = chain.claim(epoch, {1: 600_000, 2: 300_000}, 100_000)
    assert calls.ask(*ATTRIBUTION, "getTally", number) == (0, 0, 10)
    assert chain.run_claim(number) == "accepted"
    assert calls.ask(*ATTRIBUTION, "claimCount") == 1
    claim = calls.ask(*ATTRIBUTION, "getClaim", number)
    view = chain.query("get_claim", number)
    assert claim[:5] == (1, epoch, hexed(ACCOUNTS[4][0]), 4, int(view["fee"], 16))
    assert claim[7] == 100_000
    shares = sorted([(hexed(ACCOUNTS[1][0]), 600_000), (hexed(ACCOUNTS[2][0]), 300_000)])
    assert calls.ask(*ATTRIBUTION, "getShares", number) == tuple(shares)
    assert calls.ask(*ATTRIBUTION, "getTally", number) == (10, 0, 10)
    earned = chain.query("get_rewards", ACCOUNTS[1][0])
    assert calls.ask(*ATTRIBUTION, "pendingRewards", ACCOUNTS[1][0]) == int(earned["available"], 16) > 0
    assert calls.ask(*ATTRIBUTION, "getRewards", ACCOUNTS[1][0])[0] == int(earned["fees"], 16)
    assert calls.ask(*ATTRIBUTION, "pendingRewards", NOBODY) == 0
    assert calls.ask(*ATTRIBUTION, "currentEpoch") == chain.query("get_epoch")["number"]


def test_a_challenge_of_an_index_and_the_bond_behind_it(calls: Any) -> None:
    chain = calls.chain = Harness(model_bond=3 * OPEN, challenge_bond=5 * OPEN, engine=calls.chain.app.engine)
    chain.publish()
    assert calls.ask(*MODELS, "getModelBond", 1) == (3 * OPEN, 0)
    chain.act(6, AttributionChallengeIndex(1, 7, 2))
    who = hexed(ACCOUNTS[6][0])
    assert calls.ask(*ATTRIBUTION, "getIndexChallenge", 1) == (1, 7, 2, who, 5 * OPEN, 1, 1)
    assert calls.ask(*ATTRIBUTION, "getTally", 1) == (0, 0, 10)
    chain.oracles[0].mode = "no"
    for _ in range(10):
        chain.block()
    assert calls.ask(*ATTRIBUTION, "getIndexChallenge", 1) == (1, 7, 2, who, 5 * OPEN, 5, 2)
    assert calls.ask(*MODELS, "getModelBond", 1) == (0, 1)


def test_the_newest_challenge_of_a_claim(calls: Any) -> None:
    chain = calls.chain = Harness(challenge_seconds=1_000, challenge_bond=5 * OPEN, engine=calls.chain.app.engine)
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    number = chain.claim(epoch, {1: 900_000}, 100_000)
    assert calls.error(*ATTRIBUTION, "getChallenge", number).endswith(f"claim {number} was never challenged")
    assert chain.run_claim(number) == "accepted"
    bond, who = chain.genesis.params.challenge_bond, hexed(ACCOUNTS[6][0])
    chain.act(6, AttributionChallenge(number, 7, ZERO))
    assert calls.ask(*ATTRIBUTION, "getChallenge", number) == (who, bond, 7, hexed(ZERO), 1)
    for _ in range(30):
        if chain.query("get_claim", number)["challenge"]["outcome"] == "open":
            chain.block(1)
    assert calls.ask(*ATTRIBUTION, "getChallenge", number) == (who, bond, 7, hexed(ZERO), 3)
    chain.act(6, AttributionChallenge(number, 0, ACCOUNTS[1][0]))
    assert calls.ask(*ATTRIBUTION, "getChallenge", number) == (who, bond, 0, hexed(ACCOUNTS[1][0]), 1)


def test_validators(calls: Any) -> None:
    chain = calls.chain = Harness(powers=(10, 20, 5), engine=calls.chain.app.engine)
    views = {v["operator"].lower(): v for v in chain.query("list_validators")}
    found = calls.ask(*STAKING, "getValidators")
    assert [v[0] for v in found] == sorted(views)
    for validator in found:
        view = views[validator[0]]
        facts = (validator[0], bytes.fromhex(view["pubKey"][2:]), view["name"], view["power"], False)
        assert validator == (*facts, int(view["stake"], 16), int(view["shares"], 16), view["commission"])
        assert calls.ask(*STAKING, "getValidator", validator[0]) == validator
    assert calls.ask(*STAKING, "totalPower") == 35
    assert calls.ask(*STAKING, "getDelegation", NOBODY, found[0][0]) == 0
    one, other = (bytes.fromhex(v[0][2:]) for v in found[:2])
    chain.act(1, StakeDelegate(one, 7 * OPEN))
    chain.act(1, StakeRedelegate(one, other, 2 * OPEN))
    chain.act(1, StakeUndelegate(one, OPEN))
    mine = ACCOUNTS[1][0]
    assert calls.ask(*STAKING, "getDelegations", mine) == ((hexed(one), 4 * OPEN), (hexed(other), 2 * OPEN))
    assert calls.ask(*STAKING, "getDelegation", mine, one) == 4 * OPEN
    assert calls.ask(*STAKING, "getUnbondings", mine, one) == ((OPEN, chain.time + 60),)
    assert calls.ask(*STAKING, "getRedelegations", mine, other) == ((hexed(one), 2 * OPEN, chain.time + 59),)
    assert calls.ask(*STAKING, "getUnbondings", mine, NOBODY) == calls.ask(*STAKING, "getDelegations", NOBODY) == ()
    assert calls.error(*STAKING, "getValidator", NOBODY) == f"execution reverted: {NOBODY} operates no validator"


def test_parameters(chain: Harness, calls: Any) -> None:
    assert calls.ask(*GOVERNANCE, "getParam", "blockGasLimit") == 30_000_000
    assert calls.ask(*GOVERNANCE, "getParam", "block_gas_limit") == 30_000_000
    assert calls.ask(*GOVERNANCE, "getParam", "claimBond") == chain.genesis.params.claim_bond
    assert calls.ask(*GOVERNANCE, "proposalCount") == 0
    for name in ("bases", "", "nothing"):
        assert "there is no parameter" in calls.error(*GOVERNANCE, "getParam", name)
    assert calls.error(*GOVERNANCE, "getProposal", 1) == "execution reverted: there is no proposal 1"


def test_proposals_and_votes(calls: Any) -> None:
    chain = calls.chain = Harness(powers=(10, 20), engine=calls.chain.app.engine)
    chain.act(1, GovPropose("text", "", "text", (), 10 * OPEN))
    chain.act(9, GovVote(1, "no"))
    who, operator = hexed(ACCOUNTS[1][0]), ACCOUNTS[9][0]
    deadline = must_proposal(chain.state, 1).deadline
    assert calls.ask(*GOVERNANCE, "proposalCount") == 1
    assert calls.ask(*GOVERNANCE, "getProposal", 1) == (
        who, "text", "text", 2, 10 * OPEN, deadline, 0, 10 * OPEN, 0, 0, 30 * OPEN,
    )  # fmt: skip
    assert calls.ask(*GOVERNANCE, "getVote", 1, operator) == 2
    assert calls.ask(*GOVERNANCE, "getVote", 1, NOBODY) == 0
    chain.block(60)
    assert calls.ask(*GOVERNANCE, "getProposal", 1)[3:] == (
        8, 10 * OPEN, deadline, 0, 10 * OPEN, 0, 0, 30 * OPEN,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("place", "name", "arguments", "reason"),
    [
        (DATANETS, "getDatanet", (1,), "there is no datanet 1"),
        (DATANETS, "getCommit", (1, 2), "datanet 1 has no version 2"),
        (DATANETS, "getParts", (9, 9), "datanet 9 has no version 9"),
        (DATANETS, "verifyRow", (1, 1, 0, NOBODY, bytes(32), []), "datanet 1 has no version 1"),
        (MODELS, "getModel", (7,), "there is no model 7"),
        (MODELS, "getData", (7,), "there is no model 7"),
        (MODELS, "getSession", (7,), "there is no session 7"),
        (ATTRIBUTION, "getClaim", (1,), "there is no claim 1"),
        (ATTRIBUTION, "getShares", (1,), "there is no claim 1"),
        (ATTRIBUTION, "getTally", (1,), "there is no claim or challenge 1"),
        (ATTRIBUTION, "getIndexChallenge", (1,), "there is no challenge of an index with number 1"),
        (MODELS, "getModelBond", (1,), "there is no model 1"),
        (ATTRIBUTION, "getChallenge", (1,), "there is no claim 1"),
    ],
)
def test_a_record_that_is_not_there_reverts_and_says_so(
    calls: Any, place: Any, name: str, arguments: Any, reason: str
) -> None:
    assert calls.error(*place, name, *arguments) == f"execution reverted: {reason}"


MALFORMED = {
    "no selector": b"",
    "half a selector": bytes.fromhex("a1b2"),
    "unknown selector": bytes.fromhex("deadbeef"),
    "no argument": keccak256(b"getDatanet(uint64)")[:4],
    "short argument": keccak256(b"getDatanet(uint64)")[:4] + bytes(31),
    "above its type": keccak256(b"getDatanet(uint64)")[:4] + (1 << 64).to_bytes(32, "big"),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed_calls_revert_without_a_reason(calls: Any, data: bytes) -> None:
    result = calls.raw(DATANETS_ADDRESS, data)
    assert (result.status, result.output, result.error) == (0, b"", "execution reverted")
    assert result.gas_used < 40_000


@pytest.mark.parametrize(
    ("address", "signature", "words"),
    [
        (ATTRIBUTION_ADDRESS, "pendingRewards(address)", [b"\x01" + bytes(31)]),
        (GOVERNANCE_ADDRESS, "getParam(string)", [(2**255).to_bytes(32, "big")]),
        (GOVERNANCE_ADDRESS, "getParam(string)", [(32).to_bytes(32, "big"), (33).to_bytes(32, "big"), bytes(32)]),
        (GOVERNANCE_ADDRESS, "getParam(string)", [(32).to_bytes(32, "big"), (1).to_bytes(32, "big"), b"\xff" * 32]),
        (
            DATANETS_ADDRESS,
            "verifyRow(uint64,uint64,uint64,address,bytes32,bytes32[])",
            [bytes(32)] * 5 + [(192).to_bytes(32, "big"), (2**250).to_bytes(32, "big"), bytes(32)],
        ),
    ],
)
def test_values_outside_their_type_or_the_data_revert(calls: Any, address: bytes, signature: str, words: Any) -> None:
    result = calls.raw(address, keccak256(signature.encode())[:4] + b"".join(words))
    assert (result.status, result.output) == (0, b"")


def test_bytes_behind_the_arguments_are_ignored(calls: Any, interfaces: Any) -> None:
    data = interfaces["IStaking"].data("totalPower") + b"and more"
    assert int.from_bytes(calls.raw(STAKING_ADDRESS, data).output, "big") == 10


def test_gas_grows_with_what_is_read_and_returned_and_one_less_is_too_little(
    chain: Harness, calls: Any, interfaces: Any
) -> None:
    chain.act(0, DatanetCreate("d"))
    who = ACCOUNTS[1][0]
    for version, parts in ((1, 1), (2, 100)):
        added = tuple(Part(who, bytes([version, i]) * 16, 1) for i in range(parts))
        chain.act(1, DatanetCommit(1, version - 1, bytes([version]) * 32, 1 if version == 1 else 101, added, parts=101))
    costs = []
    for version in (1, 2):
        data = interfaces["IDatanets"].data("getParts", 1, version)
        result = calls.raw(DATANETS_ADDRESS, data)
        reader = reads.Meter(10**9)
        raw_size = len(chain.state.record(DATANETS_ADDRESS, VERSIONS.key(1, version)) or b"")
        reader.charge(reads.GAS_CALL + reads.GAS_PER_INPUT_BYTE * len(data) + reads.GAS_RECORD)
        reader.charge(reads.GAS_PER_RECORD_BYTE * raw_size + reads.GAS_PER_OUTPUT_BYTE * len(result.output))
        answer = dict(PRECOMPILES)[DATANETS_ADDRESS].answer(chain.state, data, reader.used)
        assert answer == (True, reader.used, result.output)
        assert dict(PRECOMPILES)[DATANETS_ADDRESS].answer(chain.state, data, reader.used - 1)[1] > reader.used - 1
        costs.append(reader.used)
    assert costs[1] > 10 * costs[0]


def test_little_gas_buys_little_work(chain: Harness, calls: Any, interfaces: Any) -> None:
    """A call that cannot pay for the record it names ends before the record is decoded."""
    chain.act(0, DatanetCreate("d" * 60))
    data = interfaces["IDatanets"].data("getDatanet", 1)
    paid = reads.GAS_CALL + reads.GAS_PER_INPUT_BYTE * len(data) + reads.GAS_RECORD
    answer = dict(PRECOMPILES)[DATANETS_ADDRESS].answer(chain.state, data, paid)
    assert (answer.ok, answer.output) == (False, b"")
    assert answer.gas_used > paid
