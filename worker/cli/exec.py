"""The command `p2p exec`: flags -> `ExecSettings`, whose command it runs and keeps registered."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from registry.instances.instance import Scheme
from registry.runtime import names
from registry.runtime.cli_options import (
    Discovery,
    LogFormatOption,
    LogLevelOption,
    Port,
    RegisteredName,
    WorkerConsul,
    checked,
    host_option,
    log_settings,
)
from registry.runtime.logs.settings import LogFormat, LogLevel
from worker.cli.registration_options import AgentCheckName, AllowLoopback, Drain, Register, Weight, advertise_option
from worker.exec.settings import ExecSettings


def exec_(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="The server; {port} becomes its port.")],
    service: RegisteredName,
    host: Annotated[str, host_option("Address that COMMAND listens on; 0.0.0.0 for all.")] = ExecSettings.host,
    port: Port = ExecSettings.port,
    advertise: Annotated[
        str | None,
        advertise_option(
            "Where clients and Consul reach COMMAND: host, host:port, an interface such as eth0, or "
            "'{{ GetPrivateIP }}'; if not given, --host, or with 0.0.0.0 the address that Consul's agent has, or from "
            "which this host sends to the agent."
        ),
    ] = None,
    allow_loopback: AllowLoopback = False,
    register: Register = ExecSettings.register,
    scheme: Annotated[
        Scheme, typer.Option(help="How clients and Consul's check ask COMMAND; https where it serves TLS.")
    ] = ExecSettings.scheme,
    agent_check_name: AgentCheckName = None,
    health_path: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="Answers a GET with 2xx, within a second, while COMMAND is well. Asked every 2 s: a small page "
            "that never changes is best.",
        ),
    ] = ExecSettings.health_path,
    start_timeout: Annotated[
        float, typer.Option(min=0, help="Seconds COMMAND may take to answer it.")
    ] = ExecSettings.start_timeout_s,
    drain: Drain = ExecSettings.drain_s,
    stop_timeout: Annotated[
        float,
        typer.Option(min=0, help="Seconds COMMAND may take to end before SIGKILL."),
    ] = ExecSettings.stop_timeout_s,
    tag: Annotated[
        list[str] | None, typer.Option(callback=checked(names.tag), help="Tag to register with; may be repeated.")
    ] = None,
    weight: Weight = ExecSettings.weight,
    consul: WorkerConsul = None,
    discovery: Discovery = None,
    log_format: LogFormatOption = LogFormat.TEXT,
    log_level: LogLevelOption = LogLevel.INFO,
) -> None:
    """Run any server on a free port and keep it registered.

    The server learns its port from {port}, wherever that stands in COMMAND,
    or from the variable PORT:

    \b
      p2p exec --service thumbs -- python -m http.server {port}
      p2p exec --service thumbs --health-path /ping -- flask run --port {port}
      p2p exec --service thumbs -- npm start

    It is registered when it answers its health path, and Consul goes on
    asking there. Ctrl-C or SIGTERM takes it out of the rotation, lets it serve
    for the drain grace, deregisters it, then passes the signal on; a second
    one kills it. SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on as they
    come. When it ends by itself it is deregistered, not restarted.

    The exit code is its own: 128 + n where signal n ended it, 127 where it was
    not found, 1 where it did not come up in time.
    """
    from registry.chosen_backend import backend_settings
    from registry.runtime.errors import RegistryError
    from registry.runtime.processes.lifecycle import run_with_own_signals
    from worker.advertising.advertise_flag import parse_advertise
    from worker.exec.supervisor import supervise

    async def main() -> int:
        settings = ExecSettings(
            backend=backend_settings(os.environ, consul=consul, discovery=discovery),
            service=service,
            command=tuple(command),
            environ=os.environ,
            host=host,
            port=port,
            advertise=None if advertise is None else parse_advertise(advertise),
            allow_loopback=allow_loopback,
            register=register,
            scheme=scheme,
            agent_check_name=agent_check_name,
            health_path=health_path,
            start_timeout_s=start_timeout,
            drain_s=drain,
            stop_timeout_s=stop_timeout,
            tags=tuple(tag or ()),
            weight=weight,
        )
        return await supervise(settings)

    raise typer.Exit(run_with_own_signals(main, failures=(RegistryError,), log=log_settings(log_format, log_level)))
