"""The documents are complete and true: links, RPC methods, native kinds, events, commands, decisions."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest

from openledger.abci_app import reads
from openledger.abci_app.action import ENVELOPE_FIELDS, action_class
from openledger.abci_app.events import EVENTS
from openledger.abci_app.modules.attribution.messages import MAX_MESSAGES, MAX_REASON, MAX_SALT, MIN_SALT
from openledger.abci_app.modules.attribution.records import STATUS_NAMES, VERDICT_NAMES
from openledger.abci_app.native import ACTION_FAILED
from openledger.abci_app.registry import ACTIONS, READS
from openledger.evm.tracing.table import TRACERS
from openledger.genesis.params import Params
from openledger.genesis.presets import DEVNET_PARAMS
from openledger.node.cli.root import cli
from openledger.primitives.amounts import OPEN
from openledger.primitives.attribution import Voucher
from openledger.primitives.fields import eip712_types, schema
from openledger.rpc.backend import Backend, RpcSettings
from openledger.rpc.server import RpcServer
from openledger.rpc.subscriptions import KINDS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(ROOT.glob("*.md")) + sorted(DOCS.rglob("*.md"))
HAND_WRITTEN = [p for p in PAGES if p.name not in ("errors.md", "cli.md")]
RPC_PAGE = (DOCS / "reference" / "rpc.md").read_text(encoding="utf-8")
DEVNET_PAGE = (DOCS / "reference" / "devnet-methods.md").read_text(encoding="utf-8")
NATIVE_PAGE = (DOCS / "reference" / "native-transactions.md").read_text(encoding="utf-8")
FORMATS_PAGE = (DOCS / "reference" / "formats.md").read_text(encoding="utf-8")


def ident(path: Path) -> str:
    return str(path.relative_to(ROOT))


def without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=ident)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=ident)
def test_no_page_names_a_place_of_somebodys_machine(page: Path) -> None:
    assert re.findall(r"(?<![\w.~])/(?:work|root|tmp|home)/\S*", page.read_text(encoding="utf-8")) == []


def test_every_page_is_reached_from_the_index() -> None:
    index = "".join(p.read_text(encoding="utf-8") for p in (DOCS / "README.md", DOCS / "adr" / "README.md"))
    left_out = [p for p in DOCS.rglob("*.md") if p.name not in index and p.parent.name + "/" not in index]
    assert left_out == []


# --- JSON-RPC -----------------------------------------------------------------------------------------------


def rpc_methods(devnet: Any = None) -> set[str]:
    nothing: Any = SimpleNamespace()
    server = RpcServer(Backend(nothing, nothing, nothing, "", dict, devnet=devnet))
    return set(server.dispatcher.methods)


def test_every_rpc_method_has_its_line_and_no_other_has_one() -> None:
    lines = re.findall(r"^\| `(\w+_\w+|rpc\.\w+)` \|", RPC_PAGE, flags=re.MULTILINE)
    assert sorted(lines) == sorted(rpc_methods())


def test_every_method_of_a_devnet_has_its_line_and_no_other_has_one() -> None:
    controls = SimpleNamespace(before_revert=lambda _listener: None, impersonated={})
    lines = re.findall(r"^\| `(\w+_\w+)` \|", DEVNET_PAGE, flags=re.MULTILINE)
    assert sorted(lines) == sorted(rpc_methods(controls) - rpc_methods())


@pytest.mark.parametrize("kind", KINDS)
def test_every_subscription_is_described(kind: str) -> None:
    assert f"`{kind}`" in RPC_PAGE


# --- native transactions ------------------------------------------------------------------------------------


def type_string(cls: type, extra: tuple[tuple[str, str], ...] = ()) -> str:
    types = eip712_types(cls, extra)
    forms = {n: f"{n}({','.join(f['type'] + ' ' + f['name'] for f in fields)})" for n, fields in types.items()}
    return forms[cls.__name__] + "".join(forms[n] for n in sorted(forms) if n != cls.__name__)


@pytest.mark.parametrize("kind", [cls.KIND for cls in ACTIONS])
def test_every_native_kind_has_its_section(kind: str) -> None:
    cls = action_class(kind)
    section = NATIVE_PAGE.split(f"\n## {kind}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", section, flags=re.MULTILINE)
    assert rows == [(name, ftype.eip712) for name, ftype in schema(cls)]
    assert f"gas of the kind **{cls.GAS:,}**" in section
    assert f"Module `0x{cls.MODULE.hex()[-4:]}`" in section
    assert type_string(cls, ENVELOPE_FIELDS) in section


def test_no_section_describes_a_kind_that_is_gone() -> None:
    found = re.findall(r"^## (\w+\.\w+)$", NATIVE_PAGE, flags=re.MULTILINE)
    assert found == [cls.KIND for cls in ACTIONS]


# --- formats ------------------------------------------------------------------------------------------------


def test_every_event_has_its_line() -> None:
    assert EVENTS[ACTION_FAILED.topic] is ACTION_FAILED
    wanted = {
        f"| `0x{e.address.hex()[-4:]}` | {e.name} | "
        + "`"
        + ", ".join(f"{kind} {'indexed ' if indexed else ''}{name}" for name, kind, indexed in e.fields)
        + "` |"
        for e in EVENTS.values()
    }
    assert wanted - set(FORMATS_PAGE.splitlines()) == set()


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    assert isinstance(value, int)
    return f"{value // OPEN:,} OPEN" if value and value % OPEN == 0 else f"{value:,}"


def test_every_parameter_has_its_line_with_its_values() -> None:
    page = (DOCS / "reference" / "parameters.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.*?) ?\| .+ \|$", page, flags=re.MULTILINE)
    wanted = []
    for name, _ in schema(Params):
        network, devnet = (_shown(getattr(params, name)) for params in (Params(), DEVNET_PARAMS))
        wanted.append((name, network, "" if network == devnet else devnet))
    assert sorted(rows) == sorted(wanted)


def test_the_page_of_formats_has_the_numbers_of_the_code() -> None:
    assert type_string(Voucher) in FORMATS_PAGE
    for number, name in STATUS_NAMES.items():
        assert f"{number} {name}" in FORMATS_PAGE
    for number, name in VERDICT_NAMES.items():
        assert re.search(rf"\b{number}\s+{name}", FORMATS_PAGE)
    assert (MAX_MESSAGES, MAX_REASON, MIN_SALT, MAX_SALT) == (16, 200, 16, 32), "change docs/reference/formats.md too"


# --- commands -----------------------------------------------------------------------------------------------


def shown_commands() -> list[tuple[str, str]]:
    found = []
    for page in HAND_WRITTEN:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            found += [(ident(page), line) for line in lines if line.startswith(".venv/bin/openledger")]
    return found


@pytest.mark.parametrize(("page", "line"), shown_commands())
def test_every_command_that_is_shown_can_be_read_by_the_program(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = cli
    context = click.Context(cli, info_name="openledger", obj=cli_object())
    while isinstance(command, click.Group):
        words = skip_options(command, words)
        if not words:
            return
        child = command.get_command(context, words[0])
        assert child is not None, f"{page}: no command {words[0]!r} in: {line}"
        command, words = child, words[1:]
    known = {name for option in command.params for name in option.opts} | {"--help", "-h"}
    assert {w.split("=")[0] for w in words if w.startswith("--")} <= known


def cli_object() -> Any:
    from openledger.node.cli.common import App

    return App()


def skip_options(group: click.Group, words: list[str]) -> list[str]:
    """``words`` after the options of the group itself."""
    options = {name: cast(click.Option, p) for p in group.params for name in p.opts}
    while words and words[0] in options:
        words = words[1 if options[words[0]].is_flag else 2 :]
    return words


def test_every_make_target_that_is_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    shown = set()
    for page in HAND_WRITTEN:
        text = page.read_text(encoding="utf-8")
        shown |= set(re.findall(r"(?:^|`)make ([a-z-]+)", text, flags=re.MULTILINE))
    assert shown - targets == set()


# --- decisions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", sorted((DOCS / "adr").glob("0*.md")), ids=ident)
def test_every_decision_has_context_alternatives_decision_and_consequences(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.name[:4]} ")
    assert "**Status**" in text
    assert "## Context" in text
    assert "## Decision" in text
    consequences = text.split("## Consequences")[1]
    assert "- Good:" in consequences
    assert "- Bad:" in consequences
    assert page.name in (DOCS / "adr" / "README.md").read_text(encoding="utf-8")


def test_the_pinned_and_tested_cometbft_versions_are_those_of_the_code() -> None:
    from openledger.node.engines.binary import PINNED, SUPPORTED

    decision = (DOCS / "adr" / "0004-which-cometbft.md").read_text(encoding="utf-8")
    assert f"cometbft@v{PINNED}" in decision
    assert [v for v in SUPPORTED if v not in decision] == []


# --- precompiles and traces -------------------------------------------------------------------------------


def test_the_page_of_precompiles_has_every_function_and_the_gas_of_the_code() -> None:
    page = (DOCS / "reference" / "precompiles.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `0x…(08\d\d)` \| `I\w+` \| (.+) \|$", page, flags=re.MULTILINE)
    wanted = [(found.address.hex()[-4:], [f.signature.partition("(")[0] for f in found.functions]) for found in READS]
    assert [(address, re.findall(r"`(\w+)`", names)) for address, names in rows] == wanted
    table = [int(n.replace(",", "")) for n in re.findall(r"^\| [a-z ]+ \| ([\d,]+) \|$", page, flags=re.MULTILINE)]
    per_byte = (reads.GAS_PER_INPUT_BYTE, reads.GAS_PER_RECORD_BYTE, reads.GAS_PER_OUTPUT_BYTE)
    assert table == [reads.GAS_CALL, per_byte[0], reads.GAS_RECORD, *per_byte[1:]]


def test_the_page_of_traces_names_every_tracer_and_the_bounds() -> None:
    page = (DOCS / "reference" / "tracing.md").read_text(encoding="utf-8")
    assert [name for name in TRACERS if name and f"`{name}`" not in page] == []
    settings = RpcSettings()
    assert f"{settings.call_seconds:g} s, {settings.trace_steps:,} opcodes, {settings.trace_bytes // 2**20} MB" in page


# --- contracts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "contracts").glob("*.sol")), ids=ident)
def test_every_interface_has_licence_pragma_and_its_address(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("// SPDX-License-Identifier: Apache-2.0\npragma solidity ^0.8.20;\n")
    assert re.search(r"constant [A-Z]+ = I[A-Za-z]+\(0x0{36}0[89]0[0-4]\);", text)
