"""Parses the entries of a health answer and keeps them: an entry whose text has not changed is not parsed again.

Consul answers with a service's whole list whenever anything in it changes, and most of a lookup service's work is to
parse that. So the text is split where one entry ends and the next begins, and only new pieces are parsed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Generic, TypeVar

T = TypeVar("T")

Entry = Mapping[str, Any]

_START, _END = '[{"Node":{', "]"
_SEAM = '},{"Node":{'
"""Where two entries of Consul's compact JSON meet. It occurs between entries only: within a string its quotes would
be escaped, and inside an entry the value of "Node" is a name, not an object."""


class EntryCache(Generic[T]):
    """Reads the answers about one service; `read` makes a value of one entry and must be pure."""

    def __init__(self, read: Callable[[Entry], T]) -> None:
        self._read = read
        self._known: dict[bytes, T] = {}

    def values(self, text: str) -> list[T]:
        """The values of all entries, in order. Raises ValueError for text that is not JSON, and what `read` raises."""
        try:
            return self._values(_pieces(text))
        except ValueError:  # not as Consul writes it, or something inside an entry looks like a seam
            return self._values([json.dumps(entry) for entry in json.loads(text)])

    def _values(self, pieces: Iterable[str]) -> list[T]:
        fresh: dict[bytes, T] = {}
        values = []
        for piece in pieces:
            digest = blake2b(piece.encode(), digest_size=16).digest()
            value = self._known[digest] if digest in self._known else self._read(json.loads(piece))
            fresh[digest] = value
            values.append(value)
        self._known = fresh
        return values


def _pieces(text: str) -> Iterator[str]:
    """The text of each entry of a list in Consul's compact JSON. Raises ValueError for any other text."""
    text = text.strip()
    if not (text.startswith(_START) and text.endswith(_END)):
        raise ValueError("not compact, or an empty list")
    first, *others = text[1:-1].split(_SEAM)
    for number, piece in enumerate((first, *others)):
        head = _SEAM[2:] if number else ""
        tail = _SEAM[0] if number < len(others) else ""
        yield f"{head}{piece}{tail}"
