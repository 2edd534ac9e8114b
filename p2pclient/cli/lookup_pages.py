"""The operators' pages of the lookup services that a command names; wrong usage where it names Consul."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from p2pclient.discovery.address import addresses
from p2pclient.discovery.operator_pages import OperatorPages
from p2pclient.transport.base import Transport
from p2pclient.transport.http import HttpTransport

CONNECT_TIMEOUT_S = 1.0


def lookup_pages(registry: str, credentials: Mapping[str, Any]) -> tuple[OperatorPages, Transport]:
    """The pages, and the connections that the caller closes; raises typer.BadParameter."""
    try:
        where = addresses(registry)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if where.consul:
        raise typer.BadParameter("only a lookup service tells events: give its address with --registry")
    transport = HttpTransport(connect_timeout_s=CONNECT_TIMEOUT_S, tls=credentials["tls"].verification())
    return OperatorPages(transport, where.urls, token=credentials.get("token")), transport
