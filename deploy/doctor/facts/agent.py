"""Asks the Consul agent who it is and who takes part in its cluster."""

from __future__ import annotations

from contextlib import suppress

from deploy.doctor.findings.agent import AgentFacts
from registry.consul.agent_info import AgentInfo
from registry.consul.errors import ConsulRefused, ConsulUnavailable
from registry.consul.settings import ConsulSettings
from registry.runtime.errors import SettingsError


async def ask_agent(consul: ConsulSettings) -> AgentFacts:
    """What it says; what the token may not read is left out."""
    agent = AgentInfo(consul)
    try:
        leader = await _leader(agent)
        members = await agent.members()
        version = next((member.version for member in members if len(members) == 1), "")
        with suppress(ConsulRefused):
            version = (await agent.itself()).version
        servers = await agent.servers() if leader else ()
    except (ConsulUnavailable, ConsulRefused, SettingsError) as error:
        return AgentFacts(consul.url, trouble=str(error))
    finally:
        await agent.close()
    return AgentFacts(consul.url, "", leader, version, len(members), servers)


async def _leader(agent: AgentInfo) -> str:
    """The leader; "" where the agent answers, but knows none."""
    try:
        return await agent.leader()
    except ConsulUnavailable as error:
        if "could not answer" in str(error):
            return ""
        raise
