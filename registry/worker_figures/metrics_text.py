"""Reads what a worker's /metrics say of one of its models. Pure.

The lines of one model are searched for in the text instead of parsing the whole page: the lookup service reads the
pages of hundreds of workers, and prometheus_client's parser takes 3 ms for a page (docs/decisions/0047-figures.md).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from registry.worker_figures.request_counts import Buckets, RequestCounts

_REQUESTS = "p2p_worker_requests_total"
_SECONDS = "p2p_worker_request_duration_seconds_bucket"
_SHADOW_REQUESTS = "p2p_worker_shadow_requests_total"
_SHADOW_SECONDS = "p2p_worker_shadow_duration_seconds_bucket"
_COMPARED = "p2p_worker_shadow_compared_total"
_DIFFERENCE = "p2p_worker_shadow_score_difference_sum"
_DROPPED = "p2p_worker_shadow_dropped_total"
_QUEUE = "p2p_worker_queue_depth"
_MODEL_INFO = "p2p_worker_model_info"

_COUNTED = frozenset({_REQUESTS, _SHADOW_REQUESTS, _COMPARED, _DROPPED})
_LABELLED = _COUNTED | {_MODEL_INFO}
_READ = _LABELLED | {_SECONDS, _SHADOW_SECONDS, _DIFFERENCE, _QUEUE}

_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_IN_FLIGHT = re.compile(r"^p2p_worker_requests_in_flight (\S+)", re.MULTILINE)
_STARTED = re.compile(r"^process_start_time_seconds (\S+)", re.MULTILINE)

COUNT_AT_MOST = float(1 << 53)
"""A larger number is no count: a float does not hold it exactly."""


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """What a worker's metrics say of one model since the process started at `started_at_s` (seconds since 1970).

    `queue` counts images that wait for the model, `in_flight` the requests to all models of the process, without the
    one for this page; `engines` are those of the loaded versions, by version.
    """

    counts: RequestCounts = field(default_factory=RequestCounts)
    in_flight: int = 0
    queue: int = 0
    engines: Mapping[str, str] = field(default_factory=dict)
    started_at_s: float | None = None


def read_metrics(text: str, *, model: str) -> ModelMetrics:
    """What Prometheus text says of a model. Raises ValueError for a text that is not that of a worker."""
    in_flight = _IN_FLIGHT.search(text)
    if in_flight is None:
        raise ValueError(f"this is not what a worker tells: {text[:40]!r}")
    started = _STARTED.search(text)
    counts: Counter[tuple[str, bool]] = Counter()
    buckets: dict[str, Buckets] = {_SECONDS: Counter(), _SHADOW_SECONDS: Counter()}
    difference, queue, engines = 0.0, 0, {}
    for name, labels, value in _samples(text, model):
        if name in buckets:
            buckets[name][float(labels["le"])] += int(value)
        elif name == _DIFFERENCE:
            difference += value
        elif name == _QUEUE:
            queue += int(value)
        elif name == _MODEL_INFO:
            engines[labels["version"]] = labels["engine"]
        else:
            marked = labels.get("status", "").startswith("5") or labels.get("agreed") == "yes"
            counts[name, marked] += int(value)
    return ModelMetrics(
        _request_counts(counts, buckets, difference),
        max(0, int(_number(in_flight[1])) - 1),
        queue,
        engines,
        None if started is None else _number(started[1]),
    )


def _samples(text: str, model: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """The samples with this model among their labels whose names are read, with the other labels."""
    escaped = model.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    wanted = f'model="{escaped}"'
    for line in text.splitlines():
        if wanted not in line:
            continue
        name, _, rest = line.partition("{")
        if name not in _READ:
            continue
        labels, closed, value = rest.rpartition("} ")
        if not closed:
            raise ValueError(f"this line is no sample: {line[:80]!r}")
        found = dict(_LABEL.findall(labels)) if name in _LABELLED else {"le": _bound(labels)}
        yield name, found, _number(value.partition(" ")[0])


def _bound(labels: str) -> str:
    """The upper end of a bucket; no other label's value holds `le="`, whose quote would be escaped there."""
    return labels.partition('le="')[2].partition('"')[0]


def _number(text: str) -> float:
    number = float(text)
    if not 0 <= number <= COUNT_AT_MOST:
        raise ValueError(f"{text[:40]} is no count")
    return number


def _request_counts(
    counts: Mapping[tuple[str, bool], int], buckets: Mapping[str, Buckets], difference: float
) -> RequestCounts:
    def total(name: str) -> int:
        return counts.get((name, False), 0) + counts.get((name, True), 0)

    return RequestCounts(
        requests=total(_REQUESTS),
        errors=counts.get((_REQUESTS, True), 0),
        buckets=buckets[_SECONDS],
        shadows=total(_SHADOW_REQUESTS),
        shadow_errors=counts.get((_SHADOW_REQUESTS, True), 0),
        shadow_buckets=buckets[_SHADOW_SECONDS],
        compared=total(_COMPARED),
        agreed=counts.get((_COMPARED, True), 0),
        difference=difference,
        dropped=total(_DROPPED),
    )
