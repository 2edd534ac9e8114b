"""Sends lookups and predictions without a pause while the cluster is broken, and counts how each one ends.

For each lookup service there is a client that opens a connection for every lookup, one that keeps its connection,
and two that classify through a `p2pclient.AsyncClient` which knows this lookup service alone. A client does one thing
at a time, so that the longest time between two of its successes is the longest that it had to wait.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from PIL import Image

from p2pclient import AsyncClient, P2PError
from tests.support.cluster.cluster import Cluster, Replica

LOOKUP_PAUSE_S = 0.01
PREDICTION_PAUSE_S = 0.02
PREDICTING = 2
"""Clients a lookup service that classify at the same time."""

ANSWER_S = 2.0
"""A lookup that takes longer than this has failed."""


class NoAnswer(Exception):
    """A lookup came to nothing; the text says how."""


@dataclass
class Tally:
    """What the clients of one kind saw: how many asked, how many failed and why, and the longest gap."""

    asked: int = 0
    failed: int = 0
    gap_s: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Count what others saw, too."""
        self.asked += other.asked
        self.failed += other.failed
        self.gap_s = max(self.gap_s, other.gap_s)
        self.reasons += other.reasons


def picture(width: int, height: int) -> bytes:
    """A small image, so that what is measured is the way and not the decoding."""
    encoded = io.BytesIO()
    Image.new("RGB", (width, height)).save(encoded, "PNG")
    return encoded.getvalue()


class Load:
    """An async context manager: clients are at work inside of it, and have ended after it.

    Both are counted by lookup service; `lookups` only while it is `up`, for nobody answers where nobody is. `gone`
    are those that were not, for a time.
    """

    def __init__(self, cluster: Cluster, image: bytes) -> None:
        self.lookups = {name: Tally() for name in cluster.replicas}
        self.predictions = {name: Tally() for name in cluster.replicas}
        self.gone: set[str] = set()
        self._replicas = cluster.replicas
        self._image = image
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Load:
        for name, replica in self._replicas.items():
            for kept in (False, True):
                self._begin(self._look_up(name, replica, kept=kept))
            self._begin(self._classify(replica.url, self.predictions[name]))
        return self

    def flows(self) -> bool:
        """Whether every kind of client has had answers already."""
        return all(tally.asked > 10 for tally in (*self.lookups.values(), *self.predictions.values()))

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    def _begin(self, client: Awaitable[None]) -> None:
        self._tasks.append(asyncio.ensure_future(client))

    async def _classify(self, registry: str, tally: Tally) -> None:
        async def once(client: AsyncClient) -> None:
            try:
                prediction = await client.classify(self._image)
            except P2PError as error:
                raise NoAnswer(f"{type(error).__name__}: {error}") from error
            if prediction.best.label not in ("width", "height"):
                raise NoAnswer(f"a wrong answer: {prediction}")

        async with AsyncClient(registry) as client:
            work = (self._repeat(lambda: once(client), tally, PREDICTION_PAUSE_S) for _ in range(PREDICTING))
            await asyncio.gather(*work)

    async def _look_up(self, name: str, replica: Replica, *, kept: bool) -> None:
        connection = Connection(replica.url, kept=kept)

        def possible() -> bool:
            self.gone |= set() if replica.up else {name}
            return replica.up

        await self._repeat(connection.look_up, self.lookups[name], LOOKUP_PAUSE_S, possible=possible)
        connection.close()

    async def _repeat(
        self,
        attempt: Callable[[], Awaitable[None]],
        tally: Tally,
        pause_s: float,
        *,
        possible: Callable[[], bool] = lambda: True,
    ) -> None:
        """Try again and again; what was tried while it was not possible does not count."""
        well_s = time.monotonic()
        while not self._stopping.is_set():
            was_possible = possible()
            failure = None
            try:
                await attempt()
            except NoAnswer as error:
                failure = str(error)
            now_s = time.monotonic()
            if was_possible and possible():
                tally.asked += 1
                tally.gap_s = max(tally.gap_s, now_s - well_s)
                tally.failed += failure is not None
                tally.reasons += Counter([failure] if failure else [])
            if not was_possible or failure is None:
                well_s = now_s
            await asyncio.sleep(pause_s)


class Connection:
    """`GET /next` as the plainest of clients asks it, which tries nothing twice and hides nothing."""

    def __init__(self, url: str, *, kept: bool) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), parts.port
        self._kept = kept
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def look_up(self) -> None:
        """Raises NoAnswer unless a worker's address comes within the time."""
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._exchange()
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            raise NoAnswer(f"{type(error).__name__} on a {'kept' if self._kept else 'new'} connection") from error
        if not self._kept:
            self.close()
        status, _, rest = answer.partition(b"\r\n")
        if b" 200 " not in status:
            raise NoAnswer(f"{status.decode()}: {rest.decode()}")

    async def _exchange(self) -> bytes:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        ending = b"" if self._kept else b"Connection: close\r\n"
        writer.write(b"GET /next HTTP/1.1\r\nHost: lookup\r\n%b\r\n" % ending)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        return head + await reader.readexactly(length)

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
