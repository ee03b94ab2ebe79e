"""Forms of results: execution-apis' schema in a language of a few words.

A word names a pattern below; a list of one form is an array of it; a dictionary has exactly these members, those with
``?`` may be left out; a tuple is any of its forms; None is null; other values stand for themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

PATTERNS = {
    "quantity": r"0x(0|[1-9a-f][0-9a-f]*)",
    "data": r"0x([0-9a-f]{2})*",
    "hash": r"0x[0-9a-f]{64}",
    "word": r"0x[0-9a-f]{64}",
    "address": r"0x[0-9a-fA-F]{40}",
    "key": r"0x[0-9a-f]{0,64}",
    "bloom": r"0x[0-9a-f]{512}",
    "bytes8": r"0x[0-9a-f]{16}",
    "byte": r"0x[0-9a-f]{1,2}",
    "decimal": r"0|[1-9][0-9]*",
    "selector": r"0x[0-9a-f]{8}-\d+",
}

LOG: dict[str, Any] = {
    "removed": "bool", "logIndex": "quantity", "transactionIndex": "quantity", "transactionHash": "hash",
    "blockHash": "hash", "blockNumber": "quantity", "blockTimestamp": "quantity", "address": "address", "data": "data",
    "topics": ["word"],
}  # fmt: skip
RECEIPT: dict[str, Any] = {
    "type": "byte", "transactionHash": "hash", "transactionIndex": "quantity", "blockHash": "hash",
    "blockNumber": "quantity", "from": "address", "to": ("address", None), "cumulativeGasUsed": "quantity",
    "gasUsed": "quantity", "contractAddress": ("address", None), "logs": [LOG], "logsBloom": "bloom",
    "status": "quantity", "effectiveGasPrice": "quantity",
}  # fmt: skip
ACCESS = [{"address": "address", "storageKeys": ["word"]}]
_PLACE: dict[str, Any] = {
    "blockHash": "hash", "blockNumber": "quantity", "blockTimestamp": "quantity", "transactionIndex": "quantity",
    "from": "address", "hash": "hash",
}  # fmt: skip
_COMMON: dict[str, Any] = _PLACE | {
    "type": "byte", "nonce": "quantity", "to": ("address", None), "gas": "quantity", "value": "quantity",
    "input": "data", "v": "quantity", "r": "quantity", "s": "quantity", "chainId": "quantity", "gasPrice": "quantity",
}  # fmt: skip
_DYNAMIC = {"maxFeePerGas": "quantity", "maxPriorityFeePerGas": "quantity"}
AUTHORIZATION = {
    "chainId": "quantity", "address": "address", "nonce": "quantity", "yParity": "byte", "r": "quantity",
    "s": "quantity",
}  # fmt: skip
LEGACY = _COMMON
LISTED = _COMMON | {"accessList": ACCESS, "yParity": "byte"}
DYNAMIC = LISTED | _DYNAMIC
DELEGATED = DYNAMIC | {"authorizationList": [AUTHORIZATION]}
TRANSACTION = (LEGACY, LISTED, DYNAMIC, DELEGATED)
HEADER: dict[str, Any] = {
    "hash": "hash", "parentHash": "hash", "sha3Uncles": "hash", "miner": "address", "stateRoot": "hash",
    "transactionsRoot": "hash", "receiptsRoot": "hash", "logsBloom": "bloom", "difficulty": "quantity",
    "number": "quantity", "gasLimit": "quantity", "gasUsed": "quantity", "timestamp": "quantity", "extraData": "data",
    "mixHash": "hash", "nonce": "bytes8", "baseFeePerGas": "quantity", "withdrawalsRoot": "hash",
    "blobGasUsed": "quantity", "excessBlobGas": "quantity", "parentBeaconBlockRoot": "hash", "requestsHash": "hash",
}  # fmt: skip
_BODY: dict[str, Any] = {"size": "quantity", "uncles": ["hash"], "withdrawals": [{}]}
BLOCK = HEADER | _BODY | {"transactions": ["hash"]}
FULL_BLOCK = HEADER | _BODY | {"transactions": [TRANSACTION]}
PROOF = {
    "address": "address", "accountProof": ["data"], "balance": "quantity", "codeHash": "hash", "nonce": "quantity",
    "storageHash": "hash", "storageProof": [{"key": "key", "value": "quantity", "proof": ["data"]}],
}  # fmt: skip


def faults(value: Any, form: Any, at: str = "result") -> Iterator[str]:
    """Sentences that say where ``value`` has another form."""
    if isinstance(form, tuple):
        tried = [list(faults(value, arm, at)) for arm in form]
        if [] not in tried:
            yield min(tried, key=len)[0]
    elif isinstance(form, list):
        if not isinstance(value, list):
            yield f"{at} is no list"
            return
        for place, item in enumerate(value):
            yield from faults(item, form[0], f"{at}[{place}]")
    elif isinstance(form, dict):
        yield from _object(value, form, at)
    elif form == "bool":
        if not isinstance(value, bool):
            yield f"{at} is {value!r}, not true or false"
    elif form == "number":
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield f"{at} is {value!r}, no number"
    elif form == "any":
        return
    elif form == "text":
        if not isinstance(value, str):
            yield f"{at} is no text"
    elif isinstance(form, str) and form in PATTERNS:
        if not isinstance(value, str) or not re.fullmatch(PATTERNS[form], value):
            yield f"{at} is {str(value)[:70]!r}, no {form}"
    elif value != form or type(value) is not type(form):
        yield f"{at} is {str(value)[:70]!r}, not {form!r}"


def _object(value: Any, form: dict[str, Any], at: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{at} is no object"
        return
    known = {name.rstrip("?"): part for name, part in form.items()}
    if "*" in form:
        known = dict.fromkeys(value, form["*"])
    for name in form:
        if name != "*" and not name.endswith("?") and name not in value:
            yield f"{at} lacks {name}"
    for name, item in value.items():
        if name not in known:
            yield f"{at} has {name}, which no schema knows"
        else:
            yield from faults(item, known[name], f"{at}.{name}")
