"""Consul's catalog as this project sees it: register, keep alive, leave, and read who is there.

The only module that knows Consul's vocabulary; py-consul carries it. What comes in and goes out are the
plain values of `instance.py` and `trust.py`. The same calls go to a real agent and to the embedded one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import consul
from consul.base import Response

from registry.consul.entry_cache import Entries
from registry.consul.errors import ConsulRefused, ConsulUnavailable, Forgotten, TokenRefused
from registry.consul.instance import Health, Instance
from registry.consul.settings import ConsulSettings
from registry.consul.transport import Callback, ConsulClient
from registry.discovery.reconcile import Answer
from registry.runtime.errors import RegistryError

WAIT_S = 55.0
"""How long a blocking query waits: below the minute after which proxies tend to cut idle connections."""

FOLLOW_TIMEOUT_S = WAIT_S * 17 / 16 + 10
"""The server adds up to a sixteenth of jitter to the wait."""

CALL_TIMEOUT_S = 10.0
"""For everything that does not wait; a leaderless agent takes about 7 s to say so."""

LEADER_TIMEOUT_S = 3.0
"""A server answers from memory who leads; an agent that reaches none says so, or hangs."""

TAG = "p2p"
"""The tag of every service that this project registered: those the lookup service follows unasked."""


@dataclass(frozen=True, slots=True)
class Checks:
    """How Consul finds out whether a worker lives.

    `health_url` is fetched by the agent: 2xx passing, 429 warning, else critical. `ttl_s`, where given, adds
    a check that turns critical when no heartbeat came for so long.
    """

    health_url: str
    interval_s: float = 2.0
    timeout_s: float = 1.0
    failures_before_critical: int = 2
    ttl_s: float | None = 15.0
    reap_after_s: int = 60


class Catalog:
    """A connection to one Consul agent.

    Every method raises ConsulUnavailable when no usable answer came, ConsulRefused when Consul said no.
    """

    def __init__(self, settings: ConsulSettings, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.url = settings.url
        self._client = ConsulClient(settings, timeout_s=timeout_s)
        self._entries: dict[str, Entries[tuple[Instance, str]]] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def version(self) -> str:
        """What the agent says it is: its version."""
        about = await self._call(self._client.agent.self())
        return str(about["Config"]["Version"])

    async def datacenter(self) -> str:
        """The name of the agent's datacenter."""
        about = await self._call(self._client.agent.self())
        return str(about["Config"]["Datacenter"])

    async def agent_address(self) -> str:
        """The address that the agent advertises for its node, to which services without one belong."""
        about = await self._call(self._client.agent.self())
        return str(about["Member"]["Addr"])

    async def health(self, service: str, *, index: int = 0, wait_s: float = WAIT_S) -> Answer:
        """All instances of a service with their health; waits for a change when `index` is given."""
        params: list[tuple[str, Any]] = [("stale", "")]
        if index:
            params += [("index", index), ("wait", f"{max(1, int(wait_s * 1000))}ms")]
        entries = self._entries.get(service) or Entries(_instance)
        answer: Answer = await self._get(f"/v1/health/service/{service}", params, partial(_answer, entries))
        if answer.instances:
            self._entries[service] = entries
        else:
            self._entries.pop(service, None)
        return answer

    async def services(self, *, index: int = 0) -> tuple[int, Mapping[str, frozenset[str]]]:
        """Consul's index, and the tags of every service by name; waits for a change when `index` is given."""
        params: list[tuple[str, Any]] = [("stale", "")]
        if index:
            params += [("index", index), ("wait", f"{WAIT_S:.0f}s")]
        names: tuple[int, Mapping[str, frozenset[str]]] = await self._get("/v1/catalog/services", params, _services)
        return names

    async def has_leader(self) -> bool:
        """Whether the servers have a leader, as far as the agent can tell at once; never raises."""
        try:
            async with asyncio.timeout(LEADER_TIMEOUT_S):
                return bool(await self._call(self._client.status.leader()))
        except (TimeoutError, RegistryError):
            return False

    async def register(self, instance: Instance, checks: Checks) -> None:
        """Make the instance known, as passing: register only what is warm. Repeating it changes nothing."""
        tags = [TAG, *instance.tags]
        register = self._client.agent.service.register(
            instance.service,
            service_id=instance.id,
            address=instance.host,
            port=instance.port,
            tags=tags,
            meta={**instance.meta, "boot": instance.boot, "version": instance.version},
            weights={"Passing": instance.weight, "Warning": 1},
            check=_http_check(instance.id, checks),
            extra_checks=[_ttl_check(instance.id, checks.ttl_s)] if checks.ttl_s else [],
        )
        await self._call(register)

    async def deregister(self, instance_id: str) -> None:
        """Take the instance out; one that is not known is out already."""
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
        """Say that the instance is alive. Raises Forgotten where the agent does not know it (any more)."""
        if not await self._call(self._client.agent.check.ttl_pass(_ttl_id(instance_id), note or None)):
            raise Forgotten(f"Consul at {self.url} does not know {instance_id}.")

    async def silence(self, instance_id: str, *, note: str) -> None:
        """Say that the instance does not work, and why. Raises Forgotten as `heartbeat` does."""
        if not await self._call(self._client.agent.check.ttl_fail(_ttl_id(instance_id), note)):
            raise Forgotten(f"Consul at {self.url} does not know {instance_id}.")

    async def knows(self, instance_id: str, *, boot: str) -> bool:
        """Whether the agent holds this registration of this process."""
        entry = await self._get(f"/v1/agent/service/{instance_id}", [], _entry_or_none)
        return entry is not None and (entry.get("Meta") or {}).get("boot") == boot

    async def _get(self, path: str, params: list[tuple[str, Any]], callback: Callback) -> Any:
        headers = self._client.prepare_headers()
        return await self._call(self._client.http.get(callback, path, params, headers))

    async def _call(self, call: Any) -> Any:
        """Await a py-consul call; its errors become ours."""
        try:
            return await call
        except consul.NotFound as error:
            raise Forgotten(f"Consul at {self.url}: {error}") from error
        except (consul.ACLPermissionDenied, consul.exceptions.ACLDisabled) as error:
            raise TokenRefused(
                f"Consul at {self.url} refused: {_said(error)}. Give a token with the right to do this in "
                "CONSUL_HTTP_TOKEN."
            ) from error
        except (consul.exceptions.BadRequest, consul.exceptions.ClientError) as error:
            # 429 is Consul asking for patience, not a refusal.
            kind = ConsulUnavailable if str(error).startswith("429") else ConsulRefused
            raise kind(f"Consul at {self.url} refused: {_said(error)}.") from error
        except consul.ConsulException as error:
            if "nknown check" in str(error) or "does not have associated TTL" in str(error):
                raise Forgotten(f"Consul at {self.url}: {error}") from error
            raise ConsulUnavailable(f"Consul at {self.url} could not answer: {_said(error)}.") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConsulUnavailable(f"What answers at {self.url} does not speak as Consul: {error!r}.") from error


def _said(error: Exception) -> str:
    """Consul's words on one line, ready to be part of a sentence."""
    return " ".join(str(error).split()).rstrip(".")


def _http_check(instance_id: str, checks: Checks) -> dict[str, Any]:
    return {
        "CheckID": f"{instance_id}:http",
        "Name": "answers its health path",
        "HTTP": checks.health_url,
        "Interval": f"{checks.interval_s:g}s",
        "Timeout": f"{checks.timeout_s:g}s",
        "FailuresBeforeCritical": checks.failures_before_critical,
        "DeregisterCriticalServiceAfter": f"{checks.reap_after_s}s",
        "Status": "passing",
    }


def _ttl_check(instance_id: str, ttl_s: float) -> dict[str, Any]:
    return {
        "CheckID": _ttl_id(instance_id),
        "Name": "its prediction loop moves",
        "TTL": f"{ttl_s:g}s",
        "Status": "passing",
    }


def _ttl_id(instance_id: str) -> str:
    return f"{instance_id}:ttl"


def _answer(entries: Entries[tuple[Instance, str]], response: Response) -> Answer:
    """A 200 of /v1/health/service; nothing is read from any other status."""
    headers = response.headers
    instances: dict[str, Instance] = {}
    for instance, node in _read(response, entries.values):
        if instance.id in instances:  # ids are unique for an agent only, and a catalog has many
            instance = replace(instance, id=f"{instance.id}@{node}")
        if instance.port:  # a service without a port cannot be posted to
            instances[instance.id] = instance
    return Answer(
        index=_index(headers),
        instances=tuple(sorted(instances.values(), key=lambda i: i.id)),
        known_leader=headers.get("X-Consul-KnownLeader", "true") == "true",
        last_contact_ms=int(headers.get("X-Consul-LastContact", "0") or 0),
    )


def _services(response: Response) -> tuple[int, dict[str, frozenset[str]]]:
    names = _json(response)
    return _index(response.headers), {name: frozenset(tags) for name, tags in names.items()}


def _entry_or_none(response: Response) -> dict[str, Any] | None:
    return None if response.code == 404 else _json(response)


def _json(response: Response) -> Any:
    return _read(response, json.loads)


def _read(response: Response, read: Callable[[str], Any]) -> Any:
    """What `read` makes of the text of a 200; any other status is an error of py-consul's."""
    if response.code == 403:
        raise consul.ACLPermissionDenied(response.body)
    if response.code == 429 or response.code >= 500:
        raise consul.ConsulException(f"{response.code} {response.body[:200]}")
    if response.code != 200:
        raise consul.exceptions.BadRequest(f"{response.code} {response.body[:200]}")
    try:
        return read(response.body)
    except ValueError as error:
        raise consul.ConsulException(f"its answer is not JSON: {error}") from error


def _index(headers: Mapping[str, str]) -> int:
    """The header's integer: as a string "99" would be more than "100"."""
    try:
        return int(headers.get("X-Consul-Index", "0"))
    except ValueError as error:
        raise consul.ConsulException("its X-Consul-Index is not a number") from error


def _instance(entry: Mapping[str, Any]) -> tuple[Instance, str]:
    """An instance, and the name of the node that it runs on."""
    service = entry["Service"]
    meta = service.get("Meta") or {}
    health = _health(service["ID"], entry.get("Checks") or ())
    weights = service.get("Weights") or {}
    instance = Instance(
        service=service["Service"],
        id=service["ID"],
        host=service.get("Address") or entry["Node"]["Address"],
        port=service["Port"],
        weight=max(1, weights.get("Warning" if health is Health.WARNING else "Passing", 1)),
        version=meta.get("version", ""),
        tags=tuple(service.get("Tags") or ()),
        boot=meta.get("boot", ""),
        health=health,
        meta=meta,
    )
    return instance, str(entry["Node"]["Node"])


def _health(instance_id: str, checks: Any) -> Health:
    """The worst check; a maintenance check, the service's or its node's, is maintenance."""
    ids = {check["CheckID"] for check in checks}
    if "_node_maintenance" in ids or f"_service_maintenance:{instance_id}" in ids:
        return Health.MAINTENANCE
    states = {check["Status"] for check in checks}
    return next((h for h in (Health.CRITICAL, Health.WARNING) if h.value in states), Health.PASSING)
