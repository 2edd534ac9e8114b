"""The spans of calls: what stands in them, what goes along with requests, and what belongs to no call."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from p2pclient import AsyncClient, P2PError
from p2pclient.testing import Answer, FakeTransport, SentRequest, failure, labels
from registry.runtime.tracing.trace_context import sent_trace_context
from tests.support.tracing.recorded_spans import RecordedSpans


def client_of(
    provider: TracerProvider, answer: Answer | Callable[[SentRequest], Answer], registry: str = "lookup:12480"
) -> tuple[AsyncClient, FakeTransport]:
    transport = FakeTransport(answer)
    return AsyncClient(registry, transport=transport, tracer_provider=provider, routing="lookup"), transport


def named(recorded: RecordedSpans, name: str) -> list[ReadableSpan]:
    return [span for span in recorded.ended if span.name == name]


async def test_a_call_is_a_span_below_the_callers_with_its_requests_below_it() -> None:
    """Each request carries the trace, and its own span as the parent of what the server does."""
    recorded = RecordedSpans()
    client, transport = client_of(recorded.provider, labels([("tabby", 0.9)]))
    async with client:
        with recorded.provider.get_tracer("test").start_as_current_span("caller"):
            answer = await client.classify(b"an image", service="classify")
    (caller,), (call,) = named(recorded, "caller"), named(recorded, "call classify")
    (sent,) = named(recorded, "POST")
    assert call.parent == caller.context
    assert sent.parent == call.context
    assert (call.kind, sent.kind) == (SpanKind.INTERNAL, SpanKind.CLIENT)
    told = dict(call.attributes or {})
    request = transport.requests[-1]
    assert told.pop("p2p.request_id") == request.headers["X-Request-Id"]
    assert told == {"p2p.service": "classify", "p2p.attempts": 1, "p2p.worker": answer.worker}
    trace = sent_trace_context(request.headers)
    assert trace is not None
    assert trace.recorded
    assert trace.parent.startswith(f"00-{sent.context.trace_id:032x}-{sent.context.span_id:016x}-")
    host, _, port = answer.worker.rpartition(":")
    assert dict(sent.attributes or {}) == {
        "http.request.method": "POST",
        "url.full": f"http://{host}/?top=5",
        "server.address": host,
        "server.port": int(port),
        "http.response.status_code": 200,
    }


async def test_a_retry_says_so_and_what_failed_says_why() -> None:
    """The first attempt fails with the worker's status, the call does not."""
    recorded = RecordedSpans()
    answers = iter([failure(503, "busy"), labels([("tabby", 0.9)])])
    client, _ = client_of(recorded.provider, lambda _: next(answers))
    async with client:
        await client.classify(b"an image")
    first, second = named(recorded, "POST")
    assert (first.attributes or {})["error.type"] == "503"
    assert not first.status.is_ok
    assert (second.attributes or {})["http.request.resend_count"] == 1
    assert named(recorded, "call")[0].status.is_ok


async def test_a_call_that_fails_names_its_error() -> None:
    """By the class that the caller gets."""
    recorded = RecordedSpans()
    client, _ = client_of(recorded.provider, failure(400, "no image"))
    async with client:
        with pytest.raises(P2PError) as raised:
            await client.classify(b"an image")
    (call,) = named(recorded, "call")
    assert (call.attributes or {})["error.type"] == type(raised.value).__name__
    assert (call.attributes or {})["p2p.attempts"] == 1
    assert not call.status.is_ok


async def test_a_call_that_is_not_recorded_tells_servers_so() -> None:
    """They do not record it either, and nothing else is made of it."""
    client, transport = client_of(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False), labels([("tabby", 0.9)]))
    async with client:
        await client.classify(b"an image")
    trace = sent_trace_context(transport.requests[-1].headers)
    assert trace is not None
    assert not trace.recorded


async def test_a_request_outside_a_call_has_no_span() -> None:
    """A lookup by itself, or a subscription, which goes on after the call that began it."""
    recorded = RecordedSpans()
    client, _ = client_of(recorded.provider, labels([("tabby", 0.9)]))
    async with client:
        await client.lookup()
    assert recorded.names == []


async def test_a_name_and_a_password_in_an_address_are_in_no_span() -> None:
    """The address of a lookup service may hold them."""
    recorded = RecordedSpans()
    client, _ = client_of(recorded.provider, labels([("tabby", 0.9)]), "http://me:secret@lookup:12480")
    async with client:
        await client.classify(b"an image")
    assert not any("secret" in str(span.to_json()) for span in recorded.ended)
