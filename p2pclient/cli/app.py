"""The application `p2p`: the client's commands, those that p2p-serving adds, and `--version`.

A command that runs imports only what it needs: no command line help loads aiohttp, and none of the client's
commands loads p2p-serving.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

import p2pclient
from p2pclient.cli import serving_commands
from p2pclient.cli.commands import classify, lookup
from p2pclient.cli.environment import EnvironmentCommand
from p2pclient.cli.events.command import events
from p2pclient.cli.exit_codes import EXIT_CODES
from p2pclient.cli.status.command import status

COMMANDS: dict[str, Callable[..., None]] = {"classify": classify, "lookup": lookup, "status": status, "events": events}
"""The client's own commands, by name."""

HELP_COLUMNS = 120
"""Help is as wide as the terminal, and no wider than this."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"p2p {p2pclient.__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Serve trained models without a proxy in the data path: look a worker up, then post the image straight to it.

    `p2p up` starts everything on this machine.
    """


def application(arguments: Sequence[str] = ()) -> typer.Typer:
    """`p2p` for these arguments: where they begin with a command, no others of p2p-serving are loaded."""
    app = typer.Typer(
        name="p2p",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": HELP_COLUMNS},
    )
    app.callback()(_root)
    for name, command in COMMANDS.items():
        app.command(name, cls=EnvironmentCommand, epilog=EXIT_CODES, no_args_is_help=command is classify)(command)
    first_argument = arguments[0] if arguments else None
    if first_argument not in COMMANDS:
        serving_commands.add_to(app, first_argument=first_argument)
    return app
