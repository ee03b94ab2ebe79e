"""The rows of a datanet, in pages and one by one. Needs Chromium."""

from __future__ import annotations

import json

import pytest

from tests.unit.web.browser import Tab
from tests.unit.web.fake_node import ANSWERS, BLOBS, COMMIT, HOSTILE, OWNER, ROW

BEN = "0x" + "b2" * 20
CELLS = (
    "[...document.querySelectorAll('[aria-label=Rows] tbody tr')]"
    ".map((tr) => [...tr.cells].map((td) => td.innerText.trim()))"
)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two parts, 30 and 40 rows; the second's blob has more lines than rows."""
    parts = [
        {"contributor": who, "blob": "0x" + name * 32, "rows": many, "height": 1, "place": 1}
        for who, name, many in ((OWNER, "11", 30), (BEN, "22", 40))
    ]
    commit = COMMIT | {"parts": parts, "rows": 70, "contributors": {OWNER: 30, BEN: 40}}
    for name, many in (("11", 30), ("22", 45)):
        lines = [json.dumps({"text": f"{HOSTILE} {name} number {n}"}) for n in range(many)]
        monkeypatch.setitem(BLOBS, name * 32, "\n".join(lines).encode())
    monkeypatch.setitem(ANSWERS, "openledger_getCommit", commit)
    monkeypatch.setitem(ANSWERS, "openledger_getCommits", [commit])


def test_a_datanet_shows_its_first_rows_and_leads_to_all(node: str, tab: Tab, rows: None) -> None:
    tab.open(f"{node}#/datanet/1")
    found = tab.do(CELLS)
    assert len(found) == 5
    assert found[0][2] == f"{HOSTILE} 11 number 0", "the text of the row, as text"
    tab.do("[...document.querySelectorAll('a')].find((a) => a.textContent === 'All 70 rows').click()")
    tab.until("document.querySelector('h1').textContent === 'Rows of datanet 1, version 1'")


def test_a_page_of_rows_goes_on_over_parts_and_ends_with_the_version(node: str, tab: Tab, rows: None) -> None:
    tab.open(f"{node}#/rows/1/1/25")
    found = tab.do(CELLS)
    assert [row[0] for row in found] == [f"row {n}" for n in range(25, 50)]
    assert found[4][1:] == ["0xa1a1a1…a1a1a1", f"{HOSTILE} 11 number 29"]
    assert found[5][1:] == ["0xb2b2b2…b2b2b2", f"{HOSTILE} 22 number 0"]
    tab.open(f"{node}#/rows/1/1/50")
    assert len(tab.do(CELLS)) == 20
    assert tab.do(CELLS)[-1][2] == f"{HOSTILE} 22 number 39", "a line beyond the part is no row"
    assert tab.text(".pager").strip() == "← earlier"
    tab.open(f"{node}#/rows/1/1/70")
    assert tab.text("h1") == "Not found"


def test_rows_whose_blob_is_elsewhere_are_listed_without_their_text(
    node: str, tab: Tab, rows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(BLOBS, "22" * 32)
    tab.open(f"{node}#/rows/1/1/25")
    assert tab.do(CELLS)[5][1:] == ["0xb2b2b2…b2b2b2", "not on this node, or too large for a page"]


def test_one_row_leads_to_its_neighbours(node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANSWERS, "openledger_getRowProof", lambda _d, _v, row: ROW | {"row": row, "rows": 40})
    tab.open(f"{node}#/row/1/1/30")
    links = "[...document.querySelectorAll('#content a')].map((a) => a.getAttribute('href'))"
    assert {"#/row/1/1/29", "#/row/1/1/31", "#/rows/1/1/25"} <= set(tab.do(links))
    tab.open(f"{node}#/row/1/1/39")
    assert "#/row/1/1/40" not in tab.do(links)
