"""Lists in pages, asked as Solidity asks: validators, who has stake with one, proposals, votes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app import reads
from openledger.abci_app.modules.governance.propose import GovPropose
from openledger.abci_app.modules.governance.vote import GovVote
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.modules.staking.records import must_operate
from openledger.abci_app.modules.staking.redelegate import StakeRedelegate
from openledger.abci_app.registry import PRECOMPILES
from openledger.primitives.amounts import OPEN
from openledger.primitives.types import GOVERNANCE_ADDRESS, STAKING_ADDRESS

STAKING = ("IStaking", STAKING_ADDRESS)
GOVERNANCE = ("IGovernance", GOVERNANCE_ADDRESS)
NONE = "0x" + "00" * 20
FIRST = "0x" + "00" * 19 + "01"
ALL = 2**64 - 1


def hexed(address: bytes) -> str:
    return "0x" + address.hex()


def operators(calls: Any) -> list[str]:
    return [validator[0] for validator in calls.ask(*STAKING, "getValidators")]


def pages(calls: Any, place: Any, name: str, *before: Any, start: Any = NONE, limit: int = 2) -> Iterator[Any]:
    """Every page of a list, as a contract goes through them."""
    end = start if isinstance(start, str) else 0
    while True:
        found, start = calls.ask(*place, name, *before, start, limit)
        yield found
        if start == end:
            return


def test_pages_of_validators_are_all_of_them_in_order(calls: Any) -> None:
    calls.chain = Harness(powers=(10, 20, 5, 7, 9), engine=calls.chain.app.engine)
    whole = calls.ask(*STAKING, "getValidators")
    found = list(pages(calls, STAKING, "listValidators"))
    assert [len(one) for one in found] == [2, 2, 1]
    assert sum(found, ()) == whole
    assert calls.ask(*STAKING, "listValidators", NONE, ALL) == (whole, NONE)
    assert calls.ask(*STAKING, "listValidators", NONE, 0) == (whole[:1], whole[1][0])
    assert calls.ask(*STAKING, "listValidators", whole[3][0], 2) == (whole[3:], NONE)
    assert calls.ask(*STAKING, "listValidators", "0x" + "ff" * 20, 2) == ((), NONE)


def staked(calls: Any) -> tuple[Harness, bytes, bytes]:
    """Three accounts with stake at one validator, one of them come from another one that was slashed since."""
    chain = calls.chain = Harness(powers=(10, 20), engine=calls.chain.app.engine)
    one, other = (bytes.fromhex(operator[2:]) for operator in operators(calls))
    for index, amount in ((1, 3), (2, 5), (3, 7)):
        chain.act(index, StakeDelegate(one, amount * OPEN))
    chain.act(4, StakeDelegate(other, 8 * OPEN))
    chain.act(4, StakeRedelegate(other, one, 6 * OPEN))
    return chain, one, other


def test_each_delegator_has_in_its_page_what_it_has_by_itself(calls: Any) -> None:
    chain, one, _ = staked(calls)
    found = sum(pages(calls, STAKING, "listDelegators", one), ())
    who = [delegator for delegator, _, _ in found]
    assert who == sorted({hexed(one), *(hexed(ACCOUNTS[i][0]) for i in (1, 2, 3, 4))})
    assert [amount for _, amount, _ in found] == [calls.ask(*STAKING, "getDelegation", w, one) for w in who]
    assert sum(shares for _, _, shares in found) == calls.ask(*STAKING, "getValidator", one)[6]
    told = chain.query("list_delegators", one, bytes(20), 10)["delegators"]
    assert [(d["delegator"].lower(), int(d["amount"], 16), int(d["shares"], 16)) for d in told] == list(found)


def test_a_delegator_shows_the_slash_that_it_will_follow(calls: Any) -> None:
    chain, one, other = staked(calls)
    moved = hexed(ACCOUNTS[4][0])
    before = {who: amount for who, amount, _ in calls.ask(*STAKING, "listDelegators", one, NONE, ALL)[0]}
    chain.prove_double_sign(must_operate(chain.state, other).address, chain.app.head().number - 1)
    chain.block()
    after = {who: amount for who, amount, _ in calls.ask(*STAKING, "listDelegators", one, NONE, ALL)[0]}
    assert after.pop(moved) == calls.ask(*STAKING, "getDelegation", moved, one) < before.pop(moved)
    assert after == before


def test_pages_of_proposals_count_up_to_the_last(calls: Any) -> None:
    chain = calls.chain = Harness(powers=(10, 20), engine=calls.chain.app.engine)
    assert calls.ask(*GOVERNANCE, "listProposals", 0, 10) == ((), 0)
    for title in "abc":
        chain.act(1, GovPropose(title, "", "text", (), 10 * OPEN))
    whole = tuple(calls.ask(*GOVERNANCE, "getProposal", number) for number in (1, 2, 3))
    assert sum(pages(calls, GOVERNANCE, "listProposals", start=0), ()) == whole
    assert calls.ask(*GOVERNANCE, "listProposals", 1, 2) == (whole[:2], 3)
    assert calls.ask(*GOVERNANCE, "listProposals", 3, 1) == (whole[2:], 0)
    assert calls.ask(*GOVERNANCE, "listProposals", ALL, ALL) == ((), 0)


def test_pages_of_votes_are_by_voter(calls: Any) -> None:
    chain = calls.chain = Harness(powers=(10, 20), engine=calls.chain.app.engine)
    chain.act(1, GovPropose("text", "", "text", (), 10 * OPEN))
    assert calls.ask(*GOVERNANCE, "listVotes", 1, NONE, 10) == ((), NONE)
    one = bytes.fromhex(operators(calls)[0][2:])
    options = {2: "yes", 3: "no", 4: "abstain", 5: "no_with_veto"}
    for index, option in options.items():
        chain.act(index, StakeDelegate(one, OPEN))
        chain.act(index, GovVote(1, option))
    whole = tuple(sorted((hexed(ACCOUNTS[i][0]), at) for at, i in enumerate(options, 1)))
    assert sum(pages(calls, GOVERNANCE, "listVotes", 1), ()) == whole
    assert calls.ask(*GOVERNANCE, "listVotes", 1, whole[1][0], 2) == (whole[1:3], whole[3][0])
    assert all(calls.ask(*GOVERNANCE, "getVote", 1, who) == option for who, option in whole)


@pytest.mark.parametrize(
    ("place", "name", "arguments", "reason"),
    [
        (STAKING, "listDelegators", (FIRST, NONE, 1), f"{FIRST} operates no validator"),
        (GOVERNANCE, "listVotes", (7, NONE, 1), "there is no proposal 7"),
    ],
)
def test_a_list_of_what_is_not_there_reverts_and_says_so(
    calls: Any, place: Any, name: str, arguments: Any, reason: str
) -> None:
    assert calls.error(*place, name, *arguments) == f"execution reverted: {reason}"


def test_a_page_holds_a_hundred_at_most_and_looks_at_one_more() -> None:
    seen = []
    found, following = reads.page((seen.append(n) or n for n in range(1000)), ALL)
    assert (found, following) == (list(range(100)), 100)
    assert len(seen) == 101
    assert reads.page(iter(range(3)), 0) == ([0], 1)
    assert reads.page(iter(()), 5) == ([], None)


def test_gas_of_a_page_grows_with_its_records_and_one_less_is_too_little(calls: Any, interfaces: Any) -> None:
    calls.chain = Harness(powers=(10, 20, 5, 7, 9), engine=calls.chain.app.engine)
    precompile, used = dict(PRECOMPILES)[STAKING_ADDRESS], []
    for limit in (1, 2, 3):
        data = interfaces["IStaking"].data("listValidators", NONE, limit)
        answer = precompile.answer(calls.chain.state, data, 10**7)
        assert answer.ok
        assert precompile.answer(calls.chain.state, data, answer.gas_used) == answer
        assert not precompile.answer(calls.chain.state, data, answer.gas_used - 1).ok
        used.append(answer.gas_used)
    assert min(used[1] - used[0], used[2] - used[1]) > 2 * reads.GAS_RECORD


def test_a_contract_gets_a_page(calls: Any, interfaces: Any, watch: Any, deploy: Callable[[Harness], bytes]) -> None:
    """Through a STATICCALL of compiled code, on each engine."""
    calls.chain = Harness(powers=(10, 20, 5), engine=calls.chain.app.engine)
    data = interfaces["IStaking"].data("listValidators", NONE, 2)
    probe = watch.data("probe", 1, STAKING_ADDRESS, data)
    ok, answer = watch.read("probe", calls.raw(deploy(calls.chain), probe).output)
    assert ok
    assert interfaces["IStaking"].read("listValidators", answer) == calls.ask(*STAKING, "listValidators", NONE, 2)
