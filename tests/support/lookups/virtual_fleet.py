"""Workers for the client's tests in virtual time: without sockets, each answers, hangs or refuses as a test says."""

from __future__ import annotations

import asyncio
import random

from p2pclient.testing import FakeTransport, labels

ANSWER = labels([("tabby", 0.9)])
IMAGE = b"an image"

JITTER_S = 0.05
"""Nothing in virtual time computes: this is for timers that wait a random part of their time."""


class VirtualFleet(FakeTransport):
    """Workers w0 to w`count - 1`; each answers after 9 to 10 ms."""

    def __init__(self, count):
        super().__init__(self._answer, workers=[f"w{number}:80" for number in range(count)])
        self.hung, self.refusing = set(), set()
        self.answers = ANSWER
        self.takes_s = 0.01
        self._chance = random.Random(1)

    async def _answer(self, request):
        if request.worker in self.refusing:
            raise ConnectionRefusedError("connection refused")
        await asyncio.sleep(3600 if request.worker in self.hung else self.takes_s * self._chance.uniform(0.9, 1))
        return self.answers

    def told_ms(self):
        return [int(request.headers["P2P-Timeout-Ms"]) for request in self.requests]


async def calls(client, count):
    return await asyncio.gather(*(client.classify(IMAGE) for _ in range(count)))


async def warmed_up(client):
    """So many calls that it is known how long answers take."""
    for _ in range(40):
        await client.classify(IMAGE)
