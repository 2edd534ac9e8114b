"""A collector of traces: an HTTP server in a thread that reads OTLP, and the spans that it was sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass(frozen=True)
class SentSpan:
    """One span as it was sent; `service` is the `service.name` of its process, `parent` is "" at the root."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent: str
    attributes: Mapping[str, Any]
    links: Sequence[str]
    failed: bool
    began_ns: int
    ended_ns: int


class Collector:
    """What has been sent so far."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[SentSpan] = []

    def children(self, span: SentSpan) -> list[SentSpan]:
        """The spans directly below a span, in the order in which they began."""
        found = [each for each in self.spans if each.parent == span.span_id]
        return sorted(found, key=lambda each: each.began_ns)

    def one(self, name: str, *, below: SentSpan | None = None) -> SentSpan:
        """The only span of this name, or the only one directly below another."""
        candidates = self.spans if below is None else self.children(below)
        (found,) = [each for each in candidates if each.name == name]
        return found

    def receive(self, body: bytes) -> None:
        """Read one request of OTLP over HTTP."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _values(resource.resource.attributes)["service.name"]
            self.spans += [_read(service, span) for scope in resource.scope_spans for span in scope.spans]


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def _read(service: str, span: trace_pb2.Span) -> SentSpan:
    return SentSpan(
        service,
        span.name,
        trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        _values(span.attributes),
        [link.span_id.hex() for link in span.links],
        span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
    )


@contextmanager
def otlp_collector() -> Iterator[Collector]:
    """A collector that takes what is posted to `/v1/traces`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            collector.receive(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
