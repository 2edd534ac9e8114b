"""The `p2p` command: every part under one name. Each command imports what it needs when it is called."""

from __future__ import annotations

import os
from typing import Annotated

import typer

import p2pclient.cli.app
import registry.cli
import worker.cli.worker

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Serve trained models without a proxy in the data path: look a worker up, then post the image straight "
    "to it. `p2p up` starts everything on this machine.",
)


@app.command()
def up(
    workers: Annotated[int, typer.Option(envvar="P2P_WORKERS", min=1, help="How many workers.")] = 2,
    model: Annotated[
        str | None,
        typer.Option(
            envvar="P2P_MODEL",
            metavar="PATH",
            help="Model for the workers.  [default: the ImageNet model EfficientNet-Lite0]",
        ),
    ] = None,
    service: Annotated[str, typer.Option(envvar="P2P_SERVICE", help="The name to register under.")] = "classify",
    port: Annotated[int, typer.Option(envvar="P2P_PORT", min=1, max=65535, help="Port of the lookup service.")] = 12480,
    consul: Annotated[
        str | None,
        typer.Option(
            envvar="P2P_CONSUL",
            metavar="URL",
            help="Consul agent to use.  [default: CONSUL_HTTP_ADDR, else 127.0.0.1:8500 if one answers there, "
            "else the embedded agent is started]",
        ),
    ] = None,
) -> None:
    """Start everything on this machine.

    Consul (or the embedded agent), the lookup service, workers. Says what to try when it is ready. Ctrl-C
    lets the workers finish and stops all of it.
    """
    from deploy.local import EndedEarlyError, UpSettings
    from deploy.local import up as start_all
    from registry.runtime.errors import RegistryError
    from registry.runtime.lifecycle import run

    settings = UpSettings(os.environ, workers, model, service, port, consul)
    failures = (RegistryError, EndedEarlyError)
    raise typer.Exit(run(lambda stop: start_all(settings, stop, say=_say), failures=failures))


for command in (
    registry.cli.agent,
    registry.cli.registry,
    registry.cli.proxy,
    worker.cli.worker.worker,
    worker.cli.worker.exec_,
    p2pclient.cli.app.lookup,
    p2pclient.cli.app.classify,
    p2pclient.cli.app.status,
    worker.cli.worker.label,
    worker.cli.worker.retrain,
):
    name = command.__name__.rstrip("_")  # exec_ is `p2p exec`: Python has an exec of its own
    app.command(name, epilog=p2pclient.cli.app.EXIT_CODES if command.__module__ == "p2pclient.cli.app" else None)(
        command
    )


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    """The entry point of the `p2p` command."""
    app(prog_name="p2p")
