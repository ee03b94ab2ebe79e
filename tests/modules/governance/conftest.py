"""What the tests of proposals share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness import Harness

from openledger.abci_app.modules.governance.propose import GovPropose
from openledger.abci_app.modules.governance.records import Argument, must_proposal
from openledger.abci_app.modules.governance.vote import GovVote
from openledger.primitives.amounts import OPEN

Pass = Callable[..., int]


@pytest.fixture
def passed() -> Pass:
    """Propose an effect, vote yes as the only operator, let the vote end; the proposal's number."""

    def run(chain: Harness, effect: str, **arguments: str) -> int:
        listed = tuple(Argument(n, v) for n, v in arguments.items())
        receipt = chain.act(1, GovPropose("t", "", effect, listed, 10 * OPEN))
        number = int.from_bytes(receipt.logs[0].topics[1], "big")
        chain.act(9, GovVote(number, "yes"))
        chain.block(max(1, must_proposal(chain.state, number).deadline - chain.time))
        return number

    return run
