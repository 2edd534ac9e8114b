"""Histograms that are cheap to observe into: plain counters that become Prometheus's buckets at each scrape.

An observation takes 0.12 microseconds instead of the 0.59 of prometheus_client's Histogram, which takes a lock for
each bucket that it checks; a request makes six observations on the event loop (decision 17).
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString


class Histogram:
    """The number of observations in each bucket (`bounds` are the upper ends), and their sum; for one thread.

    `exemplars` are the last observations that belong to a trace, by the number of the bucket.
    """

    __slots__ = ("_bounds", "counts", "exemplars", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.exemplars: dict[int, Exemplar] = {}

    def observe(self, value: float) -> None:
        """Add one observation; a value equal to a bound is in that bound's bucket."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def exemplify(self, value: float, trace_id: str) -> None:
        """Remember the trace of an observation that has just been added."""
        self.exemplars[bisect_left(self._bounds, value)] = Exemplar({"trace_id": trace_id}, value, time.time())


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
        self._bound_texts = [*map(floatToGoString, bounds), "+Inf"]
        self._by_labels: dict[tuple[str, ...], Histogram] = {}
        registry.register(self)

    def labels(self, *values: str) -> Histogram:
        """The histogram with these values of the labels."""
        return self._by_labels.setdefault(values, Histogram(self._bounds))

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """The family without samples, from which the registry sees the names that it occupies."""
        return [HistogramMetricFamily(self._family[0], self._family[1], labels=self._family[2])]

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The family with all observations, for a scrape."""
        family = HistogramMetricFamily(self._family[0], self._family[1], labels=self._family[2])
        for values, histogram in self._by_labels.items():
            buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
            for number, (text, count) in enumerate(zip(self._bound_texts, accumulate(histogram.counts), strict=True)):
                exemplar = histogram.exemplars.get(number)
                buckets.append((text, count) if exemplar is None else (text, count, exemplar))
            family.add_metric(values, buckets, histogram.sum)
        yield family
