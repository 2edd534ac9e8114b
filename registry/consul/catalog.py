"""The calls to a Consul agent: register, heartbeat, deregister, and read which instances there are.

py-consul carries them. Arguments and results are the plain values of `instance` and `health_answer`. The same calls
work with a real agent and with the embedded one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from consul.base import Response

from registry.backend.checks import Checks
from registry.backend.coordinate import Coordinate, read_coordinates
from registry.backend.entry import ReadEntry, read_entry
from registry.backend.errors import Forgotten
from registry.backend.health_answer import HealthAnswer
from registry.backend.source import CALL_TIMEOUT_S, WAIT_S
from registry.consul.calls import MALFORMED, awaited, read_json, read_text
from registry.consul.entry_cache import EntryCache
from registry.consul.errors import ConsulRefused
from registry.consul.health_answer import health_answer, read_index
from registry.consul.settings import ConsulSettings
from registry.consul.transport import Callback, ConsulClient
from registry.instances.instance import TAG, Instance
from registry.runtime.errors import RegistryError

FOLLOW_TIMEOUT_S = WAIT_S * 17 / 16 + 10
"""The server adds up to a sixteenth of jitter to the wait."""

ENTRIES_KEPT_AT_MOST = 256
"""Services whose entries are kept parsed, those of the latest answers: more than are followed at a time."""

LEADER_TIMEOUT_S = 3.0
"""A server answers from memory which one leads; an agent that reaches no server says so, or hangs."""

LONGEST_OUTPUT = 300
"""Characters of a check's output in a log line."""


SERVICES_UNREADABLE = "Consul may be hiding them, the token in CONSUL_HTTP_TOKEN needs service:read and node:read"
NODES_UNREADABLE = "Consul lists it and shows none, the token in CONSUL_HTTP_TOKEN needs node:read, too"


class Catalog:
    """A connection to one Consul agent.

    Every method raises ConsulUnavailable when no usable answer came, ConsulRefused when Consul said no. Health and
    services are those of the datacenter that `settings` name, else of the agent's own.
    """

    product = "Consul"
    own_services = frozenset({"consul"})

    def __init__(self, settings: ConsulSettings, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.url = settings.url
        self._client = ConsulClient(settings, timeout_s=timeout_s)
        self._entries: dict[str, EntryCache[ReadEntry]] = {}
        self._datacenter: list[tuple[str, Any]] = [("dc", settings.datacenter)] if settings.datacenter else []

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def version(self) -> str:
        """The agent's version."""
        return await self._about_agent("Config", "Version")

    async def datacenter(self) -> str:
        """The name of the agent's datacenter."""
        return await self._about_agent("Config", "Datacenter")

    async def node_name(self) -> str:
        """The name of the agent's node."""
        return await self._about_agent("Config", "NodeName")

    async def agent_address(self) -> str:
        """The address of the agent's node, which is that of services without an address of their own."""
        return await self._about_agent("Member", "Addr")

    async def health(self, service: str, *, index: int = 0, wait_s: float = WAIT_S) -> HealthAnswer:
        """All instances of a service with their health; waits for a change when `index` is given."""
        params = [("stale", ""), *self._datacenter]
        if index:
            params += [("index", index), ("wait", f"{max(1, int(wait_s * 1000))}ms")]
        entries = self._entries.pop(service, None) or EntryCache(read_entry)
        answer: HealthAnswer = await self._get(
            f"/v1/health/service/{service}", params, partial(_health_answer, entries)
        )
        if answer.instances or answer.unusable:
            self._entries[service] = entries
            if len(self._entries) > ENTRIES_KEPT_AT_MOST:
                del self._entries[next(iter(self._entries))]
        return answer

    async def services(self, *, index: int = 0) -> tuple[int, Mapping[str, frozenset[str]]]:
        """Consul's index, and the tags of every service by name; waits for a change when `index` is given."""
        params = [("stale", ""), *self._datacenter]
        if index:
            params += [("index", index), ("wait", f"{WAIT_S:.0f}s")]
        names: tuple[int, Mapping[str, frozenset[str]]] = await self._get("/v1/catalog/services", params, _services)
        return names

    async def datacenters(self) -> list[str]:
        """The names of all datacenters, this one too, the nearest first."""
        return list(await self._get("/v1/catalog/datacenters", [], read_json))

    async def coordinates(self) -> Mapping[str, Coordinate]:
        """The network coordinates of this datacenter's nodes, by name."""
        found: Mapping[str, Coordinate] = await self._get("/v1/coordinate/nodes", [("stale", "")], _coordinates)
        return found

    async def has_leader(self) -> bool:
        """Whether the servers have a leader, as far as the agent can tell at once; never raises."""
        try:
            async with asyncio.timeout(LEADER_TIMEOUT_S):
                return bool(await self._call(self._client.status.leader()))
        except (TimeoutError, RegistryError):
            return False

    def hint(self, *, listed: bool, complete: bool) -> str:
        """Why a service may have no instances for us; "" if nothing is known."""
        if listed:
            return NODES_UNREADABLE
        return "" if complete else SERVICES_UNREADABLE

    async def register(self, instance: Instance, checks: Checks) -> None:
        """Register the instance as passing, so only once it is warm. Repeating the call changes nothing."""
        tags = [TAG, *instance.tags]
        first, *others = _checks(instance.id, checks)
        register = self._client.agent.service.register(
            instance.service,
            service_id=instance.id,
            address=instance.host,
            port=instance.port,
            tags=tags,
            meta={**instance.meta, "boot": instance.boot, "version": instance.version},
            weights={"Passing": instance.weight, "Warning": 1},
            check=first,
            extra_checks=others,
        )
        if not await self._call(register):  # a status that Consul does not answer here, such as 405
            raise ConsulRefused(
                f"What answers at {self.url} is not Consul: it registers nothing. Name the agent's address with "
                "--consul or in CONSUL_HTTP_ADDR."
            )

    async def deregister(self, instance_id: str) -> None:
        """Deregister the instance; one that the agent does not know is deregistered already."""
        try:
            await self._call(self._client.agent.service.deregister(instance_id))
        except Forgotten:
            return

    async def maintenance(self, instance_id: str, *, enable: bool, reason: str = "") -> None:
        """Put the instance into or out of maintenance. Raises Forgotten for an unknown one."""
        call = self._client.agent.service.maintenance(instance_id, enable, reason or None)
        if not await self._call(call):
            raise Forgotten(f"Consul at {self.url} does not know {instance_id}.")

    async def heartbeat(self, instance_id: str, *, note: str = "") -> None:
        """Report that the instance works. Raises Forgotten where the agent does not know it (any more)."""
        if not await self._call(self._client.agent.check.ttl_pass(_ttl_id(instance_id), note or None)):
            raise Forgotten(f"Consul at {self.url} does not know {instance_id}.")

    async def silence(self, instance_id: str, *, note: str) -> None:
        """Report that the instance does not work, and why. Raises Forgotten as `heartbeat` does."""
        if not await self._call(self._client.agent.check.ttl_fail(_ttl_id(instance_id), note)):
            raise Forgotten(f"Consul at {self.url} does not know {instance_id}.")

    async def knows(self, instance_id: str, *, boot: str) -> bool:
        """Whether the agent holds the registration of the process with boot id `boot`."""
        entry = await self._get(f"/v1/agent/service/{instance_id}", [], _entry_or_none)
        return entry is not None and (entry.get("Meta") or {}).get("boot") == boot

    async def failing_check(self, instance_id: str) -> str | None:
        """What Consul's own check of the instance found, on one line, where it is critical; None where it is not."""
        checks = await self._get("/v1/agent/checks", [("filter", f'ServiceID == "{instance_id}"')], read_json)
        check = checks.get(_http_id(instance_id)) or {}
        output = " ".join(str(check.get("Output") or "no reason given").split())
        return output[:LONGEST_OUTPUT] if check.get("Status") == "critical" else None

    async def _about_agent(self, part: str, name: str) -> str:
        """A field of what the agent says of itself; py-consul's own call for it sends no token."""
        stranger = ConsulRefused(f"What answers at {self.url} is not Consul: /v1/agent/self says nothing.")

        def read(response: Response) -> Any:
            if response.code == HTTPStatus.NOT_FOUND:
                raise stranger
            return read_json(response)

        try:
            return str((await self._get("/v1/agent/self", [], read))[part][name])
        except MALFORMED as error:
            raise stranger from error

    async def _get(self, path: str, params: list[tuple[str, Any]], callback: Callback) -> Any:
        headers = self._client.prepare_headers()
        return await self._call(self._client.http.get(callback, path, params, headers))

    async def _call(self, call: Any) -> Any:
        return await awaited(call, self.url)


def _checks(instance_id: str, checks: Checks) -> list[dict[str, Any]]:
    """The checks as Consul takes them: one at least."""
    found = [] if checks.health_url is None else [_http_check(instance_id, checks.health_url, checks)]
    if checks.ttl_s:
        found.append(_ttl_check(instance_id, checks.ttl_s))
    return [found[0] | {"DeregisterCriticalServiceAfter": f"{checks.reap_after_s}s"}, *found[1:]]


def _http_check(instance_id: str, url: str, checks: Checks) -> dict[str, Any]:
    server_name = {"TLSServerName": checks.tls_server_name} if checks.tls_server_name else {}
    return server_name | {
        "CheckID": _http_id(instance_id),
        "Name": "answers its health path",
        "HTTP": url,
        "Interval": f"{checks.interval_s:g}s",
        "Timeout": f"{checks.timeout_s:g}s",
        "FailuresBeforeCritical": checks.failures_before_critical,
        "Status": "passing",
    }


def _ttl_check(instance_id: str, ttl_s: float) -> dict[str, Any]:
    return {
        "CheckID": _ttl_id(instance_id),
        "Name": "its prediction loop moves",
        "TTL": f"{ttl_s:g}s",
        "Status": "passing",
    }


def _http_id(instance_id: str) -> str:
    return f"{instance_id}:http"


def _ttl_id(instance_id: str) -> str:
    return f"{instance_id}:ttl"


def _health_answer(entries: EntryCache[ReadEntry], response: Response) -> HealthAnswer:
    return health_answer(response.headers, read_text(response, entries.values))


def _services(response: Response) -> tuple[int, dict[str, frozenset[str]]]:
    names = read_json(response)
    return read_index(response.headers), {name: frozenset(tags or ()) for name, tags in names.items()}


def _coordinates(response: Response) -> dict[str, Coordinate]:
    return read_coordinates(read_json(response) if response.code != 404 else [])


def _entry_or_none(response: Response) -> dict[str, Any] | None:
    return None if response.code == 404 else read_json(response)
