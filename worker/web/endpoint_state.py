"""What a worker says of its own state: `/healthz` for Consul, `/readyz` for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from worker.repository.repository import Models
from worker.server.admin_routes import explain, waiting_for
from worker.web.routes import JSON, OPERATION, TEXT, Parameter, Route

_BOOT = Parameter("boot", "query", "string", "The process that is meant.")


@dataclass(slots=True)
class Presence:
    """What the outside may know of this process: who it is, whether it takes work, whether it is leaving."""

    boot: str
    ready: bool = False
    leaving: bool = False

    @property
    def taking(self) -> bool:
        """Whether requests are welcome."""
        return self.ready and not self.leaving


class Health:
    """Liveness for Consul, readiness for people; both of the model that the port is for."""

    def __init__(self, presence: Presence, models: Models) -> None:
        self._presence = presence
        self._models = models
        self._store = models.store(models.default)

    def routes(self) -> list[Route]:
        """Where they are asked for."""
        return [
            Route("GET", "/healthz", self.alive, tag=OPERATION, summary="Whether this process lives.",
                  answer={TEXT: str}, parameters=(_BOOT,), also={
                      409: "Another process is meant.", 429: "The queue is nearly full.", 503: "It is loading."}),
            Route("GET", "/readyz", self.ready, tag=OPERATION, summary="What is served, and how.",
                  answer={JSON: dict[str, Any]}, also={503: "Not ready, or leaving."}),
        ]  # fmt: skip

    async def alive(self, request: web.Request) -> web.Response:
        """`GET /healthz?boot=ID`: 200; 409 if another process is meant; 429 while the queue is nearly full.

        503 before the model is loaded. The bodies are constant: every change of a check's output would wake every
        watcher of the service.
        """
        boot = request.query.get("boot")
        if boot is not None and boot != self._presence.boot:
            return web.Response(status=409, text="another process\n")
        if not self._store.loaded:
            return web.Response(status=503, text="loading\n")
        return web.Response(status=429, text="busy\n") if self._store.crowded else web.Response(text="ok\n")

    async def ready(self, _: web.Request) -> web.Response:
        """`GET /readyz`: what is served and how, or what is waited for; 503 before all is warm and while leaving."""
        presence = self._presence
        reasons = waiting_for(self._store, answering=presence.ready, leaving=presence.leaving)
        body = {
            "ready": not reasons,
            "leaving": presence.leaving,
            "waiting_for": reasons,
            "boot": presence.boot,
            "model": self._models.default,
            "models": explain(self._models),
        }
        return web.json_response(body, status=503 if reasons else 200)
