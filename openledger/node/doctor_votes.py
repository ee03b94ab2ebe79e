"""The doctor's look at votes: how this node's verifications have ended, and what is challenged that concerns its
validator or its accounts."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from openledger.node.checks import OK, WARN, Check
from openledger.node.keystore import Keystore
from openledger.node.open_votes import CLAIM, INDEX_CHALLENGE, in_words, own_word
from openledger.node.oracle_record import FAILED, MEMORY, TIME, last_trouble
from openledger.node.oracle_record import in_words as verdicts_in_words
from openledger.primitives.errors import OpenLedgerError
from openledger.rpc.client import Client

MUTE = "the validator has declared an oracle and its node runs none: its silence costs pay, and on a network stake"
MUTE_HINT = "start the node without --lite where torch is installed, or: openledger validator edit --no-oracle"


def votes(home: Path, node: str) -> list[Check]:
    """How the verifications of ``node`` have ended, and a line for each challenge that is open there and concerns its
    validator or an account of this home; nothing where no node answers."""
    client = Client(node)
    try:
        status: dict[str, Any] = client.call("openledger_getNodeStatus")
    except OpenLedgerError:
        return []
    finally:
        client.close()
    own = _accounts(home)
    if signing := status.get("signing"):
        own.add(signing["operator"])
    mute = of_oracle(status)
    return [*mute, *of_verifications(status.get("verifications")), *of_votes(status.get("claims", []), own)]


def _accounts(home: Path) -> set[str]:
    """Accounts of the home's keys that can be read; of the others the commands for keys tell."""
    return {address for _, address in Keystore(home).table() if address}


def of_oracle(status: dict[str, Any]) -> list[Check]:
    """A warning where the validator has declared an oracle and its node runs none; else nothing."""
    declared = (status.get("signing") or {}).get("oracle", False)
    if not declared or status["oracle"].startswith("on"):
        return []
    return [Check("oracle", WARN, MUTE, MUTE_HINT)]


def of_verifications(told: dict[str, Any] | None) -> list[Check]:
    """One line for a node with an oracle. It warns where a verdict was missing or a process was killed."""
    if told is None:
        return []
    lost = told["silence"] + told[FAILED] + told[TIME] + told[MEMORY]
    hint = last_trouble(told) + "; the lines of the log that begin with 'oracle process:' say more"
    return [Check("verdicts", WARN if lost else OK, f"since the node's start: {verdicts_in_words(told)}", hint)]


def of_votes(votes: Collection[dict[str, Any]], own: Collection[str]) -> list[Check]:
    """The lines; ``own`` are the operator's accounts."""
    found = []
    for one in votes:
        if one.get("kind", CLAIM) == CLAIM:
            continue
        left = f"until {time.strftime('%H:%M:%S UTC', time.gmtime(one['deadline']))}" if one["deadline"] else "now"
        said = f"{in_words(one)} {left}"
        if one["of"] in own:
            what = "publisher's" if one["kind"] == INDEX_CHALLENGE else "claimant's"
            hint = f"your {what} bond is at stake: openledger proof show {one['claim']}; see that its blobs can be had"
            found.append(Check("challenge", WARN, said, hint))
        elif one["asked"]:
            lacks = one["verdict"] == "none" and not one["held"] and not one["committed"]
            hint = "the model's blobs are not here yet; without them this validator stays silent: look at [blobs] peers"
            found.append(Check("challenge", WARN if lacks else OK, f"{said}; own verdict {own_word(one)}", hint))
    return found


__all__ = ["of_oracle", "of_verifications", "of_votes", "votes"]
