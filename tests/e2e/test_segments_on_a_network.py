"""Four validators, each with its own verifying process, and a model whose run is committed in eight segments: each
replays the segments that are dealt to it and no others, and a segment that is false is named and refused."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from openledger.genesis.presets import DEVNET_PARAMS
from openledger.node import operator
from openledger.node.config import Config
from openledger.node.testnet import free_starting_port, make_network, with_usable_engine
from openledger.primitives.errors import MissingProgram
from openledger.primitives.keys import consensus_address, ed25519_public
from openledger.primitives.types import Address, to_hex
from tests.e2e.node_process import NodeProcess, running, wait
from tests.e2e.test_claims_with_the_oracle import PRICE, World, contribute, dev, settle_answers

pytest.importorskip("torch", reason="the oracle extra is not installed")
pytestmark = pytest.mark.cometbft

VALIDATORS, SEGMENTS = 4, 8
ENDED = 3
"""The segment, from 1, at whose end the false checkpoint stands."""
ROW = 7
PATIENT = replace(DEVNET_PARAMS, hold_seconds=240, vote_seconds=240, reveal_seconds=240, claim_grace_epochs=1000)
REPLAYED = re.compile(r"claim (\d+): (yes|no) \(.*\); replayed segments: ([\d, ]+|none) of (\d+)")


@dataclass(frozen=True)
class Validator:
    """One of the four, seen from outside: its node, and its address."""

    node: NodeProcess
    address: Address

    def dealt(self, claim: int) -> list[int]:
        """The segments, from 1, that are dealt to it in a claim."""
        from openledger.attribution_oracle.looks import Crowd

        members = self.node.client.call("openledger_getVerdicts", claim)
        place = [member["validator"] for member in members].index(to_hex(self.address))
        opened = self.node.client.call("openledger_getClaim", claim)["opened"]
        lot = self.node.client.call("eth_getBlockByNumber", hex(opened), False)["hash"]
        powers = tuple(int(member["power"]) for member in members)
        crowd = Crowd(powers, place, claim.to_bytes(8, "big") + bytes.fromhex(lot[2:]))
        return [number + 1 for number in crowd.segments(b"", SEGMENTS)]

    def replayed(self, claim: int) -> list[list[int]]:
        """The segments that its log says it replayed, for each verdict that it found on a claim."""
        found = REPLAYED.findall(self.node.log.read_text())
        assert {of for *_, of in found} == {str(SEGMENTS)}
        return [[int(n) for n in re.findall(r"\d+", which)] for number, _, which, _ in found if int(number) == claim]

    def counted(self) -> dict[str, int]:
        """Its metric of segments, by work."""
        with urllib.request.urlopen(f"{self.node.url}/metrics", timeout=20) as page:
            text = page.read().decode()
        found = re.findall(r'^openledger_oracle_segments_total\{work="(\w+)"\} ([\d.]+)$', text, re.MULTILINE)
        return {work: int(float(number)) for work, number in found}


@pytest.fixture(scope="module")
def validators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Validator]]:
    folder = tmp_path_factory.mktemp("segments") / "net"
    config, _ = with_usable_engine(Config())
    config = replace(config, log=replace(config.log, level="info"))
    try:
        made = make_network(
            folder, VALIDATORS, time.time_ns(), starting_port=free_starting_port(VALIDATORS), params=PATIENT,
            base=config,
        )  # fmt: skip
    except MissingProgram as err:
        pytest.skip(str(err))
    nodes = [NodeProcess(m.home, lite=False) for m in made.members]
    with running(*nodes):
        for node in nodes:
            node.begin()
        for node in nodes:
            wait(node.url, node.client.chain_id, 120, node.log)
        addresses = [consensus_address(ed25519_public(m.seed)) for m in made.members]
        yield [Validator(node, address) for node, address in zip(nodes, addresses, strict=True)]


@pytest.fixture(scope="module")
def world(validators: list[Validator], tmp_path_factory: pytest.TempPathFactory) -> World:
    """A path-influence adapter of 66 steps, published by its honest owner."""
    from openledger.attribution_oracle import factory

    client = validators[0].node.client
    datanet = contribute(client, letters=200)
    blobs, data = operator.NodeBlobs(client), operator.version_data(client, [(datanet, 0)])
    settings = {"epochs": 11, "batch": 2, "warmup": 0, "lr": 1e-2}
    trained = factory.train_model(blobs, data, size="small", settings=settings)
    fields = factory.publish(blobs, trained, factory.make_index(trained, method="path-influence"))
    model, _ = operator.publish(client, dev(0), "in segments", PRICE, fields)
    bundle = factory.load_bundle(blobs, fields["bundle"].hex())
    assert len(bundle.cuts) + 1 == SEGMENTS
    return World(client, model, bundle, tmp_path_factory.mktemp("serving"))


def decided(world: World, folder: str) -> tuple[Any, dict[str, Any]]:
    """A claim on three paid answers, and its record when it is decided."""
    epoch, answers = settle_answers(world, folder)
    opened = operator.open_claim(
        world.client, dev(0), world.model, epoch, world.bundle, answers, lambda step, total, text: None
    )
    return opened, operator.follow_claim(world.client, opened, 300)


def test_each_validator_replays_the_segments_that_are_dealt_to_it_and_no_others(
    world: World, validators: list[Validator]
) -> None:
    opened, record = decided(world, "honest")
    said = world.client.call("openledger_getVerdicts", opened.number)
    assert record["status"] == "accepted", said
    replayed = []
    for validator in validators:
        wait("its verdict", lambda v=validator: v.replayed(opened.number), 120, validator.node.log)
        (mine,) = validator.replayed(opened.number)
        assert mine == validator.dealt(opened.number)
        assert validator.counted() == {"replayed": len(mine), "left": SEGMENTS - len(mine)}
        replayed.append(set(mine))
    for idle in range(VALIDATORS):
        others = (mine for number, mine in enumerate(replayed) if number != idle)
        assert set().union(*others) == set(range(1, SEGMENTS + 1)), "any three have looked at the whole run"
    assert sum(map(len, replayed)) == 2 * SEGMENTS, "each at half of it"


def with_a_false_checkpoint(world: World) -> World:
    """The same model, published again by an owner who has changed one row of one checkpoint by a fifth of a percent."""
    from openledger.attribution_oracle import factory

    blobs, manifest = operator.NodeBlobs(world.client), dict(world.bundle.manifest)
    true = world.bundle.checkpoint(blobs, ENDED - 1)
    scale = true.rows.scale.clone()
    scale[ROW] *= 1.002
    names = list(manifest["checkpoints"])
    names[ENDED - 1] = "0x" + blobs.put(replace(true, rows=replace(true.rows, scale=scale)).dump())
    raw = json.dumps(manifest | {"checkpoints": names}, sort_keys=True, separators=(",", ":")).encode()
    record = world.client.call("openledger_getModel", world.model)
    fields: dict[str, Any] = {
        name: bytes.fromhex(manifest[name][2:]) for name in ("weights", "receipt", "index", "index_root")
    }
    fields |= {"data": [(ref["datanet"], ref["version"]) for ref in manifest["data"]], "base": manifest["base"]}
    fields |= {"rows": manifest["rows"], "method": manifest["method"], "lds": 0, "base_loss": 0, "held_out_loss": 0}
    fields["bundle"] = bytes.fromhex(blobs.put(raw))
    assert record["bundle"] != to_hex(fields["bundle"])
    model, _ = operator.publish(world.client, dev(0), "a lie in segment three", PRICE, fields)
    return World(world.client, model, factory.load_bundle(blobs, fields["bundle"].hex()), world.folder)


def test_a_false_segment_is_named_by_who_has_it_and_all_refuse_it(world: World, validators: list[Validator]) -> None:
    liar = with_a_false_checkpoint(world)
    opened, record = decided(liar, "false")
    said = {v["validator"]: v for v in world.client.call("openledger_getVerdicts", opened.number)}
    assert record["status"] == "refused", said
    named = [v["named"] for v in said.values() if v["verdict"] == "no"]
    assert {"row": ROW, "segment": ENDED} in named
    assert 3 * len(named) > 2 * VALIDATORS
    for validator in validators:
        dealt = validator.dealt(opened.number)
        first = next(iter(validator.replayed(opened.number)), None)
        if ENDED in dealt and first is not None:
            assert first == [number for number in dealt if number <= ENDED], "what comes behind it is not needed"
            assert f"row {ROW} " in said[to_hex(validator.address)]["reason"]
