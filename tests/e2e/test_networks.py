"""Every network of ``networks/*.toml``, run with real CometBFT processes: its claim, and the promises of every network
(``network/checks.py``). Those that are not quick run in ``make soak``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from network.runner import run
from network.spec import Spec, WrongNetwork, load

from openledger.primitives.errors import MissingProgram

FILES = sorted((Path(__file__).resolve().parent / "networks").glob("*.toml"))


def _case(path: Path) -> object:
    spec = load(path)
    marks = [pytest.mark.cometbft] if spec.quick else [pytest.mark.cometbft, pytest.mark.soak]
    return pytest.param(spec, id=spec.name, marks=marks)


@pytest.mark.parametrize("spec", [_case(path) for path in FILES])
def test_the_network_keeps_its_promises(spec: Spec, tmp_path: Path) -> None:
    try:
        summary = run(spec, tmp_path / "net")
    except MissingProgram as err:
        pytest.skip(str(err))
    print("\n".join(summary.lines()))
    assert summary.blocks >= spec.until
    assert len(summary.claims) == spec.load.claims


def test_the_networks_say_what_they_claim_each_something_else() -> None:
    claims = [load(path).claim for path in FILES]
    assert len(set(claims)) == len(FILES) >= 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('claim = "x"\nuntill = 3', "has no field 'untill'"),
        ('claim = "x"\n[node.node7]\npower = 1', "there is no node7 among 4 nodes"),
        ('claim = "x"\n[[perturb]]\nat = 5\ndo = "tickle"\nnodes = ["node0"]', "not one of kill"),
        ('claim = "x"\n[[perturb]]\nat = 5\ndo = "kill"\nnodes = ["nodeX"]', "'nodeX'"),
        ('claim = "x"\n[[perturb]]\nat = 50\ndo = "kill"\nnodes = ["node0"]', "after the end of the run"),
        ('claim = "x"\n[node.node0]\noracle = ["maybe"]', "not one of yes"),
        ('claim = "x"\n[node.node0]\nbyzantine = [{role = "lazy"}]', "not one of garbage-extension"),
        ('nodes = 4', "claim"),
    ],
)  # fmt: skip
def test_a_network_with_a_typo_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "net.toml"
    file.write_text(text)
    with pytest.raises(WrongNetwork, match=said):
        load(file)
