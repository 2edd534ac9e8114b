"""The state of services and workers, as the lookup service and the workers' own pages give it; pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from p2pclient.bounds import COUNT_AT_MOST
from p2pclient.cli.status.summary import NO_SUMMARY, ServiceSummary, WorkerSummary
from p2pclient.messages import MALFORMED
from p2pclient.types import Panic, Rollout, UnusableWorker, Worker

_SAMPLE = re.compile(r"^(p2p_worker_\w+)(?:\{([^}]*)\})? (\S+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

_WRITTEN = "encode"
"""The stage in which a prediction's answer is written: descriptions of models and refusals have none."""


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """One version of a model: START, LOADING, AVAILABLE, UNLOADING, or END with the `error` that ended it."""

    version: str
    state: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """The model that a worker's port serves, as its /readyz says.

    `waiting_for` are sentences that say why it is not ready.
    """

    ready: bool
    leaving: bool
    version: str
    engine: str
    name: str = ""
    waiting_for: tuple[str, ...] = ()
    versions: tuple[VersionStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a worker is, as its /metrics said at the time `at_s` (monotonic seconds).

    `in_flight` counts the requests to all models of its process; `queue` and `answers` are one model's. `answers`
    counts predictions: the answers that were written, or all requests for the model where the worker does not tell.
    """

    in_flight: int
    queue: int
    answers: int
    at_s: float


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker; None stands for what it did not say. `before` is its load in the round before.

    `denied`: why it does not tell its load. `unreachable`: why the lookup service cannot connect to it; "" where it
    can, or was not asked.
    """

    worker: Worker
    model: ModelStatus | None = None
    load: Load | None = None
    before: Load | None = None
    error: str = ""
    denied: str = ""
    unreachable: str = ""

    @property
    def per_s(self) -> float | None:
        """Answers per second since the round before."""
        if self.load is None or self.before is None or self.load.at_s <= self.before.at_s:
            return None
        answers = self.load.answers - self.before.answers
        return max(0, answers) / (self.load.at_s - self.before.at_s)

    @property
    def version(self) -> str:
        """The version that is served, else the one that was registered."""
        return (self.model.version if self.model else "") or self.worker.version


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service and its workers. `age_s`: seconds since the lookup service could last confirm them.

    `panic` is set in panic mode, and `unusable` are the workers that are registered as no worker can be. `summary` is
    what the lookup service says of it; `rollout` is set while the calls are split among versions, or copied to some.
    """

    name: str
    age_s: float
    workers: tuple[WorkerStatus, ...]
    panic: Panic | None = None
    unusable: tuple[UnusableWorker, ...] = ()
    summary: ServiceSummary = NO_SUMMARY
    rollout: Rollout | None = None

    def summary_of(self, worker: Worker) -> WorkerSummary | None:
        """What the lookup service says of a worker; None where it does not."""
        return (self.summary.workers or {}).get(worker.id)


def model_of(body: bytes) -> ModelStatus | None:
    """A worker's /readyz: the state of the model that its port serves; None if the page is another server's."""
    try:
        said = json.loads(body)
        model = said["models"][said["model"]]
        engine = next(
            (v["engine"] for v in model["versions"] if v["version"] == model["default"] and "engine" in v), ""
        )
        return ModelStatus(
            bool(said["ready"]),
            bool(said["leaving"]),
            str(model["default"] or ""),
            str(engine),
            str(said["model"]),
            tuple(str(reason) for reason in said.get("waiting_for") or ()),
            tuple(map(_version_of, model["versions"])),
        )
    except MALFORMED:
        return None


def _version_of(said: dict[str, Any]) -> VersionStatus:
    return VersionStatus(str(said["version"]), str(said["state"]), str(said.get("error", "")))


def load_of(body: bytes, *, model: str | None, now_s: float) -> Load | None:
    """A worker's /metrics in Prometheus' text form; None if it has none of a worker's counters.

    Counted is what belongs to `model` (None: to any model): predictions, and no health checks or other pages.
    """
    sums: dict[str, float] = {}
    for name, labels, value in _SAMPLE.findall(body.decode("utf-8", "replace")):
        labelled = dict(_LABEL.findall(labels))
        owner = labelled.get("model")
        if owner is not None and (not owner if model is None else owner != model):
            continue
        if labelled.get("stage", _WRITTEN) != _WRITTEN:
            continue
        try:
            number = float(value)
        except ValueError:
            continue
        if 0 <= number <= COUNT_AT_MOST:  # neither infinite nor "not a number"
            sums[name] = sums.get(name, 0.0) + number
    if "p2p_worker_requests_in_flight" not in sums:
        return None
    # The request for this page is in flight, too.
    in_flight = max(0, int(sums["p2p_worker_requests_in_flight"]) - 1)
    queue, requests = sums.get("p2p_worker_queue_depth", 0.0), sums.get("p2p_worker_requests_total", 0.0)
    answers = sums.get("p2p_worker_stage_seconds_count", requests)
    return Load(in_flight, int(queue), int(answers), now_s)
