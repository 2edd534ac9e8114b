"""One holder at a time among many processes: a key of Consul's that a session locks.

Consul ends a session at once when it is destroyed, and at the latest after twice its time to live when it is not
renewed. A process that waits for the lock asks with a blocking query, so that it notices at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from consul.base import Response

from registry.backend.errors import Forgotten
from registry.consul.calls import awaited, read_json
from registry.consul.catalog import FOLLOW_TIMEOUT_S
from registry.consul.health_answer import read_index
from registry.consul.settings import ConsulSettings
from registry.consul.transport import ConsulClient

SESSION_TTL_S = 10.0
"""The shortest that Consul accepts."""


class SessionLock:
    """The lock at `key`, for one process.

    Every method raises ConsulUnavailable when no usable answer came, ConsulRefused when Consul said no.
    """

    def __init__(self, settings: ConsulSettings, key: str) -> None:
        self.url = settings.url
        self._key = key
        self._client = ConsulClient(settings, timeout_s=FOLLOW_TIMEOUT_S)
        self._session: str | None = None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def acquire(self) -> bool:
        """Whether this process holds the lock now; it asks for it with a new session."""
        if self._session is None:
            # Two holders for a moment do no harm where the holder writes by compare-and-set, so nothing is delayed.
            wanted = {"Name": self._key, "TTL": f"{SESSION_TTL_S:g}s", "LockDelay": "0s", "Behavior": "release"}
            self._session = (await self._put("session/create", wanted))["ID"]
        held: bool = await self._put(f"kv/{self._key}", {}, [("acquire", self._session)])
        if not held:
            await self.release()
        return held

    async def renew(self) -> bool:
        """Whether the lock is still held; its session lives on from now."""
        if self._session is None:
            return False
        try:
            await self._put(f"session/renew/{self._session}", {})
        except Forgotten:
            self._session = None
            return False
        _, holder = await self._holder([])
        return holder == self._session

    async def release(self) -> None:
        """Destroy the session, and with it the lock if it is held."""
        session, self._session = self._session, None
        if session is not None:
            await self._put(f"session/destroy/{session}", {})

    async def until_free(self, *, wait_s: float) -> bool:
        """Whether nobody holds the lock; waits for `wait_s` while somebody does."""
        index, holder = await self._holder([])
        if holder:
            _, holder = await self._holder([("index", index), ("wait", f"{wait_s:g}s")])
        return not holder

    async def holders_node(self) -> str:
        """The node at whose agent the holder's session was made; "" where nobody holds the lock."""
        _, session = await self._holder([])
        if not session:
            return ""
        headers = self._client.prepare_headers()
        found = await awaited(self._client.http.get(read_json, f"/v1/session/info/{session}", [], headers), self.url)
        return str(found[0]["Node"]) if found else ""

    async def _holder(self, params: list[tuple[str, Any]]) -> tuple[int, str]:
        """Consul's index, and the session that holds the lock; "" for none."""
        headers = self._client.prepare_headers()
        found: tuple[int, str] = await awaited(
            self._client.http.get(_holder, f"/v1/kv/{self._key}", params, headers), self.url
        )
        return found

    async def _put(self, path: str, body: Mapping[str, Any], params: list[tuple[str, Any]] | None = None) -> Any:
        headers = self._client.prepare_headers()
        call = self._client.http.put(_answer, f"/v1/{path}", params or [], json.dumps(body), headers)
        return await awaited(call, self.url)


def _holder(response: Response) -> tuple[int, str]:
    if response.code == 404:
        return read_index(response.headers), ""
    (pair,) = read_json(response)
    return read_index(response.headers), pair.get("Session") or ""


def _answer(response: Response) -> Any:
    if response.code == 404:
        raise Forgotten("The session has ended.")
    return read_json(response)
