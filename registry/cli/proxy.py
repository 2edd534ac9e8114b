"""The command `p2p proxy`: fixed or discovered workers behind one port."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from registry.runtime.cli_options import (
    AccessLogOption,
    AccessLogSample,
    Discovery,
    Host,
    LogFormatOption,
    LogLevelOption,
    LookupConsul,
    Port,
    TlsCert,
    TlsClientCa,
    TlsKey,
    TokenFile,
    ca_option,
    cert_option,
    key_option,
    log_settings,
    service_option,
)
from registry.runtime.logs.settings import LogFormat, LogLevel


def proxy(
    host: Host = "127.0.0.1",
    port: Port = 12479,
    workers: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Fixed workers, such as 20001,10.0.0.5:8080 or https://gpu1:8443; --service and --consul are not used "
            "then.",
        ),
    ] = None,
    service: Annotated[str, service_option("The service whose workers Consul is asked for.")] = "classify",
    tokens: TokenFile = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    upstream_ca: Annotated[Path | None, ca_option("--upstream-ca", signed="the workers' certificates")] = None,
    upstream_cert: Annotated[Path | None, cert_option("--upstream-cert", of="workers")] = None,
    upstream_key: Annotated[Path | None, key_option("--upstream-key", cert="--upstream-cert")] = None,
    consul: LookupConsul = None,
    discovery: Discovery = None,
    log_format: LogFormatOption = LogFormat.TEXT,
    log_level: LogLevelOption = LogLevel.INFO,
    access_log: AccessLogOption = False,
    access_log_sample: AccessLogSample = 1.0,
) -> None:
    """Forward every request to the next worker.

    For clients that cannot reach workers themselves.

    All images pass through it; where clients reach the workers, `p2p registry` serves them better.
    """
    from registry.chosen_backend import backend_settings
    from registry.proxy.server import ProxySettings, serve
    from registry.proxy.upstreams import parse_workers
    from registry.runtime.errors import RegistryError
    from registry.runtime.processes.lifecycle import run
    from registry.runtime.tls.server import TlsFiles
    from registry.runtime.tls.trust import TrustFiles
    from registry.security.access_settings import AccessSettings

    log = log_settings(log_format, log_level, access_log, access_log_sample)

    def settings() -> ProxySettings:
        return ProxySettings(
            backend=backend_settings(os.environ, consul=consul, discovery=discovery),
            host=host,
            port=port,
            workers=() if workers is None else parse_workers(workers),
            service=service,
            access=AccessSettings(tokens),
            tls=TlsFiles.from_flags(tls_cert, tls_key, tls_client_ca),
            upstream=TrustFiles(upstream_ca, upstream_cert, upstream_key),
            access_log_sample=log.access_sample,
        )

    raise typer.Exit(run(lambda stop: serve(settings(), stop), failures=(RegistryError,), log=log))
