"""How to reach ZooKeeper: the URL of --discovery, and who we are there, which only the environment or a file says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from registry.runtime.address import bracketed
from registry.runtime.errors import SettingsError

SCHEME = "zookeeper://"

DEFAULT_ROOT = "/p2p-serving"
DEFAULT_PORT = 2181

AUTH, AUTH_FILE, ACL = "P2P_ZOOKEEPER_AUTH", "P2P_ZOOKEEPER_AUTH_FILE", "P2P_ZOOKEEPER_ACL"

SESSION_TIMEOUT_S = 10.0
"""After so long without a word from a process ZooKeeper removes its nodes; servers allow 4 to 40 s by default."""

_NAME = re.compile(r"(?!\.{1,2}$)[\x21-\x2e\x30-\x7e]+")
_ENTRY = re.compile(r"([a-z0-9]+):(.+):([cdrwa]+)")
_RIGHTS = {"r": 1, "w": 2, "c": 4, "d": 8, "a": 16}


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user, authenticated by SASL (DIGEST-MD5) or by ZooKeeper's own scheme `digest`."""

    scheme: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Grant:
    """An entry of an access control list: the rights, as ZooKeeper's bits, of an id in a scheme."""

    scheme: str
    id: str
    rights: int


@dataclass(frozen=True, slots=True)
class ZooKeeperSettings:
    """How to reach an ensemble: `hosts` are `host:port`, and everything of ours is below the node `root`.

    Without `credentials` everybody may change our nodes. With them the user that made a node has all rights to it, and
    others those that `grants` name.
    """

    product: ClassVar[str] = "ZooKeeper"
    datacenter: ClassVar[str] = "zookeeper"

    hosts: tuple[str, ...]
    root: str = DEFAULT_ROOT
    credentials: Credentials | None = None
    grants: tuple[Grant, ...] = ()
    session_timeout_s: float = SESSION_TIMEOUT_S

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, url: str) -> ZooKeeperSettings:
        """Read the URL, and from the environment the credentials and grants. Raises SettingsError."""
        hosts, root = _parts(url)
        credentials = _credentials(environ)
        grants = _grants(environ.get(ACL) or "")
        if grants and credentials is None:
            raise SettingsError(f"{ACL} is for nodes that belong to somebody: give a user in {AUTH}, too.")
        return cls(hosts, root, credentials, grants)

    @property
    def url(self) -> str:
        """As --discovery takes it."""
        return f"{SCHEME}{','.join(self.hosts)}{self.root if self.root != DEFAULT_ROOT else ''}"

    def as_arguments(self) -> list[str]:
        """The flags with which a child process reaches the same ensemble, in its environment."""
        return ["--discovery", self.url]

    def as_environment(self) -> dict[str, str]:
        """The variables with which a child process reaches the same ensemble; the user it inherits."""
        return {"P2P_DISCOVERY": self.url}


def _parts(url: str) -> tuple[tuple[str, ...], str]:
    """The hosts and the root that a URL names."""
    hosts, _, path = url.removeprefix(SCHEME).partition("/")
    if "@" in hosts:
        raise SettingsError(f"--discovery: a user does not belong in an address; give one in {AUTH} or {AUTH_FILE}.")
    names = path.rstrip("/").split("/") if path.rstrip("/") else []
    if not url.startswith(SCHEME) or not all(_NAME.fullmatch(name) for name in names):
        raise _invalid(url)
    root = f"/{'/'.join(names)}" if names else DEFAULT_ROOT
    return tuple(_host_port(host, url) for host in hosts.split(",")), root


def _host_port(text: str, url: str) -> str:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _invalid(url) from None
    if not host or port == 0 or parts.query or parts.fragment:
        raise _invalid(url)
    return f"{bracketed(host)}:{port or DEFAULT_PORT}"


def _invalid(url: str) -> SettingsError:
    return SettingsError(
        f"--discovery: {url!a} is not the address of ZooKeeper: write zookeeper://host:port,host:port or "
        "zookeeper://host:port/path. Consul is named with --consul."
    )


def _credentials(environ: Mapping[str, str]) -> Credentials | None:
    """The user. Raises SettingsError, which does not show the password."""
    source, text = AUTH, environ.get(AUTH) or ""
    if not text and (file := environ.get(AUTH_FILE)):
        source, text = AUTH_FILE, _content(file)
    if not text:
        return None
    scheme, _, rest = text.partition(":")
    user, colon, password = rest.partition(":")
    if scheme not in ("sasl", "digest") or not user or not colon or not password:
        raise SettingsError(f"{source} must say sasl:USER:PASSWORD or digest:USER:PASSWORD, on one line.")
    return Credentials(scheme, user, password)


def _content(name: str) -> str:
    try:
        return Path(name).read_text().strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(f"{AUTH_FILE} names {name}, which cannot be read: {reason}.") from error


def _grants(text: str) -> tuple[Grant, ...]:
    """Entries as zkCli's setAcl takes them: `sasl:lookup:r,sasl:operator:rw`."""
    found = []
    for entry in filter(None, text.split(",")):
        match = _ENTRY.fullmatch(entry.strip())
        if match is None:
            raise SettingsError(
                f"{ACL}: {entry!a} is no entry of a list such as sasl:lookup:r,sasl:operator:rw: a scheme, an id and "
                "rights out of cdrwa."
            )
        found.append(Grant(match[1], match[2], sum(_RIGHTS[right] for right in set(match[3]))))
    return tuple(found)
