"""Text and token ids, through the ``tokenizers`` library, whose form is JSON text: nothing in it is code.

The built-in one is a byte-level BPE. Three of its ids are fixed: 0 pads, 1 starts and 2 ends a document; every other
id is text. Being byte-level, it can encode any string and never meets an unknown character.
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
    """Text to token ids and back. ``start`` and ``end`` are the ids around a document; the file's ids are ``shift``
    lower."""

    start, end, shift = START, END, 0
    most = MAX_JSON

    def __init__(self, text: str) -> None:
        """``text`` is the JSON form. Raises InvalidModel when it is none, or lacks the three fixed ids."""
        self._read(text)
        if any(self._inner.token_to_id(token) != number for number, token in enumerate(SPECIAL)):
            raise InvalidModel("the tokenizer lacks the ids 0 (pad), 1 (start) and 2 (end)")

    def _read(self, text: str) -> None:
        if len(text) > self.most:
            raise InvalidModel(f"the tokenizer file is larger than {self.most >> 20} MB")
        try:
            self._inner = _Tokenizer.from_str(text)
        except Exception as err:  # the library raises exactly Exception for every malformed file
            if type(err) not in (ValueError, Exception):
                raise
            raise InvalidModel(f"the tokenizer file cannot be read: {err}") from None
        self._inner.no_padding()
        self._inner.no_truncation()
        self._inner.encode_special_tokens = True  # else who puts marks into a copy hides it from all but the model
        self.json = text

    @property
    def _marks(self) -> set[int]:
        return {PAD, self.start, self.end}

    @property
    def size(self) -> int:
        """Number of ids."""
        return int(self._inner.get_vocab_size(with_added_tokens=True))

    def encode(self, text: str) -> list[int]:
        """Ids of the whole ``text``, without start and end. Special tokens written out in a text are plain text."""
        return [int(i) + self.shift for i in self._inner.encode(text, add_special_tokens=False).ids]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; those that pad, start and end are left out."""
        marks = self._marks
        kept = [i - self.shift for i in ids if i not in marks]
        return str(self._inner.decode(kept, skip_special_tokens=True))

    def document(self, text: str) -> list[int]:
        """Ids of a whole training row: start, text, end."""
        return [self.start, *self.encode(text), self.end]


class ForeignTokenizer(Tokenizer):
    """Another model's tokenizer of the same library: its ids are moved up by one, so that 0 pads here as well."""

    shift = 1
    most = 64 << 20

    def __init__(self, text: str, start: int, end: int) -> None:
        """``start`` and ``end`` are ids of the file. Raises InvalidModel."""
        self._read(text)
        self.start, self.end = start + self.shift, end + self.shift

    @property
    def size(self) -> int:
        """One more than the largest id of the file."""
        return 1 + max(self._inner.get_vocab(with_added_tokens=True).values(), default=-1)


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


__all__ = ["END", "PAD", "SPECIAL", "START", "ForeignTokenizer", "Tokenizer", "train_tokenizer"]
