"""The trace of a request is read from its headers, and taken out of the bytes of its head."""

from __future__ import annotations

import pytest

from registry.runtime.tracing.trace_context import TraceContext, sent_trace_context, without_trace_context

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (PARENT, True),
        (PARENT.replace("-01", "-00"), True),
        (PARENT.replace("00-", "cc-", 1) + "-later", True),
        (PARENT.replace("00-", "ff-", 1), False),
        (PARENT.upper(), False),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", False),
        (f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01", False),
        (PARENT[:-1], False),
        ("", False),
    ],
)
def test_only_what_w3c_allows_is_a_trace(value: str, read: bool) -> None:
    """All else is as if nothing had been sent; a later version may hold more."""
    assert (sent_trace_context({"traceparent": value}) == TraceContext(value)) is read


def test_a_trace_says_who_records_it() -> None:
    """The lowest bit of its flags; and its headers are those that were sent."""
    trace = sent_trace_context({"traceparent": PARENT, "tracestate": "vendor=1"})
    assert trace is not None
    assert trace.recorded
    assert trace.trace_id == 0x0AF7651916CD43DD8448EB211C80319C
    assert trace.headers() == {"traceparent": PARENT, "tracestate": "vendor=1"}
    assert not TraceContext(PARENT.replace("-01", "-02")).recorded


@pytest.mark.parametrize(
    ("lines", "rest", "trace"),
    [
        (f"Host: x\r\ntraceparent: {PARENT}\r\nAccept: */*", "Host: x\r\nAccept: */*", TraceContext(PARENT)),
        (f"Traceparent: {PARENT}\r\ntracestate: a=1,b=2\r\nHost: x", "Host: x", TraceContext(PARENT, "a=1,b=2")),
        (f"tracestate: a=1\r\ntraceparent: {PARENT}\r\nHost: x", "Host: x", TraceContext(PARENT, "a=1")),
        ("Host: x\r\ntracestate: a=1", "Host: x\r\ntracestate: a=1", None),
        (f"Host: x\r\ntraceparent: {PARENT[:-1]}", f"Host: x\r\ntraceparent: {PARENT[:-1]}", None),
        ("Host: x", "Host: x", None),
    ],
)
def test_the_lines_of_a_trace_are_taken_out_of_a_head(lines: str, rest: str, trace: TraceContext | None) -> None:
    """What is left is the same for each request of a client; a line that cannot be read stays where it is."""
    begin, end = b"GET / HTTP/1.1\r\n", b"\r\n\r\n"
    left, found = without_trace_context(begin + lines.encode() + end)
    assert found == trace
    assert left == begin + rest.encode() + end
