"""Does Consul have a leader? Asked every two seconds, apart from the following, and told to those who follow.

A question that waits for a change does not notice that the leader is lost, or that the agent was cut off from the
servers, and when its wait is over it says what was true when it was put (measured with Consul 1.8.7): it would take
two minutes to learn that the answers have grown old. This question is answered from memory by any server, and is one
a process, however many services are followed.
"""

from __future__ import annotations

import asyncio

from registry.consul.catalog import Catalog
from registry.discovery.directory import Directory

EVERY_S = 2.0


async def watch_leader(catalog: Catalog, directory: Directory, *, every_s: float = EVERY_S) -> None:
    """Tell all followers when a leader is missed, and when there is one again, until cancelled."""
    known = True
    while True:
        await asyncio.sleep(every_s)
        known, before = await catalog.has_leader(), known
        for service in directory.services():
            if not known:
                service.follower.doubt()
            elif not before:
                service.follower.ask_now()
