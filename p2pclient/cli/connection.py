"""The client that a command uses: from its flags, with certificates and a token from the environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from p2pclient import AsyncClient


def client_for(registry: str, service: str | None, timeout_s: float, **options: Any) -> AsyncClient:
    """A client for these flags; what they or the environment get wrong is wrong usage (typer.BadParameter)."""
    from p2pclient import AsyncClient

    try:
        return AsyncClient(registry, service=service, timeout_s=timeout_s, **options, **credentials())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except OSError as error:
        raise typer.BadParameter(f"{error.filename}: {error.strerror or error}") from None


def credentials() -> dict[str, Any]:
    """The client's options about certificates, the token and the workers' scheme.

    They come from the environment alone, since a process list shows flags to everybody.
    """
    from p2pclient.options import TLS

    ca, cert, key = (os.environ.get(name) or None for name in ("P2P_CA", "P2P_CERT", "P2P_KEY"))
    names = {"P2P_TOKEN": "token", "P2P_WORKER_SCHEME": "worker_scheme"}
    options: dict[str, Any] = {argument: os.environ[name] for name, argument in names.items() if os.environ.get(name)}
    return options | {"tls": TLS(ca=ca, cert=cert, key=key)}
