"""The command `p2p tokens`: it parses and calls; it imports the rest when called."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from registry.security.caller import Role


class TokensAction(enum.StrEnum):
    """What `p2p tokens` does."""

    NEW = "new"


def tokens(
    action: Annotated[TokensAction, typer.Argument(help="new: make a token.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The caller's name.")],
    role: Annotated[list[Role], typer.Option(help="What the token is for. May be repeated.")] = [Role.CLIENT],  # noqa: B006 - typer copies it
    for_service: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A service that the caller may use. May be repeated.  [default: all]"),
    ] = None,
) -> None:
    """Make a token for a caller of the servers.

    Prints the token, which is shown this once, and the lines with its hash to add to a file for --tokens.

    \b
      p2p tokens new alice
      p2p tokens new monitoring --role operator
    """
    from registry.runtime.errors import SettingsError
    from registry.security.tokens.new_token import new_token

    try:
        token, table = new_token(name, roles=role, services=for_service)
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from None
    print(f"The token of {name}, which is not shown again:\n\n{token}\n\nAppend this to the token file:\n\n{table}")
