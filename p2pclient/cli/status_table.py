"""The state of services and workers as text: a table that fits the terminal, or JSON; pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from p2pclient.cli.columns import aligned, shortened
from p2pclient.cli.status_model import ServiceStatus, WorkerStatus

_HEALTH = {"passing": "ok", "maintenance": "maint"}
_HEADS = ("worker", "health", "version", "weight", "engine", "busy", "queue", "answers")
_TEXTS = (0, 1, 2, 4)
_SHRINKING = (0, 2, 4)  # worker, version and engine give way where the table is too wide


def as_json(statuses: Sequence[ServiceStatus]) -> str:
    """One object on one line: services with their workers."""
    services = [
        {"name": state.name, "age_s": round(state.age_s, 3), "workers": [_worker_json(w) for w in state.workers]}
        for state in statuses
    ]
    return json.dumps({"services": services}) + "\n"


def _worker_json(state: WorkerStatus) -> dict[str, Any]:
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


def as_table(statuses: Sequence[ServiceStatus], *, width: int) -> str:
    """A heading and a table for each service, in lines of at most `width` (72 or more) columns."""
    if not statuses:
        return "no service is known: start a worker, e.g. with p2p up\n"
    return "\n".join("\n".join(_service(state, width)) + "\n" for state in statuses)


def _service(state: ServiceStatus, width: int) -> list[str]:
    serving = sum(worker.worker.healthy for worker in state.workers)
    versions = sorted({worker.version for worker in state.workers if worker.version})
    known = "as of now" if state.age_s < 1 else f"not confirmed for {state.age_s:.0f} s"
    heading = f"{state.name}: {serving} of {len(state.workers)} serving"
    if versions:
        heading += f", version{'s' if len(versions) > 1 else ''} {', '.join(versions)}"
    lines = [shortened(f"{heading}, {known}", width)]
    if state.workers:
        rows = [_HEADS, *map(_cells, state.workers)]
        lines += aligned(rows, texts=_TEXTS, shrinking=_SHRINKING, width=width)
    lines += [
        shortened(f"  {worker.worker.address}: {worker.error}", width) for worker in state.workers if worker.error
    ]
    return lines


def _cells(state: WorkerStatus) -> tuple[str, ...]:
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
