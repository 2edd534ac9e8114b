"""A reading: what one instance's metrics said at one moment, as a frozen value. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from registry.instances.instance import Instance
from registry.worker_figures.metrics_text import ModelMetrics
from registry.worker_figures.request_counts import RequestCounts


@dataclass(frozen=True, slots=True)
class Reading:
    """What one instance's metrics said at `at_s` (monotonic); `metrics` None: nothing, for the reason in `fault`."""

    instance: Instance
    metrics: ModelMetrics | None
    fault: str = ""
    at_s: float = 0.0

    @property
    def counts(self) -> RequestCounts | None:
        """What the instance has counted since it started."""
        return None if self.metrics is None else self.metrics.counts
