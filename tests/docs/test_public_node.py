"""The guide to a node on the internet names settings that exist, with their defaults."""

from __future__ import annotations

import re
import tomllib
from dataclasses import asdict
from pathlib import Path

from openledger.node.config import RpcConfig

PAGE = (Path(__file__).parents[2] / "docs/guides/public-node.md").read_text("utf-8")
ROWS = [line.split("|")[1:3] for line in PAGE.splitlines() if line.startswith("| `")]


def test_every_limit_of_the_guide_is_a_setting_with_the_default_that_it_says() -> None:
    known = asdict(RpcConfig())
    assert len(ROWS) >= 14
    for names, said in ROWS:
        numbers = [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", said)]
        for name in re.findall(r"`(\w+)`", names):
            assert name in known, name
            value = known[name]
            assert not value or value in numbers or value // 1024 // 1024 in numbers, (name, value, said)


def test_the_example_configuration_is_read() -> None:
    block = PAGE.split("```toml\n")[1].split("```")[0]
    assert set(tomllib.loads(block)["rpc"]) <= set(asdict(RpcConfig()))
