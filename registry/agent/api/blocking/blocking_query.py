"""Reads that may wait: a client names the index it knows, and is answered when there is a newer one.

The response comes at once if the index that the client knows is older than the present one. Otherwise it comes
when the thing read changes, or when `wait` (5 minutes by default, at most 10) and a jitter of up to a sixteenth of
it are over. A response therefore does not mean a change. The rules are those of Consul's "Blocking Queries" page
and of its agent/consul/rpc.go.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from registry.agent.api.blocking.waiting import WaitingRequests
from registry.agent.api.formats.go_duration import parse_duration
from registry.agent.api.formats.message import Query, Request, Response, json_response
from registry.agent.errors import ApiError, BadRequest
from registry.agent.state.index import ChangeIndex, Topic
from registry.agent.state.records import Node

_WAIT_S = 300.0
_WAIT_MAX_S = 600.0
_JITTER_FRACTION = 16
# Responses to equal requests are built once; more different requests than this between two changes are rare.
_CACHED_MAX = 256
# These fields of a query say when to answer, not what.
_TIMING_FIELDS = frozenset(("index", "wait", "stale", "consistent", "cached", "token"))

FAILED_READ_HEADERS = {"X-Consul-Index": "1", "X-Consul-KnownLeader": "false", "X-Consul-LastContact": "0"}
"""What Consul says about a read that failed: nothing a client may take an index or a set from."""


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What a read found: its value, the index at which that last changed, and the topic to wait for.

    `value` is anything JSON can express. A `Response` in its place is sent as it is, with the index added.
    """

    index: int
    topic: Topic
    value: object


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """What the query string says about waiting and consistency."""

    index: int
    wait_s: float
    consistency: str


def query_options(query: Query, node: Node) -> QueryOptions:
    """The options of a query. Raises BadRequest or ApiError in Consul's words."""
    stale, consistent = query.given("stale"), query.given("consistent")
    if stale and consistent:
        raise BadRequest("Cannot specify ?stale with ?consistent, conflicting semantics.")
    if query.text("ns"):
        raise BadRequest('Bad request: Invalid query parameter: "ns" - Namespaces are a Consul Enterprise feature')
    refuse_other_datacenter(query.text("dc"), node, headers=FAILED_READ_HEADERS)
    consistency = "stale" if stale else "consistent" if consistent else "leader"
    return QueryOptions(wait_index(query), wait_s(query), consistency)


def refuse_other_datacenter(name: str, node: Node, *, headers: Mapping[str, str] | None = None) -> None:
    """Raises ApiError if `name` is that of another datacenter; an empty one is this agent's own."""
    if name not in ("", node.datacenter):
        raise ApiError(500, "No path to datacenter", headers=headers)


def wait_index(query: Query) -> int:
    """The index that the client knows; 0 if it says none. Raises BadRequest."""
    try:
        return query.number("index") or 0
    except BadRequest:
        raise BadRequest("Invalid index") from None


def wait_s(query: Query) -> float:
    """How long the client is ready to wait, in seconds. Raises BadRequest."""
    if not query.text("wait"):
        return _WAIT_S
    try:
        seconds = parse_duration(query.text("wait"))
    except ValueError:
        raise BadRequest("Invalid wait time") from None
    return min(seconds, _WAIT_MAX_S) if seconds > 0 else _WAIT_S


class BlockingReads:
    """Answers reads, and builds each response once for all clients that ask the same between two changes."""

    def __init__(self, changes: ChangeIndex, node: Node, waiting: WaitingRequests) -> None:
        self._changes = changes
        self._node = node
        self._waiting = waiting
        self._cached: dict[tuple[object, ...], tuple[ReadResult, Response]] = {}
        self._cached_version = -1

    async def respond(
        self, request: Request, read: Callable[[], ReadResult], *, name_consistency: bool = True
    ) -> Response:
        """The response to a read, now or when it changes; `read` depends on the request and the state alone.

        Raises ApiError, 429, where too many requests wait.
        """
        options = query_options(request.query, self._node)

        def waits_for() -> Topic | None:
            result, _ = self._read(request, read)
            return result.topic if 0 < result.index <= options.index else None

        await self._waiting.wait(request.client, options.wait_s * (1 + random.random() / _JITTER_FRACTION), waits_for)
        result, response = self._read(request, read)
        headers = {**_headers(result.index), **response.headers}
        if name_consistency:
            headers["X-Consul-Effective-Consistency"] = options.consistency
        return Response(response.status, response.body, headers)

    def _read(self, request: Request, read: Callable[[], ReadResult]) -> tuple[ReadResult, Response]:
        if self._cached_version != self._changes.version or len(self._cached) > _CACHED_MAX:
            self._cached.clear()
            self._cached_version = self._changes.version
        key = (request.path, *request.query.without(_TIMING_FIELDS))
        if key not in self._cached:
            result = read()
            value = result.value
            self._cached[key] = result, value if isinstance(value, Response) else json_response(value, request)
        return self._cached[key]


def _headers(index: int) -> dict[str, str]:
    return {"X-Consul-Index": str(max(index, 1)), "X-Consul-KnownLeader": "true", "X-Consul-LastContact": "0"}
