"""Which handler takes which path and method, as in Consul's router: a path ending in "/" takes all below it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from registry.agent.agent import Agent
from registry.agent.api.agent import AgentApi
from registry.agent.api.blocking.blocking_query import BlockingReads
from registry.agent.api.blocking.waiting import WaitingRequests
from registry.agent.api.catalog import CatalogApi
from registry.agent.api.coordinate import CoordinateApi
from registry.agent.api.event import EventApi
from registry.agent.api.formats.message import Handler, Request, Response, text_response
from registry.agent.api.health import HealthApi
from registry.agent.api.kv import KvApi
from registry.agent.api.operator import OperatorApi
from registry.agent.api.session import SessionApi
from registry.agent.api.switched_off import switched_off
from registry.agent.api.txn import TxnApi
from registry.agent.state.records import Status

Routes = Mapping[str, Mapping[str, Handler]]
"""Handlers by path and method."""


def routes(agent: Agent, *, waiting_at_most: int) -> Routes:
    """Every path and its handlers by method; so many requests may wait for a change."""
    state, waiting = agent.state, WaitingRequests(agent.state.changes, at_most=waiting_at_most)
    reads = BlockingReads(state.changes, agent.node, waiting)
    keys = KvApi(state, reads)
    found: dict[str, dict[str, Handler]] = {"/v1/kv/": {"GET": keys.get, "PUT": keys.put, "DELETE": keys.delete}}
    tables: tuple[Routes, ...] = (
        {"/": {"GET": _greet}},
        _agent_routes(AgentApi(agent, waiting)),
        _catalog_routes(CatalogApi(state, reads)),
        _health_routes(HealthApi(state, reads)),
        _session_routes(SessionApi(state, reads)),
        {"/v1/txn": {"PUT": TxnApi(state).put}},
        _event_routes(EventApi(agent, waiting)),
        _coordinate_routes(CoordinateApi(state, reads)),
        _operator_routes(OperatorApi(agent)),
        switched_off(agent, reads),
    )
    for table in tables:
        for path, handlers in table.items():
            found.setdefault(path, {}).update(handlers)
    return found


def _agent_routes(api: AgentApi) -> Routes:
    return {
        "/v1/agent/self": {"GET": api.self},
        "/v1/agent/members": {"GET": api.members},
        "/v1/agent/services": {"GET": api.services},
        "/v1/agent/service/": {"GET": api.service},
        "/v1/agent/checks": {"GET": api.checks},
        "/v1/agent/health/service/id/": {"GET": api.health_by_id},
        "/v1/agent/health/service/name/": {"GET": api.health_by_name},
        "/v1/agent/service/register": {"PUT": api.register},
        "/v1/agent/service/deregister/": {"PUT": api.deregister},
        "/v1/agent/service/maintenance/": {"PUT": api.maintain_service},
        "/v1/agent/maintenance": {"PUT": api.maintain_node},
        "/v1/agent/check/register": {"PUT": api.register_check},
        "/v1/agent/check/deregister/": {"PUT": api.deregister_check},
        "/v1/agent/check/pass/": {"PUT": api.heartbeat(Status.PASSING)},
        "/v1/agent/check/warn/": {"PUT": api.heartbeat(Status.WARNING)},
        "/v1/agent/check/fail/": {"PUT": api.heartbeat(Status.CRITICAL)},
        "/v1/agent/check/update/": {"PUT": api.update},
    }


def _catalog_routes(api: CatalogApi) -> Routes:
    return {
        "/v1/catalog/register": {"PUT": api.register},
        "/v1/catalog/deregister": {"PUT": api.deregister},
        "/v1/catalog/datacenters": {"GET": api.datacenters},
        "/v1/catalog/nodes": {"GET": api.nodes},
        "/v1/catalog/services": {"GET": api.services},
        "/v1/catalog/service/": {"GET": api.service},
        "/v1/catalog/connect/": {"GET": api.connect},
        "/v1/catalog/gateway-services/": {"GET": api.gateway_services},
        "/v1/catalog/node/": {"GET": api.node},
        "/v1/catalog/node-services/": {"GET": api.node_services},
    }


def _health_routes(api: HealthApi) -> Routes:
    return {
        "/v1/health/service/": {"GET": api.service},
        "/v1/health/connect/": {"GET": api.connect},
        "/v1/health/ingress/": {"GET": api.ingress},
        "/v1/health/checks/": {"GET": api.checks},
        "/v1/health/node/": {"GET": api.node},
        "/v1/health/state/": {"GET": api.state},
    }


def _session_routes(api: SessionApi) -> Routes:
    return {
        "/v1/session/create": {"PUT": api.create},
        "/v1/session/destroy/": {"PUT": api.destroy},
        "/v1/session/renew/": {"PUT": api.renew},
        "/v1/session/info/": {"GET": api.info},
        "/v1/session/node/": {"GET": api.node},
        "/v1/session/list": {"GET": api.list},
    }


def _event_routes(api: EventApi) -> Routes:
    return {"/v1/event/fire/": {"PUT": api.fire}, "/v1/event/list": {"GET": api.list}}


def _coordinate_routes(api: CoordinateApi) -> Routes:
    return {
        "/v1/coordinate/datacenters": {"GET": api.datacenters},
        "/v1/coordinate/nodes": {"GET": api.nodes},
        "/v1/coordinate/node/": {"GET": api.node},
        "/v1/coordinate/update": {"PUT": api.update},
    }


def _operator_routes(api: OperatorApi) -> Routes:
    return {
        "/v1/status/leader": {"GET": api.leader},
        "/v1/status/peers": {"GET": api.peers},
        "/v1/operator/raft/configuration": {"GET": api.raft_configuration},
        "/v1/operator/raft/peer": {"DELETE": api.remove_raft_peer},
        "/v1/operator/autopilot/configuration": {"GET": api.autopilot_configuration},
        "/v1/operator/autopilot/health": {"GET": api.autopilot_health},
    }


async def _greet(_: Request) -> Response:
    return text_response(200, "Consul Agent (embedded, in memory)")


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
