"""Our histograms tell Prometheus what the client library's own would, whatever is observed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from worker.telemetry.histogram import Histograms

BOUNDS = (0.001, 0.5, 1, 30)
seconds = st.one_of(st.sampled_from(BOUNDS), st.floats(0, 100))


@given(st.lists(st.tuples(st.sampled_from(["receive", "decode"]), seconds), max_size=30))
def test_they_tell_what_the_librarys_tell(observed: list[tuple[str, float]]) -> None:
    """The same text, but for the times at which the series were made, which ours leave out."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    light = Histograms("spent_seconds", "Seconds.", ["stage"], bounds=BOUNDS, registry=ours)
    usual = Histogram("spent_seconds", "Seconds.", ["stage"], buckets=BOUNDS, registry=theirs)
    for stage, value in observed:
        light.labels(stage).observe(value)
        usual.labels(stage).observe(value)
    told = [line for line in generate_latest(theirs).decode().splitlines() if "_created" not in line]
    assert generate_latest(ours).decode().splitlines() == told
