"""Engines against each other, in one run: microseconds per transaction, without decoding and signatures.

    python bench/engines.py [--transactions 1000] [--rounds 3]

cold: py-evm with its own AccountDB, whose tries are opened anew, as its Chain begins a block; stock: the same after
every account, slot and code of the work was read once, as the others have their state in memory; py-evm: the same
opcodes over this node's flat journal; revm: the native engine. All run the same transactions on the same state, the
fastest of the same number of rounds counts. Decoded transactions with their signers are made beforehand. Neither
signatures nor state roots are in the figures (bench/blocks.py and bench/roots.py have them); the node's engines also
judge each transaction and make the block's difference.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eth.db.atomic import AtomicDB
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.prague.state import PragueState
from eth.vm.forks.prague.transactions import PragueUnsignedLegacyTransaction
from eth.vm.spoof import SpoofTransaction

from openledger.evm.engine import BlockEnv, EvmEngine
from openledger.evm.native import NativeEngine
from openledger.evm.pyevm import PyEvmEngine
from openledger.evm.statetest import PlainState
from openledger.primitives.hashing import keccak256
from openledger.primitives.transactions import DYNAMIC_FEE, EthTransaction
from openledger.state.overlay import Overlay

GWEI = 10**9
CHAIN_ID = 161237
TOKEN, LOOP = b"\x70" * 20, b"\x10" * 20
TRANSFER = keccak256(b"Transfer(address,address,uint256)")


def token_code() -> bytes:
    """transfer(to, amount) of an ERC-20: two keccak slots, two reads, two writes, one log, returns true."""
    body = bytes.fromhex(
        "335f5260405f208054"  # slotS, balance
        "602435"  # slotS, balance, amount
        "818111"  # amount > balance?
        "60ff57"  # to the revert at the end (patched)
        "90819003"  # slotS, amount, rest
        "9190919055"  # storage[slotS] = rest; amount
        "6004355f5260405f208054820190" "55"  # storage[slotT] += amount
        "5f52"
    ) + b"\x60\x04\x35\x33\x7f" + TRANSFER + bytes.fromhex("60205fa3" "60015f5260205ff3" "5b5f5ffd")  # fmt: skip
    return body.replace(b"\x60\xff\x57", bytes([0x60, len(body) - 4, 0x57]))


def loop_code() -> bytes:
    """Counts down from the number in the call data."""
    return bytes.fromhex("5f355b600190038060025700")


@dataclass
class Work:
    """One block's transactions on a state."""

    name: str
    state: PlainState
    txs: list[EthTransaction]


def make_env() -> BlockEnv:
    return BlockEnv(CHAIN_ID, 10, 1_700_000_000, b"\xcc" * 20, 10**12, GWEI, b"\x01" * 32, lambda number: None)


def make_tx(sender: bytes, to: bytes, gas: int, value: int = 0, data: bytes = b"") -> EthTransaction:
    fee = 2 * GWEI
    return EthTransaction(
        DYNAMIC_FEE, CHAIN_ID, 0, fee, fee, fee, gas, to, value, data, (), (), 0, 1, 1, b"", bytes(32), sender
    )


def person(number: int) -> bytes:
    return keccak256(number.to_bytes(8, "big"))[12:]


def workloads(count: int) -> list[Work]:
    def world() -> PlainState:
        state = PlainState()
        state.put(TOKEN, 1, 0, token_code())
        state.put(LOOP, 1, 0, loop_code())
        state.slots[TOKEN] = {}
        for number in range(2 * count):
            state.put(person(number), 0, 10**21)
            slot = int.from_bytes(keccak256(person(number).rjust(32, b"\0") + bytes(32)), "big")
            state.slots[TOKEN][slot] = 10**18
        return state

    call = bytes.fromhex("a9059cbb")
    loops = max(1, count // 500)
    return [
        Work("transfer", world(), [make_tx(person(i), person(count + i), 21_000, 5) for i in range(count)]),
        Work("ERC-20", world(), [
            make_tx(person(i), TOKEN, 100_000, 0, call + person(count + i).rjust(32, b"\0") + (7).to_bytes(32, "big"))
            for i in range(count)
        ]),
        Work("loop", world(), [
            make_tx(person(i), LOOP, 3_000_000, 0, (100_000).to_bytes(32, "big")) for i in range(loops)
        ]),
    ]  # fmt: skip


def run_engine(engine: EvmEngine, work: Work) -> int:
    out = engine.execute(make_env(), work.txs, Overlay(work.state), 10**12)
    if not all(result.status for result in out.results):
        raise SystemExit(f"{engine.name}: {work.name} failed: {out.results[0]}")
    return sum(result.gas_used for result in out.results)


class Stock:
    """py-evm's own state over the state of a work, and the work's transactions in its form."""

    def __init__(self, work: Work) -> None:
        self.work = work
        env = make_env()
        self.db = AtomicDB()
        self.context = ExecutionContext(
            env.coinbase, env.timestamp, env.number, 0, env.prevrandao, env.gas_limit, (), CHAIN_ID, env.base_fee, 0
        )  # type: ignore[arg-type]
        state = PragueState(self.db, self.context, keccak256(b"\x80"))
        for address, account in work.state.accounts.items():
            state.set_balance(address, account.balance)
            state.set_nonce(address, account.nonce)
            if code := work.state.codes[account.code_hash]:
                state.set_code(address, code)
        for address, slots in work.state.slots.items():
            for slot, value in slots.items():
                state.set_storage(address, slot, value)
        state.persist()
        self.root = state.state_root
        self.txs = [self.own_form(tx) for tx in work.txs]

    @staticmethod
    def own_form(tx: EthTransaction) -> SpoofTransaction:
        unsigned = PragueUnsignedLegacyTransaction(tx.nonce, tx.max_fee, tx.gas, tx.to, tx.value, tx.data)
        return SpoofTransaction(
            unsigned, from_=tx.sender, max_fee_per_gas=tx.max_fee, max_priority_fee_per_gas=tx.max_priority_fee,
            access_list=(), authorization_list=(), chain_id=CHAIN_ID, max_fee_per_blob_gas=0, blob_versioned_hashes=(),
        )  # fmt: skip

    def cold(self) -> Any:
        """The state just opened."""
        return PragueState(self.db, self.context, self.root)

    def warm(self) -> Any:
        """The state with everything read once."""
        state = self.cold()
        for address in [*self.work.state.accounts, make_env().coinbase]:
            state.get_balance(address), state.get_code(address)
        for address, slots in self.work.state.slots.items():
            for slot in slots:
                state.get_storage(address, slot)
        return state

    def run(self, state: Any) -> int:
        """Gas used by all transactions."""
        gas = 0
        for tx in self.txs:
            computation = state.apply_transaction(tx)
            if computation.is_error:
                raise SystemExit(f"stock: {computation.error!r}")
            gas += tx.gas - computation.get_gas_remaining() - min(computation.get_gas_refund(), tx.gas // 5)
            state.lock_changes()
        return gas


def best(rounds: int, prepare: Callable[[], Any], work: Callable[[Any], int]) -> tuple[float, int]:
    """Seconds of the fastest round, and gas. ``prepare`` is not timed."""
    took, gas = [], 0
    for _ in range(rounds):
        subject = prepare()
        gc.collect()
        start = time.perf_counter()
        gas = work(subject)
        took.append(time.perf_counter() - start)
    return min(took), gas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--transactions", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    native, flat = NativeEngine(), PyEvmEngine()
    for work in workloads(options.transactions):
        stock = Stock(work)
        figures = {
            "cold": best(options.rounds, stock.cold, stock.run),
            "stock": best(options.rounds, stock.warm, stock.run),
            "py-evm": best(options.rounds, lambda: flat, lambda engine, w=work: run_engine(engine, w)),
            "revm": best(options.rounds, lambda: native, lambda engine, w=work: run_engine(engine, w)),
        }
        if len({gas for _, gas in figures.values()}) != 1:
            raise SystemExit(f"{work.name}: the engines used different gas")
        each = {name: took / len(work.txs) * 1e6 for name, (took, _) in figures.items()}
        rate = {name: gas / took / 1e6 for name, (took, gas) in figures.items()}
        print(
            f"{work.name:>9}, {len(work.txs)} transactions: "
            + ", ".join(f"{name} {each[name]:.1f} us ({rate[name]:.1f} Mgas/s)" for name in each)
            + f"; flat is {each['stock'] / each['py-evm']:.1f}x stock, revm {each['stock'] / each['revm']:.1f}x stock "
            + f"({each['cold'] / each['revm']:.1f}x cold)",
            flush=True,
        )


if __name__ == "__main__":
    main()
