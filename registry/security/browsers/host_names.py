"""Which names in a Host header are those of this machine, so that a web page cannot reach it under a name of its own.

A page whose name is rebound to this machine's address (DNS rebinding) may read all that is answered here, and its
requests carry the page's name in Host. An IP address cannot be rebound.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from registry.runtime.address import host_only
from registry.runtime.errors import SettingsError
from registry.runtime.names import HOST_NAME
from registry.security.access import AccessDenied

_SHOWN = 80


def host_name(text: str) -> str:
    """The name of a host, without a port. Raises SettingsError."""
    if not HOST_NAME.fullmatch(text):
        raise SettingsError(f"{text[:_SHOWN]!a} is not the name of a host: write such as models.example, no port.")
    return text


class HostNames:
    """The names that may stand in a Host header, beside every IP address and localhost."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(name.lower().rstrip(".") for name in allowed if name) | {"localhost"}

    def check(self, host_header: str | None) -> None:
        """Raise AccessDenied (421) for a name of another machine; a request without a name comes from no browser."""
        if not host_header or host_header in self._allowed:
            return
        host = host_only(host_header).lower().rstrip(".")
        if host in self._allowed or _is_address(host):
            return
        raise AccessDenied(
            421,
            f"{host[:_SHOWN]!a} is not a name of this server: ask it by its address, or start it with --allowed-host.",
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
