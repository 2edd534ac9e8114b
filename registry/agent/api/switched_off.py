"""What this agent does not have: it answers as a real Consul does in which the feature is switched off.

Some features have a switch of their own (access control, the service mesh, encryption, Prometheus metrics). For the
others a real agent has `http_config.block_endpoints`, and a sentence for what is blocked.
"""

from __future__ import annotations

from collections.abc import Mapping

from registry.agent.agent import Agent
from registry.agent.api.blocking.blocking_query import FAILED_READ_HEADERS, BlockingReads, ReadResult
from registry.agent.api.formats.message import Handler, Request, Response, json_response
from registry.agent.errors import ApiError, BadRequest
from registry.agent.state.index import Topic

_LOG_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERR", "ERROR")
_CONNECT_IS_OFF = "Connect must be enabled in order to use this endpoint"
_NEVER: Topic = ("never", "")


def switched_off(agent: Agent, reads: BlockingReads) -> Mapping[str, Mapping[str, Handler]]:
    """The handlers, by path and method."""

    async def no_member(request: Request) -> Response:
        if request.rest == agent.node.name:
            return await _blocked(request)
        raise ApiError(500, f"agent: No node found with name '{request.rest}'")

    async def no_keyring(_: Request) -> Response:
        raise ApiError(
            500,
            f"2 errors occurred:\n\t* {agent.node.datacenter} (LAN) error: 1/1 nodes reported failure\n"
            f"\t* {agent.node.name}: Keyring is empty (encryption not enabled)\n\n",
        )

    async def none_found(request: Request) -> Response:
        return await reads.respond(request, lambda: ReadResult(1, _NEVER, []), name_consistency=False)

    async def config_entries(request: Request) -> Response:
        kind, _, name = request.rest.partition("/")
        if name:
            raise ApiError(404, f'Config entry not found for "{kind}" / "{name}"')
        return await none_found(request)

    any_method = ("GET", "PUT", "POST", "DELETE")
    return {
        "/v1/acl/": dict.fromkeys(any_method, _no_access_control),
        "/v1/agent/connect/": dict.fromkeys(any_method, _no_connect),
        "/v1/agent/force-leave/": {"PUT": no_member},
        "/v1/agent/host": {"GET": _blocked},
        "/v1/agent/join/": {"PUT": _blocked},
        "/v1/agent/leave": {"PUT": _blocked},
        "/v1/agent/metrics": {"GET": _metrics},
        "/v1/agent/monitor": {"GET": _monitor},
        "/v1/agent/reload": {"PUT": _nothing_to_reload},
        "/v1/agent/token/": {"PUT": _no_access_control},
        "/v1/config": {"PUT": _blocked},
        "/v1/config/": {"GET": config_entries, "DELETE": _nothing_to_delete},
        "/v1/connect/": dict.fromkeys(any_method, _no_connect),
        "/v1/connect/ca/roots": {"GET": _no_connect_to_read},
        "/v1/connect/intentions": {"GET": none_found, "POST": _no_connect},
        "/v1/discovery-chain/": dict.fromkeys(("GET", "POST"), _no_connect_to_read),
        "/v1/internal/acl/authorize": {"POST": _no_access_control},
        "/v1/internal/": dict.fromkeys(any_method, _blocked),
        "/v1/operator/autopilot/configuration": {"PUT": _blocked},
        "/v1/operator/keyring": dict.fromkeys(any_method, no_keyring),
        "/v1/query": {"GET": none_found, "POST": _blocked},
        "/v1/query/": {"GET": _no_query, "PUT": _blocked, "DELETE": _blocked},
        "/v1/snapshot": dict.fromkeys(("GET", "PUT"), _blocked),
    }


async def _blocked(_: Request) -> Response:
    raise ApiError(403, "Endpoint is blocked by agent configuration")


async def _no_access_control(_: Request) -> Response:
    raise ApiError(401, "ACL support disabled")


async def _no_connect(_: Request) -> Response:
    raise ApiError(500, _CONNECT_IS_OFF)


async def _no_connect_to_read(_: Request) -> Response:
    raise ApiError(500, _CONNECT_IS_OFF, headers=FAILED_READ_HEADERS)


async def _no_query(_: Request) -> Response:
    raise ApiError(404, "Query not found")


async def _metrics(request: Request) -> Response:
    if request.query.text("format") == "prometheus":
        raise ApiError(415, "Prometheus is not enabled since its retention time is not positive")
    return await _blocked(request)


async def _monitor(request: Request) -> Response:
    level = request.query.text("loglevel")
    if level and level.upper() not in _LOG_LEVELS:
        raise BadRequest(f"Bad request: Unknown log level: {level}")
    return await _blocked(request)


async def _nothing_to_reload(_: Request) -> Response:
    """As a real agent whose files are as they were: this one has no files."""
    return Response()


async def _nothing_to_delete(request: Request) -> Response:
    return json_response({}, request)
