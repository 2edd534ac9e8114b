"""How to reach a Consul agent, read from CONSUL_HTTP_ADDR and its siblings as Consul's own tools read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from registry.runtime.address import bracketed
from registry.runtime.errors import SettingsError

DEFAULT_CONSUL_URL = "http://127.0.0.1:8500"


@dataclass(frozen=True, slots=True)
class ConsulSettings:
    """How to reach a Consul agent.

    `url` is `http://host:port`, `https://host:port` or `unix:///path`. `auth` is `name:password` for HTTP's Basic
    authentication. `ca_file`, `cert_file`, `key_file` are PEM files; `verify=False` accepts any certificate
    (CONSUL_HTTP_SSL_VERIFY=false). `datacenter` is the one whose services are read; None: the agent's own.
    """

    product: ClassVar[str] = "Consul"

    url: str = DEFAULT_CONSUL_URL
    token: str | None = field(default=None, repr=False)
    auth: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    verify: bool = True
    server_name: str | None = None
    datacenter: str | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, url: str | None = None) -> ConsulSettings:
        """Read Consul's own variables; `url` (the --consul flag) is used in place of CONSUL_HTTP_ADDR.

        A name and password in the address are used in place of CONSUL_HTTP_AUTH. Raises SettingsError where an address
        is invalid or a file cannot be read.
        """
        address = url or environ.get("CONSUL_HTTP_ADDR") or DEFAULT_CONSUL_URL
        secure = environ.get("CONSUL_HTTP_SSL", "").lower() in ("1", "true")
        return cls(
            url=normal_url(address, secure=secure),
            token=_token(environ),
            auth=auth_in(address) or environ.get("CONSUL_HTTP_AUTH") or None,
            ca_file=_file(environ.get("CONSUL_CACERT"), "CONSUL_CACERT"),
            cert_file=_file(environ.get("CONSUL_CLIENT_CERT"), "CONSUL_CLIENT_CERT"),
            key_file=_file(environ.get("CONSUL_CLIENT_KEY"), "CONSUL_CLIENT_KEY"),
            verify=environ.get("CONSUL_HTTP_SSL_VERIFY", "true").lower() not in ("0", "false"),
            server_name=environ.get("CONSUL_TLS_SERVER_NAME") or None,
        )

    def as_arguments(self) -> list[str]:
        """The flags with which a child process reaches the same agent, in its environment."""
        return ["--consul", self.url]

    def as_environment(self) -> dict[str, str]:
        """The variables with which a child process reaches the same agent; certificates and token it inherits."""
        return {"CONSUL_HTTP_ADDR": self.url} | ({"CONSUL_HTTP_AUTH": self.auth} if self.auth else {})


def auth_in(address: str) -> str | None:
    """The `name:password` that an address carries before an @, decoded; None where it carries none."""
    _, _, rest = address.rpartition("://")
    user_info, at, _ = rest.partition("/")[0].rpartition("@")
    return unquote(user_info) if at and not address.startswith("unix://") else None


def normal_url(address: str, *, secure: bool = False) -> str:
    """`host`, `host:port`, `http(s)://host:port` or `unix://path` as one canonical URL, without name and password.

    Raises SettingsError for anything else.
    """
    if address.startswith("unix://"):
        return address
    if "://" not in address:
        address = f"{'https' if secure else 'http'}://{address}"
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise _invalid(address) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise _invalid(address)
    return f"{parts.scheme}://{bracketed(parts.hostname)}:{port or (8501 if parts.scheme == 'https' else 8500)}"


def _invalid(address: str) -> SettingsError:
    scheme, separator, rest = address.rpartition("://")
    shown = f"{scheme}{separator}{rest.rpartition('@')[2]}"  # what stands before an @ may be a password
    return SettingsError(
        f"{shown!r} is not the address of a Consul agent: write host:port, http://host:port, https://host:port or "
        "unix:///path/to/socket."
    )


def _file(name: str | None, variable: str) -> Path | None:
    if not name:
        return None
    path = Path(name)
    if not path.is_file():
        raise SettingsError(f"{variable} names {name}, which is not a file.")
    return path


def _token(environ: Mapping[str, str]) -> str | None:
    """The token. Raises SettingsError, which does not show it, where no header can carry it."""
    given = environ.get("CONSUL_HTTP_TOKEN")
    token = given or _file_content(environ.get("CONSUL_HTTP_TOKEN_FILE"))
    if token and not (token.isascii() and token.isprintable()):
        variable = "CONSUL_HTTP_TOKEN" if given else "CONSUL_HTTP_TOKEN_FILE"
        raise SettingsError(f"The token in {variable} is several lines, or no plain text: give one token on one line.")
    return token


def _file_content(name: str | None) -> str | None:
    path = _file(name, "CONSUL_HTTP_TOKEN_FILE")
    try:
        return path.read_text().strip() if path else None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(f"CONSUL_HTTP_TOKEN_FILE names {name}, which cannot be read: {reason}.") from error
