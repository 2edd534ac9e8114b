"""The trace and the span of the request that is being answered, for log lines; None in what is not traced."""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple


class TraceIds(NamedTuple):
    """The ids of a trace and of a span in it, in hexadecimal digits as OpenTelemetry writes them."""

    trace_id: str
    span_id: str


current_trace: ContextVar[TraceIds | None] = ContextVar("current_trace", default=None)
