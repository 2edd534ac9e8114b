"""The state of services and workers as text: a table that fits the terminal, or JSON; pure.

What workers and servers say stands in the table with escapes for characters that control terminals, and in the JSON
exactly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from p2pclient.cli.status.exposure import exposed_workers, exposure_warning
from p2pclient.cli.status.figures import HEADS as FIGURES
from p2pclient.cli.status.figures import NO_FIGURES
from p2pclient.cli.status.model import ServiceStatus, WorkerStatus
from p2pclient.cli.status.summary import WorkerSummary
from p2pclient.cli.terminal_output.columns import aligned, shortened, wrapped
from p2pclient.cli.terminal_output.terminal import visible
from p2pclient.types import Rollout

_HEALTH = {"passing": "ok", "maintenance": "maint"}
_HEADS = ("worker", "health", "version", "weight", "engine", "busy", "queue", "answers")
_TEXTS = (0, 1, 2, 4)
_SHRINKING = (0, 2, 4)  # worker, version and engine give way where the table is too wide

WIDE = 132
"""Columns that a table with the workers' figures may take."""

_SERVED = "AVAILABLE"
_STATES = {"START": "waits to be loaded", "LOADING": "is being loaded", "UNLOADING": "is being unloaded"}


def as_json(statuses: Sequence[ServiceStatus], *, lookups: Sequence[str] = ()) -> str:
    """One object on one line: services with their workers, and what is open to everybody, `lookups` among it."""
    services = [
        {
            "name": service.name,
            "age_s": round(service.age_s, 3),
            "panic": asdict(service.panic) if service.panic else None,
            "rollout": asdict(service.rollout) if service.rollout else None,
            "unusable": [asdict(worker) for worker in service.unusable],
            "notes": list(service.summary.notes),
            "figures": asdict(service.summary.figures),
            "workers": [_worker_json(worker, service.summary_of(worker.worker)) for worker in service.workers],
        }
        for service in statuses
    ]
    return json.dumps({"services": services, "exposed": [*lookups, *exposed_workers(statuses)]}) + "\n"


def _worker_json(status: WorkerStatus, summary: WorkerSummary | None) -> dict[str, Any]:
    worker, model, load = status.worker, status.model, status.load
    told = {} if summary is None else {"share_percent": summary.share_percent, "notes": list(summary.notes)}
    told |= {} if summary is None else {"figures": asdict(summary.figures)}
    return (
        {
            "id": worker.id,
            "address": worker.address,
            "scheme": worker.scheme,
            "auth": worker.auth,
            "health": worker.health,
            "output": worker.output or None,
            "weight": worker.weight,
            "version": status.version,
            "boot": worker.boot,
            "ready": model.ready if model else None,
            "waiting_for": model.waiting_for if model else None,
            "leaving": model.leaving if model else None,
            "versions": [asdict(version) for version in model.versions] if model else None,
            "engine": model.engine if model else None,
            "in_flight": load.in_flight if load else None,
            "queue": load.queue if load else None,
            "answers": load.answers if load else None,
            "answers_per_s": None if status.per_s is None else round(status.per_s, 3),
            "error": status.error or None,
            "unreachable": status.unreachable or None,
        }
        | ({"denied": status.denied} if status.denied else {})
        | told
    )


def as_table(statuses: Sequence[ServiceStatus], *, width: int, lookups: Sequence[str] = (), wide: bool = False) -> str:
    """A heading and a table for each service, in lines of at most `width` (72 or more) columns.

    `wide`: with the workers' figures, in lines of up to WIDE columns where the terminal has fewer.
    At the end a warning of what is open to everybody: these lookup services, and workers.
    """
    if not statuses:
        return "no service is known: start a worker (p2p up), or may the token read none?\n"
    width = max(width, WIDE) if wide else width
    tables = ["\n".join(_service(status, width, wide=wide)) + "\n" for status in statuses]
    warning = exposure_warning([*lookups, *exposed_workers(statuses)])
    if warning:
        tables.append("\n".join(wrapped(visible(warning), width)) + "\n")
    return "\n".join(tables)


def _service(status: ServiceStatus, width: int, *, wide: bool) -> list[str]:
    lines = [shortened(_heading(status), width)]
    if status.summary.figures.clause:
        lines.append(f"  {status.summary.figures.clause}")
    if status.rollout is not None:
        lines += wrapped(f"  {visible(_rollout(status.rollout, told=status.summary.workers is not None))}", width)
    for note in status.summary.notes:
        lines += wrapped(f"  {visible(note)}", width)
    if status.workers:
        heads = _HEADS if status.summary.workers is None else tuple("share" if h == "weight" else h for h in _HEADS)
        rows = [heads, *(_cells(worker, status.summary_of(worker.worker)) for worker in status.workers)]
        if wide:
            summaries = (status.summary_of(worker.worker) for worker in status.workers)
            told = [FIGURES, *((summary.figures if summary else NO_FIGURES).cells for summary in summaries)]
            rows = [(*row, *more) for row, more in zip(rows, told, strict=True)]
        lines += aligned(rows, texts=_TEXTS, shrinking=_SHRINKING, width=width)
    for worker in status.workers:
        if worker.error:
            lines.append(shortened(f"  {worker.worker.address}: {visible(worker.error)}", width))
        summary = status.summary_of(worker.worker)
        sentences = () if summary is None else map(visible, summary.notes)
        for note in dict.fromkeys(
            (*sentences, *_notes(worker))
        ):  # a worker may say of itself what the summary says, too
            lines += wrapped(f"  {worker.worker.address}: {note}", width)
    for unusable in status.unusable:
        lines += wrapped(f"  {visible(unusable.id)} is left out: {visible(unusable.reason)}", width)
    return lines


def _heading(status: ServiceStatus) -> str:
    name = visible(status.name)
    if not status.workers and not status.unusable:
        return f"{name}: no worker to be seen: none is there, or the token may read none"
    serving = sum(worker.worker.healthy for worker in status.workers)
    heading = f"{name}: {serving} of {len(status.workers)} serving"
    if status.panic is not None and status.summary.workers is None:
        heading += f", panic mode ({status.panic.healthy} of {status.panic.total} are healthy: all are used)"
    versions = sorted({worker.version for worker in status.workers if worker.version})
    if versions:
        heading += f", version{'s' if len(versions) > 1 else ''} {visible(', '.join(versions))}"
    return f"{heading}, {'as of now' if status.age_s < 1 else f'not confirmed for {status.age_s:.0f} s'}"


def _rollout(rollout: Rollout, *, told: bool) -> str:
    """How calls are spread over versions; which of them lack a healthy worker, unless the summary has `told` it."""
    split = " ".join(f"{version}={weight}" for version, weight in rollout.split.items())
    shadows = " ".join(f"{version}={percent:g}%" for version, percent in rollout.shadows.items())
    text = f"split: {split or 'none'}{f'; shadows: {shadows}' if shadows else ''}"
    if told or not rollout.absent:
        return text
    others = ", ".join(rollout.shares) or "nobody"
    return f"{text}; warning: no healthy worker of version {', '.join(rollout.absent)}, whose calls go to {others}"


def _notes(status: WorkerStatus) -> Iterator[str]:
    """What there is to tell of a worker besides its row: why it is not asked, not ready, or not of another version."""
    worker, model = status.worker, status.model
    if status.denied:
        yield visible(status.denied)
    if status.unreachable:
        yield f"the lookup service cannot reach it: {visible(status.unreachable)}"
    for line in worker.output.splitlines():
        if line.strip():
            yield f"{visible(worker.health)}: {visible(line)}"
    if model is None:
        return
    for reason in model.waiting_for:
        yield f"waits: {visible(reason)}"
    for version in model.versions:
        if version.state != _SERVED:
            state = f"failed: {version.error}" if version.error else _STATES.get(version.state, version.state)
            yield visible(f"version {version.version} {state}")


def _cells(status: WorkerStatus, summary: WorkerSummary | None) -> tuple[str, ...]:
    """The cells of a worker's row; in place of the weight the share of the lookups, where that is told."""
    worker, model, load = status.worker, status.model, status.load
    answers = "-" if load is None else str(load.answers)
    if status.per_s is not None:
        answers += f" {status.per_s:.3g}/s"
    return (
        worker.address,
        _health(status),
        visible(status.version) or "-",
        str(worker.weight) if summary is None else f"{summary.share_percent:.3g}%",
        visible(model.engine) if model else "-",
        str(load.in_flight) if load else "-",
        str(load.queue) if load else "-",
        answers,
    )


def _health(status: WorkerStatus) -> str:
    """Consul's word, but for a worker that says more of itself, or nothing."""
    worker, model = status.worker, status.model
    if status.error:
        return "silent" if worker.health == "passing" else visible(_HEALTH.get(worker.health, worker.health))
    if model and model.leaving:
        return "leaving"
    if model and not model.ready and worker.health != "maintenance":
        return "loading"
    return visible(_HEALTH.get(worker.health, worker.health))
