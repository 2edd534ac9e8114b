"""The text of a health answer -> its instances; an entry whose text stands as it stood is not read again.

Consul answers with a service's whole list whenever anything in it changes, and most of a lookup service's work
is to read that. So the text is cut where one entry ends and the next begins, and only new pieces are parsed.
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
"""Where two entries of Consul's compact JSON meet. Within a string its quotes would stand behind backslashes, and
inside an entry a "Node" is a name, not an object: so this is found between entries only."""


class Entries(Generic[T]):
    """Reads one service's answers with `read`, which makes a value of one entry and must be pure."""

    def __init__(self, read: Callable[[Entry], T]) -> None:
        self._read = read
        self._known: dict[bytes, T] = {}

    def values(self, text: str) -> list[T]:
        """The values of all entries, in order. Raises ValueError if the text is not JSON, or what `read` raises."""
        try:
            return self._values(_pieces(text))
        except ValueError:  # not as Consul writes, or something inside an entry looks like a seam
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
    """The entries of a list in Consul's compact JSON, each as a text. Raises ValueError for any other text."""
    text = text.strip()
    if not (text.startswith(_START) and text.endswith(_END)):
        raise ValueError("not compact, or nobody")
    first, *others = text[1:-1].split(_SEAM)
    for number, piece in enumerate((first, *others)):
        head = _SEAM[2:] if number else ""
        tail = _SEAM[0] if number < len(others) else ""
        yield f"{head}{piece}{tail}"
