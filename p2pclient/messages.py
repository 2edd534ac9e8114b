"""A request to a worker and a server's answer, as values: payloads write and read them, transports carry them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from p2pclient.bounds import decimal
from p2pclient.errors import BadInput, ProtocolError

MALFORMED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What reading an answer raises that does not have the form of the contract."""

_SENTENCE_CHARS = 300

LARGE_BYTES = 2**17
"""From this size on, an answer can take more than 5 ms to read: a thread does it, so that other calls go on."""

LARGE_COPY_BYTES = 2**22
"""From this size on, bytes are copied in a thread."""

_SECONDS_AT_MOST = 999_999_999


@dataclass(frozen=True, slots=True)
class Request:
    """One request for any worker. `faults`: the statuses that say that what was sent is at fault, and their errors."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    faults: Mapping[int, type[BadInput]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of a lookup service, of Consul or of a worker."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_s(self) -> float:
        """The `Retry-After` header in seconds; 0 if there is none that counts seconds."""
        return self.number("Retry-After")

    def number(self, header: str) -> float:
        """A header that holds a whole number of reasonable size; 0 if it is missing or anything else."""
        try:
            return float(decimal(self.headers.get(header, ""), most=_SECONDS_AT_MOST))
        except ValueError:
            return 0.0

    @property
    def large(self) -> bool:
        """Whether it is to be read in a thread."""
        return len(self.body) >= LARGE_BYTES

    @property
    def html(self) -> bool:
        """Whether this is a page for a browser: no server of this project answers with one."""
        return "html" in self.headers.get("Content-Type", "")

    def json(self) -> Any:
        """The body as JSON in UTF-8 (RFC 8259); raises ValueError if it is something else."""
        return json.loads(str(self.body, "utf-8"))

    def error(self) -> str | None:
        """The sentence of a contract's `{"error": "sentence"}`; None if the body is something else."""
        try:
            sentence = self.json()["error"]
        except MALFORMED:
            return None
        return one_line(sentence) if isinstance(sentence, str) else None

    def sentence(self) -> str:
        """What the answer says in words: its error sentence, or its first line, fit for a terminal."""
        return self.error() or one_line(self.body[: 4 * _SENTENCE_CHARS].decode("utf-8", "replace"))


def one_line(text: str) -> str:
    """The first line, without characters that could control a terminal, cut to a readable length."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return "".join(c if c.isprintable() else "?" for c in line)[:_SENTENCE_CHARS]


def bearer(token: str | None) -> dict[str, str]:
    """The headers that carry a token: none without one."""
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def unlike(expected: str, answer: Answer, address: str, *, hint: str, worker: str | None = None) -> ProtocolError:
    """The error of an answer that does not have the form that `expected` ("a worker") gives its answers."""
    said = f"{answer.status} {answer.sentence()!r}"
    return ProtocolError(
        f"{address} does not answer as {expected} does ({said}): {hint}", status=answer.status, worker=worker
    )
