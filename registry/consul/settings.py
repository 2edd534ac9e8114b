"""How to reach a Consul agent: what CONSUL_HTTP_ADDR and its siblings mean to Consul's own tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from registry.runtime.errors import SettingsError

DEFAULT_CONSUL_URL = "http://127.0.0.1:8500"


@dataclass(frozen=True, slots=True)
class ConsulSettings:
    """How to reach a Consul agent.

    `url` is `http://host:port`, `https://host:port` or `unix:///path`. `ca_file`, `cert_file`, `key_file`
    are PEM files; `verify=False` takes any certificate (CONSUL_HTTP_SSL_VERIFY=false).
    """

    url: str = DEFAULT_CONSUL_URL
    token: str | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    verify: bool = True
    server_name: str | None = None
    datacenter: str | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, url: str | None = None) -> ConsulSettings:
        """Read Consul's own variables; `url` (the --consul flag) goes before CONSUL_HTTP_ADDR.

        Raises SettingsError where an address cannot be understood or a file cannot be read.
        """
        address = url or environ.get("CONSUL_HTTP_ADDR") or DEFAULT_CONSUL_URL
        secure = environ.get("CONSUL_HTTP_SSL", "").lower() in ("1", "true")
        return cls(
            url=normal_url(address, secure=secure),
            token=environ.get("CONSUL_HTTP_TOKEN") or _file_content(environ.get("CONSUL_HTTP_TOKEN_FILE")),
            ca_file=_file(environ.get("CONSUL_CACERT"), "CONSUL_CACERT"),
            cert_file=_file(environ.get("CONSUL_CLIENT_CERT"), "CONSUL_CLIENT_CERT"),
            key_file=_file(environ.get("CONSUL_CLIENT_KEY"), "CONSUL_CLIENT_KEY"),
            verify=environ.get("CONSUL_HTTP_SSL_VERIFY", "true").lower() not in ("0", "false"),
            server_name=environ.get("CONSUL_TLS_SERVER_NAME") or None,
        )


def normal_url(address: str, *, secure: bool = False) -> str:
    """`host`, `host:port`, `http(s)://host:port` or `unix://path` as one canonical URL.

    Raises SettingsError for anything else.
    """
    if address.startswith("unix://"):
        return address
    if "://" not in address:
        address = f"{'https' if secure else 'http'}://{address}"
    parts = urlsplit(address)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1 or parts.path.strip("/"):
        raise SettingsError(
            f"{address!r} is not the address of a Consul agent: write host:port, http://host:port, "
            "https://host:port or unix:///path/to/socket."
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port or (8501 if parts.scheme == 'https' else 8500)}"


def _file(name: str | None, variable: str) -> Path | None:
    if not name:
        return None
    path = Path(name)
    if not path.is_file():
        raise SettingsError(f"{variable} names {name}, which is not a file.")
    return path


def _file_content(name: str | None) -> str | None:
    path = _file(name, "CONSUL_HTTP_TOKEN_FILE")
    return path.read_text().strip() if path else None
