"""Request ids: the text by which one request is found in answers and log lines of everybody who handled it.

A client sends one as `X-Request-Id`, and it is echoed. Where none came, one is made for an answer that is an error or
stands in the access log: in all other answers it would lead to nothing (docs/decisions/0041-request-ids.md).
"""

from __future__ import annotations

import itertools
import re
import secrets

HEADER = "X-Request-Id"

CHARACTERS_AT_MOST = 128

_VALID = re.compile(rf"[\x21-\x7e]{{1,{CHARACTERS_AT_MOST}}}")
_LINE = re.compile(rb"\r\n[Xx]-[Rr]equest-[Ii][Dd]: ([\x21-\x7e]{1,%d})(?=\r\n)" % CHARACTERS_AT_MOST)

_MARK = b"equest-"
"""What every spelling of the header holds: most heads hold none, and that is found out without the expression."""


class RequestIds:
    """Makes ids that no other process makes, from a counter: they identify requests and are no secret."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def new(self) -> str:
        """The next id."""
        return f"{self._prefix}-{next(self._numbers):x}"


def sent_request_id(text: str | None) -> str:
    """The id that a client sent; "" where it sent none, or none that may stand in a header and in a log line."""
    return text if text is not None and _VALID.fullmatch(text) else ""


def has_id_mark(head: bytes) -> bool:
    """Whether the head of a request seems to hold an id."""
    return head.find(_MARK) >= 0  # half the cost of `in`, which tries first whether the mark is a number


def without_request_id(head: bytes) -> tuple[bytes, str]:
    """The head of a request without the line of its id, and the id; the same head and "" where there is none.

    What is left is the same for all requests of a client, so that what was learned of it can be looked up.
    """
    found = _LINE.search(head) if has_id_mark(head) else None
    if found is None:
        return head, ""
    return head[: found.start()] + head[found.end() :], found[1].decode()
