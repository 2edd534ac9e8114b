"""What answers for each name of a worker: the versions of a model, or a cascade."""

from __future__ import annotations

from worker.batching.core_scheduler import CoreScheduler
from worker.cascade.served import ServedCascade
from worker.repository.loader import WorkerThreads
from worker.repository.model_versions import ModelVersions
from worker.server.app import SharedState
from worker.settings import WorkerSettings


def served_models(
    settings: WorkerSettings, shared: SharedState, threads: WorkerThreads, scheduler: CoreScheduler
) -> list[ModelVersions | ServedCascade]:
    """What answers for each name: a model's versions, or a cascade for the first."""
    numbers, requests = shared.metrics, shared.requests
    served: list[ModelVersions | ServedCascade] = [
        ModelVersions(each, settings, threads=threads, scheduler=scheduler, numbers=numbers, requests=requests)
        for each in settings.models
    ]
    if settings.cascade is not None:
        served[0] = ServedCascade(
            settings.cascade,
            settings,
            threads=threads,
            scheduler=scheduler,
            numbers=numbers,
            requests=requests,
            tracing=shared.tracing,
        )
    return served
