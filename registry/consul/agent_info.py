"""Asks a Consul agent about itself: who takes part in its cluster, what time it is there, what a token may do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar, cast

from consul.base import Response

from registry.consul.calls import awaited, read_json
from registry.consul.right import Right
from registry.consul.settings import ConsulSettings
from registry.consul.transport import ConsulClient
from registry.instances.instance import TAG

TIMEOUT_S = 10.0
"""A leaderless agent takes about 7 s to answer."""

Found = TypeVar("Found")

_SERF_HEALTH = "serfHealth"
"""The check of a node that says whether its agent is alive."""

_LEFT = 3
"""The status of a member that has left in order (serf.StatusLeft)."""


@dataclass(frozen=True, slots=True)
class Member:
    """A node of the cluster as an agent sees it."""

    name: str
    address: str
    version: str


class AgentInfo:
    """A connection to one agent.

    Every method raises ConsulUnavailable when no usable answer came, ConsulRefused when Consul said no.
    """

    def __init__(self, settings: ConsulSettings) -> None:
        self.url = settings.url
        self._client = ConsulClient(settings, timeout_s=TIMEOUT_S)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def itself(self) -> Member:
        """The agent's own node: needs the right agent:read."""
        return await self._get("/v1/agent/self", _itself)

    async def members(self) -> Sequence[Member]:
        """The nodes that belong to the agent's cluster, as far as the token may see them (node:read)."""
        return await self._get("/v1/agent/members", _members)

    async def servers(self) -> Sequence[str]:
        """The addresses of the servers, without ports; any token may ask."""
        return await self._get("/v1/status/peers", _servers)

    async def leader(self) -> str:
        """The address of the server that leads; "" where none does. Any token may ask."""
        return await self._get("/v1/status/leader", str)

    async def time_s(self) -> float:
        """The agent's clock, in whole seconds since 1970, as the `Date` of its answers says."""

        def date(response: Response) -> float:
            read_json(response)
            return parsedate_to_datetime(response.headers["Date"]).timestamp()

        return await self._request("/v1/status/leader", date)

    async def lost_nodes(self) -> Mapping[str, Sequence[str]]:
        """The nodes whose agents have failed, with the ids of the services that this project registered there."""
        checks = await self._get("/v1/health/state/critical", list)
        names = sorted({str(check["Node"]) for check in checks if check.get("CheckID") == _SERF_HEALTH})
        return {name: await self._get(f"/v1/catalog/node/{name}", _our_services) for name in names}

    async def allowed(self, rights: Sequence[Right]) -> Mapping[Right, bool] | None:
        """Which of these rights the token has; None where the agent checks no tokens.

        Consul's own web page asks in the same way. Raises ConsulRefused, and TokenRefused for a token that Consul does
        not know.
        """
        asked = [{"Resource": r.resource, "Access": r.access, "Segment": r.segment} for r in rights]

        def read(response: Response) -> Mapping[Right, bool] | None:
            if response.code == 401 and "ACL support disabled" in response.body:
                return None
            return {right: bool(each["Allow"]) for right, each in zip(rights, read_json(response), strict=True)}

        headers = self._client.prepare_headers()
        call = self._client.http.post(read, "/v1/internal/acl/authorize", [], json.dumps(asked), headers)
        found: Mapping[Right, bool] | None = await awaited(call, self.url)
        return found

    async def _get(self, path: str, of: Callable[[Any], Found]) -> Found:
        """What `of` makes of the answer's JSON."""

        def read(response: Response) -> Found:
            return of(read_json(response))

        return cast(Found, await self._request(path, read))

    async def _request(self, path: str, read: Callable[[Response], Found]) -> Found:
        call = self._client.http.get(read, path, [], self._client.prepare_headers())
        return cast(Found, await awaited(call, self.url))


def _itself(about: Any) -> Member:
    return Member(str(about["Config"]["NodeName"]), str(about["Member"]["Addr"]), str(about["Config"]["Version"]))


def _members(found: Any) -> Sequence[Member]:
    return [_member(each) for each in found if each["Status"] != _LEFT]


def _member(entry: Mapping[str, Any]) -> Member:
    build = str((entry.get("Tags") or {}).get("build", ""))
    return Member(str(entry["Name"]), str(entry["Addr"]), build.partition(":")[0])


def _servers(found: Any) -> Sequence[str]:
    return [str(each).rpartition(":")[0].strip("[]") for each in found]


def _our_services(node: Any) -> Sequence[str]:
    services = (node or {}).get("Services") or {}
    return sorted(str(entry["ID"]) for entry in services.values() if TAG in (entry.get("Tags") or ()))
