"""Byte-level BPE through the ``tokenizers`` library, stored as its JSON text. Three ids are fixed: 0 pads, 1 starts
and 2 ends a document; every other id is text. Being byte-level, it can encode any string and never meets an
unknown character.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer as _Tokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers

from openledger.primitives.errors import InvalidModel

PAD, START, END = 0, 1, 2
SPECIAL = ("<|pad|>", "<|start|>", "<|end|>")
MAX_JSON = 8 << 20


class Tokenizer:
    """Text to token ids and back."""

    def __init__(self, text: str) -> None:
        """``text`` is the JSON form. Raises InvalidModel when it is none, or lacks the three fixed ids."""
        if len(text) > MAX_JSON:
            raise InvalidModel("the tokenizer file is larger than 8 MB")
        try:
            self._inner = _Tokenizer.from_str(text)
        except Exception as err:  # the library raises exactly Exception for every malformed file
            if type(err) not in (ValueError, Exception):
                raise
            raise InvalidModel(f"the tokenizer file cannot be read: {err}") from None
        if any(self._inner.token_to_id(token) != number for number, token in enumerate(SPECIAL)):
            raise InvalidModel("the tokenizer lacks the ids 0 (pad), 1 (start) and 2 (end)")
        self._inner.no_padding()
        self._inner.no_truncation()
        self.json = text

    @property
    def size(self) -> int:
        """Number of ids."""
        return int(self._inner.get_vocab_size(with_added_tokens=True))

    def encode(self, text: str) -> list[int]:
        """Ids of ``text`` alone, without start and end. Special tokens written out in a text are plain text."""
        return [int(i) for i in self._inner.encode(text, add_special_tokens=False).ids if i > END]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; the three fixed ids are left out."""
        return str(self._inner.decode([i for i in ids if i > END], skip_special_tokens=True))

    def document(self, text: str) -> list[int]:
        """Ids of a whole training row: start, text, end."""
        return [START, *self.encode(text), END]


def train_tokenizer(texts: Iterable[str], size: int) -> Tokenizer:
    """Learn a BPE vocabulary of ``size`` ids (the three fixed ones and 256 bytes included) from ``texts``."""
    inner = _Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    return Tokenizer(inner.to_str())


__all__ = ["END", "PAD", "SPECIAL", "START", "Tokenizer", "train_tokenizer"]
