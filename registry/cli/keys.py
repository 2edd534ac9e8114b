"""The command `p2p keys`: parses, and calls what rotates, lists and revokes the keys that sign tickets."""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.runtime.cli_options import consul_option, ticket_keys_option

if TYPE_CHECKING:
    from registry.consul.key_value import KeyValue


class Action(enum.StrEnum):
    """What `p2p keys` does."""

    ROTATE = "rotate"
    LIST = "list"
    REVOKE = "revoke"


def keys(
    action: Annotated[Action, typer.Argument(metavar="rotate|list|revoke", show_default=False)],
    key_id: Annotated[str | None, typer.Argument(metavar="[KID]", help="The key to revoke, as list shows it.")] = None,
    ticket_keys: Annotated[
        Path | None, ticket_keys_option("The folder of p2p registry on this host; rotate needs it.")
    ] = None,
    consul: Annotated[
        str | None, consul_option("Consul agent that holds the public keys; CONSUL_HTTP_ADDR is read too.")
    ] = None,
) -> None:
    """Show and change the keys that tickets are signed with.

    \b
      p2p keys list                         every key, and whose it is
      p2p keys rotate --ticket-keys DIR     a new key for this lookup host
      p2p keys revoke KID                   no worker accepts it any more

    After rotate the lookup service goes on with the old key for 5 s, until
    workers have learned the new one; tickets that the old one signed stay
    good until they expire. After revoke they are refused at once: use it
    when somebody may have read a private key. The lookup service of that
    host makes itself a new one.
    """
    from registry.consul.key_value import KeyValue
    from registry.consul.settings import ConsulSettings
    from registry.runtime.errors import RegistryError, SettingsError
    from registry.runtime.processes.lifecycle import run_with_own_signals

    async def main() -> int:
        if action is Action.ROTATE and ticket_keys is None:
            raise SettingsError("rotate makes a key in the folder of p2p registry: name it with --ticket-keys.")
        if (action is Action.REVOKE) != (key_id is not None):
            raise SettingsError("revoke takes the id of a key, and nothing else does: p2p keys list shows the ids.")
        store = KeyValue(ConsulSettings.from_environment(os.environ, url=consul))
        try:
            typer.echo(await _done(store, action, key_id or "", ticket_keys))
        finally:
            await store.close()
        return 0

    raise typer.Exit(run_with_own_signals(main, failures=(RegistryError,)))


async def _done(store: KeyValue, action: Action, key_id: str, folder: Path | None) -> str:
    """Do it; what there is to say of it."""
    from registry.security.tickets import key_commands

    if action is Action.LIST:
        return await key_commands.listed(store, folder)
    if action is Action.REVOKE:
        return await key_commands.revoke(store, key_id)
    assert folder is not None, "it was checked"
    return await key_commands.rotate(store, folder)
