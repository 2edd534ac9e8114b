"""Where a client looks workers up: what the user wrote becomes URLs. Pure; nothing is resolved here.

"lookup", "lookup:8080", "https://gateway/p2p"      one lookup service
"a:12480,b:12480"                                   several: whichever answers
"consul://127.0.0.1:8500", "consul+https://c:8501"  no lookup service: Consul itself
"""

from __future__ import annotations

from dataclasses import dataclass

from yarl import URL

LOOKUP_PORT = 12480
CONSUL_PORT = 8500
_CONSUL_SCHEMES = {"consul": "http", "consul+http": "http", "consul+https": "https"}


@dataclass(frozen=True, slots=True)
class Addresses:
    """Base URLs without a slash at their end, all of lookup services or all of Consul agents."""

    urls: tuple[URL, ...]
    consul: bool

    @property
    def shown(self) -> str:
        """The addresses as a person may see them: without names and passwords."""
        return ",".join(shown(url) for url in self.urls)

    @property
    def with_password(self) -> bool:
        """Whether one of them carries a name or password for HTTP's Basic authentication."""
        return any(url.user is not None for url in self.urls)


def shown(url: URL) -> str:
    """A base URL without the name and the password that it may carry."""
    return str(url.with_user(None)).rstrip("/")


def addresses(registry: str) -> Addresses:
    """All that `registry` names, separated by commas. Raises ValueError if a part can mean nothing.

    A bare host means port 12480, a `consul` URL without a port 8500; another URL means what it says.
    """
    parts = [part.strip() for part in registry.split(",")]
    consul = [_consul_url(part) for part in parts if part.partition("://")[0] in _CONSUL_SCHEMES]
    if consul and len(consul) < len(parts):
        raise ValueError(f"{_harmless(registry)!r} mixes Consul with lookup services: give one kind of address")
    return Addresses(tuple(consul or [registry_url(part) for part in parts]), consul=bool(consul))


def registry_url(registry: str) -> URL:
    """The base URL that `registry` names: "host", "host:port" or a whole http(s) URL.

    A bare host means port 12480; a URL means what it says. Raises ValueError if it is neither.
    """
    bare = "://" not in registry
    url = _parsed(f"http://{registry}" if bare else registry)
    if url.scheme not in ("http", "https"):
        raise ValueError(
            f"{_harmless(registry)!r} is no address of a lookup service: give http://HOST:PORT or HOST:PORT"
        )
    return url.with_port(LOOKUP_PORT) if bare and url.explicit_port is None else url


def _consul_url(address: str) -> URL:
    scheme, _, rest = address.partition("://")
    url = _parsed(f"{_CONSUL_SCHEMES[scheme]}://{rest}")
    if not url.scheme:
        raise ValueError(f"{_harmless(address)!r} is no address of Consul: give consul://HOST:PORT")
    return url.with_port(CONSUL_PORT) if url.explicit_port is None else url


def _parsed(text: str) -> URL:
    """The URL, or an empty one where nothing could be asked at it."""
    try:
        url = URL(text)
        URL.build(scheme=url.scheme, host=url.host or "")  # stricter than parsing: refuses blanks
    except ValueError:
        return URL()
    return url if url.host and not url.query_string and not url.fragment else URL()


def _harmless(text: str) -> str:
    """The text without what stands before an @, which may be a password."""
    scheme, separator, rest = text.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
