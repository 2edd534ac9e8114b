"""Asks each lookup service whether it is ready, whether it accepts our token, and what it knows."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.doctor.facts.lookup_client import LookupClient, LookupFailed
from deploy.doctor.findings.lookup import LookupFacts


async def ask_lookups(lookup: LookupClient, service: str) -> Sequence[LookupFacts]:
    """What each of them says."""
    return [await _ask(lookup, url, service) for url in lookup.urls]


async def _ask(lookup: LookupClient, url: str, service: str) -> LookupFacts:
    try:
        await lookup.text(url, "/readyz")
    except LookupFailed as failed:
        return LookupFacts(url, waiting=str(failed)) if failed.status == 503 else LookupFacts(url, fault=str(failed))
    try:
        services = [str(entry["name"]) for entry in await lookup.json(url, "/services")]
    except LookupFailed as failed:
        denied = failed.status in (401, 403)
        return LookupFacts(url, denied=str(failed)) if denied else LookupFacts(url, fault=str(failed))
    except (LookupError, TypeError):
        return LookupFacts(url, fault="what answers there is not a lookup service")
    stale_s = await lookup.stale_s(url, service) if service in services else 0.0
    return LookupFacts(url, stale_s=stale_s, services=services)
