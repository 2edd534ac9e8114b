"""Histograms that cost little to add to: counted in plain lists, and told as Prometheus has them when it asks.

The client library's own take a lock for each bucket they look at; a request adds to six of them, on one event loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Histogram:
    """How many observations lie up to each of `bounds`, and their sum; of one thread."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Add one; a value at a bound is up to it."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


class Histograms(Collector):
    """The histograms of one name in `registry`, by the values of their `labels`."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        *,
        bounds: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._family = (name, documentation, labels)
        self._bounds = tuple(bounds)
        self._told = [*map(floatToGoString, bounds), "+Inf"]
        self._by_labels: dict[tuple[str, ...], Histogram] = {}
        registry.register(self)

    def labels(self, *values: str) -> Histogram:
        """The one with these values of the labels."""
        return self._by_labels.setdefault(values, Histogram(self._bounds))

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """Its names, by which the registry sees that nobody else has them."""
        return [HistogramMetricFamily(self._family[0], self._family[1], labels=self._family[2])]

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """All that was observed."""
        family = HistogramMetricFamily(self._family[0], self._family[1], labels=self._family[2])
        for values, histogram in self._by_labels.items():
            buckets = [*zip(self._told, accumulate(histogram.counts), strict=True)]
            family.add_metric(values, buckets, histogram.sum)
        yield family
