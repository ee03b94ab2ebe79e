"""The command line: exit codes, sentences, options everywhere; and that light commands load nothing heavy."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from openledger.abci_app.modules.staking.create import key_proof_message
from openledger.genesis.genesis import GenesisValidator
from openledger.genesis.presets import devnet_genesis
from openledger.node.cli.common import App
from openledger.node.cli.root import run
from openledger.node.cli.transactions import parameters
from openledger.primitives.keys import address_of_private_key, ed25519_public, ed25519_verify
from openledger.primitives.types import to_checksum

UNREACHABLE = "http://127.0.0.1:9"


pytestmark = pytest.mark.usefixtures("clean")


def test_version_prints_and_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == 0
    assert capsys.readouterr().out.startswith("openledger ")


@pytest.mark.parametrize("arguments", [["--json", "version"], ["version", "--json"]])
def test_shared_options_stand_before_or_after_the_command(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 0
    assert "version" in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("arguments", [["nothing"], ["keys", "nothing"], ["--wrong"], ["rpc"], ["proof", "show", "0"]])
def test_a_wrong_command_line_is_one_sentence_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert "Traceback" not in err


def test_the_help_of_a_group_says_whole_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    for group in ("datanet", "model", "proof", "rewards", "stake", "gov"):
        assert run([group, "--help"]) == 0
        told = capsys.readouterr().out.partition("Commands:")[2]
        assert told, group
        assert "..." not in told, group
    assert run(["proof", "--help"]) == 0
    flat = " ".join(capsys.readouterr().out.split())
    assert "Say with a bond that a row or a share of an accepted claim is wrong, or a row of a model's" in flat


def test_long_steps_of_a_command_are_counted_on(capsys: pytest.CaptureFixture[str]) -> None:
    app = App()
    for name in ("train", "index"):
        with app.stage(name, f"The {name}"):
            pass
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(".")[0].strip("✓ ") for line in lines] == ["1", "2"]
    quiet = App()
    quiet.json = True
    with quiet.stage("train", "x"):
        pass
    assert capsys.readouterr().out == ""


def test_a_model_servers_address_that_is_none_is_told_in_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["infer", "1", "hi", "--key", "dev1", "--url", "ftp://x"]) == 1
    assert "an address begins with http://" in capsys.readouterr().err


def test_a_block_hash_that_is_none_is_told_with_what_it_should_be(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("zz", "0x12"):
        assert run(["proof", "check", "1", "--block-hash", text]) == 1
        err = capsys.readouterr().err
        assert f"'{text}' is no hash of a block" in err
        assert "64 hex digits" in err


def test_no_node_is_one_sentence_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--node", UNREACHABLE]) == 1
    err = capsys.readouterr().err
    assert "no node answers" in err
    assert "hint: " in err


def test_an_error_with_json_is_one_object_with_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--node", UNREACHABLE, "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.err)["error"]["code"] == 308
    assert captured.out == ""


def test_signing_without_a_key_says_which_option_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["datanet", "create", "x", "--node", UNREACHABLE]) == 1
    assert "--key" in capsys.readouterr().err


def test_a_key_goes_from_hex_to_file_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = bytes.fromhex("22" * 32)
    (tmp_path / "key.txt").write_text("0x" + secret.hex() + "\n")
    home = ["--home", str(tmp_path / "home")]
    assert run(["keys", "import", "bob", "--file", str(tmp_path / "key.txt"), *home]) == 0
    assert run(["keys", "show", "bob", *home]) == 0
    assert to_checksum(address_of_private_key(secret)) in capsys.readouterr().out
    assert run(["keys", "export", "bob", "--private", *home]) == 0
    assert "0x" + secret.hex() in capsys.readouterr().out
    assert run(["keys", "delete", "bob", "--yes", *home]) == 0
    assert run(["keys", "show", "bob", *home]) == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"chain_id": 1}', "\u0000"])
def test_a_malformed_genesis_file_is_one_sentence(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "genesis.json").write_text(text)
    assert run(["genesis", "validate", "genesis.json"]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_every_native_kind_has_a_command_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    from openledger.abci_app.registry import ACTIONS
    from openledger.primitives.fields import schema

    for action in ACTIONS:
        assert run(["tx", action.KIND, "--help"]) == 0
        shown = capsys.readouterr().out
        for name, _ in schema(action):
            assert "--" + name.replace("_", "-") in shown


def test_a_native_action_is_built_of_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["tx", "inference.open", "--model", "1", "--deposit", "1.5 OPEN", "--expiry", "99", "--print"]
    assert run(arguments) == 0
    fields = json.loads(capsys.readouterr().out)["fields"]
    assert fields == {"model": 1, "deposit": "1500000000000000000", "expiry": 99}


def test_the_help_of_an_amount_says_that_a_bare_number_is_wei(capsys: pytest.CaptureFixture[str]) -> None:
    """`rewards claim --amount 5` takes 5 OPEN, `tx rewards.claim --amount 5` takes 5 wei."""
    assert run(["tx", "rewards.claim", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--amount AMOUNT uint256: wei, or for example '1.5 OPEN'" in shown
    assert "``" not in shown


@pytest.mark.parametrize(
    ("option", "value"), [("--parent", "-1"), ("--root", "0x12"), ("--add", "[1"), ("--add", "[1]"), ("--rows", "x")]
)
def test_a_malformed_field_is_named(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    good = {"--datanet": "1", "--parent": "0", "--root": "0x" + "00" * 32, "--rows": "1", "--add": "[]"}
    words = [word for pair in (good | {option: value}).items() for word in pair]
    assert run(["tx", "datanet.commit", *words, "--print"]) == 1
    assert option.strip("-") in capsys.readouterr().err


def test_rpc_parameters_are_json_where_they_are_json() -> None:
    assert parameters(("1", "latest", "0x10", '{"a": [true]}')) == [1, "latest", "0x10", {"a": [True]}]


def test_rows_are_checked_before_a_fee_is_paid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "good.txt").write_text("A first paragraph of some length.\n\nA second paragraph of some length.\n")
    (tmp_path / "bad.jsonl").write_text('{"text": "   "}\n')
    assert run(["datanet", "check", "good.txt"]) == 0
    for command in ("commit", "promise"):
        capsys.readouterr()
        assert run(["datanet", command, "1", "good.txt"]) == 1
        assert "openledger datanet add 1 good.txt, then this command" in capsys.readouterr().err
    assert run(["datanet", "check", "bad.jsonl"]) == 1
    assert "refused: empty" in capsys.readouterr().out


@pytest.mark.parametrize("line", ["{", '{"text": 1}', "[]", '{"txt": "a"}'])
def test_a_row_of_another_form_is_named_with_its_line(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "fine, and long enough"}\n' + line + "\n")
    assert run(["datanet", "check", "rows.jsonl"]) == 1
    assert "line 2" in capsys.readouterr().err


def test_light_commands_load_neither_torch_nor_database_nor_evm() -> None:
    program = (
        "import sys; import openledger.node.quality; from openledger.node.cli.root import run; run(['version']); "
        "heavy = {'torch', 'plyvel', 'eth', 'numpy', 'web3', 'google.protobuf'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_indexes_of_a_stopped_node_are_rebuilt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from openledger.primitives.blocks import EMPTY_TRIE_ROOT, Header, Receipt, SealedBlock
    from openledger.primitives.types import Log
    from openledger.state import layout
    from openledger.state.blocks import block_entries, find_logs
    from openledger.state.leveldb import LevelDbStore

    (tmp_path / "genesis.json").write_text("{}")
    zero, log = bytes(32), Log(b"\x07" * 20, (), b"")
    header = Header(
        zero, bytes(20), zero, EMPTY_TRIE_ROOT, EMPTY_TRIE_ROOT, bytes(256), 0, 30_000_000, 0, 0, zero, 10**9
    )
    block = SealedBlock(header, (b"\x51x",), (bytes(20),), (Receipt(0x51, 1, 0, (log,), 0, 0),))
    kv = LevelDbStore(tmp_path / "state")
    kv.write([e for e in block_entries(block) if e[0][:1] != b"i"] + [(layout.META + b"head", layout.height_key(0))])
    assert list(find_logs(kv, 0, 0, [log.address], [])) == []
    home = ["--home", str(tmp_path)]
    assert run(["index", "rebuild", *home]) == 1
    assert "another process uses" in capsys.readouterr().err
    kv.close()
    assert run(["index", "rebuild", *home, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"blocks": 1, "entries": 5}
    kv = LevelDbStore(tmp_path / "state")
    assert list(find_logs(kv, 0, 0, [log.address], [])) == [(0, 0, 0, log)]
    kv.close()


def test_there_are_no_indexes_without_a_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["index", "rebuild", "--home", str(tmp_path)]) == 1
    assert "there is no chain" in capsys.readouterr().err


def test_a_consensus_key_proves_for_one_chain_and_one_operator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed, operator = bytes(range(32)), bytes(range(20))
    home = tmp_path / "home"
    (home / "cometbft" / "config").mkdir(parents=True)
    value = base64.b64encode(seed + ed25519_public(seed)).decode()
    key_file = home / "cometbft" / "config" / "priv_validator_key.json"
    key_file.write_text(json.dumps({"priv_key": {"value": value}}))
    validator = GenesisValidator(ed25519_public(seed), 10, operator, "one")
    (home / "genesis.json").write_text(devnet_genesis((validator,), 0, evm_chain_id=77).to_json())
    shown = ["validator", "show-key", "--home", str(home), "--json"]
    assert run(shown) == 0
    assert "proof" not in json.loads(capsys.readouterr().out)
    assert run([*shown, "--operator", to_checksum(operator)]) == 0
    found = json.loads(capsys.readouterr().out)
    proof = bytes.fromhex(found["proof"][2:])
    assert ed25519_verify(ed25519_public(seed), key_proof_message(77, operator), proof)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["validator", "create", "--amount", "1 OPEN", "--pub-key", "0x00"], "belong together"),
        (["stake", "undelegate"], "either AMOUNT or --all"),
        (["stake", "undelegate", "1 OPEN", "--all"], "either AMOUNT or --all"),
        (["stake", "undelegate", "0", "--key", "dev1"], "nothing to take back"),
    ],
)
def test_what_is_asked_of_stake_must_be_clear(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--node", UNREACHABLE]) == 2
    assert said in capsys.readouterr().err
