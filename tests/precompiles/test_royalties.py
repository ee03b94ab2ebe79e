"""The example contract Royalties: what an application pays follows the shares of an accepted claim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness import ACCOUNTS, Harness

from openledger.abci_app.modules.attribution.challenge import AttributionChallenge
from openledger.primitives.amounts import OPEN
from openledger.primitives.types import ZERO_ADDRESS, Address

Deploy = Callable[..., Address]
Submit = Callable[..., bytes]
PAID = 3 * OPEN + 1


def owed(calls: Any, royalties: Any, address: Address, account: int) -> int:
    result = calls.raw(address, royalties.data("owed", ACCOUNTS[account][0]))
    return int(royalties.read("owed", result.output))


def claimed(chain: Harness) -> int:
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    return chain.claim(epoch, {1: 600_000, 2: 300_000}, 100_000)


def test_what_is_paid_is_split_by_the_shares_of_an_accepted_claim_and_the_rest_stays_the_payers(
    chain: Harness, calls: Any, royalties: Any, deploy: Deploy, submit: Submit
) -> None:
    address = deploy(chain, "Royalties")
    number = claimed(chain)
    data = royalties.data("pay", number)
    early = chain.include(submit(chain, address, data, value=PAID))
    assert (early.status, chain.balance(address)) == (0, 0)
    assert chain.run_claim(number) == "accepted"
    done = chain.include(submit(chain, address, data, value=PAID))
    assert (done.status, len(done.logs), chain.balance(address)) == (1, 3, PAID)
    parts = [PAID * 600_000 // 10**6, PAID * 300_000 // 10**6]
    assert [owed(calls, royalties, address, account) for account in (1, 2, 0, 3)] == [*parts, PAID - sum(parts), 0]


def test_a_contributor_withdraws_his_part_once(
    chain: Harness, calls: Any, royalties: Any, deploy: Deploy, submit: Submit
) -> None:
    address = deploy(chain, "Royalties")
    number = claimed(chain)
    assert chain.run_claim(number) == "accepted"
    assert chain.include(submit(chain, address, royalties.data("pay", number), value=PAID)).status == 1
    part, outcomes = owed(calls, royalties, address, 1), []
    for _ in range(2):
        raw = chain.transfer(1, address, 0, gas=200_000, data=royalties.data("withdraw"))
        assert chain.submit(raw).code == 0
        outcomes.append(chain.include(raw).status)
    assert outcomes == [1, 0]
    assert (chain.balance(address), owed(calls, royalties, address, 1)) == (PAID - part, 0)


def test_a_claim_that_is_challenged_pays_nothing_on_until_it_has_been_decided_again(
    chain: Harness, royalties: Any, deploy: Deploy, submit: Submit
) -> None:
    chain = Harness(challenge_seconds=1_000, challenge_bond=5 * OPEN, engine=chain.app.engine)
    address = deploy(chain, "Royalties")
    number = claimed(chain)
    assert chain.run_claim(number) == "accepted"
    chain.act(6, AttributionChallenge(number, 7, ZERO_ADDRESS))
    data = royalties.data("pay", number)
    assert chain.include(submit(chain, address, data, value=PAID)).status == 0
    for _ in range(30):
        if chain.query("get_claim", number)["challenge"]["outcome"] == "open":
            chain.block(1)
    assert chain.query("get_claim", number)["challenge"]["outcome"] == "dismissed"
    assert chain.include(submit(chain, address, data, value=PAID)).status == 1
