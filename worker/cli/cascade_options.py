"""The options of a cascade: its file, and how the services of its steps are found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worker.settings import CascadeSource

DEFAULT_LOOKUP = "http://127.0.0.1:12480"
"""Where `p2p up` and `p2p registry` put the lookup service unless told otherwise."""

Cascade = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml",
        help="Serve several services or models as one; the file says which runs when, and how they answer together.",
    ),
]
LookupService = Annotated[
    str,
    typer.Option(
        "--registry",
        envvar="P2P_REGISTRY",
        metavar="URL",
        help="With --cascade: the lookup service that knows its services. P2P_CA, P2P_CERT and P2P_KEY name the "
        "certificates for it, P2P_TOKEN holds its token.",
    ),
]
LookupTokenFile = Annotated[
    str | None,
    typer.Option(
        envvar="P2P_TOKEN_FILE",
        metavar="FILE",
        help="With --cascade: file with the token that the lookup service wants, in place of P2P_TOKEN.",
    ),
]


def cascade_source(path: Path | None, *, registry: str, token_file: str | None) -> CascadeSource | None:
    """What the options and the environment say; None without a cascade.

    Raises typer.BadParameter for a file without a token.
    """
    if path is None:
        return None
    from p2pclient.cli.connection import credentials

    try:
        return CascadeSource(path, registry, credentials(token_file))
    except OSError as error:
        raise typer.BadParameter(f"{error.filename}: {error.strerror or error}") from None
