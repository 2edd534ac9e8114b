"""What `/readyz` says: which models and versions there are, how each is, and what is being waited for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.inference.predictor import Predictor
from worker.repository.model_versions import Store
from worker.repository.repository import Models


def explain(models: Models) -> dict[str, Any]:
    """All models by name, as JSON takes it."""
    return {name: _model(models.store(name)) for name in models.names}


def waiting_for(store: Store, *, answering: bool, leaving: bool) -> Sequence[str]:
    """Why a worker is not ready: sentences, none if it is. `answering` says that it has taken its place."""
    if leaving:
        return ["It is leaving: it finishes what it has begun and ends."]
    states = {status.version: status.state for status in store.statuses()}
    if not store.loaded:
        coming = [f"version {v} is being {'copied' if s == 'START' else 'loaded'}" for v, s in states.items()]
        return [f"The model {store.name} is not loaded yet{': ' if coming else ''}{', '.join(coming)}."]
    return [] if answering else ["The other models of this worker are not loaded yet."]


def _model(store: Store) -> dict[str, Any]:
    loaded, labels = store.loaded, store.labels
    versions = [
        {"version": status.version, "state": status.state}
        | ({"error": status.error} if status.error else {})
        | (_version(loaded[status.version]) if status.version in loaded else {})
        for status in store.statuses()
    ]
    return {"policy": str(store.policy), "default": labels.get("stable"), "labels": labels, "versions": versions}


def _version(predictor: Predictor) -> dict[str, Any]:
    batcher = predictor.batcher
    described = {key: value for key, value in predictor.model.describe().items() if key not in ("name", "version")}
    streams = batcher.pace.streams
    caps = {"batch_cap": batcher.pace.cap, "streams": streams.count if streams else 1}
    return described | caps | {"queue": batcher.depth, "running": batcher.running}
