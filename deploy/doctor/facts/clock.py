"""Compares this host's clock with those of Consul's agent and of the lookup service, by the Date of their answers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from deploy.doctor.facts.lookup_client import LookupClient, LookupFailed
from deploy.doctor.findings.clock import ClockFacts
from registry.consul.agent_info import AgentInfo
from registry.consul.errors import ConsulRefused, ConsulUnavailable
from registry.consul.settings import ConsulSettings

_HALF_S = 0.5
"""A Date leaves out the fraction of its second: half a second on average."""


async def compare_clocks(consul: ConsulSettings | None, lookup: LookupClient) -> ClockFacts:
    """By how many seconds the others are ahead; those that do not answer are left out."""
    found = {}
    if consul is not None:
        agent = AgentInfo(consul)
        with suppress(ConsulUnavailable, ConsulRefused):
            found[f"Consul at {consul.url}"] = await _ahead_s(agent.time_s)
        await agent.close()
    for url in lookup.urls:
        with suppress(LookupFailed):
            found[f"the lookup service at {url}"] = await _ahead_s(partial(lookup.time_s, url))
    return ClockFacts(found)


async def _ahead_s(ask: Callable[[], Awaitable[float]]) -> float:
    began_s = time.time()
    told_s = await ask()
    return told_s + _HALF_S - (began_s + time.time()) / 2
