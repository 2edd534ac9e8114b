"""Sends copies of calls to the versions that shadow a service, after the caller has its answer.

A copy is sampled, sent once, and nothing of it reaches the caller. It carries what the caller was answered in the
header `P2P-Shadow`; the worker compares and counts (docs/decisions/0039-split-and-shadow.md). While too many copies are
under way, or hold too much memory, further ones are dropped, and the next copy says how many.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

from p2pclient.calls.service_channel import ServiceChannel
from p2pclient.errors import P2PError
from p2pclient.failures import Failure
from p2pclient.messages import Request
from p2pclient.transport.worker_client import WorkerClient
from p2pclient.types import Label, Worker

logger = logging.getLogger("p2pclient")

HEADER = "P2P-Shadow"
"""`best=LABEL;score=0.61;dropped=2`, each part where there is something to say; the label is percent-encoded."""

LABEL_CHARACTERS = 512
"""Of the encoded label so many are sent and compared."""

COPIES_AT_MOST = 4
BYTES_AT_MOST = 32 * 2**20
"""Copies under way at the same time, and the memory of their bodies, of one client."""

DELAY_S = 0.005
"""A copy begins so long after the call has ended, so that it is behind what the caller does with the answer."""

TIMEOUT_S = 10.0


class Shadowing:
    """Sends copies over `worker_client`; `dropped` counts those that could not be sent and are not yet reported.

    `chance` draws; tests pass a seeded one.
    """

    def __init__(self, worker_client: WorkerClient, *, chance: random.Random | None = None) -> None:
        self.dropped = 0
        self._worker_client = worker_client
        self._chance = chance or random.Random()
        self._under_way: set[asyncio.Task[None]] = set()
        self._bytes = 0

    def offer(
        self, channel: ServiceChannel, answered: Worker, request: Callable[[Worker], Request], best: Label | None
    ) -> None:
        """Copy a call that `answered` has answered, with this best label, to the versions that are to get one."""
        for version, percent in channel.shadows.items():
            if version == answered.version or self._chance.random() * 100 >= percent:
                continue
            workers = channel.shadow_workers(version)
            if workers:
                worker = self._chance.choice(workers)
                self._start(worker, request(worker), best)

    async def close(self) -> None:
        """Give up the copies that are under way."""
        under_way = list(self._under_way)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    def _start(self, worker: Worker, request: Request, best: Label | None) -> None:
        size = len(request.body)
        if len(self._under_way) >= COPIES_AT_MOST or self._bytes + size > BYTES_AT_MOST:
            self.dropped += 1
            return
        self._bytes += size
        task = asyncio.create_task(self._send(worker, request, best), name="p2pclient sends a copy to a shadow")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _send(self, worker: Worker, request: Request, best: Label | None) -> None:
        reported, told = 0, False
        try:
            await asyncio.sleep(DELAY_S)
            reported, self.dropped = self.dropped, 0
            copy = replace(request, headers={**request.headers, HEADER: _said(best, reported)})
            await self._worker_client.post(worker, copy, lambda _: None, TIMEOUT_S)
            told = True
        except (Failure, P2PError) as failure:
            logger.debug("%s: the copy for the shadow %s failed: %s", worker.service, worker.address, failure)
        except Exception:
            logger.exception("%s: the copy for the shadow %s failed:", worker.service, worker.address)
        finally:
            self._bytes -= len(request.body)
            self.dropped += 0 if told else reported


def _said(best: Label | None, dropped: int) -> str:
    answer = [] if best is None else [f"best={quote(best.label, safe='')[:LABEL_CHARACTERS]}", f"score={best.score!r}"]
    return ";".join([*answer, f"dropped={dropped}"])
