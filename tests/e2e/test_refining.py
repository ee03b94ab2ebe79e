"""A contributor corrects his rows by command, and anybody sees what changed."""

from __future__ import annotations

import json
from pathlib import Path

from openledger.node.keystore import dev_signer
from openledger.node.testnet import free_starting_port
from openledger.primitives.types import to_checksum
from tests.e2e.node_process import devnet, openledger, said


def test_rows_are_pulled_corrected_and_compared(tmp_path: Path) -> None:
    home, mine = tmp_path / "home", tmp_path / "mine.jsonl"
    alice, bob = (signer and to_checksum(signer.address) for signer in (dev_signer("dev1"), dev_signer("dev2")))
    with devnet(home, free_starting_port(1), tmp_path / "log") as client:
        said(home, client.url, "--key", "dev1", "datanet", "create", "letters")
        for key, text in (
            ("dev1", "A first row of letters.\n\nA second row, with a mistaek."),
            ("dev2", "Bob's own row of text."),
        ):
            (tmp_path / "letters.txt").write_text(text)
            said(home, client.url, "datanet", "add", "1", str(tmp_path / "letters.txt"))
            said(home, client.url, "--key", key, "datanet", "commit", "1", "--no-promise")
        pulled = said(home, client.url, "datanet", "pull", "1", "--contributor", str(alice), "-o", str(mine))
        assert (pulled["rows"], pulled["contributors"]) == (2, [alice])
        refine = ["--key", "dev1", "datanet", "refine", "1", str(mine)]
        unchanged = openledger(home, "--node", client.url, *refine, check=False)
        assert (unchanged.returncode, "are those of version 2" in unchanged.stderr) == (1, True)
        mine.write_text(mine.read_text().replace("mistaek", "mistake"))
        planned = said(home, client.url, *refine, "--dry-run")
        assert (planned["go"], planned["new"], planned["again"]) == (1, 1, 1)
        assert said(home, client.url, *refine, "--message", "a word put right")["rows"] == 3
        found = said(home, client.url, "datanet", "diff", "1")
        assert (found["old"], found["new"]) == (2, 3)
        changes = {one.pop("contributor"): one for one in found["contributors"]}
        assert changes == {
            alice: {
                "removed": ["A second row, with a mistaek."],
                "added": ["A second row, with a mistake."],
                "same": 1,
            },
            bob: {"removed": [], "added": [], "same": 1},
        }
        whole = said(home, client.url, "datanet", "diff", "1", "0", "3")
        assert sum(len(one["added"]) for one in whole["contributors"]) == 3
        printed = openledger(home, "--node", client.url, "datanet", "diff", "1").stdout
        assert "- A second row, with a mistaek." in printed
        assert "+ A second row, with a mistake." in printed
        stranger = openledger(
            home, "--node", client.url, "--key", "dev3", "datanet", "refine", "1", str(mine), check=False
        )
        assert (stranger.returncode, "has no rows in datanet 1" in stranger.stderr) == (1, True)
        text = json.loads(mine.read_text().splitlines()[0])["text"]
        assert text == "A first row of letters."
