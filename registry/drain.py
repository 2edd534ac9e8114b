"""What `p2p drain` and `p2p undrain` do: they set and end the maintenance of registrations that an operator names."""

from __future__ import annotations

from urllib.parse import urlsplit

from registry.backend.registrations import Registered, named
from registry.chosen_backend import BackendSettings, open_registrations
from registry.instances.instance import RegisterAt
from registry.runtime.address import bracketed
from registry.runtime.errors import SettingsError


async def drain(backend: BackendSettings, target: str, reason: str) -> list[str]:
    """Take the registrations that `target` names, an id or an address, out of every rotation; what was done, in lines.

    Raises SettingsError where neither the agent nor the catalogue itself keeps one, BackendUnavailable, BackendRefused.
    """
    found = await _set_maintenance(backend, target, enable=True, reason=reason)
    return [f"{each.id} ({each.address}) is drained: new requests go to others ({reason})." for each in found]


async def undrain(backend: BackendSettings, target: str) -> list[str]:
    """Let the registrations that `target` names take requests again; what was done, in lines. Raises as `drain`."""
    found = await _set_maintenance(backend, target, enable=False)
    return [f"{each.id} ({each.address}) is handed out again once its checks pass." for each in found]


async def _set_maintenance(
    backend: BackendSettings, target: str, *, enable: bool, reason: str = ""
) -> list[Registered]:
    registrations = open_registrations(backend)
    try:
        found = named(await registrations.changeable(), target)
        if not found:
            elsewhere = named(await registrations.known(), target)
            found = [each for each in elsewhere if each.place is RegisterAt.CATALOG]
            if not found:
                raise SettingsError(_elsewhere(backend, target, elsewhere))
        for each in found:
            await registrations.maintenance(each, enable=enable, reason=reason)
        return found
    finally:
        await registrations.close()


def _elsewhere(backend: BackendSettings, target: str, found: list[Registered]) -> str:
    """Why the agent that was asked cannot do it, and which one can."""
    if not found:
        return (
            f"Nothing is registered as {target!a}, as far as the token may read: give an id or a host:port that "
            "p2p status --json shows."
        )
    owner = found[0]
    parts = urlsplit(backend.url)
    scheme, port = (parts.scheme, parts.port) if parts.scheme in ("http", "https") else ("http", 8500)
    return (
        f"{owner.id} is registered with the agent on node {owner.node}, and only that agent can change it: run the "
        f"command there, or add --consul {scheme}://{bracketed(owner.node_address)}:{port} if that agent listens there."
    )
