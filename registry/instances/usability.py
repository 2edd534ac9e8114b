"""Decides whether an instance can be used as it is registered: one rule for what Consul and the state file say. Pure.

Consul accepts any text as an address, an id or a boot id, and any number as a port. An instance that no request can be
sent to, or whose text would break a header, a log line or a terminal, is left out, so that no other one suffers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from registry.runtime.names import HOST_NAME

BOOT_CHARACTERS_AT_MOST = 200

NAME_CHARACTERS_AT_MOST = 512
"""Of a service, an id or a version, which many answers repeat; Consul bounds what stands in Meta alike."""

WEIGHT_AT_MOST = 65_535
"""The largest weight that Consul accepts, and that a DNS record can hold."""

_BOOT_ID = re.compile(rf"[\x21-\x7e]{{0,{BOOT_CHARACTERS_AT_MOST}}}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Unusable:
    """A registered instance that is left out, and why, in a clause such as `port 70000 is not from 1 to 65535`."""

    id: str
    reason: str


def why_unusable(*, service: str, instance_id: str, host: str, port: int, version: str, boot: str) -> str:
    """Why an instance with these fields cannot be used; "" where it can."""
    if not is_host(host):
        return f"address {_shown(host)} is neither an IP address nor a host name" if host else "it has no address"
    if not 0 < port < 1 << 16:
        return f"port {_shown(port)} is not from 1 to 65535"
    if not _BOOT_ID.fullmatch(boot):
        return f"boot id {_shown(boot)} cannot travel in a header"
    for what, text in (("service", service), ("id", instance_id), ("version", version)):
        if len(text) > NAME_CHARACTERS_AT_MOST:
            return f"{what} {_shown(text)} is longer than {NAME_CHARACTERS_AT_MOST} characters"
        if _CONTROL.search(text):
            return f"{what} {_shown(text)} holds control characters"
    return ""


@lru_cache(maxsize=4096)  # the hosts of a fleet are the same in every answer
def is_host(host: str) -> bool:
    """Whether it is an IP address, or a name of DNS labels."""
    if HOST_NAME.fullmatch(host):
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return "%" not in host  # a zone means something on one host only, and no URL holds it


def weight_in_bounds(weight: object) -> int:
    """The weight from 1 to Consul's largest; 1 where it is no whole number."""
    if not isinstance(weight, int) or isinstance(weight, bool):
        return 1
    return min(max(1, weight), WEIGHT_AT_MOST)


def _shown(value: object) -> str:
    """The value as Python writes it, cut short: on one line, and without control characters."""
    text = ascii(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
