"""The registrations in Consul, and where each is kept, for an operator's commands.

Only the agent that keeps a registration can put it into maintenance: the agent's next synchronisation removes what
others have written about it into the catalogue. No agent keeps the registrations on nodes of our own in the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from consul.base import Response

from registry.backend.registrations import Registered
from registry.backend.source import CALL_TIMEOUT_S
from registry.consul.calls import awaited, read_json
from registry.consul.catalog import Catalog
from registry.consul.registration.catalog_names import NODE_META
from registry.consul.registration.catalog_registrar import CatalogRegistrar
from registry.consul.settings import ConsulSettings
from registry.consul.transport import ConsulClient
from registry.instances.instance import TAG, RegisterAt


class AgentRegistrations:
    """Asks one agent. Every method raises ConsulUnavailable or ConsulRefused."""

    def __init__(self, settings: ConsulSettings) -> None:
        self.url = settings.url
        self._client = ConsulClient(settings, timeout_s=CALL_TIMEOUT_S)
        self._agent = Catalog(settings)
        self._catalogue = CatalogRegistrar(settings)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
        await self._agent.close()
        await self._catalogue.close()

    async def changeable(self) -> list[Registered]:
        """The registrations that this agent keeps."""
        found: list[Registered] = await self._get("/v1/agent/services", _agents)
        return found

    async def known(self) -> list[Registered]:
        """The registrations of this project's services, wherever they are kept."""
        tags: Mapping[str, Sequence[str]] = await self._get("/v1/catalog/services", read_json)
        ours = [name for name, of_service in tags.items() if TAG in of_service]
        return [found for name in ours for found in await self._get(f"/v1/catalog/service/{name}", _catalogued)]

    async def maintenance(self, registered: Registered, *, enable: bool, reason: str = "") -> None:
        """Put a registration of this agent, or of the catalogue, into or out of maintenance. Raises Forgotten."""
        keeper = self._catalogue if registered.place is RegisterAt.CATALOG else self._agent
        await keeper.maintenance(registered.id, enable=enable, reason=reason)

    async def _get(self, path: str, read: Any) -> Any:
        headers = self._client.prepare_headers()
        return await awaited(self._client.http.get(read, path, [("stale", "")], headers), self.url)


def _agents(response: Response) -> list[Registered]:
    return [
        Registered(entry["ID"], entry["Service"], entry.get("Address") or "", int(entry.get("Port") or 0))
        for entry in read_json(response).values()
    ]


def _catalogued(response: Response) -> list[Registered]:
    return [
        Registered(
            entry["ServiceID"],
            entry["ServiceName"],
            entry.get("ServiceAddress") or entry["Address"],
            int(entry.get("ServicePort") or 0),
            entry["Node"],
            entry["Address"],
            RegisterAt.CATALOG if NODE_META.items() <= (entry.get("NodeMeta") or {}).items() else RegisterAt.AGENT,
        )
        for entry in read_json(response)
    ]
