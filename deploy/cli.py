"""The commands `p2p up` and `p2p scale`: they read their arguments and call; the rest is imported when called."""

from __future__ import annotations

import os
import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.runtime.cli_options import (
    AccessLogOption,
    AccessLogSample,
    Discovery,
    LogFormatOption,
    RegisteredName,
    TlsCert,
    TlsClientCa,
    TlsKey,
    TokenFile,
    consul_option,
    log_settings,
    port_option,
    ticket_keys_option,
)
from registry.runtime.logs.settings import LogFormat, LogLevel
from worker.cli.options import EngineName, Labels, ModelPath, Size
from worker.cli.registration_options import AllowLoopback

if TYPE_CHECKING:
    import asyncio


def up(
    workers: Annotated[int, typer.Option(min=1, help="How many workers.")] = 2,
    model: ModelPath = None,
    labels: Labels = None,
    engine: EngineName = "auto",
    size: Size = None,
    service: RegisteredName = "classify",
    port: Annotated[int, port_option("Port of the lookup service.", lowest=1)] = 12480,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="P2P_CA",
            help="PEM file of the authority that signed --tls-cert.  [default: --tls-cert, and nothing but it]",
        ),
    ] = None,
    cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="P2P_CERT",
            help="PEM file of a client's certificate that --tls-client-ca accepts, for this command itself.",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", envvar="P2P_KEY", help="PEM file of its key.  [default: that of --cert]"),
    ] = None,
    consul: Annotated[
        str | None,
        consul_option(
            "Consul agent to use.  [default: CONSUL_HTTP_ADDR, else 127.0.0.1:8500 if one answers there, "
            "else the embedded agent is started]"
        ),
    ] = None,
    discovery: Discovery = None,
    tokens: TokenFile = None,
    ticket_keys: Annotated[
        Path | None,
        ticket_keys_option(
            "Folder for the keys that sign tickets: the lookup service hands tickets out, and workers require them."
        ),
    ] = None,
    allow_loopback: AllowLoopback = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show all that the parts say, not warnings only.")
    ] = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(
            "--log-level",
            envvar="P2P_LOG_LEVEL",
            help="The least of what the parts say that is shown.  [default: warning; info with --verbose]",
        ),
    ] = None,
    access_log: AccessLogOption = False,
    access_log_sample: AccessLogSample = 1.0,
) -> None:
    """Start everything on this machine.

    Consul (or the embedded agent), the lookup service, workers; other flags of
    `p2p worker` reach the workers as variables, such as P2P_WORKER_MEAN. Says what to try when it is ready. Ctrl-C
    lets the workers finish and stops all of it.
    """
    from deploy.local import up as start_all
    from deploy.up_settings import UpSettings
    from deploy.worker_pool import EndedEarlyError
    from registry.runtime.errors import RegistryError
    from registry.runtime.processes.lifecycle import run
    from registry.runtime.tls.server import TlsFiles
    from registry.runtime.tls.trust import TrustFiles

    def main(stop: asyncio.Event) -> Coroutine[Any, Any, None]:
        tls = TlsFiles.from_flags(tls_cert, tls_key, tls_client_ca)
        trust = TrustFiles(ca or (tls.cert if tls else None), cert, key)
        return start_all(replace(settings, tls=tls, trust=trust), stop, write_line=_write_line)

    level = log_level or (LogLevel.INFO if verbose else LogLevel.WARNING)
    log = log_settings(log_format, level, access_log, access_log_sample)
    flags = {"--labels": labels, "--engine": None if engine == "auto" else engine, "--size": size}
    settings = UpSettings(
        environ=os.environ,
        workers=workers,
        model=None if model is None else str(model),
        service=service,
        port=port,
        consul=consul,
        discovery=discovery,
        ticket_keys=ticket_keys,
        tokens=tokens,
        allow_loopback=allow_loopback,
        log=log,
        model_flags=tuple(str(part) for flag, value in flags.items() if value for part in (flag, value)),
    )
    failures = (RegistryError, EndedEarlyError)
    raise typer.Exit(run(main, failures=failures, log=log))


def scale(
    workers: Annotated[int, typer.Argument(min=1, max=1000, metavar="N", help="How many workers.", show_default=False)],
    port: Annotated[int, port_option("Port of the lookup service of that p2p up.", lowest=1)] = 12480,
) -> None:
    """Change the number of workers of a running p2p up.

    New ones are handed out once their model is warm; the youngest leave first, after finishing what they have begun.
    Returns when so many serve.
    """
    from deploy.control_socket import ask_to_scale, control_path
    from registry.runtime.errors import RegistryError
    from registry.runtime.processes.lifecycle import run_with_own_signals

    async def main() -> int:
        typer.echo(await ask_to_scale(control_path(os.environ, port), workers))
        return 0

    raise typer.Exit(run_with_own_signals(main, failures=(RegistryError,)))


def _write_line(line: str) -> None:
    from deploy.colours import coloured

    in_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    print(coloured(line) if in_colour else line, flush=True)
