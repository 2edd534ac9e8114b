"""The command `p2p agent`: an in-memory Consul agent for one machine."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from registry.cli.options import CheckCa, CheckCert, CheckKey
from registry.runtime.cli_options import (
    LogFormatOption,
    LogLevelOption,
    Port,
    TlsCert,
    TlsClientCa,
    TlsKey,
    host_option,
    log_settings,
)
from registry.runtime.logs.settings import LogFormat, LogLevel


def agent(
    host: Annotated[str, host_option("Loopback address to listen on: it has no access control.")] = "127.0.0.1",
    port: Port = 8500,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    check_ca: CheckCa = None,
    check_cert: CheckCert = None,
    check_key: CheckKey = None,
    log_format: LogFormatOption = LogFormat.TEXT,
    log_level: LogLevelOption = LogLevel.INFO,
) -> None:
    """An in-memory Consul agent for one machine.

    For trying things out, for tests, for laptops.
    Speaks Consul's HTTP API; Consul's own tools work against it. It keeps nothing.
    """
    from registry.agent.errors import AgentError
    from registry.agent.server import serve_agent
    from registry.runtime.errors import RegistryError
    from registry.runtime.processes.lifecycle import run
    from registry.runtime.tls.server import TlsFiles
    from registry.runtime.tls.trust import TrustFiles

    async def main(stop: asyncio.Event) -> None:
        tls = TlsFiles.from_flags(tls_cert, tls_key, tls_client_ca)
        trust = TrustFiles(check_ca, check_cert, check_key)
        async with serve_agent(host=host, port=port, tls_files=tls, check_trust=trust):
            await stop.wait()

    raise typer.Exit(run(main, failures=(AgentError, RegistryError), log=log_settings(log_format, log_level)))
