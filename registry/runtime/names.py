"""The rules for names that come from outside: one for each kind of name, checked where a flag is read. Pure.

Every check returns the name, or raises SettingsError with the rule in its sentence.
"""

from __future__ import annotations

import ipaddress
import re

from registry.runtime.errors import SettingsError

_SERVICE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_DATACENTER = re.compile(r"[A-Za-z0-9_-]{1,63}")
HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
"""The name of a host: DNS labels, and underscores, which container networks use."""

_DOTTED_NUMBERS = re.compile(r"[0-9.]+")
_LONGEST_TAG = 255
_SHOWN = 80  # characters of a refused name in the error


def service_name(name: str) -> str:
    """The name of a service, which is a label of a DNS name, because Consul answers for it as NAME.service.consul."""
    if not _SERVICE.fullmatch(name):
        raise SettingsError(
            f"{_shown(name)} cannot name a service: a name has 1 to 63 letters, digits and dashes (a-z, A-Z, "
            "0-9, -), and a letter or digit at either end."
        )
    return name


def datacenters(text: str) -> tuple[str, ...]:
    """The names of Consul's datacenters in a list with commas between; none in an empty text."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if not _DATACENTER.fullmatch(name):
            raise SettingsError(f"{_shown(name)} cannot name a datacenter: letters, digits, dashes and underscores do.")
    return names


def advertised_host(host: str) -> str:
    """A host at which others reach a worker: the name of a host, or an IP address, but not that of a group.

    0.0.0.0 and :: pass, because Consul itself refuses them, in its words.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if HOST_NAME.fullmatch(host) and not _DOTTED_NUMBERS.fullmatch(host):
            return host
        raise SettingsError(
            f"{_shown(host)} is not a host: write an IP address, or a name of letters, digits, dashes and "
            "underscores with dots between its parts, without a port."
        ) from None
    if address.is_multicast or "%" in host:
        raise SettingsError(f"{host} is not the address of one host: write one that others can reach.")
    return host


def listening_host(host: str) -> str:
    """A host to listen on: as of `advertised_host`, or an address that stands for all of this machine's."""
    return advertised_host(host) if host and not is_ip_address(host) else host


def is_ip_address(text: str) -> bool:
    """Whether it is an IP address, of version 4 or 6, without brackets."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def tag(text: str) -> str:
    """A tag that a worker is registered with: Consul keeps any text, so the rule only keeps it readable."""
    if (
        not text
        or not text.isprintable()
        or text != text.strip()
        or len(text.encode("utf-8", "replace")) > _LONGEST_TAG
    ):
        raise SettingsError(
            f"{_shown(text)} cannot be a tag: a tag has 1 to {_LONGEST_TAG} bytes of printable UTF-8, without "
            "spaces at its ends."
        )
    return text


def _shown(name: str) -> str:
    """The start of a name, with everything escaped that a terminal would not show."""
    return ascii(name) if len(name) <= _SHOWN else f"{name[:_SHOWN]!a} ..."
