"""Stake at scale: blocks of delegations, and a chain with many delegators, through the real application on LevelDB.

    python bench/stake.py [--validators 100] [--people 10000] [--blocks 400 2000] [--json FILE]

    blocks        delegations a block, of people who had none, over all validators and with one: admission, execution,
                  root and write, in microseconds a delegation. A quadratic part shows as a ratio above 1.
    crowd         the same chain with a tenth of the people and with all: what a block costs that pays a claim to all
                  validators' stakers, slashes a validator, ends unbondings that are all due at once, takes rewards,
                  counts a vote. What depends on the number of delegators shows as a ratio above 1.

Times are CPU seconds of the thread that makes blocks; the ratios say more than the times.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar

from openledger.abci_app.action import Action, BlockContext, build_native
from openledger.abci_app.application import Application
from openledger.abci_app.block import BlockInput, execute_block
from openledger.abci_app.modules.governance.propose import GovPropose
from openledger.abci_app.modules.governance.vote import GovVote
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.modules.staking.delegations import settle_all
from openledger.abci_app.modules.staking.earning import earn, next_round, rounds
from openledger.abci_app.modules.staking.records import STAKES, must_operate, put_validator
from openledger.abci_app.modules.staking.redelegate import StakeRedelegate
from openledger.abci_app.modules.staking.slashing import slash
from openledger.abci_app.modules.staking.unbonding import pay_unbonded
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.abci_app.protocol import messages as abci
from openledger.abci_app.registry import PRECOMPILES
from openledger.evm.engines import load_engine
from openledger.genesis.genesis import GenesisAccount, GenesisValidator
from openledger.genesis.presets import DEVNET_PARAMS, devnet_genesis
from openledger.primitives.amounts import GWEI, OPEN
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import address_of_private_key, ed25519_public
from openledger.primitives.types import Address
from openledger.state.leveldb import LevelDbStore
from openledger.state.overlay import Overlay
from openledger.state.ports import KeyValue
from openledger.state.store import StateStore

T = TypeVar("T")
Measure: TypeAlias = Callable[[Callable[[], object]], float]
"""What an action costs, in whatever unit."""
START = 1_700_000_000
LATER = 100_000
"""Seconds after which all that was begun before is due."""


class NoVerdicts:
    """An oracle that never has anything to say."""

    def extension(self, state: object, height: int, validator: Address) -> bytes:
        return b""


def _secret(name: str, number: int) -> bytes:
    return keccak256(name.encode() + number.to_bytes(8, "big"))


class Crowd:
    """A chain of many people and validators, driven block by block. ``secrets[i]`` is the key of person i."""

    def __init__(self, kv: KeyValue, validators: int, people: int, engine: str = "auto", **params: int) -> None:
        self.secrets = [_secret("person", i) for i in range(people)]
        self.people = [address_of_private_key(secret) for secret in self.secrets]
        self.operator_secrets = [_secret("operator", i) for i in range(validators)]
        self.operators = [address_of_private_key(secret) for secret in self.operator_secrets]
        seats = [
            GenesisValidator(ed25519_public(_secret("seat", i)), 1_000, operator, f"v{i}")
            for i, operator in enumerate(self.operators)
        ]
        rich = GenesisAccount(10_000 * OPEN)
        settings = {"block_gas_limit": 10**9, "max_block_bytes": 64 * 1024 * 1024, "epoch_seconds": 1_000_000} | params
        genesis = devnet_genesis(
            tuple(seats), START * 10**9, params=replace(DEVNET_PARAMS, **settings),
            accounts=dict.fromkeys([*self.people, *self.operators], rich),
        )  # fmt: skip
        store = StateStore(kv)
        self.app = Application(genesis, store, load_engine(engine, precompiles=dict(PRECOMPILES)), NoVerdicts())
        self.chain_id, self.proposer, self.time = genesis.evm_chain_id, seats[0].address, START

    def sign(self, secret: bytes, action: Action) -> bytes:
        """The next transaction of the account of ``secret``."""
        nonce = self.app.mempool.pending_nonce(address_of_private_key(secret))
        return build_native(
            secret, chain_id=self.chain_id, nonce=nonce, max_priority_fee=0, max_fee=10**6 * GWEI, action=action
        )

    def admit(self, raws: Sequence[bytes]) -> None:
        """Into the mempool, all of them."""
        for raw in raws:
            answer = self.app.check_tx(abci.RequestCheckTx(raw))
            if answer.code:
                raise ValueError(f"refused: {answer.log}")

    def execute(self, raws: Sequence[bytes], seconds: int = 1) -> int:
        """Run the next block and throw it away; how many transactions it took."""
        block = BlockInput(
            self.app.head().number + 1, (self.time + seconds) * 10**9, self.proposer, tuple(raws), abci.CommitInfo()
        )
        output = execute_block(self.app._chain, self.app.store.reader(), self.app.head(), block)
        return sum(result.code == 0 for result in output.results)

    def finish(self, raws: Sequence[bytes] = (), seconds: int = 1) -> int:
        """Decide and write the next block; how many transactions succeeded."""
        self.time += seconds
        request = abci.RequestFinalizeBlock(
            tuple(raws), abci.CommitInfo(), (), b"\x01" * 32, self.app.head().number + 1, self.time * 10**9, b"",
            self.proposer,
        )  # fmt: skip
        response = self.app.finalize_block(request)
        self.app.commit()
        return sum(result.code == 0 for result in response.tx_results)

    def do(self, actions: Iterable[tuple[bytes, Action]], size: int = 2_000, seconds: int = 1) -> None:
        """Signed actions in blocks of ``size``; all must succeed."""
        left = list(actions)
        while left:
            raws = [self.sign(secret, action) for secret, action in left[:size]]
            self.admit(raws)
            if self.finish(raws, seconds) != len(raws):
                raise ValueError("an action failed")
            left = left[size:]

    def delegate_all(self, each: int = 10 * OPEN) -> None:
        """Person i stakes with validator i modulo their number."""
        self.do((s, StakeDelegate(self.operators[i % len(self.operators)], each)) for i, s in enumerate(self.secrets))


def cpu(action: Callable[[], object]) -> float:
    """CPU seconds of this thread."""
    begin = time.thread_time()
    action()
    return time.thread_time() - begin


# --- blocks of delegations ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stages:
    """CPU microseconds for each transaction of a block."""

    admit: float
    execute: float
    finish: float


def delegations_block(
    kv: KeyValue, validators: int, size: int, spread: bool, measure: Measure = cpu, scale: float = 1e6
) -> Stages:
    """A block in which ``size`` people stake for the first time, over all validators or with one: what each costs."""
    crowd = Crowd(kv, validators, size)
    crowd.finish()
    to = crowd.operators if spread else crowd.operators[:1]
    raws = [crowd.sign(s, StakeDelegate(to[i % len(to)], 10 * OPEN)) for i, s in enumerate(crowd.secrets)]
    admit = measure(lambda: crowd.admit(raws))
    execute = min(measure(lambda: crowd.execute(raws)) for _ in range(2))
    found: list[int] = []
    finish = measure(lambda: found.append(crowd.finish(raws)))
    if found != [size]:
        raise ValueError(f"{size - found[0]} delegations failed")
    return Stages(*(cost * scale / size for cost in (admit, execute, finish)))


# --- a crowd of delegators ---------------------------------------------------------------------------------------


def crowd_costs(
    kv: KeyValue,
    validators: int,
    people: int,
    some: int = 200,
    measure: Measure = cpu,
    scale: float = 1e3,
    **params: int,
) -> dict[str, float]:
    """What happens in one block costs on a chain where ``people`` have staked; ``some`` of them act."""
    crowd = Crowd(kv, validators, people, **params)
    crowd.delegate_all()
    at, few = crowd.operators, crowd.secrets[:some]
    found = _beside(crowd, some, measure)
    deposit = crowd.app.params().gov_deposit
    crowd.do([(crowd.operator_secrets[0], GovPropose("a question", "", "text", (), deposit))])
    found["votes"] = _block(crowd, measure, [(s, GovVote(1, "yes")) for s in few])
    crowd.do((s, GovVote(1, "yes")) for s in crowd.secrets[some:])
    ends = crowd.app.params().gov_voting_seconds
    found["a proposal ends on which all have voted"] = measure(lambda: crowd.finish(seconds=ends))
    moves = [StakeRedelegate(at[i % len(at)], at[(i + 1) % len(at)], 2 * OPEN) for i in range(some)]
    found["redelegations"] = _block(crowd, measure, list(zip(few, moves, strict=True)))
    crowd.do((s, StakeDelegate(at[0], 5 * OPEN)) for s in crowd.secrets)
    leave = [(s, StakeUndelegate(at[0], OPEN)) for s in crowd.secrets]
    found["unbondings begin"] = _block(crowd, measure, leave[:some])
    crowd.do(leave[some:])
    found["a slash of a validator from whom all unbond"] = _slash(crowd, measure)
    crowd.finish(seconds=LATER)
    for _ in range(some // crowd.app.params().max_unbondings_per_block):
        crowd.finish()
    found["a block that ends unbondings, all of them due"] = min(measure(crowd.finish) for _ in range(5))
    return {name: cost * scale for name, cost in found.items()}


def _block(crowd: Crowd, measure: Measure, acts: Sequence[tuple[bytes, Action]]) -> float:
    """What a block of these costs; it is executed twice before it is written, and the better run counts."""
    raws = [crowd.sign(secret, action) for secret, action in acts]
    crowd.admit(raws)
    took = min(measure(lambda: crowd.execute(raws)) for _ in range(2))
    if crowd.finish(raws) != len(raws):
        raise ValueError("an action failed")
    return took


def _beside(crowd: Crowd, some: int, measure: Measure) -> dict[str, float]:
    """What a claim's payment does, on an overlay that is thrown away."""
    over = Overlay(crowd.app.store.reader())
    next_round(over, None)
    records = [must_operate(over, operator) for operator in crowd.operators]

    def pay() -> None:
        for record in records:
            over.add_balance(STAKES, earn(over, record, rounds(over).now, OPEN, record.shares))

    def take() -> None:
        for who in crowd.people[:some]:
            settle_all(over, who)

    return {"a claim pays all validators' stakers": measure(pay), "rewards taken": measure(take)}


def _slash(crowd: Crowd, measure: Measure) -> float:
    """A validator is slashed, and what is on its way back from it begins to follow; thrown away."""
    over, app = Overlay(crowd.app.store.reader()), crowd.app
    height = app.head().number + 1
    ctx = BlockContext(height, crowd.time, crowd.operators[0], crowd.chain_id, app.params())

    def run() -> None:
        record, _ = slash(over, ctx, must_operate(over, crowd.operators[0]), 10_000, height - 1)
        put_validator(over, record)
        pay_unbonded(over, ctx)
        over.diff()

    return measure(run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--validators", type=int, default=100)
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--blocks", type=int, nargs="+", default=[100, 400, 2_000])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    found: dict[str, object] = {}

    def on_disk(action: Callable[[KeyValue], T]) -> T:
        with tempfile.TemporaryDirectory() as folder:
            kv = LevelDbStore(Path(folder) / "state")
            try:
                return action(kv)
            finally:
                kv.close()

    for spread, name in ((True, "all validators"), (False, "one validator")):
        for size in options.blocks:
            stages = on_disk(partial(delegations_block, validators=options.validators, size=size, spread=spread))
            found[f"{size} delegations, {name}"] = asdict(stages)
            print(f"{size:6} delegations to {name:15} us each: admit {stages.admit:6.0f}  execute "
                  f"{stages.execute:6.0f}  finish {stages.finish:6.0f}", flush=True)  # fmt: skip
    few = on_disk(partial(crowd_costs, validators=options.validators, people=options.people // 10))
    many = on_disk(partial(crowd_costs, validators=options.validators, people=options.people))
    for what, took in many.items():
        print(f"{what:50} {few[what]:8.1f} ms {took:8.1f} ms   ratio {took / few[what]:.2f}")
    found["crowd"] = {"few": few, "many": many}
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
