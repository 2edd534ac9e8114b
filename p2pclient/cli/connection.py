"""The client that a command uses: from its flags, with certificates and a token from the environment."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from p2pclient import AsyncClient


_TOKEN = re.compile(r"(?:Authorization:\s*Bearer\s+)?([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)
"""What a token file holds: a bearer token (RFC 6750, 2.1), alone or as the header that carries it."""


def client_for(
    registry: str, service: str | None, timeout_s: float, *, token_file: str | None, **options: Any
) -> AsyncClient:
    """A client for these flags; what they or the environment get wrong is wrong usage (typer.BadParameter)."""
    from p2pclient import AsyncClient

    try:
        return AsyncClient(registry, service=service, timeout_s=timeout_s, **options, **credentials(token_file))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except OSError as error:
        raise typer.BadParameter(f"{error.filename}: {error.strerror or error}") from None


def credentials(token_file: str | None) -> dict[str, Any]:
    """The client's options about certificates, the token and the workers' scheme.

    They come from the environment and from files, since a process list shows flags to everybody. Raises OSError, or
    typer.BadParameter for a file without a token.
    """
    from p2pclient.options import TLS

    ca, cert, key = (os.environ.get(name) or None for name in ("P2P_CA", "P2P_CERT", "P2P_KEY"))
    names = {"P2P_TOKEN": "token", "P2P_WORKER_SCHEME": "worker_scheme"}
    options: dict[str, Any] = {argument: os.environ[name] for name, argument in names.items() if os.environ.get(name)}
    if token_file:
        options["token"] = _token_in(token_file)
    return options | {"tls": TLS(ca=ca, cert=cert, key=key)}


def _token_in(token_file: str) -> str:
    with open(token_file, encoding="utf-8", errors="replace") as file:
        found = _TOKEN.fullmatch(file.read().strip())
    if found is None:
        raise typer.BadParameter(
            f"--token-file {token_file}: it holds no token: write the token alone, or the one line Authorization: "
            "Bearer TOKEN"
        )
    return found[1]
