"""The devnet's folder: kept between runs, another chain id with --fresh, and never mixed with another node's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from openledger.genesis.presets import dev_accounts
from openledger.node.config import Config
from openledger.node.devnet import banner, devnet_node, facts, with_port
from openledger.node.devnet_chain import DevnetOptions, chain_folder, open_chain
from openledger.node.network import for_networks
from openledger.primitives.amounts import OPEN
from openledger.primitives.errors import InvalidConfig, InvalidGenesis, PortTaken, WrongDataFolder
from openledger.primitives.types import to_hex
from openledger.rpc.client import AsyncClient

NOW = 1_800_000_000 * 10**9


def test_the_chain_is_kept_between_runs(tmp_path: Path) -> None:
    first = open_chain(tmp_path, DevnetOptions(), NOW)
    assert open_chain(tmp_path, DevnetOptions(), NOW + 10**9) == first


def test_fresh_is_another_chain_with_another_id(tmp_path: Path) -> None:
    first = open_chain(tmp_path, DevnetOptions(fresh=False), NOW).genesis
    second = open_chain(tmp_path, DevnetOptions(fresh=True), NOW).genesis
    assert second.evm_chain_id == first.evm_chain_id + 1
    assert second.chain_id != first.chain_id
    assert open_chain(tmp_path, DevnetOptions(), NOW).genesis == second


def test_accounts_come_from_the_phrase_that_is_given_and_stay(tmp_path: Path) -> None:
    phrase = "legal winner thank year wave sausage worth useful legal winner thank yellow"
    options = DevnetOptions(accounts=3, balance=5, mnemonic=phrase)
    made = open_chain(tmp_path, options, NOW)
    assert to_hex(made.accounts[0][0]) == "0x58a57ed9d8d624cbd12e2c467d34787555bb1b25"
    assert {a.balance for a in made.genesis.accounts.values()} == {5 * OPEN}
    assert set(made.genesis.accounts) == {address for address, _ in made.accounts}
    assert open_chain(tmp_path, DevnetOptions(), NOW) == made
    with pytest.raises(WrongDataFolder, match="are made"):
        open_chain(tmp_path, options, NOW)
    assert open_chain(tmp_path, DevnetOptions(fresh=True), NOW).accounts == tuple(dev_accounts())
    with pytest.raises(InvalidConfig, match="not a mnemonic"):
        open_chain(tmp_path, DevnetOptions(fresh=True, mnemonic="one two three"), NOW)


def test_more_accounts_than_ten_begin_with_the_ten(tmp_path: Path) -> None:
    made = open_chain(tmp_path, DevnetOptions(accounts=12), NOW)
    assert made.accounts[:10] == tuple(dev_accounts())
    assert len(made.accounts) == 12


def test_a_chain_id_names_the_chain_to_run(tmp_path: Path) -> None:
    first = open_chain(tmp_path, DevnetOptions(chain_id=7), NOW)
    assert (first.genesis.evm_chain_id, first.folder.name) == (7, "7")
    assert open_chain(tmp_path, DevnetOptions(), NOW) == first
    other = open_chain(tmp_path, DevnetOptions(chain_id=8), NOW)
    assert other.genesis.evm_chain_id == 8
    assert open_chain(tmp_path, DevnetOptions(chain_id=7), NOW) == first
    with pytest.raises(WrongDataFolder, match="already"):
        open_chain(tmp_path, DevnetOptions(chain_id=8, fresh=True), NOW)


def test_no_network_runs_the_genesis_of_a_solo_devnet(tmp_path: Path) -> None:
    genesis = open_chain(tmp_path, DevnetOptions(), NOW).genesis
    with pytest.raises(InvalidGenesis, match="no network runs"):
        for_networks(genesis)
    second = replace(genesis.validators[0], pub_key=bytes(32), operator=bytes(20))
    with pytest.raises(InvalidGenesis, match="one validator"):
        replace(genesis, validators=(*genesis.validators, second)).validate()
    assert "solo" not in replace(genesis, solo=False).app_state()


def test_the_home_of_another_node_is_refused(tmp_path: Path) -> None:
    (tmp_path / "genesis.json").write_text("{}")
    with pytest.raises(WrongDataFolder):
        chain_folder(tmp_path, False)


def test_a_damaged_folder_is_one_sentence(tmp_path: Path) -> None:
    chain = open_chain(tmp_path, DevnetOptions(), NOW).folder
    (chain / "genesis.json").write_text("{")
    with pytest.raises(InvalidGenesis):
        open_chain(tmp_path, DevnetOptions(), NOW)
    (tmp_path / "current").write_text("../up")
    with pytest.raises(WrongDataFolder):
        open_chain(tmp_path, DevnetOptions(), NOW)


async def test_a_devnet_answers_and_a_second_one_on_its_port_says_so(tmp_path: Path) -> None:
    node = devnet_node(tmp_path / "a", with_port(Config(), 0), lite=True)
    await node.start()
    try:
        async with AsyncClient(node.url) as client:
            assert await client.chain_id() == facts(node)["chainId"]
        lines = "\n".join(banner(node, demo=True))
        assert json.dumps(facts(node)["addEthereumChain"]) in lines
        assert facts(node)["addEthereumChain"]["chainId"] == hex(node.genesis.evm_chain_id)
        assert all(a["address"] in lines and a["privateKey"] in lines for a in facts(node)["accounts"])
        with pytest.raises(PortTaken):
            await devnet_node(tmp_path / "b", with_port(Config(), node.rpc_port), lite=True).start()
    finally:
        await node.stop()


async def test_a_node_without_an_oracle_says_what_is_off(tmp_path: Path) -> None:
    node = devnet_node(tmp_path, with_port(Config(), 0), lite=True)
    assert not node.oracle_on
    assert "votes silence" in node.oracle_text
