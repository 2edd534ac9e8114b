"""Registers workers in Consul's catalogue itself, each under a node of its own, where no agent runs beside them.

From Consul 1.14 on its deployments on Kubernetes have no client agents: workers reach only the servers, and a service
that is registered at a server's agent is tied to that server. An agent removes from the catalogue what it does not
know, but only of its own node; a node that no agent stands for keeps its services until somebody removes it. The
checks of such a node are run by a lookup service (`registry.catalog_checks`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from consul.base import Response

from registry.backend.checks import Checks
from registry.backend.entry import maintenance_id, service_entry
from registry.backend.errors import Forgotten
from registry.backend.registrar import LEAVING
from registry.backend.source import CALL_TIMEOUT_S
from registry.consul.calls import awaited, read_json
from registry.consul.catalog import LONGEST_OUTPUT, Catalog
from registry.consul.errors import ConsulRefused
from registry.consul.registration.catalog_names import NODE_META, NODE_PREFIX
from registry.consul.settings import ConsulSettings
from registry.consul.transport import ConsulClient
from registry.instances.instance import Instance

_NO_LABEL = re.compile("[^A-Za-z0-9]+")


def node_of(instance_id: str) -> str:
    """The name of an instance's node, which is a DNS label for addresses of any form."""
    return f"{NODE_PREFIX}{_NO_LABEL.sub('-', instance_id).strip('-')}"


class CatalogRegistrar:
    """A connection to one Consul agent or server, through which a worker keeps its own node in the catalogue.

    The calls and their errors are those of `Registrar`. There are no times to live in the catalogue: a heartbeat
    reads whether the registration is there, and writes only where its check does not say passing.
    """

    product = "Consul"

    def __init__(self, settings: ConsulSettings) -> None:
        self.url = settings.url
        self._client = ConsulClient(settings, timeout_s=CALL_TIMEOUT_S)
        self._agent = Catalog(settings)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
        await self._agent.close()

    async def has_leader(self) -> bool:
        """Whether the servers have a leader, as far as can be told at once; never raises."""
        return await self._agent.has_leader()

    async def register(self, instance: Instance, checks: Checks) -> None:
        """Register the node, the instance and its checks; of one that this process registered, only the instance.

        So the checks keep their state when a version or a tag changes.
        """
        if checks.health_url is None or checks.tls_server_name:
            raise ConsulRefused(
                "A worker in the catalogue is checked by a lookup service, at the address that it registers: leave out "
                "--no-agent-check and --agent-check-name, or register at an agent."
            )
        entry: dict[str, Any] = {
            "Node": node_of(instance.id),
            "Address": instance.host,
            "NodeMeta": NODE_META,
            "Service": service_entry(instance),
        }
        if not await self.knows(instance.id, boot=instance.boot):
            await self._end_earlier_leaving(instance.id)
            entry["Checks"] = _checks(instance, checks.health_url, heartbeats=checks.ttl_s is not None)
        await self._put("catalog/register", entry)

    async def deregister(self, instance_id: str) -> None:
        """Remove the instance's node with all that it holds, if it is there."""
        await self._put("catalog/deregister", {"Node": node_of(instance_id)})

    async def maintenance(self, instance_id: str, *, enable: bool, reason: str = "") -> None:
        """Put the instance into or out of maintenance, by the check that an agent would write.

        A worker that leaves does not replace the reason of an operator: the next process at its address would take the
        maintenance for the worker's own, and end it.
        """
        check_id = maintenance_id(instance_id)
        in_maintenance = check_id in await self._known_checks(instance_id)
        if enable and not (in_maintenance and reason == LEAVING):
            await self._write_check(instance_id, check_id, "Service Maintenance Mode", "critical", notes=reason)
        elif in_maintenance and not enable:
            await self._put("catalog/deregister", {"Node": node_of(instance_id), "CheckID": check_id})

    async def heartbeat(self, instance_id: str, *, note: str = "") -> None:
        """Report that the instance works."""
        await self._report(instance_id, "passing", note)

    async def silence(self, instance_id: str, *, note: str) -> None:
        """Report that the instance does not work, and why."""
        await self._report(instance_id, "critical", note)

    async def knows(self, instance_id: str, *, boot: str) -> bool:
        """Whether the catalogue holds the registration of the process with boot id `boot`."""
        node = await self._get(f"catalog/node/{node_of(instance_id)}")
        service = ((node or {}).get("Services") or {}).get(instance_id)
        return service is not None and (service.get("Meta") or {}).get("boot") == boot

    async def failing_check(self, instance_id: str) -> str | None:
        """What the lookup service's check of the instance found, where it is critical; None where it is not."""
        check = (await self._checks(instance_id)).get(_http_id(instance_id)) or {}
        output = " ".join(str(check.get("Output") or "no reason given").split())
        return output[:LONGEST_OUTPUT] if check.get("Status") == "critical" else None

    async def _end_earlier_leaving(self, instance_id: str) -> None:
        """End the maintenance of a process that left from the same address and was killed before it deregistered."""
        left = (await self._checks(instance_id)).get(maintenance_id(instance_id)) or {}
        if left.get("Notes") == LEAVING:
            await self.maintenance(instance_id, enable=False)

    async def _report(self, instance_id: str, status: str, note: str) -> None:
        check_id = _loop_id(instance_id)
        check = (await self._known_checks(instance_id)).get(check_id) or {}
        if check.get("Status") != status:
            await self._write_check(instance_id, check_id, _LOOP_NAME, status, output=note)

    async def _known_checks(self, instance_id: str) -> Mapping[str, Mapping[str, Any]]:
        checks = await self._checks(instance_id)
        if not checks:
            raise Forgotten(f"Consul at {self.url} does not know {instance_id}.")
        return checks

    async def _checks(self, instance_id: str) -> Mapping[str, Mapping[str, Any]]:
        """The instance's checks by id."""
        found = await self._get(f"health/node/{node_of(instance_id)}")
        return {check["CheckID"]: check for check in found or () if check.get("ServiceID") == instance_id}

    async def _write_check(
        self, instance_id: str, check_id: str, name: str, status: str, *, notes: str = "", output: str = ""
    ) -> None:
        check = {"CheckID": check_id, "Name": name, "Status": status, "Notes": notes, "Output": output}
        entry = {"Node": node_of(instance_id), "SkipNodeUpdate": True, "Check": check | {"ServiceID": instance_id}}
        await self._put("catalog/register", entry)

    async def _get(self, path: str) -> Any:
        headers = self._client.prepare_headers()
        # Consistent with the leader: a follower that is behind would make a worker register again that need not.
        return await awaited(self._client.http.get(_found, f"/v1/{path}", [], headers), self.url)

    async def _put(self, path: str, entry: Mapping[str, Any]) -> None:
        headers = self._client.prepare_headers()
        await awaited(self._client.http.put(read_json, f"/v1/{path}", [], json.dumps(entry), headers), self.url)


_LOOP_NAME = "its prediction loop moves"


def _checks(instance: Instance, health_url: str, *, heartbeats: bool) -> list[dict[str, Any]]:
    passing = {"Status": "passing", "ServiceID": instance.id}
    definition = {"HTTP": health_url, "Interval": "2s", "Timeout": "1s"}
    found = [passing | {"CheckID": _http_id(instance.id), "Name": "answers its health path", "Definition": definition}]
    return [*found, passing | {"CheckID": _loop_id(instance.id), "Name": _LOOP_NAME}] if heartbeats else found


def _http_id(instance_id: str) -> str:
    return f"{instance_id}:http"


def _loop_id(instance_id: str) -> str:
    return f"{instance_id}:loop"


def _found(response: Response) -> Any:
    return None if response.code == 404 else read_json(response)
