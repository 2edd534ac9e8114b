"""Asks every two seconds whether the backend has a leader, and tells the directory when that changes.

A blocking query of Consul does not notice that the leader is lost, or that the agent was cut off from the servers, and
when its wait is over it reports what was true when it was sent (measured with 1.8.7): without this watch it would take
two minutes to learn that the answers have grown old. A server answers this question from memory, and each process
asks it once however many services it follows.
"""

from __future__ import annotations

import asyncio

from registry.backend.source import Source
from registry.discovery.directory import Directory

EVERY_S = 2.0


async def watch_leader(source: Source, directory: Directory, *, every_s: float = EVERY_S) -> None:
    """Tell the directory when the leader is lost, and when there is one again, until cancelled."""
    known = True
    while True:
        await asyncio.sleep(every_s)
        known, before = await source.has_leader(), known
        if not known:
            directory.leader_lost()
        elif not before:
            directory.leader_found()
