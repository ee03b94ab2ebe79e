"""A genesis is put together before its chain begins, and never changed afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openledger.genesis.genesis import GenesisValidator
from openledger.genesis.presets import dev_accounts, devnet_genesis
from openledger.node.cli.root import run
from openledger.node.wiring import read_genesis
from openledger.primitives.amounts import OPEN
from openledger.primitives.types import to_checksum

SOMEBODY = "0x" + "ab" * 20
KEY = "0x" + "07" * 32


@pytest.fixture
def home(tmp_path: Path) -> Path:
    validator = GenesisValidator(bytes(32), 10, bytes(19) + b"\x01", "one")
    text = devnet_genesis((validator,), 10**18).to_json()
    (tmp_path / "cometbft" / "config").mkdir(parents=True)
    (tmp_path / "genesis.json").write_text(text)
    (tmp_path / "cometbft" / "config" / "genesis.json").write_text(text)
    return tmp_path


def genesis(home: Path, *arguments: str) -> int:
    return run(["--home", str(home), "genesis", *arguments])


def test_accounts_and_validators_are_added_to_both_copies(home: Path) -> None:
    before = read_genesis(home / "genesis.json")
    assert genesis(home, "add-account", SOMEBODY, "2.5 OPEN") == 0
    assert genesis(home, "add-validator", KEY, "--operator", SOMEBODY, "--power", "3", "--name", "two") == 0
    assert genesis(home, "remove-account", to_checksum(dev_accounts()[0][0])) == 0
    after = read_genesis(home / "genesis.json")
    assert after.accounts[bytes.fromhex("ab" * 20)].balance == 5 * OPEN // 2
    assert dev_accounts()[0][0] not in after.accounts
    assert after.validators[1] == GenesisValidator(bytes.fromhex("07" * 32), 3, bytes.fromhex("ab" * 20), "two")
    assert after.digest != before.digest
    assert read_genesis(home / "cometbft" / "config" / "genesis.json") == after
    assert len(json.loads((home / "genesis.json").read_text())["validators"]) == 2


def test_a_validator_says_its_commission_and_whose_its_stake_is(home: Path) -> None:
    person = "0x" + "cd" * 20
    told = ["--power", "100", "--commission", "2.5", "--max-commission", "30%", "--delegation", f"{person}=50.5 OPEN"]
    assert genesis(home, "add-validator", KEY, "--operator", SOMEBODY, *told) == 0
    made = read_genesis(home / "genesis.json").validators[1]
    assert (made.commission, made.max_commission, made.max_change) == (25_000, 300_000, 10_000)
    assert made.delegations == ((bytes.fromhex("cd" * 20), 101 * OPEN // 2),)
    assert read_genesis(home / "cometbft" / "config" / "genesis.json").validators[1] == made
    entries = json.loads((home / "genesis.json").read_text())["app_state"]["validators"]
    assert "commission" not in entries[0], "what is as usual is not written, so older files keep their digest"
    assert entries[1]["delegations"] == {to_checksum(bytes.fromhex("cd" * 20)): str(101 * OPEN // 2)}


@pytest.mark.parametrize(
    ("option", "words"),
    [(["--commission", "much"], "no percentage"), (["--delegation", "0x" + "cd" * 20], "no delegation")],
)
def test_what_is_no_percentage_or_no_delegation_is_a_wrong_use(
    home: Path, option: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert genesis(home, "add-validator", KEY, "--operator", SOMEBODY, *option) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add-validator", KEY, "--operator", SOMEBODY, "--commission", "25"], "at most max_commission"),
        (["add-validator", KEY, "--operator", SOMEBODY, "--delegation", f"{SOMEBODY}=1 OPEN"], "another account's"),
        (["add-validator", KEY, "--operator", SOMEBODY, "--delegation", "0x" + "cd" * 20 + "=1 OPEN"], "leave"),
        (["add-account", to_checksum(dev_accounts()[0][0]), "1 OPEN"], "already"),
        (["add-account", SOMEBODY, "2000000000 OPEN"], "exceed the cap"),
        (["add-account", "0x12", "1 OPEN"], "not an address"),
        (["add-account", SOMEBODY, "much"], "not an amount"),
        (["remove-account", SOMEBODY], "not in the genesis"),
        (["add-validator", "0x" + "00" * 32, "--operator", SOMEBODY], "same public key"),
        (["add-validator", KEY, "--operator", "0x" + "00" * 19 + "01"], "same operator"),
        (["add-validator", "0x07", "--operator", SOMEBODY], "32"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_changes_nothing(
    home: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (home / "genesis.json").read_bytes()
    assert genesis(home, *arguments) == 1
    assert words in capsys.readouterr().err
    assert (home / "genesis.json").read_bytes() == before


def test_the_genesis_of_a_chain_that_has_begun_stays(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "state").mkdir()
    assert genesis(home, "add-account", SOMEBODY, "1 OPEN") == 1
    assert "has begun" in capsys.readouterr().err
