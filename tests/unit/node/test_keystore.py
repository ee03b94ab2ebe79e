"""Keys on the disk: encrypted, private, and every failure is one sentence."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import eth_account
import pytest

from openledger.node.keystore import Keystore, dev_signer, parse_secret
from openledger.primitives.errors import KeystoreError
from openledger.primitives.keys import address_of_private_key

SECRET = bytes.fromhex("11" * 32)


@pytest.fixture
def fast_encryption(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eth_account.Account, "_default_kdf", "pbkdf2", raising=False)
    plain = eth_account.Account.encrypt
    monkeypatch.setattr(eth_account.Account, "encrypt", lambda s, p: plain(s, p, kdf="pbkdf2", iterations=2))


@pytest.fixture
def store(tmp_path: Path, fast_encryption: None) -> Keystore:
    return Keystore(tmp_path)


def test_a_stored_key_comes_back_with_its_password_only(store: Keystore) -> None:
    address = store.create("alice", "pw", SECRET)
    assert store.unlock("alice", "pw").secret == SECRET
    assert store.address("alice") == address == address_of_private_key(SECRET)
    with pytest.raises(KeystoreError, match="wrong password"):
        store.unlock("alice", "other")


def test_new_keys_differ_and_are_listed(store: Keystore) -> None:
    assert store.create("a", "pw") != store.create("b", "pw")
    assert store.names() == ["a", "b"]


def test_a_key_file_is_readable_by_its_owner_only_and_holds_no_secret(store: Keystore) -> None:
    store.create("alice", "pw", SECRET)
    path = store.folder / "alice.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SECRET.hex() not in path.read_text()
    assert json.loads(path.read_text())["version"] == 3


def test_a_name_is_never_overwritten(store: Keystore) -> None:
    store.create("alice", "pw", SECRET)
    with pytest.raises(KeystoreError, match="already"):
        store.create("alice", "pw")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 65])
def test_a_name_that_is_a_path_is_refused(store: Keystore, name: str) -> None:
    with pytest.raises(KeystoreError, match="not a key name"):
        store.create(name, "pw")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"address": 1}', '{"address": "zz"}', "\x00"])
def test_a_damaged_file_is_one_error(store: Keystore, text: str) -> None:
    store.folder.mkdir()
    (store.folder / "bad.json").write_text(text)
    with pytest.raises(KeystoreError, match="damaged"):
        store.unlock("bad", "pw")


def test_an_unknown_key_is_one_error_with_a_hint(store: Keystore) -> None:
    with pytest.raises(KeystoreError) as caught:
        store.address("nobody")
    assert "keys new nobody" in str(caught.value.hint)


def test_deleted_keys_are_gone(store: Keystore) -> None:
    store.create("alice", "pw", SECRET)
    store.delete("alice")
    assert store.names() == []


def test_the_accounts_of_the_devnet_need_no_file(store: Keystore) -> None:
    signer = dev_signer("dev0")
    assert signer is not None
    assert "0x" + signer.address.hex() == "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
    assert dev_signer("dev10") is None
    with pytest.raises(KeystoreError, match="public account"):
        store.create("dev0", "pw")


@pytest.mark.parametrize("text", ["", "0x", "zz" * 32, "00" * 32, "ff" * 32, "11" * 31])
def test_a_number_that_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(KeystoreError):
        parse_secret(text)


def test_a_secret_is_not_shown_by_repr() -> None:
    signer = dev_signer("dev1")
    assert signer is not None
    assert signer.secret.hex() not in repr(signer)
