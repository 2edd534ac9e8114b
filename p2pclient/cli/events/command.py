"""The command `p2p events`: reads its arguments, calls, and chooses the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from p2pclient.cli.arguments import Follow, Json, Registry, Timeout, TokenFile
from p2pclient.cli.connection import credentials
from p2pclient.cli.exit_codes import FAILED, INTERRUPTED
from p2pclient.cli.terminal_output.terminal import complain, write
from p2pclient.types import DEFAULT_REGISTRY

if TYPE_CHECKING:
    pass


def events(
    registry: Registry = DEFAULT_REGISTRY,
    follow: Follow = False,
    as_json: Json = False,
    timeout: Timeout = 5.0,
    token_file: TokenFile = None,
) -> None:
    """Show what has happened to workers, versions and services.

    The lookup service keeps the last 1,000 events. Where tokens are on, it tells operators only.

    \b
      p2p events
      p2p events --follow
      p2p events --json | jq 'select(.kind == "critical")'
    """
    import asyncio
    import json

    from p2pclient import P2PError
    from p2pclient.cli.events.follow import show_events
    from p2pclient.cli.events.line import as_line
    from p2pclient.cli.lookup_pages import lookup_pages

    def show(event: dict[str, Any]) -> None:
        write(json.dumps(event) + "\n" if as_json else as_line(event))

    async def run() -> None:
        pages, transport = lookup_pages(registry, credentials(token_file))
        try:
            await show_events(
                pages, show=show, complain=lambda said: complain("events", said), follow=follow, limit_s=timeout
            )
        finally:
            await transport.close()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except P2PError as error:
        complain("events", str(error))
        raise typer.Exit(FAILED) from None
