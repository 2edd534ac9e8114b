"""A Consul with one service and the record of its split, as a client's transport: for tests in virtual time."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from yarl import URL

from p2pclient.messages import Answer
from p2pclient.transport.base import ExchangeFailed
from p2pclient.transport.request_id import HEADER
from registry.rollout.record import PREFIX, Rollout, written


class VirtualConsul:
    """Answers as one agent does, blocking queries included; a change is told without any delay.

    `asked` are the paths of questions about the record, `request_ids` the calls to which they belong. `noise`: other
    entries are written all the while, and a question for a missing one is answered at once (as Consul did before 1.12).
    `denies`: what a token may not read, the record or the health. `leaderless`: it has lost the leader, and says so.
    """

    def __init__(self, service: str, workers: Mapping[str, str]) -> None:
        self._service = service
        self._workers: dict[str, tuple[str, str]] = {name: (v, "passing") for name, v in workers.items()}
        self._value: bytes | None = None
        self._indexes = {"record": 5, "health": 5}
        self._changed = asyncio.Event()
        self.asked: list[str] = []
        self.request_ids: set[str] = set()
        self.asked_for_workers: list[str] = []
        self.open = 0
        self.noise = False
        self.denies = ""
        self.away = False
        self.leaderless = False

    def split(self, rollout: Rollout) -> None:
        """Write the record."""
        self.write(written(rollout))

    def write(self, value: bytes | None) -> None:
        """Write the record's entry; None removes it."""
        self._value = value
        self._told("record")

    def lose_data(self) -> None:
        """Become an agent that knows of no entry, and counts its index from 1 again."""
        self._value, self._indexes["record"] = None, 1
        self._wake()

    def health(self, name: str, status: str) -> None:
        """Change the health of a worker."""
        self._workers[name] = (self._workers[name][0], status)
        self._told("health")

    def leave(self) -> None:
        """Go away: every question fails."""
        self.away = True
        self._wake()

    async def exchange(
        self, method: str, url: URL, *, headers: Mapping[str, str], timeout_s: float, body: bytes | None = None
    ) -> Answer:
        """One question; raises ExchangeFailed while it is away, and after `timeout_s`."""
        about = "record" if url.path.startswith("/v1/kv/") else "health"
        if about == "record":
            self.request_ids |= {headers[HEADER]} if HEADER in headers else set()
        (self.asked if about == "record" else self.asked_for_workers).append(str(url.relative()))
        if self.denies == about:
            return Answer(403, {}, b"Permission denied")
        self.open += 1
        try:
            async with asyncio.timeout(timeout_s):
                await self._wait(about, url)
        except TimeoutError:
            raise ExchangeFailed("no answer", silent_s=timeout_s) from None
        finally:
            self.open -= 1
        if self.away:
            raise ExchangeFailed("connection refused", gone=True, unmet=True)
        sent = {"X-Consul-Index": str(self._indexes[about]), "X-Consul-KnownLeader": str(not self.leaderless).lower()}
        if about == "health":
            return Answer(200, sent, json.dumps([self._entry(name) for name in self._workers]).encode())
        assert url.path == f"/v1/kv/{PREFIX}{self._service}"
        if self._value is None:
            return Answer(404, sent, b"")
        return Answer(200, sent, json.dumps([{"Value": b64encode(self._value).decode()}]).encode())

    async def close(self) -> None:
        """Nothing is open."""

    async def _wait(self, about: str, url: URL) -> None:
        index = int(url.query.get("index", "0"))
        if self.noise and about == "record" and self._value is None:
            return
        wait_s = int(url.query.get("wait", "0ms").removesuffix("ms")) / 1000
        try:
            async with asyncio.timeout(wait_s):
                while index and self._indexes[about] == index and not self.away:
                    await self._changed.wait()
        except TimeoutError:
            pass

    def _told(self, about: str) -> None:
        self._indexes[about] += 1
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _entry(self, name: str) -> dict[str, Any]:
        version, status = self._workers[name]
        worker = {"ID": name, "Service": self._service, "Address": "h", "Port": 1, "Meta": {"version": version}}
        return {"Node": {"Node": "n"}, "Service": worker, "Checks": [{"CheckID": "c", "Status": status}]}
