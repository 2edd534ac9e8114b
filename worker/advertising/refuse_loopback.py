"""Refuses to register a loopback address in a Consul in which other machines take part: asks the agent who does."""

from __future__ import annotations

from registry.consul.agent_info import AgentInfo
from registry.consul.errors import ConsulRefused, ConsulUnavailable, TokenRefused
from registry.consul.settings import ConsulSettings
from worker.advertising.host_addresses import host_addresses
from worker.advertising.loopback import Membership, is_loopback, is_loopback_url, others_take_part, refusal


async def refuse_loopback(host: str, consul: ConsulSettings) -> None:
    """Raise ConsulRefused where `host` is a loopback address and other machines take part in this Consul.

    Raises ConsulUnavailable where the agent has to be asked whether they do, and does not say.
    """
    if not is_loopback(host):
        return
    why = others_take_part(consul.url, await _membership(consul), {entry.text for entry in host_addresses()})
    if why:
        raise ConsulRefused(refusal(host, consul.url, why))


async def refuse_loopback_early(host: str, consul: ConsulSettings) -> None:
    """As `refuse_loopback`, before anything that takes time is begun; where Consul does not say, nothing is refused.

    The registration asks again.
    """
    try:
        await refuse_loopback(host, consul)
    except (ConsulUnavailable, TokenRefused):
        return


async def _membership(consul: ConsulSettings) -> Membership:
    if not is_loopback_url(consul.url):  # which decides
        return Membership(0, ())
    agent = AgentInfo(consul)
    try:
        return Membership(len(await agent.members()), await agent.servers())
    finally:
        await agent.close()
