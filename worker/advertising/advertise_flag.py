"""Reads `--advertise`: a host, an interface of this host or a template, each with or without a port. Pure.

    10.0.0.5   gpu-7.example.com   [fd00::5]      an address or a host's name
    10.0.0.5:20001                                the same with the port at which clients reach the first model
    eth0                                          the address of that interface
    {{ GetPrivateIP }}   {{ GetPublicIP }}        the address that this host uses towards other networks
    {{ GetInterfaceIP "eth0" }}                   as eth0

The templates are those of HashiCorp's go-sockaddr that return one address and take at most an interface's name.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from registry.runtime.errors import SettingsError
from registry.runtime.names import advertised_host, is_ip_address

_TEMPLATE = re.compile(r"\{\{-?\s*(?P<function>\w+)(?:\s+(?P<quote>[\"`])(?P<name>[^\"`]*)(?P=quote))?\s*-?\}\}")
_SHOWN = 80  # characters of a refused flag in the error
_HIGHEST_PORT = 65535


class Source(enum.Enum):
    """Where the host comes from: as it is written (or an interface of that name), or one of this host's addresses."""

    WRITTEN = "written"
    INTERFACE = "GetInterfaceIP"
    PRIVATE = "GetPrivateIP"
    PUBLIC = "GetPublicIP"


@dataclass(frozen=True, slots=True)
class Advertise:
    """What --advertise says: the host in `name` (of an interface for INTERFACE), and a port where it names one."""

    source: Source
    name: str = ""
    port: int | None = None


def parse_advertise(text: str) -> Advertise:
    """What the text means. Raises SettingsError with the rule where it means nothing."""
    where, port = _parted(text.strip())
    if where.startswith("{{"):
        return _template(where, port)
    return Advertise(Source.WRITTEN, _host(where.removeprefix("[").removesuffix("]"), text), port)


def _parted(text: str) -> tuple[str, int | None]:
    """The text before the port, and the port; an IPv6 address with a port stands in brackets."""
    where, colon, digits = text.rpartition(":")
    if not colon or text.endswith(("]", "}}")) or is_ip_address(text):
        return text, None
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits[:6]) <= _HIGHEST_PORT):
        raise SettingsError(f"{_shown(text)} cannot be advertised: its port is not a number from 1 to {_HIGHEST_PORT}.")
    return where, int(digits)


def _host(host: str, text: str) -> str:
    if ":" in host and not is_ip_address(host):
        raise SettingsError(f"{_shown(text)} cannot be advertised: write host:port, or [address]:port for IPv6.")
    try:
        return advertised_host(host)
    except SettingsError as error:
        rule = str(error).removesuffix(", without a port.").removesuffix(".")
        raise SettingsError(f"{rule}; a port, the name of an interface or {{{{ GetPrivateIP }}}}.") from None


def _template(text: str, port: int | None) -> Advertise:
    match = _TEMPLATE.fullmatch(text)
    known = {source.value: source for source in Source if source is not Source.WRITTEN}
    source = known.get(match["function"]) if match else None
    if match is None or source is None or (source is Source.INTERFACE) != bool(match["name"]):
        raise SettingsError(
            f"{_shown(text)} is not a template that is known: there are {{{{ GetPrivateIP }}}}, "
            '{{ GetPublicIP }} and {{ GetInterfaceIP "eth0" }}.'
        )
    return Advertise(source, match["name"] or "", port)


def _shown(text: str) -> str:
    return ascii(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!a} ..."
