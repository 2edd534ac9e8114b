"""Consul's key/value store as plain values: the entries under a prefix, waited for; writes and removals."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consul.base import Response

from registry.backend.source import WAIT_S
from registry.consul.calls import awaited, read_json
from registry.consul.catalog import FOLLOW_TIMEOUT_S
from registry.consul.health_answer import read_index
from registry.consul.settings import ConsulSettings
from registry.consul.transport import ConsulClient


@dataclass(frozen=True, slots=True)
class Entries:
    """The values under a prefix by the rest of their keys, at Consul's `index`.

    `missing`: Consul knows no key of this prefix, which it also says after an agent has lost its data.
    """

    index: int
    values: Mapping[str, bytes]
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry's value and Consul's index of its last change; a missing entry has index 0 and no value."""

    value: bytes
    changed_at: int


class KeyValue:
    """A connection to one Consul agent's store.

    Every method raises ConsulUnavailable when no usable answer came, ConsulRefused when Consul said no.
    """

    def __init__(self, settings: ConsulSettings) -> None:
        self.url = settings.url
        self._client = ConsulClient(settings, timeout_s=FOLLOW_TIMEOUT_S)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def under(self, prefix: str, *, index: int = 0) -> Entries:
        """All entries whose keys begin with `prefix`; waits for a change when `index` is given."""
        params: list[tuple[str, Any]] = [("recurse", "")]
        if index:
            params += [("index", index), ("wait", f"{WAIT_S:.0f}s")]

        def read(response: Response) -> Entries:
            if response.code == 404:
                return Entries(read_index(response.headers), {}, missing=True)
            entries = read_json(response)
            values = {each["Key"].removeprefix(prefix): b64decode(each["Value"] or "") for each in entries}
            return Entries(read_index(response.headers), values)

        headers = self._client.prepare_headers()
        found: Entries = await awaited(self._client.http.get(read, f"/v1/kv/{prefix}", params, headers), self.url)
        return found

    async def entry(self, key: str) -> Entry:
        """One entry, read from the leader, so that `put_if_unchanged` can go by it."""

        def read(response: Response) -> Entry:
            if response.code == 404:
                return Entry(b"", 0)
            (found,) = read_json(response)
            return Entry(b64decode(found["Value"] or ""), int(found["ModifyIndex"]))

        headers = self._client.prepare_headers()
        entry: Entry = await awaited(self._client.http.get(read, f"/v1/kv/{key}", [], headers), self.url)
        return entry

    async def put_if_unchanged(self, key: str, value: bytes, *, changed_at: int) -> bool:
        """Write one entry unless it has changed since `changed_at` (0: unless it exists); whether it was written."""
        headers = self._client.prepare_headers()
        params: list[tuple[str, Any]] = [("cas", changed_at)]
        written = await awaited(self._client.http.put(read_json, f"/v1/kv/{key}", params, value, headers), self.url)
        return written is True

    async def put(self, key: str, value: bytes) -> None:
        """Write one entry."""
        headers = self._client.prepare_headers()
        await awaited(self._client.http.put(read_json, f"/v1/kv/{key}", [], value, headers), self.url)

    async def delete(self, key: str) -> None:
        """Remove one entry; one that does not exist is removed already."""
        headers = self._client.prepare_headers()
        await awaited(self._client.http.delete(read_json, f"/v1/kv/{key}", [], headers), self.url)
