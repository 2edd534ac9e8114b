"""The spans of calls: one for each call, and below it one for each request, with OpenTelemetry's names for HTTP.

A request belongs to the call whose id it carries, so that tasks which outlive a call, such as subscriptions, belong to
none. Requests of a call that is not recorded carry the trace all the same, so that servers do not record them either.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, TracerProvider
from opentelemetry.trace import set_span_in_context as with_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from yarl import URL

from p2pclient.errors import P2PError
from p2pclient.messages import Answer
from p2pclient.transport.base import ExchangeFailed, Transport
from p2pclient.transport.request_id import HEADER as REQUEST_ID
from p2pclient.types import Worker

ERROR = "error.type"

CANCELLED = "p2p.cancelled"
"""The attribute of an attempt that was given up, because another one had answered or the caller had left."""

HEDGE = "p2p.hedge"
"""The attribute of an attempt that raced another one of its call."""

_PROPAGATOR = TraceContextTextMapPropagator()


class Outcome(Protocol):
    """What a call came to: the worker that answered, and how many attempts were made."""

    @property
    def worker(self) -> Worker:
        """The worker that answered."""

    @property
    def attempts(self) -> int:
        """How many attempts the call has made."""


OutcomeT = TypeVar("OutcomeT", bound=Outcome)


class CallTracing:
    """Traces the calls of one client; the spans go to `provider`, whose sampler decides which are recorded."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("p2pclient")
        self._calls: dict[str, CallTrace] = {}

    def transport(self, transport: Transport) -> TracedTransport:
        """The transport with a span for each request of a call."""
        return TracedTransport(transport, self)

    async def traced(self, call: Coroutine[Any, Any, OutcomeT], *, request_id: str, service: str | None) -> OutcomeT:
        """The outcome of the call, in a span below the current one of the application."""
        about = {"p2p.request_id": request_id} | ({} if service is None else {"p2p.service": service})
        span = self._tracer.start_span("call" if service is None else f"call {service}", attributes=about)
        self._calls[request_id] = CallTrace(self._tracer, span)
        try:
            outcome = await call
        except BaseException as error:
            _note_error(span, error)
            raise
        else:
            span.set_attributes({"p2p.attempts": outcome.attempts, "p2p.worker": outcome.worker.address})
            return outcome
        finally:
            del self._calls[request_id]
            span.end()

    def call_of(self, headers: Mapping[str, str]) -> CallTrace | None:
        """The call to which a request with these headers belongs; None: it belongs to none that is under way."""
        return self._calls.get(headers.get(REQUEST_ID, ""))


class CallTrace:
    """The span of one call, and what its requests have in common."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._within = with_span(span, Context())
        self._recorded = span.is_recording()
        self._sent: Counter[str] = Counter()
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def exchange(
        self, method: str, url: URL, headers: Mapping[str, str]
    ) -> Iterator[tuple[Span | None, dict[str, str]]]:
        """The span of one request, None where the call is not recorded, and its headers with the trace."""
        if not self._recorded:
            yield None, _with_trace(headers, self._within)
            return
        span = self._tracer.start_span(
            method, context=self._within, kind=SpanKind.CLIENT, attributes=self._about(method, url)
        )
        self._sent[method] += 1
        self._under_way[method] += 1
        try:
            yield span, _with_trace(headers, with_span(span, Context()))
        except BaseException as error:
            _note_error(span, error)
            raise
        finally:
            self._under_way[method] -= 1
            span.end()

    def _about(self, method: str, url: URL) -> dict[str, str | int | bool]:
        """The attributes of a request; a name and a password in its URL stay out."""
        about: dict[str, str | int | bool] = {
            "http.request.method": method,
            "url.full": str(url.with_user(None)),
            "server.address": url.host or "",
            "server.port": url.port or 0,
        }
        if self._sent[method]:
            about["http.request.resend_count"] = self._sent[method]
        if self._under_way[method]:
            about[HEDGE] = True
        return about


class TracedTransport:
    """`transport` with a span for each request of a call that is traced: a `Transport`."""

    def __init__(self, transport: Transport, tracing: CallTracing) -> None:
        self._transport = transport
        self._tracing = tracing

    async def exchange(
        self, method: str, url: URL, *, headers: Mapping[str, str], timeout_s: float, body: bytes | None = None
    ) -> Answer:
        """See `Transport.exchange`."""
        call = self._tracing.call_of(headers)
        if call is None:
            return await self._transport.exchange(method, url, headers=headers, timeout_s=timeout_s, body=body)
        with call.exchange(method, url, headers) as (span, with_trace):
            answer = await self._transport.exchange(method, url, headers=with_trace, timeout_s=timeout_s, body=body)
            if span is not None:
                _note_status(span, answer.status)
            return answer

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._transport.close()


def _with_trace(headers: Mapping[str, str], within: Context) -> dict[str, str]:
    carrier = dict(headers)
    _PROPAGATOR.inject(carrier, within)
    return carrier


def _note_status(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= 400:
        span.set_attribute(ERROR, str(status))
        span.set_status(Status(StatusCode.ERROR))


def _note_error(span: Span, error: BaseException) -> None:
    if isinstance(error, asyncio.CancelledError):
        span.set_attribute(CANCELLED, True)
        return
    if isinstance(error, P2PError):
        span.set_attribute("p2p.attempts", error.attempts)
    span.set_attribute(ERROR, _kind(error))
    span.set_status(Status(StatusCode.ERROR, str(error)))


def _kind(error: BaseException) -> str:
    """The error in a word: of an exchange why there was no answer, else its class."""
    if isinstance(error, ExchangeFailed):
        if error.silent_s is not None:
            return "timeout"
        return type(error.__cause__ or error).__qualname__
    return type(error).__qualname__
