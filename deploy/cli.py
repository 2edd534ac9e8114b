"""The command `p2p up`: it reads its arguments and calls; what is slow to import is imported when it is called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from registry.runtime.cli_options import RegisteredName, TokenFile, consul_option, port_option, ticket_keys_option
from worker.cli.options import EngineName, Labels, ModelPath, Size


def up(
    workers: Annotated[int, typer.Option(min=1, help="How many workers.")] = 2,
    model: ModelPath = None,
    labels: Labels = None,
    engine: EngineName = "auto",
    size: Size = None,
    service: RegisteredName = "classify",
    port: Annotated[int, port_option("Port of the lookup service.", lowest=1)] = 12480,
    consul: Annotated[
        str | None,
        consul_option(
            "Consul agent to use.  [default: CONSUL_HTTP_ADDR, else 127.0.0.1:8500 if one answers there, "
            "else the embedded agent is started]"
        ),
    ] = None,
    tokens: TokenFile = None,
    ticket_keys: Annotated[
        Path | None,
        ticket_keys_option(
            "Folder for the keys that sign tickets: the lookup service hands tickets out, and workers require them."
        ),
    ] = None,
) -> None:
    """Start everything on this machine.

    Consul (or the embedded agent), the lookup service, workers; other flags of
    `p2p worker` reach the workers as variables, such as P2P_WORKER_MEAN. Says what to try when it is ready. Ctrl-C
    lets the workers finish and stops all of it.
    """
    from deploy.local import EndedEarlyError, UpSettings
    from deploy.local import up as start_all
    from registry.runtime.errors import RegistryError
    from registry.runtime.lifecycle import run

    flags = {"--labels": labels, "--engine": None if engine == "auto" else engine, "--size": size}
    settings = UpSettings(
        environ=os.environ,
        workers=workers,
        model=None if model is None else str(model),
        service=service,
        port=port,
        consul=consul,
        ticket_keys=ticket_keys,
        tokens=tokens,
        model_flags=tuple(str(part) for flag, value in flags.items() if value for part in (flag, value)),
    )
    failures = (RegistryError, EndedEarlyError)
    raise typer.Exit(run(lambda stop: start_all(settings, stop, write_line=_write_line), failures=failures))


def _write_line(line: str) -> None:
    print(line, flush=True)
