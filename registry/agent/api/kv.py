"""/v1/kv/KEY: reads, lists, writes, locks and removals of keys."""

from __future__ import annotations

from urllib.parse import urlencode

from registry.agent.api.blocking.blocking_query import BlockingReads, ReadResult, query_options
from registry.agent.api.formats.json_views import pair_entry
from registry.agent.api.formats.message import Query, Request, Response, json_response
from registry.agent.errors import BadRequest
from registry.agent.state.kv import grouped, key_topic, prefix_topic
from registry.agent.state.store import StateStore

_NOT_FOUND = Response(404)
# As Consul: a browser that is pointed at a value must not take it for a page of this origin.
_RAW_HEADERS = {
    "Content-Type": "text/plain",
    "Content-Security-Policy": "sandbox",
    "X-Content-Type-Options": "nosniff",
}


class KvApi:
    """The handlers; each takes a Request and returns a Response, or raises ApiError."""

    def __init__(self, state: StateStore, reads: BlockingReads) -> None:
        self._state = state
        self._keys = state.keys
        self._reads = reads

    async def get(self, request: Request) -> Response:
        """GET: one entry, its bare value (?raw), all under a prefix (?recurse), or their names (?keys)."""
        query, key = request.query, request.rest

        def read() -> ReadResult:
            if query.given("keys"):
                return self._names(key, query.text("separator") or query.text("seperator"))
            return self._entries(key) if query.given("recurse") else self._entry(key, raw=query.given("raw"))

        if not (query.given("keys") or query.given("recurse")):
            _key(request)
        return await self._reads.respond(request, read, name_consistency=False)

    def _entry(self, key: str, *, raw: bool) -> ReadResult:
        pair = self._keys.get(key)
        value: object = _NOT_FOUND
        if pair:
            value = Response(200, pair.value, _RAW_HEADERS) if raw else [pair_entry(pair)]
        return ReadResult(self._keys.index_of(key), key_topic(key), value)

    def _entries(self, prefix: str) -> ReadResult:
        entries = [pair_entry(pair) for pair in self._keys.under(prefix)]
        return ReadResult(self._keys.index_under(prefix), prefix_topic(prefix), entries or _NOT_FOUND)

    def _names(self, prefix: str, separator: str) -> ReadResult:
        names = grouped((p.key for p in self._keys.under(prefix)), prefix=prefix, separator=separator)
        nothing: object = _NOT_FOUND if prefix else []
        return ReadResult(self._keys.index_under(prefix), prefix_topic(prefix), names or nothing)

    async def put(self, request: Request) -> Response:
        """PUT: write the body as value; true, or false if ?cas=, ?acquire= or ?release= does not hold."""
        query, key = request.query, _key(request)
        query_options(query, self._state.node)
        _refuse_together(query, "cas", "acquire", "release")
        flags, cas = query.number("flags") or 0, query.number("cas")
        if query.given("acquire"):
            done = self._state.acquire(key, request.body, flags=flags, session=query.text("acquire"))
        elif query.given("release"):
            done = self._state.release(key, request.body, flags=flags, session=query.text("release"))
        else:
            done = self._keys.put(key, request.body, flags=flags, cas=cas)
        return json_response(done, request)

    async def delete(self, request: Request) -> Response:
        """DELETE: remove one key, or with ?recurse all under a prefix; true, or false if ?cas= does not hold."""
        query_options(request.query, self._state.node)
        _refuse_together(request.query, "recurse", "cas")
        if request.query.given("recurse"):
            self._keys.delete_under(request.rest)
            return json_response(True, request)
        return json_response(self._keys.delete(_key(request), cas=request.query.number("cas")), request)


def _key(request: Request) -> str:
    if not request.rest:
        raise BadRequest("Missing key name")
    return request.rest


def _refuse_together(query: Query, *names: str) -> None:
    if sum(query.given(name) for name in names) > 1:
        raise BadRequest(f"Conflicting flags: {urlencode(query.items())}")
