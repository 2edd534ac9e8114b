"""The checks of workers in the catalogue, as plain values: which there are, and writes that lose to newer ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from consul.base import Response

from registry.backend.entry import maintenance_id
from registry.backend.registrar import LEAVING
from registry.backend.source import WAIT_S
from registry.consul.calls import awaited, read_json
from registry.consul.catalog import FOLLOW_TIMEOUT_S
from registry.consul.health_answer import read_index
from registry.consul.registration.catalog_names import NODE_META
from registry.consul.settings import ConsulSettings
from registry.consul.transport import ConsulClient
from registry.instances.instance import Health

OUR_NODES = ("node-meta", ":".join(*NODE_META.items()))


@dataclass(frozen=True, slots=True)
class CatalogCheck:
    """A check of a worker's health path, as the catalogue holds it; `index` changes with every write.

    `drained`: an operator has put the worker into maintenance.
    """

    node: str
    id: str
    service: str
    instance_id: str
    url: str
    status: Health
    output: str
    index: int
    entry: Mapping[str, Any]
    drained: bool = False


class CatalogChecks:
    """A connection to one Consul agent or server, through which the checks of our nodes are read and written.

    Every method raises ConsulUnavailable when no usable answer came, ConsulRefused when Consul said no.
    """

    def __init__(self, settings: ConsulSettings) -> None:
        self.url = settings.url
        self._client = ConsulClient(settings, timeout_s=FOLLOW_TIMEOUT_S)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def any_nodes(self, *, index: int = 0) -> tuple[int, bool]:
        """Consul's index, and whether a worker is registered in the catalogue; waits for a change of nodes."""
        index, nodes = await self._read("catalog/nodes", index)
        return index, bool(nodes)

    async def nodes(self) -> Sequence[str]:
        """The names of the nodes of workers in the catalogue."""
        _, nodes = await self._read("catalog/nodes", 0)
        return [node["Node"] for node in nodes]

    async def all(self, *, index: int = 0) -> tuple[int, Sequence[CatalogCheck]]:
        """Consul's index, and the checks of all workers in the catalogue; waits for a change."""
        index, entries = await self._read("health/state/any", index)
        drained = {entry["ServiceID"] for entry in entries if _is_of_operator(entry)}
        ours = [entry for entry in entries if (entry.get("Definition") or {}).get("HTTP")]
        return index, [_check(entry, drained=entry["ServiceID"] in drained) for entry in ours]

    async def write(self, check: CatalogCheck, status: Health, output: str) -> bool:
        """Write what a check found; False where the check has changed since it was read, or is gone."""
        entry = {**check.entry, "Status": status.value, "Output": output, "ModifyIndex": check.index}
        return await self._transact([{"Check": {"Verb": "cas", "Check": entry}}])

    async def remove(self, check: CatalogCheck) -> bool:
        """Remove the check's node with all that it holds; False where the check has changed since it was read."""
        unchanged = {"Verb": "delete-cas", "Check": {**check.entry, "ModifyIndex": check.index}}
        return await self._transact([{"Check": unchanged}, {"Node": {"Verb": "delete", "Node": {"Node": check.node}}}])

    async def _read(self, path: str, index: int) -> tuple[int, Sequence[Any]]:
        params: list[tuple[str, Any]] = [OUR_NODES, ("stale", "")]
        if index:
            params += [("index", index), ("wait", f"{WAIT_S:.0f}s")]
        headers = self._client.prepare_headers()
        found: tuple[int, Sequence[Any]] = await awaited(
            self._client.http.get(_indexed, f"/v1/{path}", params, headers), self.url
        )
        return found

    async def _transact(self, operations: Sequence[Mapping[str, Any]]) -> bool:
        headers = self._client.prepare_headers()
        call = self._client.http.put(_done, "/v1/txn", [], json.dumps(operations), headers)
        done: bool = await awaited(call, self.url)
        return done


def _is_of_operator(entry: Mapping[str, Any]) -> bool:
    return entry["CheckID"] == maintenance_id(entry["ServiceID"]) and entry.get("Notes") != LEAVING


def _check(entry: Mapping[str, Any], *, drained: bool) -> CatalogCheck:
    return CatalogCheck(
        node=entry["Node"],
        id=entry["CheckID"],
        service=entry["ServiceName"],
        instance_id=entry["ServiceID"],
        url=entry["Definition"]["HTTP"],
        status=Health(entry["Status"]),
        output=entry.get("Output") or "",
        index=entry["ModifyIndex"],
        entry=entry,
        drained=drained,
    )


def _indexed(response: Response) -> tuple[int, Sequence[Any]]:
    return read_index(response.headers), read_json(response)


def _done(response: Response) -> bool:
    if response.code == HTTPStatus.CONFLICT:
        return False
    read_json(response)
    return True
