"""Go's ethclient, unchanged: what it reads of a chain with native transactions, and what it refuses (see the guide)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from client_packages import alone, fetch
from devnet_process import SECRET, Devnet
from eth_account import Account
from eth_account.messages import encode_typed_data

SOURCE = Path(__file__).with_name("go")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled client; skips without Go or its packages."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed")
    with alone("go"):
        fetch("go", [go, "mod", "download"], SOURCE)
    made = tmp_path_factory.mktemp("go") / "client"
    command = [go, "build", "-o", str(made), "."]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return made


def native_transaction(node: Devnet) -> str:
    """Hash of a native transaction in a block."""
    key = Account.from_key(SECRET)
    fields = {"name": "plays", "licence": "CC-BY-4.0"}
    built = node.call("openledger_buildTransaction", "datanet.create", fields, {"from": key.address})
    signature = key.sign_message(encode_typed_data(full_message=built["typedData"])).signature.hex()
    signed = "0x" + signature.removeprefix("0x")
    whole = node.call("openledger_buildTransaction", "datanet.create", fields, built["options"], signed)
    found: str = node.call("eth_sendRawTransaction", whole["raw"])
    return found


def test_ethclient_reads_headers_receipts_and_logs_and_refuses_unknown_types(program: Path, quick_node: Any) -> None:
    given = os.environ | {"URL": quick_node.url, "NATIVE": native_transaction(quick_node)}
    done = subprocess.run([str(program)], env=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("blockReceipts") >= 1  # the system transaction may stand there too
    assert found == {
        "chainId": 161237,
        "receipt": [1, 0x50, True],
        "headerHash": True,
        "logs": True,
        "genesis": True,
        "block": "transaction type not supported",
        "transaction": "transaction type not supported",
    }
