"""The devnet's folder: kept between runs, another chain id with --fresh, and never mixed with another node's."""

from __future__ import annotations

from pathlib import Path

import pytest

from openledger.node.config import Config
from openledger.node.devnet import banner, devnet_node, facts, with_port
from openledger.node.devnet_chain import DevnetOptions, chain_folder, open_chain
from openledger.primitives.errors import InvalidGenesis, PortTaken, WrongDataFolder
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
        assert all(a["address"] in lines and a["privateKey"] in lines for a in facts(node)["accounts"])
        with pytest.raises(PortTaken):
            await devnet_node(tmp_path / "b", with_port(Config(), node.rpc_port), lite=True).start()
    finally:
        await node.stop()


async def test_a_node_without_an_oracle_says_what_is_off(tmp_path: Path) -> None:
    node = devnet_node(tmp_path, with_port(Config(), 0), lite=True)
    assert not node.oracle_on
    assert "votes silence" in node.oracle_text
