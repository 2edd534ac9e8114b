"""Reads that may wait: a client names the index it knows, and is answered when there is a newer one.

The answer comes at once if the index is older than what is known, else when the thing read changes or when
`wait` (5 minutes by default, at most 10) and a jitter of up to a sixteenth of it are over.
A return therefore does not mean a change. The rules are those of Consul's "Blocking Queries" page and of its
agent/consul/rpc.go.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from registry.agent.api.go_duration import parse_duration
from registry.agent.api.message import Answer, Call, Query, json_answer
from registry.agent.errors import BadRequest, Refusal
from registry.agent.state.index import Changes, Topic
from registry.agent.state.records import Node

_WAIT_S = 300.0
_WAIT_MAX_S = 600.0
_JITTER_FRACTION = 16
# Answers to equal questions are made once; more different questions than this between two changes are rare.
_REMEMBERED_MAX = 256


@dataclass(frozen=True, slots=True)
class Reading:
    """What a read found: its value, the index at which that last changed, and what to wait for to see it change.

    `value` is anything JSON can say. An `Answer` in its place is sent as it is, with the index added.
    """

    index: int
    topic: Topic
    value: object


@dataclass(frozen=True, slots=True)
class Options:
    """What the query string says about waiting and consistency."""

    index: int
    wait_s: float
    consistency: str


def options(query: Query, node: Node) -> Options:
    """The options of a query. Raises BadRequest or Refusal in Consul's words."""
    stale, consistent = query.given("stale"), query.given("consistent")
    if stale and consistent:
        raise BadRequest("Cannot specify ?stale with ?consistent, conflicting semantics.")
    if query.text("ns"):
        raise BadRequest('Bad request: Invalid query parameter: "ns" - Namespaces are a Consul Enterprise feature')
    if query.text("dc") not in ("", node.datacenter):
        raise Refusal(500, "No path to datacenter", headers=_headers(1, leader="false"))
    if query.given("filter"):
        raise Refusal(501, "The embedded agent does not filter: ask without ?filter= and filter the answer.")
    consistency = "stale" if stale else "consistent" if consistent else "leader"
    return Options(_index(query), _wait_s(query), consistency)


def _index(query: Query) -> int:
    try:
        return query.number("index") or 0
    except BadRequest:
        raise BadRequest("Invalid index") from None


def _wait_s(query: Query) -> float:
    if not query.text("wait"):
        return _WAIT_S
    try:
        wait_s = parse_duration(query.text("wait"))
    except ValueError:
        raise BadRequest("Invalid wait time") from None
    return min(wait_s, _WAIT_MAX_S) if wait_s > 0 else _WAIT_S


class Reads:
    """Answers reads, and makes each answer once for all who ask the same between two changes."""

    def __init__(self, changes: Changes, node: Node) -> None:
        self._changes = changes
        self._node = node
        self._made: dict[tuple[object, ...], tuple[Reading, Answer]] = {}
        self._made_at_version = -1

    async def answer(
        self, call: Call, read: Callable[[], Reading], *, asked: tuple[object, ...], name_consistency: bool = True
    ) -> Answer:
        """The answer to a read, now or when it changes. `asked` says what is read: equal ones share an answer."""
        wanted = options(call.query, self._node)
        until_s = _now_s() + wanted.wait_s * (1 + random.random() / _JITTER_FRACTION)
        reading, made = self._read(call, read, asked)
        while 0 < reading.index <= wanted.index and (left_s := until_s - _now_s()) > 0:
            if self._changes.closed:
                break
            await self._changes.wait(reading.topic, left_s)
            reading, made = self._read(call, read, asked)
        headers = {**_headers(reading.index), **made.headers}
        if name_consistency:
            headers["X-Consul-Effective-Consistency"] = wanted.consistency
        return Answer(made.status, made.body, headers)

    def _read(self, call: Call, read: Callable[[], Reading], asked: tuple[object, ...]) -> tuple[Reading, Answer]:
        if self._made_at_version != self._changes.version or len(self._made) > _REMEMBERED_MAX:
            self._made.clear()
            self._made_at_version = self._changes.version
        key = (*asked, call.query.given("pretty"))
        if key not in self._made:
            reading = read()
            value = reading.value
            self._made[key] = reading, value if isinstance(value, Answer) else json_answer(value, call)
        return self._made[key]


def _headers(index: int, *, leader: str = "true") -> dict[str, str]:
    return {
        "X-Consul-Index": str(max(index, 1)),
        "X-Consul-KnownLeader": leader,
        "X-Consul-LastContact": "0",
    }


def _now_s() -> float:
    return asyncio.get_running_loop().time()
