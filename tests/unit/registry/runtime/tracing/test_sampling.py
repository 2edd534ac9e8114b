"""OpenTelemetry's samplers by their names, and which requests each of them wants."""

from __future__ import annotations

import random

import pytest
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from registry.runtime.errors import SettingsError
from registry.runtime.tracing.sampling import Sampling, sampling_of
from registry.runtime.tracing.trace_context import TraceContext

RECORDED = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
UNRECORDED = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")


@pytest.mark.parametrize(
    ("sampler", "wanted"),
    [
        ("", (True, True, False)),
        ("parentbased_always_on", (True, True, False)),
        ("ParentBased_Always_Off", (False, True, False)),
        ("always_on", (True, True, True)),
        ("always_off", (False, False, False)),
    ],
)
def test_a_sampler_decides_for_requests_without_and_with_a_trace(sampler: str, wanted: tuple[bool, ...]) -> None:
    """Without one; with one that the client records; with one that it does not record."""
    sampling = sampling_of({"OTEL_TRACES_SAMPLER": sampler})
    assert tuple(sampling.wants(parent) for parent in (None, RECORDED, UNRECORDED)) == wanted


@pytest.mark.parametrize("trace_id", ["0af7651916cd43dd8448eb211c80319c", "1" * 16 + "0" * 15 + "1", "f" * 32])
@pytest.mark.parametrize("part", [0.0, 0.01, 0.52, 1.0])
def test_a_part_by_trace_ids_is_that_of_the_sdk(trace_id: str, part: float) -> None:
    """So that servers which decide each for itself trace the same requests."""
    mine = Sampling(part, parent_based=False).wants(TraceContext(f"00-{trace_id}-b7ad6b7169203331-00"))
    theirs = TraceIdRatioBased(part).should_sample(None, int(trace_id, 16), "").decision.is_sampled()
    assert mine == theirs


def test_a_part_of_the_requests_without_a_trace_is_wanted() -> None:
    """One in a hundred, by known dice."""
    sampling = Sampling(0.01, parent_based=True, dice=random.Random(3).random)
    assert sum(sampling.wants(None) for _ in range(100_000)) == pytest.approx(1000, rel=0.1)


@pytest.mark.parametrize(("text", "part"), [("0.25", 0.25), ("1", 1.0), ("", 1.0), ("0", 0.0)])
def test_the_part_is_the_argument(text: str, part: float) -> None:
    """All requests, where it is not given, as OpenTelemetry has it."""
    environment = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": text}
    assert sampling_of(environment).part == part


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"OTEL_TRACES_SAMPLER": "jaeger_remote"}, "OTEL_TRACES_SAMPLER=jaeger_remote cannot be used: give one of alw"),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1%"},
            "OTEL_TRACES_SAMPLER_ARG=1% cannot be used: give a part of the requests, such as 0.01.",
        ),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"}, "OTEL_TRACES_SAMPLER_ARG=2 cannot"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "nan"}, "such as 0.01"),
    ],
)
def test_what_is_not_known_is_named(environment: dict[str, str], sentence: str) -> None:
    """With what can be given instead."""
    with pytest.raises(SettingsError) as refused:
        sampling_of(environment)
    assert sentence in str(refused.value)
