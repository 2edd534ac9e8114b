"""Spans of work that has ended before its span is made, at a sixth of what OpenTelemetry's tracer takes.

The tracer makes an object that can be changed until it ends: with a lock, a copy of every attribute, a look at the
sampler and at the limits. Here nothing changes any more, and what is sampled is decided before. The parts of the tracer
that are used are public in all versions of the SDK that pyproject.toml allows. The SDK's limits for the number and the
length of attributes (OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT ...) are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, Tracer

_NOTHING: Mapping[str, str | int] = {}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class EndedSpans:
    """Hands such spans to where those of `tracer`, which has the name `scope`, go."""

    def __init__(self, tracer: Tracer, scope: str) -> None:
        assert isinstance(tracer, SdkTracer), "a provider without the SDK traces nothing"
        self._resource = tracer.resource
        self._ids = tracer.id_generator
        self._on_end = tracer.span_processor.on_end
        self._scope = InstrumentationScope(scope)

    def add(
        self,
        name: str,
        *,
        began_ns: int,
        ended_ns: int,
        parent: SpanContext | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, str | int] = _NOTHING,
        links: Sequence[Link] = (),
    ) -> SpanContext:
        """The span of what lasted from `began_ns` to `ended_ns` since 1970; without `parent` it begins a trace."""
        ids = self._ids
        if parent is None:
            about = SpanContext(ids.generate_trace_id(), ids.generate_span_id(), False, _SAMPLED)
        else:
            about = SpanContext(parent.trace_id, ids.generate_span_id(), False, _SAMPLED, parent.trace_state)
        self._on_end(
            ReadableSpan(
                name,
                about,
                parent,
                self._resource,
                attributes,
                links=links,
                kind=kind,
                start_time=began_ns,
                end_time=ended_ns,
                instrumentation_scope=self._scope,
            )
        )
        return about
