"""The page in a real browser, against a small fake node. Needs Chromium."""

from __future__ import annotations

import pytest

from tests.unit.web.browser import Tab
from tests.unit.web.fake_node import ANSWERS, ASKED, BLOBS, CHALLENGE, CLAIM, HOSTILE, MODEL, OWNER, PLACE, REWARD, ZERO

ROUTES = (
    "", "datanet/1", "claim/1", "challenge/2", "search/%3Cscript%3E", "models", "model/1", "answer/1/0",
    "row/1/1/1/0/8", f"address/{OWNER}", f"earned/{OWNER}/1",
)  # fmt: skip


@pytest.mark.parametrize("route", ROUTES)
def test_text_of_strangers_stays_text(node: str, tab: Tab, route: str) -> None:
    found = tab.document(f"{node}#/{route}")
    assert "<title>taken" not in found
    assert "<script>document" not in found
    assert '<img src="x"' not in found
    assert "could not read" not in found
    assert "Not found" not in found
    if route not in ("", "search/%3Cscript%3E", f"address/{OWNER}"):
        assert "&lt;script&gt;document.title" in found


def test_an_answer_shows_pay_and_beside_it_evidence_that_is_not_pay(node: str, tab: Tab) -> None:
    found = tab.document(f"{node}#/answer/1/0")
    order = [found.index(f">{title}</h2>") for title in ("Answered", "Who is paid", "Evidence, not pay")]
    assert order == sorted(order)
    marked = found[found.index("<mark>") : found.index("</mark>")]
    assert 'href="#/row/1/1/1/0/' in marked, "marked words lead to their row"
    assert f'href="#/address/{OWNER}"' in found[order[2] :]
    assert 'href="#/datanet/1/1"' in found[order[2] :]


def test_one_of_several_answers_is_scored_alone_when_somebody_asks(
    node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "This answer alone" not in tab.document(f"{node}#/answer/1/0"), "the claim's shares are its own"
    monkeypatch.setitem(ANSWERS, "openledger_getAnswers", {"claim": 1, "count": 2, "answers": [ASKED]})
    asking = tab.document(f"{node}#/answer/1/0")
    assert 'href="#/answer/1/0/alone"' in asking
    refused = tab.document(f"{node}#/answer/1/0/alone")
    assert 'role="alert"' in refused[refused.index(">This answer alone</h2>") :]
    row = PLACE | {"ppb": 70_000_000, "excerpt": HOSTILE}
    told = {"shares": {OWNER: 250_000}, "unattributed": 750_000, "earning": 1, "proved": False, "rows": [row]}
    monkeypatch.setitem(ANSWERS, "openledger_getAnswerShares", told)
    found = tab.document(f"{node}#/answer/1/0/alone")
    shown = found[found.index(">This answer alone</h2>") : found.index(">Evidence, not pay</h2>")]
    for words in (">25 %<", ">75 %<", 'href="#/row/1/1/1"', "openledger proof shares 1 --answer 0", "no sum of these"):
        assert words in shown, words


def test_where_no_evidence_can_be_had_the_rest_is_shown(node: str, tab: Tab) -> None:
    kept = ANSWERS.pop("openledger_getEvidence")
    try:
        found = tab.document(f"{node}#/answer/1/0")
    finally:
        ANSWERS["openledger_getEvidence"] = kept
    assert 'role="alert"' in found
    assert "Who is paid" in found
    assert "<mark>" not in found


def test_a_model_shows_its_lds_as_a_number_and_a_bar(node: str, tab: Tab) -> None:
    found = tab.document(f"{node}#/model/1")
    assert ">0.812</dd>" in found
    assert '<rect class="value own"' in found
    assert "25.00 % lower" in found


def test_an_lds_is_said_to_be_its_owners_word_with_how_it_was_measured(
    node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown() -> str:
        found = tab.document(f"{node}#/model/1")
        return found[found.index("Does its attribution tell the truth?") : found.index("What it has learned")]

    plain = shown()
    for words in ("no validator checks it", f'href="#/address/{OWNER}"', "openledger model eval 1 --lds"):
        assert words in plain, words
    assert "its files do not say" in plain
    score = {"lds": 812_000, "error": 31_000, "subsets": 16}
    monkeypatch.setitem(BLOBS, "22" * 32, {"measured": {"rows": score, "contributors": None, "documents": 24}})
    monkeypatch.setitem(ANSWERS, "openledger_getModel", MODEL | {"bundle": "0x" + "22" * 32})
    assert "over rows 0.812 ± 0.031 from 16 retrainings without a half of them, on 24 held-out documents" in shown()
    monkeypatch.setitem(BLOBS, "22" * 32, {"measured": {"rows": {"lds": HOSTILE, "error": 1, "subsets": 2}}})
    assert "its files do not say" in shown()


def test_challenges_of_indexes_stand_below_the_claims(node: str, tab: Tab) -> None:
    found = tab.document(f"{node}#/claims")
    shown = found[found.index(">Challenges of indexes</h2>") :]
    for cell in (
        'href="#/challenge/2"',
        'href="#/model/1"',
        "index row 7, segment 3",
        f'href="#/address/{OWNER}"',
        ">5 OPEN<",
        ">upheld</span>",
    ):
        assert cell in shown, cell


def test_a_refuted_model_says_so_and_why_it_mints_no_more(node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ">active</span>" in tab.document(f"{node}#/model/1")
    refuted = MODEL | {"mints": False, "bond": "0x0", "refuted": 2}
    monkeypatch.setitem(ANSWERS, "openledger_getModel", refuted)
    found = tab.document(f"{node}#/model/1")
    assert ">refuted</span>" in found
    why = found[found.index(">no: <") : found.index(" has shown that its index is false")]
    assert 'href="#/challenge/2"' in why
    own = found[found.index(">Challenges of its index</h2>") :]
    assert 'href="#/challenge/2"' in own
    assert ">upheld</span>" in own


@pytest.mark.parametrize(
    ("status", "outcome", "told", "bond", "tone"),
    [
        ("voting", "open", "makes the row again", "held until the verdict", "calm"),
        ("refused", "upheld", "The model is refuted", "with half of the publisher's", "bad"),
        ("accepted", "dismissed", "found the row right", "(burned)", "dull"),
        ("lapsed", "dismissed", "No two thirds agreed", "nine tenths given back", "dull"),
        ("lapsed", "moot", "has cost nothing", "(given back)", "dull"),
    ],
)
def test_a_challenge_of_an_index_has_a_page_that_says_where_it_stands(
    node: str,
    tab: Tab,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    outcome: str,
    told: str,
    bond: str,
    tone: str,
) -> None:
    monkeypatch.setitem(ANSWERS, "openledger_getIndexChallenge", CHALLENGE | {"status": status, "outcome": outcome})
    found = tab.document(f"{node}#/challenge/2")
    assert "<h1" in found
    for words in (told, bond, 'href="#/model/1"', "Row 7", "in segment 3 of its training run", ">Verdicts</h2>"):
        assert words in found, words
    assert f'href="#/address/{OWNER}"' in found
    assert f'class="badge {tone}">{status if outcome == "open" else outcome}<' in found
    assert (f'<li class="{tone}" aria-current="step">{outcome}<' in found) is (outcome != "open")


def test_the_number_of_a_challenge_asked_for_as_a_claim_shows_the_challenge(
    node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(ANSWERS, "openledger_getClaim")
    found = tab.document(f"{node}#/claim/2")
    assert ">Challenge 2</h1>" in found
    assert "What is said to be wrong" in found


def test_a_challenged_claim_says_who_doubts_what(node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ">Challenge</h2>" not in tab.document(f"{node}#/claim/1")
    doubt = {"challenger": OWNER, "bond": hex(10**19), "row": 12, "contributor": None, "outcome": "open"}
    monkeypatch.setitem(ANSWERS, "openledger_getClaim", CLAIM | {"challenge": doubt})
    found = tab.document(f"{node}#/claim/1")
    shown = found[found.index(">Challenge</h2>") : found.index(">Verdicts</h2>")]
    for words in ("index row 12", ">10 OPEN<", ">open</span>"):
        assert words in shown, words


def test_each_step_of_a_reward_leads_to_its_record(node: str, tab: Tab) -> None:
    assert f'href="#/earned/{OWNER}/1"' in tab.document(f"{node}#/address/{OWNER}")
    found = tab.document(f"{node}#/earned/{OWNER}/1")
    titles = ("Coins", "Claim", "Answers", "Rows", "Proof")
    steps = [found.index(f"<h2>{title}") for title in titles]
    assert steps == sorted(steps)
    for link in (f"address/{OWNER}", "claim/1", "model/1", "answer/1/0", "row/1/1/1"):
        assert f'href="#/{link}"' in found[steps[0] :], link
    assert f"openledger rewards explain {OWNER} --claim 1" in found


SENT = {
    "hash": ZERO, "blockNumber": "0x9", "transactionIndex": "0x0", "type": "0x2", "from": OWNER, "to": None,
    "value": "0x1", "input": "0x", "nonce": "0x0", "gas": "0x5208", "gasPrice": "0x1",
}  # fmt: skip


def test_an_account_shows_what_it_sent_in_pages_and_which_rows_are_its_own(
    node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = tab.document(f"{node}#/address/{OWNER}")
    assert ">Transactions</h2>" not in without, "a node that serves no histories"
    page = {"txs": [SENT], "receipts": [{"status": "0x0", "timestamp": 1}], "firstPage": True, "lastPage": False}
    monkeypatch.setitem(ANSWERS, "ots_searchTransactionsBefore", page)
    found = tab.document(f"{node}#/address/{OWNER}")
    rows = found[found.index(">Rows contributed</h2>") : found.index(">Transactions</h2>")]
    for words in ('href="#/datanet/1"', ">2</td>", ">100 %</td>", "&lt;script&gt;document.title"):
        assert words in rows, words
    sent = found[found.index(">Transactions</h2>") :]
    for words in (f'href="#/tx/{ZERO}"', "create a contract", ">failed</span>", f'href="#/address/{OWNER}/9"', "older"):
        assert words in sent, words
    assert "newest" not in sent
    monkeypatch.setitem(ANSWERS, "ots_searchTransactionsBefore", {"txs": [], "receipts": [], "lastPage": True})
    later = tab.document(f"{node}#/address/{OWNER}/9")
    assert "There are no older ones." in later
    assert "newest" in later
    assert "Not found" in tab.document(f"{node}#/address/{OWNER}/x")


def test_an_account_without_rewards_reads_what_comes_next(node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "rewards claim" in tab.document(f"{node}#/address/{OWNER}")
    nothing = dict.fromkeys(REWARD, "0x0") | {"account": OWNER, "claims": []}
    monkeypatch.setitem(ANSWERS, "openledger_explainReward", nothing)
    found = tab.document(f"{node}#/address/{OWNER}")
    assert "has earned nothing yet. Its rows are below" in found
    assert "rewards claim" not in found
    other = tab.document(f"{node}#/address/0x{'b2' * 20}")
    assert "has earned nothing yet.<" in other
    assert "Rows contributed" not in other


def test_a_faucet_is_shown_on_devnets_only(node: str, tab: Tab) -> None:
    assert 'id="faucet"' not in tab.document(node)
    ANSWERS["anvil_nodeInfo"] = {}
    try:
        assert 'id="faucet"' in tab.document(node)
    finally:
        del ANSWERS["anvil_nodeInfo"]


@pytest.mark.parametrize("injected", ["undefined", "{request: async () => { throw new Error('not MetaMask') }}"])
def test_the_button_finds_metamask_among_several_wallets(node: str, tab: Tab, injected: str) -> None:
    tab.open(f"{node}#/")
    tab.do(f"window.ethereum = {injected}, window.asked = []")
    for name in ("org.other", "io.metamask"):
        announced = f"{{info: {{rdns: '{name}'}}, provider: {{request: async (what) => asked.push(['{name}', what])}}}}"
        tab.do(
            "addEventListener('eip6963:requestProvider', () => "
            f"dispatchEvent(new CustomEvent('eip6963:announceProvider', {{detail: {announced}}})))"
        )
    tab.do("document.getElementById('wallet').click()")
    tab.until("asked.length")
    name, what = tab.do("asked[0]")
    assert (name, what["method"]) == ("io.metamask", "wallet_addEthereumChain")
    assert what["params"][0]["rpcUrls"] == [node.rstrip("/")]
    assert not tab.do("document.getElementById('manual').open")


def test_without_a_websocket_the_page_polls(node: str, tab: Tab) -> None:
    assert 'data-state="polling"' in tab.document(node)


def test_a_refused_call_is_told_in_words(node: str, tab: Tab) -> None:
    assert 'role="alert"' in tab.document(f"{node}#/validators")
