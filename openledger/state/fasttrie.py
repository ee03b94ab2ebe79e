"""The trie writer of the native extension where it is built, else the one in Python: same functions, same bytes."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence

from openledger.primitives.errors import CorruptDatabase
from openledger.state import trie
from openledger.state.trie import Item, Load, TrieUpdate

NATIVE = importlib.util.find_spec("openledger_native") is not None


def update(load: Load, changes: Iterable[Item]) -> TrieUpdate:
    """Like ``trie.update``. Raises CorruptDatabase when a node that must be there is missing."""
    if not NATIVE:
        return trie.update(load, changes)
    import openledger_native

    try:
        return TrieUpdate(*openledger_native.trie_update(load, changes))
    except openledger_native.MissingNode as missing:
        raise CorruptDatabase(f"a trie node is missing or damaged: {missing}", "restore a snapshot") from None


def ordered_trie_root(values: Sequence[bytes]) -> bytes:
    """Like ``trie.ordered_trie_root``."""
    if not NATIVE:
        return trie.ordered_trie_root(values)
    import openledger_native

    return openledger_native.ordered_trie_root(list(values))
