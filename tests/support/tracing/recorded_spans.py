"""Spans that stay in memory, for tests of what makes them."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from registry.runtime.tracing.sampling import Sampling
from registry.runtime.tracing.server_spans import Tracing


class RecordedSpans:
    """`tracing`, of the part `part` of the requests, and the spans that have ended."""

    def __init__(self, part: float = 1.0) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(self.provider, Sampling(part, parent_based=True))

    @property
    def ended(self) -> Sequence[ReadableSpan]:
        """The spans that have ended, in the order in which they did."""
        return self._exporter.get_finished_spans()

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [span.name for span in self.ended]

    def clear(self) -> None:
        """Forget them."""
        self._exporter.clear()
