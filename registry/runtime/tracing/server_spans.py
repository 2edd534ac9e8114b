"""The spans of requests at a server, with the names and attributes of OpenTelemetry's semantic conventions for HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.trace import (
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TracerProvider,
    format_span_id,
    format_trace_id,
    get_current_span,
)
from opentelemetry.trace import set_span_in_context as with_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from registry.runtime.tracing.current import TraceIds, current_trace
from registry.runtime.tracing.ended_spans import EndedSpans
from registry.runtime.tracing.sampling import Sampling
from registry.runtime.tracing.trace_context import TraceContext

STATUS = "http.response.status_code"

SCOPE = "p2p-serving"
"""The name under which all spans are made."""

WORKER = "p2p.worker"
"""The attribute for the address of the worker that a lookup names."""

CANCELLED = "p2p.cancelled"
"""The attribute of a span whose client hung up, or whose call another attempt has answered."""

UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})
"""Paths that others ask again and again: they are traced only for a client that records a trace."""

_PROPAGATOR = TraceContextTextMapPropagator()
_NO_TRACE = Context()


@dataclass(frozen=True, slots=True)
class ServedRequest:
    """What a span says of a request; `route` is the path with names for its variables, `host` the header Host."""

    method: str
    path: str
    route: str = ""
    scheme: str = "http"
    host: str = ""
    client: str = ""
    request_id: str = ""


class Tracing:
    """Traces the requests of one server; its spans go to `provider`, which records every one that is begun."""

    def __init__(self, provider: TracerProvider, sampling: Sampling) -> None:
        self.provider = provider
        self.tracer = provider.get_tracer(SCOPE)
        self.ended = EndedSpans(self.tracer, SCOPE)
        self.wants = sampling.wants
        self.begins = sampling.begins

    def traces(self, path: str, parent: TraceContext | None) -> bool:
        """Whether a request for `path` is traced that came with `parent`; to be asked once for each request."""
        return (parent is not None or path not in UNTRACED) and self.wants(parent)

    def note_answered(
        self,
        request: ServedRequest,
        parent: TraceContext | None,
        *,
        since_ns: int,
        status: int,
        worker: str | None,
    ) -> str:
        """Make the span of a request that began at `since_ns` since 1970 and has just been answered; its trace's id."""
        attributes = _attributes(request)
        attributes[STATUS] = status
        if worker is not None:
            attributes[WORKER] = worker
        about = self.ended.add(
            _name(request),
            began_ns=since_ns,
            ended_ns=time.time_ns(),
            parent=_span_context(parent),
            kind=SpanKind.SERVER,
            attributes=attributes,
        )
        return format_trace_id(about.trace_id)

    @contextmanager
    def serving(self, request: ServedRequest, parent: TraceContext | None) -> Iterator[Span]:
        """The span of the request that is answered in this context, which is the current one for all that it does."""
        span = self.tracer.start_span(
            _name(request), context=_context(parent), kind=SpanKind.SERVER, attributes=_attributes(request)
        )
        ids = current_trace.set(trace_ids(span))
        token = contexts.attach(with_span(span, _NO_TRACE))
        try:
            yield span
        except BaseException as error:
            note_error(span, error)
            raise
        finally:
            contexts.detach(token)
            current_trace.reset(ids)
            span.end()


def note_answer(span: Span, status: int, *, worker: str | None = None) -> None:
    """Note with which status a request was answered, and which worker a lookup named."""
    span.set_attribute(STATUS, status)
    if worker is not None:
        span.set_attribute(WORKER, worker)
    if status >= 500:
        span.set_attribute("error.type", str(status))
        span.set_status(Status(StatusCode.ERROR))


def note_error(span: Span, error: BaseException) -> None:
    """Note that a request ended with an error, or was given up by its client."""
    if not isinstance(error, Exception):  # a cancellation: the client has hung up
        span.set_attribute(CANCELLED, True)
        return
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR, str(error)))


def trace_ids(span: Span) -> TraceIds:
    """The ids of a span, as log lines have them."""
    about = span.get_span_context()
    return TraceIds(format_trace_id(about.trace_id), format_span_id(about.span_id))


def epoch_offset_ns() -> int:
    """What is added to a monotonic time in nanoseconds so that it counts from 1970."""
    return time.time_ns() - time.monotonic_ns()


def _name(request: ServedRequest) -> str:
    return f"{request.method} {request.route}" if request.route else request.method


def _context(parent: TraceContext | None) -> Context:
    return _NO_TRACE if parent is None else _PROPAGATOR.extract(parent.headers(), _NO_TRACE)


def _span_context(parent: TraceContext | None) -> SpanContext | None:
    """The client's span; None without one, and where OpenTelemetry does not accept what was sent."""
    if parent is None:
        return None
    sent = get_current_span(_context(parent)).get_span_context()
    return sent if sent.is_valid else None


def _attributes(request: ServedRequest) -> dict[str, str | int]:
    name, port = _host_and_port(request.host)
    told: dict[str, str | int | None] = {
        "http.request.method": request.method,
        "url.scheme": request.scheme,
        "url.path": request.path,
        "http.route": request.route or None,
        "server.address": name or None,
        "server.port": port,
        "client.address": request.client or None,
        "p2p.request_id": request.request_id or None,
    }
    return {key: value for key, value in told.items() if value is not None}


def _host_and_port(host: str) -> tuple[str, int | None]:
    """A header Host in its parts; None for a port that it does not name."""
    name, colon, port = host.rpartition(":")
    if colon and port.isascii() and port.isdigit() and len(port) < 6:
        return name.strip("[]"), int(port)
    return host.strip("[]"), None
