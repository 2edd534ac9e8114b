"""/v1/kv/KEY: reads, lists, writes and removals of keys. Translates requests into the verbs of `kv`."""

from __future__ import annotations

from base64 import b64encode

from registry.agent.api.blocking_query import Reading, Reads
from registry.agent.api.json_views import Json, pair_entry
from registry.agent.api.message import Answer, Call, json_answer
from registry.agent.errors import BadRequest, Refusal
from registry.agent.state.kv import KeyValues, Pair, grouped, key_topic, prefix_topic

_NOT_FOUND = Answer(404)
# As Consul: a browser that is pointed at a value must not take it for a page of this origin.
_RAW_HEADERS = {
    "Content-Type": "text/plain",
    "Content-Security-Policy": "sandbox",
    "X-Content-Type-Options": "nosniff",
}


class KeyApi:
    """The handlers; each takes a Call and gives an Answer, or raises Refusal."""

    def __init__(self, keys: KeyValues, reads: Reads) -> None:
        self._keys = keys
        self._reads = reads

    async def get(self, call: Call) -> Answer:
        """GET: one entry, its bare value (?raw), all under a prefix (?recurse), or their names (?keys)."""
        query = call.query
        if query.given("keys"):
            separator = query.text("separator")
            read, how = lambda: self._names(call.rest, separator), ("keys", separator)
        elif query.given("recurse"):
            read, how = lambda: self._entries(call.rest), ("recurse", "")
        elif not call.rest:
            raise BadRequest("Missing key name")
        else:
            raw = query.given("raw")
            read, how = lambda: self._entry(call.rest, raw=raw), ("raw" if raw else "one", "")
        return await self._reads.answer(call, read, asked=(*how, call.rest), name_consistency=False)

    def _entry(self, key: str, *, raw: bool) -> Reading:
        pair = self._keys.get(key)
        value: object = _NOT_FOUND
        if pair:
            value = Answer(200, pair.value, _RAW_HEADERS) if raw else [_entry(pair)]
        return Reading(self._keys.index_of(key), key_topic(key), value)

    def _entries(self, prefix: str) -> Reading:
        entries = [_entry(pair) for pair in self._keys.under(prefix)]
        return Reading(self._keys.index_under(prefix), prefix_topic(prefix), entries or _NOT_FOUND)

    def _names(self, prefix: str, separator: str) -> Reading:
        names = grouped((p.key for p in self._keys.under(prefix)), prefix=prefix, separator=separator)
        return Reading(self._keys.index_under(prefix), prefix_topic(prefix), names or _NOT_FOUND)

    async def put(self, call: Call) -> Answer:
        """PUT: write the body as value; true, or false if ?cas= says otherwise."""
        _refuse_locks(call)
        flags, cas = call.query.number("flags") or 0, call.query.number("cas")
        return json_answer(self._keys.put(_key(call), call.body, flags=flags, cas=cas), call)

    async def delete(self, call: Call) -> Answer:
        """DELETE: remove one key, or with ?recurse all under a prefix; true, or false if ?cas= says otherwise."""
        if call.query.given("recurse"):
            if call.query.given("cas"):
                raise BadRequest("Conflicting flags: recurse and cas cannot both be given")
            self._keys.delete_under(call.rest)
            return json_answer(True, call)
        return json_answer(self._keys.delete(_key(call), cas=call.query.number("cas")), call)


def _key(call: Call) -> str:
    if not call.rest:
        raise BadRequest("Missing key name")
    return call.rest


def _refuse_locks(call: Call) -> None:
    if call.query.given("acquire") or call.query.given("release"):
        raise Refusal(501, "The embedded agent has no sessions: write without ?acquire= and ?release=.")


def _entry(pair: Pair) -> Json:
    return pair_entry(pair, b64encode(pair.value).decode() or None)
