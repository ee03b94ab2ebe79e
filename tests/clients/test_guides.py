"""The guides' own snippets run as they stand, against a devnet; only the port is another one."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
from client_packages import installed
from devnet_process import ROOT

PAGE = (ROOT / "docs" / "guides" / "connect-a-wallet.md").read_text(encoding="utf-8")


def snippet(heading: str, language: str, url: str) -> str:
    """The first code block below a heading, with the URL of the node."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.search(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)
    assert found is not None
    return found.group(1).replace("http://127.0.0.1:8545", url)


@pytest.mark.parametrize(("heading", "package"), [("ethers", "ethers"), ("viem", "viem")])
def test_a_snippet_of_javascript_runs(quick_node: Any, heading: str, package: str) -> None:
    folder = installed(package)
    program = folder / "guide.mjs"
    program.write_text(snippet(heading, "js", quick_node.url), encoding="utf-8")
    done = subprocess.run(["node", "guide.mjs"], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "cap: '0x" in done.stdout


def test_the_snippet_of_python_runs(quick_node: Any) -> None:
    program = snippet("web3.py", "python", quick_node.url)
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1\n")
