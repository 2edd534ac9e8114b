"""Which handler takes which path and method, as in Consul's router: a path ending in "/" takes all below it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from registry.agent.agent import Agent
from registry.agent.api.agent import AgentApi
from registry.agent.api.blocking_query import Reads
from registry.agent.api.catalog import CatalogApi
from registry.agent.api.kv import KeyApi
from registry.agent.api.message import Answer, Call, Respond, text_answer
from registry.agent.errors import Refusal
from registry.agent.state.records import Status

Routes = Mapping[str, Mapping[str, Respond]]
"""Handlers by path and method."""

# Consul has these; a client that finds nothing there should learn why.
_NOT_HERE = (
    "/v1/acl/", "/v1/agent/host", "/v1/agent/join/", "/v1/agent/leave", "/v1/agent/metrics", "/v1/agent/monitor",
    "/v1/agent/reload", "/v1/agent/token/", "/v1/catalog/deregister", "/v1/catalog/register", "/v1/config",
    "/v1/connect/", "/v1/coordinate/", "/v1/event/", "/v1/operator/", "/v1/query", "/v1/session/", "/v1/snapshot",
    "/v1/txn",
)  # fmt: skip


def routes(agent: Agent) -> Routes:
    """Every path and its handlers by method."""
    reads = Reads(agent.store.changes, agent.store.node)
    mine, catalog, keys = AgentApi(agent), CatalogApi(agent, reads), KeyApi(agent.keys, reads)
    reading: dict[str, Respond] = {"/": _greet, **_agent_reads(mine), **_catalog_reads(catalog)}
    found: dict[str, dict[str, Respond]] = {path: {"GET": handler} for path, handler in reading.items()}
    found.update({path: {"PUT": handler} for path, handler in _writes(mine).items()})
    found["/v1/kv/"] = {"GET": keys.get, "PUT": keys.put, "DELETE": keys.delete}
    found.update({path: dict.fromkeys(("GET", "PUT", "POST", "DELETE"), _explain) for path in _NOT_HERE})
    return found


def _agent_reads(mine: AgentApi) -> dict[str, Respond]:
    return {
        "/v1/agent/self": mine.self,
        "/v1/agent/members": mine.members,
        "/v1/agent/services": mine.services,
        "/v1/agent/service/": mine.service,
        "/v1/agent/checks": mine.checks,
        "/v1/agent/health/service/id/": mine.health_by_id,
        "/v1/agent/health/service/name/": mine.health_by_name,
    }


def _catalog_reads(catalog: CatalogApi) -> dict[str, Respond]:
    return {
        "/v1/catalog/datacenters": catalog.datacenters,
        "/v1/catalog/nodes": catalog.catalog_nodes,
        "/v1/catalog/node/": catalog.catalog_node,
        "/v1/catalog/node-services/": catalog.catalog_node_services,
        "/v1/catalog/services": catalog.catalog_services,
        "/v1/catalog/service/": catalog.catalog_service,
        "/v1/health/service/": catalog.health_service,
        "/v1/health/checks/": catalog.health_checks,
        "/v1/health/node/": catalog.health_node,
        "/v1/health/state/": catalog.health_state,
        "/v1/status/leader": catalog.leader,
        "/v1/status/peers": catalog.peers,
    }


def _writes(mine: AgentApi) -> dict[str, Respond]:
    return {
        "/v1/agent/service/register": mine.register,
        "/v1/agent/service/deregister/": mine.deregister,
        "/v1/agent/service/maintenance/": mine.maintain_service,
        "/v1/agent/maintenance": mine.maintain_node,
        "/v1/agent/check/register": mine.register_check,
        "/v1/agent/check/deregister/": mine.deregister_check,
        "/v1/agent/check/pass/": mine.beat(Status.PASSING),
        "/v1/agent/check/warn/": mine.beat(Status.WARNING),
        "/v1/agent/check/fail/": mine.beat(Status.CRITICAL),
        "/v1/agent/check/update/": mine.update,
    }


async def _greet(_: Call) -> Answer:
    return text_answer(200, "Consul Agent (embedded, in memory)")


async def _explain(call: Call) -> Answer:
    raise Refusal(501, f"The embedded agent does not speak {call.path}: use a real Consul for that.")


def route(table: Routes, path: str) -> str | None:
    """The path in the table that takes a request for `path`: itself, or the longest that ends in "/" above it."""
    if path in table:
        return path
    while len(path) > 1:
        path = path[: path.rstrip("/").rfind("/") + 1]
        if path in table and path != "/":
            return path
    return None


def clean(path: str) -> str:
    """The path without empty, "." and ".." parts, as Go's router wants it."""
    short = posixpath.normpath(f"/{path.lstrip('/')}")
    return short + "/" if path.endswith(("/", "/.", "/..")) and short != "/" else short
