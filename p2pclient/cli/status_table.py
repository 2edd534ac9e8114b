"""A fleet's state as values, and as text: a table that fits its width, or JSON; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from p2pclient.cli.evaluation.report import shortened
from p2pclient.types import Worker

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{[^}]*\})? (\S+)", re.MULTILINE)
_HEALTH = {"passing": "ok", "maintenance": "maint"}
_HEADS = ("worker", "health", "version", "weight", "engine", "busy", "queue", "answers")
_ADDRESS, _VERSION, _ENGINE = 0, 2, 4
_LEAST_CHARS = 9

# Each time a worker is asked for its state it gives two answers.
_QUESTIONS = 2


@dataclass(frozen=True, slots=True)
class ModelState:
    """What a worker serves, as its /readyz says."""

    ready: bool
    leaving: bool
    version: str
    engine: str


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a worker is, as its /metrics say at `at_s` (monotonic)."""

    in_flight: int
    queue: int
    answers: int
    at_s: float


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker; None is what it did not say. `before` is its load when it was last asked."""

    worker: Worker
    model: ModelState | None = None
    load: Load | None = None
    before: Load | None = None
    error: str = ""

    @property
    def per_s(self) -> float | None:
        """Answers a second since it was last asked, those about its own state left out."""
        if self.load is None or self.before is None or self.load.at_s <= self.before.at_s:
            return None
        answers = self.load.answers - self.before.answers - _QUESTIONS
        return max(0, answers) / (self.load.at_s - self.before.at_s)

    @property
    def version(self) -> str:
        """The version that is served, else the one that was registered."""
        return (self.model.version if self.model else "") or self.worker.version


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One service. `age_s`: seconds since the lookup service could last confirm it."""

    name: str
    age_s: float
    workers: tuple[WorkerState, ...]


def model_of(body: bytes) -> ModelState | None:
    """A worker's /readyz, of the model that its port is for; None if that is another server's."""
    try:
        said = json.loads(body)
        model = said["models"][said["model"]]
        engine = next(
            (v["engine"] for v in model["versions"] if v["version"] == model["default"] and "engine" in v), ""
        )
        return ModelState(bool(said["ready"]), bool(said["leaving"]), str(model["default"] or ""), str(engine))
    except (ValueError, TypeError, LookupError):
        return None


def load_of(body: bytes, *, now_s: float) -> Load | None:
    """A worker's /metrics in Prometheus' text form; None if it counts nothing of ours."""
    sums: dict[str, float] = {}
    for name, value in _SAMPLE.findall(body.decode("utf-8", "replace")):
        try:
            sums[name] = sums.get(name, 0.0) + float(value)
        except ValueError:
            continue
    if "p2p_worker_requests_in_flight" not in sums:
        return None
    # The request for these very numbers is in flight, too.
    in_flight = max(0, int(sums["p2p_worker_requests_in_flight"]) - 1)
    queue, answers = sums.get("p2p_worker_queue_depth", 0.0), sums.get("p2p_worker_requests_total", 0.0)
    return Load(in_flight, int(queue), int(answers), now_s)


def as_json(states: Sequence[ServiceState]) -> str:
    """One object on one line: services with their workers."""
    services = [
        {"name": state.name, "age_s": round(state.age_s, 3), "workers": [_worker_json(w) for w in state.workers]}
        for state in states
    ]
    return json.dumps({"services": services}) + "\n"


def _worker_json(state: WorkerState) -> dict[str, Any]:
    worker, model, load = state.worker, state.model, state.load
    return {
        "id": worker.id,
        "address": worker.address,
        "health": worker.health,
        "weight": worker.weight,
        "version": state.version,
        "boot": worker.boot,
        "ready": model.ready if model else None,
        "leaving": model.leaving if model else None,
        "engine": model.engine if model else None,
        "in_flight": load.in_flight if load else None,
        "queue": load.queue if load else None,
        "answers": load.answers if load else None,
        "answers_per_s": None if state.per_s is None else round(state.per_s, 3),
        "error": state.error or None,
    }


def as_table(states: Sequence[ServiceState], *, width: int) -> str:
    """A heading and a table for each service, in lines of at most `width` (72 or more) characters."""
    if not states:
        return "no service is known: start a worker, e.g. with p2p up\n"
    return "\n".join("\n".join(_service(state, width)) + "\n" for state in states)


def _service(state: ServiceState, width: int) -> list[str]:
    serving = sum(worker.worker.health in ("passing", "warning") for worker in state.workers)
    versions = sorted({worker.version for worker in state.workers if worker.version})
    known = "as of now" if state.age_s < 1 else f"not confirmed for {state.age_s:.0f} s"
    heading = f"{state.name}: {serving} of {len(state.workers)} serving"
    if versions:
        heading += f", version{'s' if len(versions) > 1 else ''} {', '.join(versions)}"
    lines = [shortened(f"{heading}, {known}", width)]
    if state.workers:
        lines += _columns([_HEADS, *map(_cells, state.workers)], width)
    lines += [
        shortened(f"  {worker.worker.address}: {worker.error}", width) for worker in state.workers if worker.error
    ]
    return lines


def _cells(state: WorkerState) -> tuple[str, ...]:
    worker, model, load = state.worker, state.model, state.load
    health = _HEALTH.get(worker.health, worker.health)
    if state.error:
        health = "silent" if worker.health == "passing" else health
    elif model and model.leaving:
        health = "leaving"
    answers = "-" if load is None else str(load.answers)
    if state.per_s is not None:
        answers += f" {state.per_s:.3g}/s"
    return (
        worker.address,
        health,
        state.version or "-",
        str(worker.weight),
        model.engine if model else "-",
        str(load.in_flight) if load else "-",
        str(load.queue) if load else "-",
        answers,
    )


def _columns(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Aligned columns; if they are too wide, the longest of the texts give way."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for _ in range(sum(widths)):
        if sum(widths) + 2 * (len(widths) - 1) <= width:
            break
        longest = max((_ADDRESS, _VERSION, _ENGINE), key=lambda place: widths[place])
        if widths[longest] <= _LEAST_CHARS:
            break
        widths[longest] -= 1
    texts = (0, 1, 2, 4)
    return [
        "  ".join(
            shortened(cell, size).ljust(size) if place in texts else cell.rjust(size)
            for place, (cell, size) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
