"""Decides whether a worker can be asked as it is registered, and how: one rule for lookup services and Consul; pure.

Consul accepts any text as an address or a boot id, and any number as a port. A worker to which no request can be sent
is left out, so that it costs no call and no other worker suffers. The registry has the same rule for itself;
tests/support/consul_health_cases.py holds the cases for both.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address

from p2pclient.bounds import PORT_AT_MOST

NAME_CHARACTERS_AT_MOST = 512
"""Of an id or a version; Consul bounds what stands in Meta alike."""

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_BOOT_ID = re.compile(r"[\x21-\x7e]{0,200}")
"""What can travel in an HTTP header."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_SHOWN_CHARACTERS = 60


def why_unusable(*, worker_id: str, host: str, port: int, version: str, boot: str) -> str:
    """Why no request can be sent to a worker that is registered so, as a clause; "" where one can."""
    if not _is_host(host):
        return f"address {_shown(host)} is neither an IP address nor a host name" if host else "it has no address"
    if not 0 < port <= PORT_AT_MOST:
        return f"port {_shown(port)} is not from 1 to {PORT_AT_MOST}"
    if not _BOOT_ID.fullmatch(boot):
        return f"boot id {_shown(boot)} cannot travel in a header"
    for what, text in (("id", worker_id), ("version", version)):
        if len(text) > NAME_CHARACTERS_AT_MOST:
            return f"{what} {_shown(text)} is longer than {NAME_CHARACTERS_AT_MOST} characters"
        if _CONTROL.search(text):
            return f"{what} {_shown(text)} holds control characters"
    return ""


def scheme_of(registered: object) -> str:
    """The scheme of a worker that is registered with this text: https if it says so, else http."""
    return "https" if registered == "https" else "http"


def auth_of(registered: object) -> str:
    """What a worker wants of clients that is registered with this text: a "ticket", a "token", or "none"."""
    return registered if isinstance(registered, str) and registered in ("ticket", "token") else "none"


@lru_cache(maxsize=4096)  # the hosts of a fleet are the same in every answer
def _is_host(host: str) -> bool:
    """Whether it is an IP address, or a name of DNS labels."""
    if _HOST_NAME.fullmatch(host):
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return "%" not in host  # a zone means something on one host only, and no URL holds it


def _shown(value: object) -> str:
    """The value as Python writes it, cut short: on one line, and without control characters."""
    text = ascii(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
