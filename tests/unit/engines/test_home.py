"""CometBFT's configuration file, edited by us."""

import asyncio
import tomllib

import pytest

from openledger.node.engines.cometbft import CometEngine, _rpc_url
from openledger.node.engines.home import CometSettings, edit_toml, node_id, read_config, write_config
from openledger.primitives.errors import InvalidConfig, KeystoreError
from tests.waiting import until

TEXT = """# about the top
abci = "grpc"
[rpc]
# about rpc
laddr = "tcp://127.0.0.1:26657"
[p2p]
laddr = "tcp://0.0.0.0:26656"
recv_rate = 5
[mempool]
type = "flood"
"""
WAITING = """[consensus]
create_empty_blocks = true
create_empty_blocks_interval = "2s"
"""


def test_values_are_replaced_in_their_section_and_comments_stay():
    edited = edit_toml(TEXT, {"": {"abci": "socket"}, "p2p": {"laddr": 'a"b', "recv_rate": 7}, "rpc": {}})
    values = tomllib.loads(edited)
    assert (values["abci"], values["p2p"]) == ("socket", {"laddr": 'a"b', "recv_rate": 7})
    assert values["rpc"]["laddr"] == "tcp://127.0.0.1:26657"
    assert "# about rpc" in edited


def test_a_setting_that_the_file_does_not_have_is_an_error():
    with pytest.raises(InvalidConfig, match=r"no nonsense in \[p2p\]"):
        edit_toml(TEXT, {"p2p": {"nonsense": 1}})


def write(home, text):
    (home / "config").mkdir(parents=True)
    (home / "config" / "config.toml").write_text(text)
    return home


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not toml at all [", "cannot be read"),
        ('abci = "socket"', "lacks 'mempool'"),
        (TEXT, 'abci is "grpc"'),
        (TEXT.replace("flood", "nop"), 'type is "nop"'),
        (TEXT.replace("flood", "app") + WAITING, "transactions ask for no block"),
    ],
)
def test_a_configuration_that_this_node_cannot_serve_is_refused_with_its_reason(tmp_path, text, message):
    with pytest.raises(InvalidConfig, match=message):
        read_config(write(tmp_path, text))


def test_the_app_mempool_is_served_when_blocks_come_without_pause(tmp_path):
    text = TEXT.replace("grpc", "socket").replace("flood", "app") + WAITING.replace("2s", "0s")
    assert read_config(write(tmp_path, text))["mempool"]["type"] == "app"


def test_empty_blocks_come_at_intervals_and_the_mempool_is_the_plain_one():
    values = CometSettings().values()
    assert values["mempool"]["type"] == "flood"
    assert values["consensus"]["create_empty_blocks"] is True
    assert values["consensus"]["peer_gossip_sleep_duration"] == "10ms"
    assert {values["rpc"]["laddr"][:15], values["p2p"]["laddr"][:15]} == {"tcp://127.0.0.1"}


def test_rpc_addresses():
    assert _rpc_url("tcp://0.0.0.0:26657") == "http://127.0.0.1:26657/"
    assert _rpc_url("tcp://[::1]:26657") == "http://[::1]:26657/"
    for wrong in ("", "unix:///x", "tcp://127.0.0.1"):
        with pytest.raises(InvalidConfig):
            _rpc_url(wrong)


def test_a_file_of_cometbft_that_is_gone_or_damaged_is_said_with_the_way_to_another(tmp_path):
    with pytest.raises(InvalidConfig, match="cannot be read: No such file") as refused:
        write_config(tmp_path, CometSettings())
    assert "cometbft init" in refused.value.hint
    with pytest.raises(InvalidConfig, match="has no") as refused:
        write_config(write(tmp_path, ""), CometSettings())
    assert "cometbft init" in refused.value.hint
    for damage in ("{", "{}", '{"priv_key": {"value": "AAAA"}}', "[]"):
        (tmp_path / "config" / "node_key.json").write_text(damage)
        with pytest.raises(KeystoreError, match=r"network key .* is damaged") as refused:
            node_id(tmp_path)
        assert "makes another" in refused.value.hint


async def test_a_home_without_configuration_is_one_clear_error(app, tmp_path):
    with pytest.raises(InvalidConfig, match="cannot be read"):
        await CometEngine(app, tmp_path).start()


async def test_many_who_want_to_know_how_cometbft_is_are_one_question(app, tmp_path, monkeypatch):
    engine, asked, gate = CometEngine(app, tmp_path), [], asyncio.Event()
    answers = {"status": {"sync_info": {"catching_up": True}, "validator_info": {"address": "AB"}},
               "net_info": {"n_peers": "3"}}  # fmt: skip

    async def call(method, **params):
        asked.append(method)
        await gate.wait()
        return answers[method]

    monkeypatch.setattr(engine, "_result", call)
    waiting = [asyncio.create_task(engine.status()) for _ in range(50)]
    await until(lambda: len(asked) == 2)
    waiting[0].cancel()  # who leaves takes nobody's answer with him
    gate.set()
    found = await asyncio.gather(*waiting[1:])
    assert {(status.peers, status.catching_up, status.validator) for status in found} == {(3, True, "ab")}
    assert sorted(asked) == ["net_info", "status"]
    await engine.status()
    assert len(asked) == 4
