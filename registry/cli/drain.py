"""The commands `p2p drain` and `p2p undrain`: they parse, and call what changes the maintenance."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from registry.runtime.cli_options import Discovery, consul_option

if TYPE_CHECKING:
    from registry.chosen_backend import BackendSettings

Target = Annotated[
    str,
    typer.Argument(metavar="ADDRESS|ID", show_default=False, help="host:port or the id, as p2p status --json shows."),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; p2p status and /instances show it.")]
Agent = Annotated[
    str | None,
    consul_option("The Consul agent of the worker; any for one in the catalogue. CONSUL_HTTP_ADDR is read too."),
]


def drain(
    target: Target, reason: Reason = "drained by an operator", consul: Agent = None, discovery: Discovery = None
) -> None:
    """Take a worker out of the rotation, without stopping it.

    Sets the maintenance of its registration: lookups, DNS and p2pclient name it no more,
    what it has begun it finishes, and it stays out through restarts of its agent until p2p undrain.

    The token in CONSUL_HTTP_TOKEN needs service:write on its service.
    """
    from registry.drain import drain as drain_target

    _run(lambda settings: drain_target(settings, target, reason), consul, discovery)


def undrain(target: Target, consul: Agent = None, discovery: Discovery = None) -> None:
    """Let a drained worker take requests again.

    Ends the maintenance that p2p drain or consul maint has set.
    """
    from registry.drain import undrain as undrain_target

    _run(lambda settings: undrain_target(settings, target), consul, discovery)


def _run(act: Callable[[BackendSettings], Awaitable[list[str]]], consul: str | None, discovery: str | None) -> None:
    from registry.chosen_backend import backend_settings
    from registry.runtime.errors import RegistryError
    from registry.runtime.processes.lifecycle import run_with_own_signals

    async def main() -> int:
        for line in await act(backend_settings(os.environ, consul=consul, discovery=discovery)):
            typer.echo(line)
        return 0

    raise typer.Exit(run_with_own_signals(main, failures=(RegistryError,)))
