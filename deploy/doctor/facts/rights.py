"""Asks Consul which rights the token has."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.doctor.findings.rights import RightsFacts
from registry.consul.agent_info import AgentInfo
from registry.consul.errors import ConsulRefused, ConsulUnavailable, TokenRefused
from registry.consul.right import Right
from registry.consul.settings import ConsulSettings


async def ask_rights(consul: ConsulSettings, rights: Sequence[Right]) -> RightsFacts:
    """Which of these the token has."""
    agent = AgentInfo(consul)
    try:
        allowed = await agent.allowed(rights)
    except (ConsulUnavailable, ConsulRefused) as error:
        unknown = isinstance(error, TokenRefused) and "ACL not found" in str(error)
        return RightsFacts({}, unknown_token=unknown, trouble=str(error))
    finally:
        await agent.close()
    return RightsFacts({}, unchecked=True) if allowed is None else RightsFacts(allowed)
