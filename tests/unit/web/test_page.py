"""The page's files: safe against what strangers write on the chain, complete, and in step with the code."""

from __future__ import annotations

import importlib.util
import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

import openledger.rpc
from openledger.abci_app.registry import ACTIONS, PRECOMPILES
from openledger.genesis.presets import DEV_MNEMONIC, dev_accounts
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import MODULE_ADDRESSES, OUTBOX_ADDRESS, SYSTEM_ADDRESS, to_checksum, to_hex

WEB = Path(openledger.rpc.__path__[0]) / "web"
SCRIPTS = sorted(WEB.glob("*.js"))
PAGE = (WEB / "index.html").read_text(encoding="utf-8")


class Tags(HTMLParser):
    """All start tags of a page, and whether a script or style has text of its own."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.inline: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style") and data.strip():
            self.inline.append(data)


TAGS = Tags(PAGE)


def _schema_js() -> ModuleType:
    spec = importlib.util.spec_from_file_location("schema_js", Path(__file__).parent / "schema_js.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_no_inline_script_style_or_handler() -> None:
    assert TAGS.inline == []
    for tag, attributes in TAGS.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_no_script_turns_text_into_markup_or_code(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    banned = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc|setHTML"
        r"|(?<!openledger model )\beval\b|new Function|javascript:|setAttribute\(\s*[\"']on"
    )
    assert re.findall(banned, text) == []


@pytest.mark.parametrize("path", [*SCRIPTS, WEB / "index.html", WEB / "style.css"], ids=lambda p: p.name)
def test_nothing_is_fetched_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert re.findall(r"(?:https?|wss?)://[\w.]+|@import|url\(", text) == []


def test_the_content_security_policy_allows_this_origin_only() -> None:
    policies = [a["content"] for t, a in TAGS.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'self';")
    assert "unsafe" not in policies[0]


def test_every_file_that_is_referred_to_exists() -> None:
    names = [a.get("src") or a.get("href") for t, a in TAGS.tags if t in ("script", "link", "img")]
    for path in SCRIPTS:
        names += re.findall(r'from "\./([^"]+)"', path.read_text(encoding="utf-8"))
    assert names
    assert [name for name in names if not (WEB / str(name)).is_file()] == []


def test_every_file_is_used() -> None:
    everything = PAGE + "".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    assert [p.name for p in WEB.iterdir() if p.is_file() and p.name != "index.html" and p.name not in everything] == []


def test_every_element_that_a_script_asks_for_is_on_the_page() -> None:
    ids = {a["id"] for _, a in TAGS.tags if "id" in a}
    asked = {i for p in SCRIPTS for i in re.findall(r'getElementById\("([^"]+)"\)', p.read_text(encoding="utf-8"))}
    assert asked <= ids


def test_every_input_has_a_label_and_every_image_a_text() -> None:
    labelled = {a["for"] for t, a in TAGS.tags if t == "label"}
    assert {a["id"] for t, a in TAGS.tags if t == "input"} <= labelled
    assert all("alt" in a for t, a in TAGS.tags if t == "img")
    assert [a["lang"] for t, a in TAGS.tags if t == "html"] == ["en"]


def test_the_table_of_actions_and_events_is_what_the_code_says() -> None:
    module = _schema_js()
    assert module.PATH.read_text(encoding="utf-8") == module.render(), "run: python tests/unit/web/schema_js.py"


def test_every_native_action_has_words() -> None:
    names = (WEB / "names.js").read_text(encoding="utf-8")
    assert [cls.KIND for cls in ACTIONS if f'"{cls.KIND}":' not in names] == []


def test_lists_are_counted_by_the_functions_of_the_chains_modules() -> None:
    names = (WEB / "names.js").read_text(encoding="utf-8")
    found = re.findall(r'\["(0x0{36}\w{4})", "(0x\w{8})"\], // (\w+\(\))', names)
    assert {signature for _, _, signature in found} == {
        "datanetCount()", "modelCount()", "claimCount()", "proposalCount()"
    }  # fmt: skip
    for module, selector, signature in found:
        assert to_hex(keccak256(signature.encode())[:4]) == selector
        reads = next(reads for address, reads in PRECOMPILES if to_hex(address) == module)
        assert signature in {function.signature for function in reads.functions}


def test_known_addresses_and_dev_accounts_are_those_of_the_chain() -> None:
    names = (WEB / "names.js").read_text(encoding="utf-8")
    known = [to_hex(a) for a in (*MODULE_ADDRESSES, OUTBOX_ADDRESS, SYSTEM_ADDRESS)]
    assert [a for a in known if f'"{a}":' not in names] == []
    assert [to_checksum(a) for a, _ in dev_accounts() if f'"{to_checksum(a)}"' not in names] == []
    assert DEV_MNEMONIC in names
