"""The span of a step of a cascade, for a request that is traced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from worker.telemetry.request_stages import Stages, current_stages


@contextmanager
def step_span(step: str) -> Iterator[None]:
    """A step that the current task runs in this context; what the step asks belongs to its span."""
    stages = current_stages.get()
    if stages is None or stages.image_trace() is None:
        yield
        return
    with _traced(step, stages):
        yield


@contextmanager
def _traced(step: str, outer: Stages) -> Iterator[None]:
    from opentelemetry import context as contexts
    from opentelemetry import trace

    from registry.runtime.tracing.server_spans import note_error
    from worker.telemetry.traced_stages import TracedStages, stage_spans

    assert isinstance(outer, TracedStages), "only these have traces of images"
    tracing = outer.tracing
    span = tracing.tracer.start_span(f"step {step}", context=contexts.get_current(), attributes={"p2p.step": step})
    token = contexts.attach(trace.set_span_in_context(span))
    try:
        with stage_spans(tracing, span, outer):
            yield
    except BaseException as error:
        note_error(span, error)
        raise
    finally:
        contexts.detach(token)
        span.end()
