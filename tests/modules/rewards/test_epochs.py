"""What the end of an epoch leaves in a block."""

from __future__ import annotations

from harness import ACCOUNTS, Harness

from openledger.abci_app.modules.models.records import EPOCH_CLOSED

EPOCH = EPOCH_CLOSED.topic


def test_an_epoch_in_which_nothing_was_settled_ends_without_a_transaction(chain: Harness) -> None:
    """So a block that was made for one transaction has one, as test frameworks ask of it."""
    number = chain.query("get_epoch")["number"]
    assert chain.submit(chain.transfer(1, ACCOUNTS[2][0], 5)).code == 0
    (receipt,) = chain.block(chain.genesis.params.epoch_seconds)
    assert (receipt.status, receipt.logs) == (1, ())
    assert chain.query("get_epoch")["number"] == number + 1


def test_an_epoch_with_settled_answers_says_that_it_has_ended(chain: Harness) -> None:
    chain.publish()
    epoch = chain.settle()
    receipt = chain.block(chain.genesis.params.epoch_seconds)[0]
    assert [log.topics[0] for log in receipt.logs if log.topics[0] == EPOCH] == [EPOCH]
    assert chain.query("get_epoch")["number"] == epoch + 1
