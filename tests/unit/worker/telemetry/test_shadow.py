"""Copies of calls: what their header says, and how they are counted."""

from __future__ import annotations

import pytest

from p2pclient.calls import shadowing
from worker.telemetry import shadow
from worker.telemetry.metrics import WorkerMetrics
from worker.telemetry.shadow import ShadowHeader, read_header


def test_client_and_worker_agree_on_the_header() -> None:
    assert (shadowing.HEADER, shadowing.LABEL_CHARACTERS) == (shadow.HEADER, shadow.LABEL_CHARACTERS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("best=tabby%20cat;score=0.61;dropped=2", ShadowHeader("tabby%20cat", 0.61, 2)),
        ("dropped=0", ShadowHeader()),
        ("", ShadowHeader()),
        ("best=a", ShadowHeader()),
        ("best=a;score=nan;dropped=-1", ShadowHeader()),
        ("best=a;score=inf;dropped=1e9", ShadowHeader()),
        ("best=a;score=1;dropped=99999999999999999", ShadowHeader("a", 1.0, 1_000_000)),
        (" best=a ; score=0.5 ;;=;x", ShadowHeader("a", 0.5, 0)),
    ],
)
def test_the_header_is_read_as_far_as_it_can_be(text: str, expected: ShadowHeader) -> None:
    assert read_header(text) == expected


def test_labels_are_compared_by_the_beginning_of_their_encoded_form() -> None:
    metrics = WorkerMetrics()
    long = "ä" * 1000
    header = f"best={'%C3%A4' * 1000}"[: len("best=") + shadow.LABEL_CHARACTERS] + ";score=0.5"
    metrics.model("m").compare_shadow(header, long, 0.5)
    metrics.model("m").compare_shadow(header, "o", 0.5)
    text = metrics.text().decode()
    assert 'p2p_worker_shadow_compared_total{agreed="yes",model="m"} 1.0' in text
    assert 'p2p_worker_shadow_compared_total{agreed="no",model="m"} 1.0' in text
