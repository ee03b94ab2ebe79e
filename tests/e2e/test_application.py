"""The real application behind a real CometBFT: the same blocks give the same hashes, and kill -9 loses nothing."""

import asyncio
from pathlib import Path

import pytest

from openledger.abci_app.action import build_native
from openledger.abci_app.application import Application
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.ports import Silence
from openledger.evm.pyevm import PyEvmEngine
from openledger.genesis.presets import dev_accounts
from openledger.node.engines.cometbft import CometEngine
from openledger.node.engines.recorder import read_recording
from openledger.node.engines.solo import SoloEngine
from openledger.primitives.errors import AlreadyKnown, InsufficientFunds, NonceTooLow
from openledger.primitives.keys import consensus_address, ed25519_public
from openledger.primitives.transactions import sign_transaction
from openledger.state.leveldb import LevelDbStore
from openledger.state.memory import MemoryStore
from openledger.state.store import StateStore

pytestmark = pytest.mark.cometbft
GWEI = 10**9


def transfer(genesis, sender, nonce, value=1):
    return sign_transaction(
        dev_accounts()[sender][1], chain_id=genesis.evm_chain_id, nonce=nonce, max_priority_fee=GWEI, max_fee=9 * GWEI,
        gas=21_000, to=dev_accounts()[9][0], value=value,
    )  # fmt: skip


def native(genesis, sender, nonce, name):
    return build_native(
        dev_accounts()[sender][1], chain_id=genesis.evm_chain_id, nonce=nonce, max_priority_fee=GWEI, max_fee=9 * GWEI,
        action=DatanetCreate(name=name),
    )  # fmt: skip


def application(genesis, seed, store=None):
    address = consensus_address(ed25519_public(seed))
    return Application(genesis, StateStore(store or MemoryStore()), PyEvmEngine(), Silence(), address)


async def test_blocks_recorded_from_cometbft_give_the_same_app_hashes_in_solo(
    binary, make_home, genesis, seed, until, tmp_path
):
    app, record = application(genesis, seed), tmp_path / "blocks"
    engine = CometEngine(app, make_home(binary), program=str(binary.path), record=record)
    await engine.start()
    sent = []
    for nonce in range(6):
        sent.append(await engine.submit(transfer(genesis, 0, nonce)))
        sent.append(await engine.submit(transfer(genesis, 1, nonce, 10**18)))
        sent.append(await engine.submit(native(genesis, 2, nonce, f"set {nonce}")))
        await until(lambda: app.store.transaction(sent[-1]) is not None)
    with pytest.raises(NonceTooLow):
        await engine.submit(transfer(genesis, 0, 0, 2))
    with pytest.raises(InsufficientFunds):
        await engine.submit(transfer(genesis, 3, 0, 10**30))
    with pytest.raises((AlreadyKnown, NonceTooLow)):
        await engine.submit(transfer(genesis, 0, 0))
    await until(lambda: engine.height >= 10)
    await engine.stop()
    assert all(app.store.transaction(tx_hash) for tx_hash in sent)
    hashes = [app.store.header(number).state_root for number in range(1, app.head().number + 1)]
    other = application(genesis, seed)
    assert await SoloEngine(other, seed=seed).replay(read_recording(record)) == hashes
    assert other.head() == app.head()


@pytest.mark.parametrize("victim", ["app", "comet", "both"])
async def test_kill_9_of_the_real_application_loses_no_block(
    pinned, make_home, genesis, seed, settings, tmp_path, processes, victim
):
    home, rpc, state = make_home(pinned), settings.rpc.replace("tcp", "http"), tmp_path / "state"
    command = [
        str(Path(__file__).with_name("node.py")), f"unix://{home}/abci.sock", str(state),
        str(home / "config" / "genesis.json"),
    ]  # fmt: skip
    reached = 0
    for number, delay in enumerate((0.0, 0.013, 0.029)):
        async with processes(home, pinned, rpc, command) as pair:
            await pair.reach(reached + 2)
            await pair.send(transfer(genesis, 4, number))
            await asyncio.sleep(delay)
            reached = await pair.height()
            for process in {"app": [pair.app], "comet": [pair.comet], "both": [pair.app, pair.comet]}[victim]:
                process.kill()
            await asyncio.sleep(0.05)
    async with processes(home, pinned, rpc, command) as pair:
        await pair.reach(reached + 2)
    database = LevelDbStore(state)
    store = StateStore(database)
    assert store.head().number >= reached
    assert [store.header(n).number for n in range(reached + 1)] == list(range(reached + 1))
    database.close()
