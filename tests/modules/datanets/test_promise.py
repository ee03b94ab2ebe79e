"""datanet.promise: who knew rows first is decided before anybody sees them, and by nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app.action import intrinsic_gas
from openledger.abci_app.due import is_due
from openledger.abci_app.modules.datanets.commit import GAS_PER_SALT, DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.promise import DatanetPromise
from openledger.abci_app.modules.datanets.promises import MAX_PER_BLOCK
from openledger.abci_app.modules.datanets.records import Part, Removal
from openledger.attribution_oracle.rewards import rewards
from openledger.genesis.params import Params
from openledger.primitives.attribution import PartFacts, commit_order, promise_digest
from openledger.primitives.errors import InvalidGenesis, NotFound
from openledger.primitives.types import Address

A, B, SALT, OTHER = (bytes([i]) * 32 for i in (1, 2, 7, 8))
ALICE, BOB = ACCOUNTS[1][0], ACCOUNTS[2][0]
PROMISE = DatanetPromise(promise_digest(ALICE, A, SALT))
TEXT = "it was a bright cold day in april and all the clocks of the town were striking thirteen at the same time"


@pytest.fixture
def net(chain: Harness) -> Harness:
    chain.act(0, DatanetCreate("d"))
    return chain


def commit(who: Address, parent: int, blob: bytes = A, salt: bytes = b"", rows: int = 0) -> DatanetCommit:
    return DatanetCommit(1, parent, A, rows or parent + 1, (Part(who, blob, 1),), salts=(salt,) if salt else ())


def facts(net: Harness) -> list[PartFacts]:
    parts = net.query("get_commit", 1, net.query("get_datanet", 1)["head"])["parts"]
    return [PartFacts(p["contributor"], p["blob"], p["rows"], p["height"], p["place"]) for p in parts]


def pay(net: Harness, texts: list[str]) -> list[float]:
    """Alice's and Bob's parts of all pay when a model on the newest version says what ``texts`` of its parts say."""
    parts = facts(net)
    order = commit_order(parts)
    groups = [0 if p.contributor.lower() == "0x" + ALICE.hex() else 1 for p in parts]
    when = [order.index(row) for row in range(len(parts))]
    shares = rewards(np.ones((1, len(parts))), groups, when, texts)
    return [float(share / shares.sum()) for share in shares]


def test_who_promised_is_first_though_another_has_committed_the_same_rows_before(net: Harness) -> None:
    net.act(1, PROMISE)
    promised = net.query("get_promise", PROMISE.digest)
    net.act(2, commit(BOB, 0))  # he saw her blob on its way
    assert net.act(1, commit(ALICE, 1, salt=SALT)).status == 1
    bobs, hers = facts(net)
    assert (hers.height, hers.place) == (promised["height"], promised["place"])
    assert hers.place < bobs.place
    assert pay(net, [TEXT, TEXT]) == [1.0, 0.0]


def test_without_a_promise_who_commits_first_is_first(net: Harness) -> None:
    net.act(2, commit(BOB, 0))
    net.act(1, commit(ALICE, 1))
    assert pay(net, [TEXT, TEXT]) == [0.0, 1.0]


@pytest.mark.parametrize("bob_first", [False, True])
def test_in_one_block_the_order_of_its_transactions_decides(net: Harness, bob_first: bool) -> None:
    raws = [net.native(1, PROMISE), net.native(2, commit(BOB, 0))]
    net.finalize(tuple(reversed(raws) if bob_first else raws))
    net.act(1, commit(ALICE, 1, salt=SALT))
    bobs, hers = facts(net)
    assert bobs.height == hers.height
    assert pay(net, [TEXT, TEXT]) == ([0.0, 1.0] if bob_first else [1.0, 0.0])


def test_a_promise_that_is_copied_helps_nobody_but_who_is_in_it(net: Harness) -> None:
    """Bob sends Alice's digest before her: it stands for her, and her own is not needed. Her salt, once shown, opens
    nothing of his."""
    net.act(2, PROMISE)
    assert "stands already" in net.refusal(1, PROMISE)
    assert "no promise stands" in net.refusal(2, commit(BOB, 0, salt=SALT))
    height = net.query("get_promise", PROMISE.digest)["height"]
    net.act(1, commit(ALICE, 0, salt=SALT))
    assert facts(net)[0].height == height
    assert "no promise stands" in net.refusal(2, commit(BOB, 1, salt=SALT))


def test_a_salt_that_opens_nothing_is_refused_and_not_passed_over(net: Harness) -> None:
    net.act(1, PROMISE)
    for blob, salt in ((A, OTHER), (B, SALT)):
        assert "no promise stands" in net.refusal(1, commit(ALICE, 0, blob, salt))
    assert net.query("get_datanet", 1)["head"] == 0


def test_a_commit_that_came_too_late_keeps_its_promise_for_the_next_try(net: Harness) -> None:
    net.act(1, PROMISE)
    net.act(2, commit(BOB, 0, B))
    assert "is at version 1" in net.refusal(1, commit(ALICE, 0, salt=SALT))
    assert net.act(1, commit(ALICE, 1, salt=SALT)).status == 1


def test_a_promise_is_opened_part_by_part(net: Harness) -> None:
    net.act(1, PROMISE)
    both = DatanetCommit(1, 0, A, 2, (Part(ALICE, A, 1), Part(ALICE, B, 1)), salts=(SALT, bytes(32)))
    net.act(1, both)
    first, second = facts(net)
    assert first.height < second.height == net.app.head().number
    assert intrinsic_gas(dataclasses.replace(both, salts=())) + 2 * GAS_PER_SALT < intrinsic_gas(both)


def test_an_owner_who_is_handed_rows_cannot_be_first_with_them(chain: Harness) -> None:
    """Of an invited datanet: Alice promises, gives rows and salt to the owner, who commits for her; had he committed
    them as his own before, hers would still be first."""
    owner = ACCOUNTS[0][0]
    chain.act(0, DatanetCreate("d", policy="invited"))
    chain.act(1, PROMISE)
    chain.act(0, commit(owner, 0))
    chain.act(0, commit(ALICE, 1, salt=SALT))
    his, hers = facts(chain)
    assert hers.place < his.place


def test_two_contributors_may_hold_one_blob_and_each_part_is_removed_by_itself(net: Harness) -> None:
    net.act(2, commit(BOB, 0))
    net.act(1, commit(ALICE, 1))
    assert "of the same contributor" in net.refusal(1, commit(ALICE, 2))
    remove = DatanetCommit(1, 2, A, 1, (), (Removal(BOB, A),))
    assert "only its own rows" in net.refusal(1, remove)
    net.act(0, remove)
    assert [p.contributor.lower() for p in facts(net)] == ["0x" + ALICE.hex()]


def test_promises_expire_and_are_cleared_without_anybodys_transaction() -> None:
    net = Harness(promise_seconds=30)
    net.act(0, DatanetCreate("d"))
    net.act(1, PROMISE)
    expires = net.query("get_promise", PROMISE.digest)["expires"]
    assert expires == net.time + 30
    net.block(expires - 1 - net.time)
    assert net.query("get_promise", PROMISE.digest)["expires"] == expires
    assert is_due(net.state, expires)
    assert not is_due(net.state, expires - 1)
    raw = net.native(1, commit(ALICE, 0, salt=SALT))
    net.finalize((raw,))  # in this block the promise is gone
    assert net.query("get_datanet", 1)["head"] == 0
    with pytest.raises(NotFound, match="no promise"):
        net.query("get_promise", PROMISE.digest)
    assert net.act(1, PROMISE).status == 1


def test_a_block_clears_a_bounded_number_and_what_is_left_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openledger.abci_app.modules.datanets.promises.MAX_PER_BLOCK", 1)
    net = Harness(promise_seconds=30)
    net.act(0, DatanetCreate("d"))
    blobs = {promise_digest(ALICE, blob, SALT): blob for blob in (A, B)}
    cleared, left = sorted(blobs)  # promises that expire at one moment go by their digests
    net.finalize((net.native(1, DatanetPromise(cleared)), net.native(2, DatanetPromise(left))))
    place = net.query("get_promise", left)["place"]
    net.finalize((net.native(1, commit(ALICE, 0, blobs[left], SALT)),), seconds=30)
    assert net.query("get_datanet", 1)["head"] == 0
    with pytest.raises(NotFound):
        net.query("get_promise", cleared)
    net.finalize((net.native(1, DatanetPromise(cleared)), net.native(2, DatanetPromise(left))))
    found = net.query("get_promise", left)
    assert (found["place"] > place, found["expires"]) == (True, net.time + 30)
    net.block(29)
    assert net.query("get_promise", left) == found
    net.block()
    net.block()
    assert not is_due(net.state, net.time)


def test_promises_cannot_be_made_faster_than_they_are_cleared_nor_kept_for_ever() -> None:
    assert Params().block_gas_limit // intrinsic_gas(PROMISE) <= MAX_PER_BLOCK
    for seconds in (0, 30 * 86_400 + 1):
        with pytest.raises(InvalidGenesis, match="promise_seconds"):
            dataclasses.replace(Params(), promise_seconds=seconds).validate()
