"""Which lookup services and workers are open to every machine that reaches them: no TLS and no tokens; pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from p2pclient.cli.status.model import ServiceStatus
from p2pclient.discovery.address import Addresses

_SHOWN_AT_MOST = 5


def exposed_lookups(where: Addresses, *, token: str | None) -> tuple[str, ...]:
    """Those that are asked over plain HTTP, beyond this machine, without a token or a password."""
    if where.consul or where.with_password or token is not None:
        return ()
    return tuple(str(url.origin()) for url in where.urls if url.scheme == "http" and not is_loopback(url.host or ""))


def exposed_workers(statuses: Sequence[ServiceStatus]) -> tuple[str, ...]:
    """Those that are registered with plain HTTP, at an address beyond their machine, and want no ticket or token."""
    workers = (status.worker for service in statuses for status in service.workers)
    return tuple(
        f"{worker.scheme}://{worker.address}"
        for worker in workers
        if worker.scheme == "http" and worker.auth == "none" and not is_loopback(worker.host)
    )


def exposure_warning(exposed: Sequence[str]) -> str:
    """The sentence that names some of them; "" where there is none."""
    if not exposed:
        return ""
    more = f" and {len(exposed) - _SHOWN_AT_MOST} more" if len(exposed) > _SHOWN_AT_MOST else ""
    shown = ", ".join(exposed[:_SHOWN_AT_MOST])
    return f"warning: without TLS and tokens, every machine that reaches these may use them: {shown}{more}"


def is_loopback(host: str) -> bool:
    """Whether a host is reached from its own machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
