"""The trace that a request belongs to, as W3C Trace Context sends it: `traceparent` and `tracestate`.

traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
             version, trace, the sender's span, flags (the lowest bit: the sender's trace is recorded)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

PARENT = "traceparent"
STATE = "tracestate"

_PARENT_VALUE = r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]{1,64})?"
_VALID = re.compile(_PARENT_VALUE)
_PARENT_LINE = re.compile(rf"\r\n[Tt]raceparent: ({_PARENT_VALUE})(?=\r\n)".encode())
_STATE_LINE = re.compile(rb"\r\n[Tt]racestate: ([!-~](?:[ -~]{0,510}[!-~])?)(?=\r\n)")

_MARK = b"raceparent: "
"""What both spellings of the header hold: most heads hold none, and that is found out without the expression."""


class TraceContext(NamedTuple):
    """The values of both headers; "" for a `tracestate` that was not sent."""

    parent: str
    state: str = ""

    @property
    def recorded(self) -> bool:
        """Whether the sender records the trace."""
        return int(self.parent[53:55], 16) & 1 == 1

    @property
    def trace_id(self) -> int:
        """The trace's number."""
        return int(self.parent[3:35], 16)

    def headers(self) -> dict[str, str]:
        """The headers that say the same."""
        return {PARENT: self.parent, STATE: self.state} if self.state else {PARENT: self.parent}


def sent_trace_context(headers: Mapping[str, str]) -> TraceContext | None:
    """The trace that a client sent; None where it sent none, or one that cannot be read."""
    parent = headers.get(PARENT)
    if parent is None or not _VALID.fullmatch(parent):
        return None
    return TraceContext(parent, headers.get(STATE, ""))


def has_trace_mark(head: bytes) -> bool:
    """Whether the head of a request seems to hold a trace."""
    return head.find(_MARK) >= 0  # half the cost of `in`, which tries first whether the mark is a number


def without_trace_context(head: bytes) -> tuple[bytes, TraceContext | None]:
    """The head of a request without the lines of its trace, and the trace; the same head and None without one.

    What is left is the same for all requests of a client, so that what was learned of it can be looked up.
    """
    parent = _PARENT_LINE.search(head) if has_trace_mark(head) else None
    if parent is None:
        return head, None
    head = head[: parent.start()] + head[parent.end() :]
    state = _STATE_LINE.search(head)
    if state is None:
        return head, TraceContext(parent[1].decode())
    return head[: state.start()] + head[state.end() :], TraceContext(parent[1].decode(), state[1].decode())
