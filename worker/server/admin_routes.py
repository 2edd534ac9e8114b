"""The paths about the worker itself: `/healthz` for Consul, `/readyz` for people, `/metrics` for Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from registry.runtime.exposition import content_type, wants_openmetrics
from worker.repository.repository import ModelRepository
from worker.repository.served_model import ServedModel
from worker.telemetry.metrics import WorkerMetrics
from worker.web.access.port_access import PortAccess
from worker.web.endpoint_state import EndpointState
from worker.web.routes import JSON, OPERATION, TEXT, Parameter, Route

_BOOT = Parameter("boot", "query", "string", "The process that is meant.")


class AdminRoutes:
    """Liveness and readiness of the model that the port is for, and the metrics of the whole worker."""

    def __init__(
        self,
        state: EndpointState,
        models: ModelRepository,
        metrics: WorkerMetrics,
        access: PortAccess,
    ) -> None:
        self._state = state
        self._models = models
        self._store = models.versions(models.default)
        self._metrics = metrics
        self._access = access

    def routes(self) -> list[Route]:
        """The three paths."""
        return [
            Route("GET", "/healthz", self.alive, tag=OPERATION, summary="Whether this process lives.",
                  answer={TEXT: str}, parameters=(_BOOT,), also={
                      409: "Another process is meant.", 429: "The queue is nearly full.", 503: "It is loading."}),
            Route("GET", "/readyz", self.ready, tag=OPERATION, summary="What is served, and how.",
                  answer={JSON: dict[str, Any]}, also={503: "Not ready, or leaving."}),
            Route("GET", "/metrics", self.metrics, tag=OPERATION, summary="Prometheus text.", answer={TEXT: str}),
        ]  # fmt: skip

    async def alive(self, request: web.Request) -> web.Response:
        """`GET /healthz?boot=ID`: 200; 409 for another process's boot id; 429 while the queue is nearly full.

        503 before the model is loaded, and while the process of a Python model is started again. The bodies are
        constant, because every change of a check's output would wake every watcher of the service.
        """
        boot = request.query.get("boot")
        if boot is not None and boot != self._state.boot:
            return web.Response(status=409, text="another process\n")
        if not self._store.loaded:
            return web.Response(status=503, text="loading\n")
        if self._store.trouble is not None:
            return web.Response(status=503, text="starting a model again\n")
        return web.Response(status=429, text="busy\n") if self._store.crowded else web.Response(text="ok\n")

    async def ready(self, request: web.Request) -> web.Response:
        """`GET /readyz`: what is served and how; 503, with the reasons, before all is warm and while leaving.

        Where tickets or tokens are asked for, a request without one is told only whether the worker is ready.
        """
        state = self._state
        reasons = reasons_not_ready(self._store, ready=state.ready, leaving=state.leaving)
        status = 503 if reasons else 200
        if not self._access.tells_details(request):
            return web.json_response({"ready": not reasons}, status=status)
        body = {
            "ready": not reasons,
            "leaving": state.leaving,
            "waiting_for": reasons,
            "boot": state.boot,
            "model": self._models.default,
            "models": {name: _model(self._models.versions(name)) for name in self._models.names},
        }
        return web.json_response(body, status=status)

    async def metrics(self, request: web.Request) -> web.Response:
        """`GET /metrics`: all metrics as Prometheus text, or as OpenMetrics where `Accept` asks for it."""
        openmetrics = wants_openmetrics(request.headers.get("Accept", ""))
        body = self._metrics.text(openmetrics=openmetrics)
        return web.Response(body=body, headers={"Content-Type": content_type(openmetrics=openmetrics)})


def reasons_not_ready(store: ServedModel, *, ready: bool, leaving: bool) -> Sequence[str]:
    """Sentences that say why a worker is not ready; none if it is. `ready` says that all its models are loaded."""
    if leaving:
        return ["It is leaving: it finishes what it has begun and ends."]
    states = {status.version: status.state for status in store.statuses()}
    if not store.loaded:
        coming = [f"version {v} is being {'copied' if s == 'START' else 'loaded'}" for v, s in states.items()]
        return [f"The model {store.name} is not loaded yet{': ' if coming else ''}{', '.join(coming)}."]
    if store.trouble is not None:
        return [store.trouble]
    return [] if ready else ["The other models of this worker are not loaded yet."]


def _model(store: ServedModel) -> dict[str, Any]:
    """One model's versions, as JSON takes them."""
    loaded, labels = store.loaded, store.labels
    versions = [
        {"version": status.version, "state": status.state}
        | ({"error": status.error} if status.error else {})
        | (loaded[status.version].describe() if status.version in loaded else {})
        for status in store.statuses()
    ]
    return {"policy": str(store.policy), "default": labels.get("stable"), "labels": labels, "versions": versions}
