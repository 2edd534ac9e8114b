"""Copies of calls that clients send to a version for comparison: what they say, and the metrics that count them.

    P2P-Shadow: best=tabby%20cat;score=0.61;dropped=2
The header says what the caller was answered, where that was labels, and how many copies the client could not send.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from urllib.parse import quote

from prometheus_client import CollectorRegistry, Counter

from worker.telemetry.histogram import Histograms

HEADER = "P2P-Shadow"

LABEL_CHARACTERS = 512
"""Of a label's percent-encoded form so many characters are sent and compared."""

_DROPPED_AT_MOST = 1_000_000
_DIFFERENCES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True, slots=True)
class ShadowHeader:
    """What a client says with a copy: the best label that the caller got, "" for none, its score, copies dropped."""

    best: str = ""
    score: float = 0.0
    dropped: int = 0


def read_header(text: str) -> ShadowHeader:
    """The header's parts; those that cannot be read count as not there, since a copy is never refused for them."""
    parts = dict(part.strip().partition("=")[::2] for part in text.split(";"))
    score, dropped = parts.get("score", ""), parts.get("dropped", "")
    try:
        number = float(score)
    except ValueError:
        number = math.nan
    best = parts.get("best", "") if math.isfinite(number) else ""
    counted = min(int(dropped[:9]), _DROPPED_AT_MOST) if dropped.isascii() and dropped.isdigit() else 0
    return ShadowHeader(best, number if best else 0.0, counted)


class ShadowMetrics:
    """The metrics of copies, by model. They are counted apart from requests, whose rates and times they would blur."""

    def __init__(self, registry: CollectorRegistry, *, seconds: tuple[float, ...]) -> None:
        self._requests = Counter(
            "p2p_worker_shadow_requests",
            "Copies of calls that were answered here for comparison.",
            ["model", "status"],
            registry=registry,
        )
        self._seconds = Histograms(
            "p2p_worker_shadow_duration_seconds",
            "Seconds from a copy's headers to its answer.",
            ["model"],
            bounds=seconds,
            registry=registry,
        )
        self._compared = Counter(
            "p2p_worker_shadow_compared",
            "Copies whose best label was compared with the caller's, by whether it was the same.",
            ["model", "agreed"],
            registry=registry,
        )
        self._difference = Histograms(
            "p2p_worker_shadow_score_difference",
            "How far the score of the best label lies from that of the caller's best label.",
            ["model"],
            bounds=_DIFFERENCES,
            registry=registry,
        )
        self._dropped = Counter(
            "p2p_worker_shadow_dropped",
            "Copies that clients did not send because too many were under way.",
            ["model"],
            registry=registry,
        )

    def answered(self, model: str, header: str, *, status: int, took_s: float) -> None:
        """Count one copy that was answered with `status`, `took_s` after its headers had come."""
        self._requests.labels(model, status).inc()
        self._seconds.labels(model).observe(took_s)
        self._dropped.labels(model).inc(read_header(header).dropped)

    def compare(self, model: str, header: str, label: str, score: float) -> None:
        """Count whether this best label is that of the caller, and how far apart their scores are."""
        said = read_header(header)
        if not said.best:
            return
        agreed = quote(label, safe="")[:LABEL_CHARACTERS] == said.best
        self._compared.labels(model, "yes" if agreed else "no").inc()
        self._difference.labels(model).observe(abs(score - said.score))
