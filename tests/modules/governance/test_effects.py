"""What proposals do: coins of the pool, upgrades at a height; and what is shown of it before the vote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from harness import ACCOUNTS, Harness

import openledger
from openledger.abci_app import governance_views as views
from openledger.abci_app.events import EVENTS
from openledger.abci_app.modules.governance.deposit import GovDeposit
from openledger.abci_app.modules.governance.propose import GovPropose
from openledger.abci_app.modules.governance.records import (
    FAILED,
    PASSED,
    POOL,
    Argument,
    must_proposal,
    params,
    set_params,
)
from openledger.abci_app.modules.governance.upgrade import Migration, done, plan
from openledger.abci_app.modules.governance.vote import GovVote
from openledger.abci_app.queries import answer
from openledger.primitives.amounts import OPEN
from openledger.primitives.errors import UpgradeNeeded
from openledger.primitives.types import MODULE_ADDRESSES, to_checksum
from openledger.state.overlay import Overlay

RECEIVER = b"\x77" * 20
HEX = to_checksum(RECEIVER)


def proposal(effect: str, **arguments: str) -> GovPropose:
    return GovPropose("t", "", effect, tuple(Argument(n, v) for n, v in arguments.items()), 10 * OPEN)


def fill_pool(chain: Harness, amount: int) -> None:
    """The pool's account takes no coins by calls; here it gets them as the fees of claims come, without any claim."""
    chain.publish()
    epoch = chain.settle(deposit=10 * OPEN)
    chain.close_epoch()
    chain.run_claim(chain.claim(epoch, {1: 600_000, 2: 300_000}, 100_000))
    assert chain.balance(POOL) > amount


def shown(chain: Harness, number: int) -> dict[str, Any]:
    head = chain.app.head()
    return views.get_proposal(chain.state, number, head.number + 1, head.timestamp)


def test_the_pool_pays_what_was_decided_and_is_never_overdrawn() -> None:
    chain = Harness()
    chain.touched = chain.touched | {RECEIVER}
    assert "the community pool has 0 OPEN" in chain.refusal(1, proposal("spend", receiver=HEX, amount="1"))
    fill_pool(chain, 10)
    pool = chain.balance(POOL)
    most = proposal("spend", receiver=HEX, amount=str(pool))
    assert "to be spent" in chain.refusal(1, proposal("spend", receiver=HEX, amount=str(pool + 1)))
    assert "to be spent" in chain.refusal(1, proposal("spend", receiver=HEX, amount="0"))
    for own in MODULE_ADDRESSES:
        assert "chain itself" in chain.refusal(1, proposal("spend", receiver=to_checksum(own), amount="1"))
    first, second = (chain.act(1, most), chain.act(1, most))
    assert first.status == second.status == 1
    effect = shown(chain, 1)["effect"]
    assert effect["changes"] == [
        {"name": "communityPool", "before": str(pool), "after": "0"},
        {"name": HEX, "before": "0", "after": str(pool)},
    ]
    for number in (1, 2):
        chain.act(9, GovVote(number, "yes"))
    chain.block(100)
    assert [must_proposal(chain.state, n).status for n in (1, 2)] == [PASSED, FAILED]
    assert (chain.balance(POOL), chain.balance(RECEIVER)) == (0, pool)
    assert "the community pool has 0 OPEN" in must_proposal(chain.state, 2).failure


def test_the_consensus_engine_hears_of_a_size_of_blocks_that_an_upgrade_has_changed(
    passed: Callable[..., int],
) -> None:
    chain = Harness()
    at = chain.app.head().number + 6
    passed(chain, "upgrade", name="v2", height=str(at))

    def migrate(state: Overlay) -> None:
        set_params(state, replace(params(state), max_block_bytes=1_000_000, max_slot0_bytes=100_000))

    chain.app._chain = replace(chain.app._chain, upgrades={"v2": Migration(migrate)})
    while chain.app.head().number < at - 1:
        chain.block()
    told = chain.finalize(()).consensus_param_updates
    assert told is not None
    assert (told.block_max_bytes, told.block_max_gas) == (1_000_000, -1)
    assert chain.finalize(()).consensus_param_updates is None


def test_a_node_that_does_not_know_an_upgrade_stops_before_its_block_and_one_that_does_goes_on(
    passed: Callable[..., int],
) -> None:
    chain = Harness()
    now = chain.app.head().number
    assert "cannot be upgraded" in chain.refusal(1, proposal("upgrade", name="v2", height=str(now)))
    number = passed(chain, "upgrade", name="v2", height=str(now + 6))
    assert must_proposal(chain.state, number).status == PASSED
    while chain.app.head().number < now + 5:
        chain.app.check_upgrade()
        chain.block()
    with pytest.raises(UpgradeNeeded):
        chain.app.check_upgrade()
    with pytest.raises(UpgradeNeeded, match=f"at block {now + 6} with the upgrade 'v2'"):
        chain.propose()
    with pytest.raises(UpgradeNeeded):
        chain.judge(())
    assert views.get_upgrades(chain.state)["plan"] == {"name": "v2", "height": now + 6, "known": False}

    def migrate(state: Overlay) -> None:
        set_params(state, replace(params(state), max_outbox_actions=17))

    chain.app._chain = replace(chain.app._chain, upgrades={"v2": Migration(migrate)})
    receipts = chain.block()
    assert [EVENTS[log.topics[0]].name for log in receipts[0].logs] == ["Upgraded"]
    assert params(chain.state).max_outbox_actions == 17
    assert plan(chain.state) is None
    found = done(chain.state, "v2")
    assert found is not None
    assert found.height == now + 6
    chain.block()
    assert "take another name" in chain.refusal(1, proposal("upgrade", name="v2", height=str(10**6)))


def test_a_version_that_cannot_make_earlier_blocks_waits_for_its_height(passed: Callable[..., int]) -> None:
    chain = Harness()
    passed(chain, "upgrade", name="v2", height="8")
    old = chain.app._chain
    chain.app._chain = replace(old, upgrades={"v2": Migration(makes_earlier=False)})
    with pytest.raises(UpgradeNeeded, match=f"this version \\({openledger.__version__}\\) begins at block 8"):
        chain.propose()
    chain.app._chain = old
    while chain.app.head().number < 7:
        chain.block()
    chain.app._chain = replace(old, upgrades={"v2": Migration(makes_earlier=False)})
    chain.block()
    chain.block()


def test_a_plan_is_replaced_or_cancelled_by_another_vote(passed: Callable[..., int]) -> None:
    chain = Harness()
    passed(chain, "upgrade", name="v2", height="1000")
    chain.act(1, proposal("upgrade", name="v3", height="2000"))
    assert shown(chain, 2)["effect"]["changes"] == [
        {"name": "upgrade", "before": "v2 at block 1000", "after": "v3 at block 2000"}
    ]
    assert "no upgrade 'v3' is planned" in chain.refusal(1, proposal("cancel-upgrade", name="v3"))
    assert b'"title": "t"' in answer(chain.state, "/proposals")
    passed(chain, "cancel-upgrade", name="v2")
    assert plan(chain.state) is None
    assert "no upgrade 'v2' is planned" in chain.refusal(1, proposal("cancel-upgrade", name="v2"))


def test_what_a_proposal_would_change_is_shown_while_it_is_open() -> None:
    chain = Harness()
    before = chain.state
    chain.act(1, proposal("params", split_pool="900", split_owner="2100", bases="a,b"))
    view = shown(chain, 1)
    assert view["effect"] == {
        "name": "params",
        "arguments": {"split_pool": "900", "split_owner": "2100", "bases": "a,b"},
        "changes": [
            {"name": "split_pool", "before": "1000", "after": "900"},
            {"name": "split_owner", "before": "2000", "after": "2100"},
            {"name": "bases", "before": "openledger/tiny-v1", "after": "a,b"},
        ],
        "refusal": "",
    }
    assert view["status"] == "voting"
    assert view["deposits"] == {to_checksum(ACCOUNTS[1][0]): hex(10 * OPEN)}
    assert params(chain.state) == params(before)
    chain.act(9, GovVote(1, "abstain"))
    assert shown(chain, 1)["votes"]["abstain"] == shown(chain, 1)["votes"]["bonded"] == hex(10 * OPEN)
    assert views.list_votes(chain.state, 1, bytes(20)) == {to_checksum(ACCOUNTS[9][0]): "abstain"}
    assert views.get_vote(chain.state, 1, ACCOUNTS[9][0]) == "abstain"
    assert views.get_vote(chain.state, 1, ACCOUNTS[1][0]) is None
    head = chain.app.head()
    refused = views.simulate_proposal(
        chain.state, "params", [Argument("split_pool", "901")], head.number + 1, head.timestamp
    )
    assert (refused["changes"], "adds up" in refused["refusal"]) == ([], True)
    chain.act(1, replace(proposal("text"), deposit=OPEN))
    chain.act(2, GovDeposit(2, OPEN))
    assert [p["status"] for p in views.list_proposals(chain.state)] == ["voting", "deposit"]
    assert [p["id"] for p in views.list_proposals(chain.state, 2, 1)] == [2]
