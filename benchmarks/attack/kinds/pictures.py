"""Pictures that once cost a decoder seconds or gigabytes, and the most expensive ones that the limits let through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from benchmarks.attack.targets import SERVICE, Findings, Targets
from p2pclient import AsyncClient, P2PError
from tests.support.pictures.hostile_pictures import AT_THE_LIMIT, FOUND_LATER, NAMED_IN_THE_ISSUE

AT_ONCE = 2
TIMEOUT_S = 30.0

_PAUSE_S = 0.1


def prepared() -> Callable[[Targets, Findings], Awaitable[None]]:
    """Build the pictures, which takes seconds; what posts them."""
    return partial(
        post_pictures,
        [make() for make in (*NAMED_IN_THE_ISSUE.values(), *FOUND_LATER.values(), *AT_THE_LIMIT.values())],
    )


async def post_pictures(pictures: Sequence[bytes], targets: Targets, findings: Findings) -> None:
    """Classify all pictures again and again through p2pclient, which may retry; AT_ONCE of them at a time."""
    url = f"http://127.0.0.1:{targets.lookup}"
    async with AsyncClient(url, service=SERVICE, timeout_s=TIMEOUT_S) as client, asyncio.TaskGroup() as group:
        for first in range(AT_ONCE):
            group.create_task(_post(client, pictures, first, findings))


async def _post(client: AsyncClient, pictures: Sequence[bytes], first: int, findings: Findings) -> None:
    number = first
    while True:
        try:
            await client.classify(pictures[number % len(pictures)])
            findings.outcomes["classified"] += 1
        except P2PError as error:
            findings.outcomes[type(error).__name__] += 1
        number += AT_ONCE
        await asyncio.sleep(_PAUSE_S)
