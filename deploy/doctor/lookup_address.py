"""What `--registry` means, as for the client's commands: lookup services, or Consul in their place. Pure.

The client's own reading of it cannot be imported here: nothing that serves depends on the client.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from registry.runtime.address import host_port
from registry.runtime.errors import SettingsError

LOOKUP_PORT = 12480

_CONSUL = ("consul", "consul+http", "consul+https")


def lookup_urls(registry: str) -> tuple[str, ...]:
    """The base URLs of the lookup services; none where Consul is named. Raises SettingsError."""
    return tuple(_url(part.strip()) for part in registry.split(",") if part.partition("://")[0].strip() not in _CONSUL)


def consul_in(registry: str) -> str | None:
    """The URL of the first Consul agent that is named; None where there is none."""
    for part in registry.split(","):
        scheme, separator, rest = part.strip().partition("://")
        if separator and scheme in _CONSUL:
            return f"{'https' if scheme == 'consul+https' else 'http'}://{rest}"
    return None


def _url(part: str) -> str:
    bare = "://" not in part
    try:
        parts = urlsplit(f"http://{part}" if bare else part)
        port = parts.port or (LOOKUP_PORT if bare else None)
    except ValueError:
        raise _not_an_address(part) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _not_an_address(part)
    port = port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{host_port(parts.hostname, port)}{parts.path.rstrip('/')}"


def _not_an_address(part: str) -> SettingsError:
    return SettingsError(f"{part.rpartition('@')[2]!a} is no address of a lookup service: give http://HOST:PORT.")
