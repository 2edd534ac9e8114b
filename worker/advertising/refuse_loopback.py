"""Refuses to register a loopback address in a backend in which other machines take part: asks the backend who does."""

from __future__ import annotations

from registry.backend.errors import BackendRefused, BackendUnavailable, CredentialsRefused
from registry.chosen_backend import BackendSettings, participants
from worker.advertising.host_addresses import host_addresses
from worker.advertising.loopback import Membership, is_loopback, is_loopback_url, others_take_part, refusal


async def refuse_loopback(host: str, backend: BackendSettings) -> None:
    """Raise BackendRefused where `host` is a loopback address and other machines take part in this backend.

    Raises BackendUnavailable where an agent has to be asked whether they do, and does not say.
    """
    if not is_loopback(host):
        return
    own = {entry.text for entry in host_addresses()}
    why = others_take_part(backend.url, await _membership(backend), own)
    if why:
        raise BackendRefused(refusal(host, f"{backend.product} at {backend.url}", why))


async def refuse_loopback_early(host: str, backend: BackendSettings) -> None:
    """As `refuse_loopback`, before anything that takes time is begun. The registration asks again.

    Where the backend does not say who takes part, nothing is refused.
    """
    try:
        await refuse_loopback(host, backend)
    except (BackendUnavailable, CredentialsRefused):
        return


async def _membership(backend: BackendSettings) -> Membership:
    if not is_loopback_url(backend.url):  # which decides
        return Membership(0, ())
    return Membership(*await participants(backend))
