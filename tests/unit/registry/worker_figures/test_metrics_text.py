"""What a worker tells of one of its models, read from the metrics that it really writes."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from registry.worker_figures.metrics_text import ModelMetrics, read_metrics
from registry.worker_figures.request_counts import RequestCounts
from worker.telemetry.metrics import WorkerMetrics
from worker.telemetry.request_labels import RequestLabels


def counted(*statuses: int) -> WorkerMetrics:
    metrics = WorkerMetrics()
    for status in statuses:
        metrics.answered(RequestLabels("flowers", "article"), status=status, took_s=0.02)
    metrics.answered(RequestLabels("other", "article"), status=500, took_s=9)
    metrics.answered(RequestLabels("", ""), status=200, took_s=9)
    return metrics


def test_a_workers_metrics_are_read() -> None:
    """Requests of the model alone count, copies apart from them; 5xx are errors, and refusals of the caller are not."""
    metrics = counted(200, 200, 400, 500, 503)
    metrics.shadow.answered("flowers", "best=tabby;score=0.5;dropped=3", status=200, took_s=0.3)
    metrics.shadow.answered("flowers", "", status=503, took_s=0.3)
    metrics.model("flowers").compare_shadow("best=tabby;score=0.5", "tabby", 0.75)
    metrics.model("flowers").compare_shadow("best=tabby;score=0.5", "lynx", 0.5)
    stats = read_metrics(metrics.text().decode(), model="flowers").counts
    assert (stats.requests, stats.errors, stats.error_rate) == (5, 2, 0.4)
    assert 0.01 < (stats.quantile_s(0.99) or 0) <= 0.025
    assert (stats.shadows, stats.shadow_errors, stats.dropped) == (2, 1, 3)
    assert 0.25 < (stats.shadow_quantile_s(0.5) or 0) <= 0.5
    assert (stats.compared, stats.agreed, stats.agreement, stats.mean_difference) == (2, 1, 0.5, 0.125)


def test_nothing_counted_is_unknown() -> None:
    stats = read_metrics(WorkerMetrics().text().decode(), model="flowers").counts
    assert stats == RequestCounts()
    assert (stats.error_rate, stats.agreement, stats.mean_difference, stats.quantile_s(0.5)) == (None,) * 4


def test_what_is_no_prometheus_text_is_refused() -> None:
    with pytest.raises(ValueError, match="html"):
        read_metrics("<html>", model="flowers")


def test_the_state_of_a_worker_is_read_beside_its_counts() -> None:
    """Its queue, the engine of each loaded version, the requests under way but for the one for the page, its start."""
    metrics = counted(200)
    metrics.in_flight = 3
    with metrics.model("flowers").serving(version="4", engine="onnx", depth=lambda: 7.0, held_bytes=lambda: 0.0):
        found = read_metrics(metrics.text().decode(), model="flowers")
    assert (found.queue, found.in_flight, found.engines) == (7, 2, {"4": "onnx"})
    assert (found.started_at_s or 0) > 1.7e9


@pytest.mark.parametrize("model", ['say "hi"', "back\\slash", "brace}", "line\nbreak", "{le="])
def test_names_are_read_as_prometheus_reads_them(model: str) -> None:
    """Characters that the text format escapes, or that it uses itself, hide no sample and add none of another model."""
    metrics = WorkerMetrics()
    for name in (model, "other"):
        metrics.answered(RequestLabels(name, "article"), status=200, took_s=0.02)
    text = metrics.text().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    expected = sum(
        sample.value
        for sample in samples
        if sample.name == "p2p_worker_requests_total" and sample.labels["model"] == model
    )
    assert read_metrics(text, model=model).counts.requests == expected == 1


@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf", "1e300", "many"])
def test_what_is_no_count_is_refused(value: str) -> None:
    """A worker that tells nonsense is one that tells nothing."""
    text = f'p2p_worker_requests_in_flight 1.0\np2p_worker_queue_depth{{model="flowers"}} {value}\n'
    with pytest.raises(ValueError, match=r"count|many"):
        read_metrics(text, model="flowers")


def test_a_page_of_an_idle_worker_is_all_zeros() -> None:
    assert read_metrics("p2p_worker_requests_in_flight 1.0\n", model="flowers") == ModelMetrics()
