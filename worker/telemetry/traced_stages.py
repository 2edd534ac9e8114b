"""The stages of a traced request as spans: receive, decode, queue, predict and encode; steps of a cascade; batches.

A batch is a trace of its own, because it serves several requests: it links the spans of those that are traced, and the
span `predict` of each of them links the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from opentelemetry.trace import Link, Span, SpanContext

from registry.runtime.tracing.server_spans import Tracing, epoch_offset_ns
from worker.telemetry.request_stages import ImageTrace, Stages, noting_stages_in

BATCH = "batch"
MODEL = "p2p.model"
BATCH_ROWS = "p2p.batch.size"


class _Stage(NamedTuple):
    name: str
    began_s: float
    ended_s: float
    batches: Sequence[SpanContext]


class TracedImage:
    """The trace of the request to which an image belongs, and the span of its batch once that has ended."""

    __slots__ = ("batch", "request", "tracing")

    def __init__(self, tracing: Tracing, request: SpanContext) -> None:
        self.tracing = tracing
        self.request = request
        self.batch: SpanContext | None = None

    def batch_ended(
        self, traces: Sequence[TracedImage], *, began_s: float, ended_s: float, model: str, rows: int
    ) -> None:
        """Make the span of the batch that predicted these images, `rows` with those that are not traced."""
        offset_ns = epoch_offset_ns()
        requests = {trace.request.span_id: trace.request for trace in traces}
        batch = self.tracing.ended.add(
            BATCH,
            began_ns=int(began_s * 1e9) + offset_ns,
            ended_ns=int(ended_s * 1e9) + offset_ns,
            attributes={MODEL: model, BATCH_ROWS: rows},
            links=[Link(request) for request in requests.values()],
        )
        for trace in traces:
            trace.batch = batch


class TracedStages(Stages):
    """The stages of one request, or of one step of a cascade, whose span is `span`; `outer` are those of the request.

    `make_spans`, at the end, makes a span for each.
    """

    def __init__(self, tracing: Tracing, span: Span, outer: Stages | None = None) -> None:
        super().__init__()
        self.tracing = tracing
        self._span = span
        self._outer = outer
        self._ended: list[_Stage] = []

    def note(self, stage: str, began_s: float, ended_s: float, images: Sequence[ImageTrace | None] = ()) -> None:
        """See `Stages.note`."""
        super().note(stage, began_s, ended_s)
        batches = {
            image.batch.span_id: image.batch for image in images if isinstance(image, TracedImage) and image.batch
        }
        self._ended.append(_Stage(stage, began_s, ended_s, tuple(batches.values())))
        if self._outer is not None:
            Stages.note(self._outer, stage, began_s, ended_s)

    def image_trace(self) -> TracedImage:
        """See `Stages.image_trace`."""
        return TracedImage(self.tracing, self._span.get_span_context())

    def make_spans(self) -> None:
        """Make the spans of the stages that have ended."""
        offset_ns, within = epoch_offset_ns(), self._span.get_span_context()
        for stage in self._ended:
            self.tracing.ended.add(
                stage.name,
                began_ns=int(stage.began_s * 1e9) + offset_ns,
                ended_ns=int(stage.ended_s * 1e9) + offset_ns,
                parent=within,
                links=[Link(batch) for batch in stage.batches],
            )


@contextmanager
def stage_spans(tracing: Tracing, span: Span, outer: Stages | None = None) -> Iterator[None]:
    """The stages of what the current task does in this context become spans below `span`."""
    stages = TracedStages(tracing, span, outer)
    try:
        with noting_stages_in(stages):
            yield
    finally:
        stages.make_spans()
