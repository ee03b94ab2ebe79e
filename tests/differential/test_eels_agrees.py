"""The third judge: Ethereum's executable specification (EELS), in an environment of its own, on the same random blocks.

    make soak        builds .tools/eels from the pinned package and runs this with everything else that is long

Each block of accepted transactions goes through the specification's transition tool; state root, receipts root, logs
and gas must be those of our engine.
"""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rlp
from random_worlds import CHAIN_ID, KEYS, SENDERS, World, build

from openledger.evm.engine import BlockEnv, EvmEngine
from openledger.evm.engines import load_engine, native_available
from openledger.evm.predeploys import HISTORY_ADDRESS
from openledger.evm.statetest import PlainState
from openledger.primitives.blocks import Receipt
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import sign_digest
from openledger.primitives.transactions import ACCESS_LIST, LEGACY, SET_CODE, EthTransaction
from openledger.primitives.types import to_hex
from openledger.state.trie import ordered_trie_root

ROOT = Path(__file__).resolve().parents[2]
TOOL = Path(os.environ.get("OPENLEDGER_EELS", ROOT / ".tools/eels/bin/ethereum-spec-evm"))
BLOCKS, TRANSACTIONS = 150, 12

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(not TOOL.exists(), reason="EELS is not installed: make eels"),
]


def world_of(seed: int) -> World:
    """A block without the history contract (the specification fills it itself), with all block hashes, and without
    authorizations whose nonce has more than 64 bits: no such transaction can be decoded, here or there."""
    world = build(seed, TRANSACTIONS)
    world.txs = [tx for tx in world.txs if all(a.nonce < 2**64 for a in tx.authorizations)]
    world.state.accounts.pop(HISTORY_ADDRESS, None)
    world.env = replace(world.env, block_hash=lambda number: keccak256(number.to_bytes(8, "big")))
    return world


def run_ours(engine: EvmEngine, world: World) -> tuple[list[EthTransaction], list[Receipt]]:
    """Execute the block on ``world.state``; the accepted transactions and their receipts."""
    txs, left, used = list(world.txs), world.env.gas_limit, 0
    accepted: list[EthTransaction] = []
    receipts: list[Receipt] = []
    while txs:
        out = engine.execute(world.env, txs, world.state, left)
        world.state.apply(out.diff)
        for tx, result in zip(txs, out.results, strict=False):
            if result.refused is None:
                used += result.gas_used
                accepted.append(tx)
                receipts.append(Receipt(tx.type, result.status, used, result.logs, result.gas_used, 0))
        left = world.env.gas_limit - used
        txs = txs[out.stopped_at :]
    return accepted, receipts


def alloc_json(state: PlainState) -> dict[str, Any]:
    return {
        to_hex(address): {
            "balance": hex(account.balance),
            "nonce": hex(account.nonce),
            "code": to_hex(state.code(account.code_hash)),
            "storage": {hex(s): hex(v) for s, v in state.slots.get(address, {}).items() if v},
        }
        for address, account in state.accounts.items()
    }


def env_json(env: BlockEnv) -> dict[str, Any]:
    return {
        "currentCoinbase": to_hex(env.coinbase),
        "currentGasLimit": hex(env.gas_limit),
        "currentNumber": hex(env.number),
        "currentTimestamp": hex(env.timestamp),
        "currentRandom": to_hex(env.prevrandao),
        "currentDifficulty": "0x0",
        "currentBaseFee": hex(env.base_fee),
        "currentExcessBlobGas": "0x0",
        "parentBeaconBlockRoot": "0x" + "00" * 32,
        "withdrawals": [],
        "blockHashes": {hex(n): to_hex(keccak256(n.to_bytes(8, "big"))) for n in range(env.number - 256, env.number)},
    }


def number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def signed(tx: EthTransaction) -> Any:
    """The transaction as it stands in a block's list: fields for a legacy one, bytes for a typed one."""
    key = KEYS[SENDERS.index(tx.sender)]
    to = tx.to or b""
    tail = [number(tx.gas), to, number(tx.value), tx.data]
    if tx.type == LEGACY:
        body: list[Any] = [number(tx.nonce), number(tx.gas_price), *tail]
        digest = keccak256(rlp.encode([*body, number(CHAIN_ID), b"", b""]))
        r, s, parity = sign_digest(key, digest)
        return [*body, number(CHAIN_ID * 2 + 35 + parity), number(r), number(s)]
    fees = [tx.gas_price] if tx.type == ACCESS_LIST else [tx.max_priority_fee, tx.max_fee]
    access = [[entry.address, list(entry.storage_keys)] for entry in tx.access_list]
    body = [number(CHAIN_ID), number(tx.nonce), *map(number, fees), *tail, access]
    if tx.type == SET_CODE:
        body.append(
            [
                [number(a.chain_id), a.address, number(a.nonce), number(a.y_parity), number(a.r), number(a.s)]
                for a in tx.authorizations
            ]
        )
    r, s, parity = sign_digest(key, keccak256(bytes([tx.type]) + rlp.encode(body)))
    return bytes([tx.type]) + rlp.encode([*body, number(parity), number(r), number(s)])


def run_theirs(folder: Path, alloc: dict[str, Any], env: dict[str, Any], txs: str) -> dict[str, Any]:
    """The result of the specification's transition tool."""
    for name, content in (("alloc", alloc), ("env", env), ("txs", txs)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    command = [str(TOOL), "t8n", "--state.fork", "Prague", "--state.chainid", str(CHAIN_ID), "--state.reward", "-1"]
    for name in ("alloc", "env", "txs"):
        command += [f"--input.{name}", str(folder / f"{name}.json")]
    command += ["--output.basedir", str(folder), "--output.result", "result.json", "--output.alloc", "post.json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def judge(engine: EvmEngine, seed: int, folder: Path) -> int:
    """Compare one block; the number of its transactions."""
    folder.mkdir()
    world = world_of(seed)
    alloc = alloc_json(world.state)
    accepted, receipts = run_ours(engine, world)
    said = run_theirs(folder, alloc, env_json(world.env), to_hex(rlp.encode([signed(tx) for tx in accepted])))
    assert not said.get("rejected"), f"seed {seed}"
    ours = {
        "stateRoot": to_hex(world.state.root()),
        "receiptsRoot": to_hex(ordered_trie_root([receipt.encode() for receipt in receipts])),
        "gasUsed": hex(sum(receipt.gas_used for receipt in receipts)),
    }
    assert {name: said[name] for name in ours} == ours, f"seed {seed}"
    return len(accepted)


@pytest.mark.parametrize("name", ["py-evm", "revm"])
def test_the_specification_agrees_on_random_blocks(name: str, tmp_path: Path) -> None:
    if name == "revm" and not native_available():
        pytest.skip("the native engine is not built: make native")
    with ThreadPoolExecutor(2) as pool:
        counts = list(
            pool.map(
                lambda seed: judge(load_engine(name), seed, tmp_path / str(seed)), range(5_000_000, 5_000_000 + BLOCKS)
            )
        )
    assert sum(counts) > BLOCKS * TRANSACTIONS // 2
