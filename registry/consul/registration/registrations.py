"""Which registrations there are, and where each is kept: what an operator's commands need to know.

Only the agent that keeps a registration can put it into maintenance: the agent's next synchronisation removes what
others have written about it into the catalogue. No agent keeps the registrations on nodes of our own in the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consul.base import Response

from registry.consul.calls import awaited, read_json
from registry.consul.catalog import CALL_TIMEOUT_S, TAG
from registry.consul.registration.catalog_names import NODE_META
from registry.consul.settings import ConsulSettings
from registry.consul.transport import ConsulClient
from registry.instances.instance import RegisterAt
from registry.runtime.address import host_port

_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


@dataclass(frozen=True, slots=True)
class Registered:
    """One registration: its id and address, and the node that it is on, with the node's address.

    `place`: whether the node's agent keeps it, or the catalogue itself.
    """

    id: str
    service: str
    host: str
    port: int
    node: str = ""
    node_address: str = ""
    place: RegisterAt = RegisterAt.AGENT

    @property
    def address(self) -> str:
        """`host:port`."""
        return host_port(self.host, self.port)


class Registrations:
    """Asks one agent. Every method raises ConsulUnavailable or ConsulRefused."""

    def __init__(self, settings: ConsulSettings) -> None:
        self.url = settings.url
        self._client = ConsulClient(settings, timeout_s=CALL_TIMEOUT_S)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def of_agent(self) -> list[Registered]:
        """The registrations that this agent keeps."""
        found: list[Registered] = await self._get("/v1/agent/services", _agents)
        return found

    async def of_datacenter(self) -> list[Registered]:
        """The registrations of this project's services, wherever they are kept."""
        tags: Mapping[str, Sequence[str]] = await self._get("/v1/catalog/services", read_json)
        ours = [name for name, of_service in tags.items() if TAG in of_service]
        return [found for name in ours for found in await self._get(f"/v1/catalog/service/{name}", _catalogued)]

    async def _get(self, path: str, read: Any) -> Any:
        headers = self._client.prepare_headers()
        return await awaited(self._client.http.get(read, path, [("stale", "")], headers), self.url)


def named(registered: Iterable[Registered], text: str) -> list[Registered]:
    """The registrations that an operator means by an id or an address; localhost means every loopback address."""
    found = list(registered)
    return [each for each in found if each.id == text] or [each for each in found if text in _spellings(each)]


def _spellings(registered: Registered) -> set[str]:
    hosts = _LOOPBACK if registered.host in _LOOPBACK else {registered.host}
    return {host_port(host, registered.port) for host in hosts}


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
