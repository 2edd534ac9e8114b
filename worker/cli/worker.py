"""The command `p2p worker`: flags -> `WorkerSettings`, which it serves until a signal ends it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.runtime.cli_options import (
    AccessLogOption,
    AccessLogSample,
    AllowedHosts,
    CorsOrigins,
    Discovery,
    LogFormatOption,
    LogLevelOption,
    TlsCert,
    TlsClientCa,
    TlsKey,
    TokenFile,
    WorkerConsul,
    host_option,
    log_settings,
    port_option,
    service_option,
)
from registry.runtime.logs.settings import LogFormat, LogLevel
from worker.cli.cascade_options import (
    DEFAULT_LOOKUP,
    Cascade,
    LookupService,
    LookupTokenFile,
    cascade_source,
)
from worker.cli.options import (
    DEFAULT_MAX_PIXELS,
    Agreement,
    AllowUnsafeModel,
    Channels,
    Device,
    EngineName,
    GpuMemoryGrowth,
    Graph,
    InputLayer,
    Labels,
    Layout,
    MaxPixels,
    Mean,
    Models,
    OutputLayer,
    Outputs,
    Pixels,
    Precision,
    Resize,
    Samples,
    Signature,
    Size,
    Std,
    Top,
    named_models,
    refuse_for_several,
    source_of,
)
from worker.cli.registration_options import (
    AgentCheck,
    AgentCheckName,
    AllowLoopback,
    Drain,
    Register,
    RequireTicket,
    Weight,
    advertise_option,
)
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from worker.artifacts.source import ModelSource


def worker(
    model: Models = None,
    service: Annotated[
        str | None, service_option(f"The name to register under.  [default: {WorkerSettings.service}]")
    ] = None,
    host: Annotated[str, host_option("Address to listen on; 0.0.0.0 for all.")] = WorkerSettings.host,
    port: Annotated[int, port_option("0: any free port. With several models the first's.")] = WorkerSettings.port,
    advertise: Annotated[
        str | None,
        advertise_option(
            "Where clients reach this worker: host, host:port (of the first model; the others count up), an "
            "interface such as eth0, or '{{ GetPrivateIP }}'.  [default: --host, or with 0.0.0.0 the address that "
            "Consul's agent has, or from which this host sends to the agent]"
        ),
    ] = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    agent_check: AgentCheck = None,
    agent_check_name: AgentCheckName = None,
    allow_loopback: AllowLoopback = False,
    register: Register = WorkerSettings.register,
    weight: Weight = WorkerSettings.weight,
    version_policy: Annotated[
        str,
        typer.Option(
            metavar="latest|all|N,M",
            help="Of a folder of numbered versions serve the highest, all, or these; the first is the default.",
        ),
    ] = "latest",
    version_label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=N",
            help="A name for a version, such as canary=3; stable is the default. May be repeated.",
        ),
    ] = None,
    engine: EngineName = "auto",
    precision: Precision = "f32",
    agreement: Agreement = None,
    samples: Samples = None,
    device: Device = "auto",
    gpu_memory_growth: GpuMemoryGrowth = False,
    allow_unsafe_model: AllowUnsafeModel = False,
    consul: WorkerConsul = None,
    discovery: Discovery = None,
    graph: Graph = None,
    labels: Labels = None,
    input_layer: InputLayer = None,
    output_layer: OutputLayer = None,
    signature: Signature = None,
    cascade: Cascade = None,
    registry: LookupService = DEFAULT_LOOKUP,
    lookup_token_file: LookupTokenFile = None,
    num_top_predictions: Top = WorkerSettings.top,
    size: Size = None,
    resize: Resize = None,
    channels: Channels = None,
    mean: Mean = None,
    std: Std = None,
    layout: Layout = None,
    outputs: Outputs = None,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    max_body: Annotated[
        int, typer.Option(min=1, help="Largest request body, in bytes.")
    ] = WorkerSettings.max_body_bytes,
    body_memory: Annotated[
        int,
        typer.Option(
            min=1,
            help="Bytes of request bodies held at once, over all connections; at least --max-body.",
        ),
    ] = WorkerSettings.body_memory_bytes,
    deadline: Annotated[
        float, typer.Option(min=0.001, help="Seconds a request may take at most.")
    ] = WorkerSettings.deadline_s,
    queue: Annotated[
        int, typer.Option(min=1, help="Images that may wait before new ones are refused.")
    ] = WorkerSettings.queue_most,
    load_timeout: Annotated[
        float,
        typer.Option(min=1, help="Seconds a new version may take to load before it counts as failed."),
    ] = WorkerSettings.load_timeout_s,
    drain: Drain = WorkerSettings.drain_s,
    require_ticket: RequireTicket = False,
    tokens: TokenFile = None,
    cors_origin: CorsOrigins = None,
    allowed_host: AllowedHosts = None,
    no_ui: Annotated[bool, typer.Option("--no-ui", help="No web pages at /ui/ and /docs.")] = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    log_level: LogLevelOption = LogLevel.INFO,
    access_log: AccessLogOption = False,
    access_log_sample: AccessLogSample = 1.0,
) -> None:
    """Serve models: load, register in Consul, answer images.

    POST an image to its port, as multipart field `data` or as the raw body; the answer is
    [[label, score], ...], best first:

    \b
      curl -F data=@cat.jpg localhost:PORT

    The article's retrained graph:

    \b
      p2p worker --graph output_graph.pb --labels output_labels.txt
        --input-layer DecodeJpeg/contents:0 --output-layer final_result:0

    A folder of numbered versions is watched: a new version takes over when
    it is loaded and warm, without a lost request. Several models each get a
    service and a port of their own:

    \b
      p2p worker --model cats=models/cats --model dogs=models/dogs

    A cascade asks several services or models and answers as one:

    \b
      p2p worker --cascade pets.toml --service pets
    """
    from registry.chosen_backend import backend_settings
    from registry.runtime.errors import RegistryError, SettingsError
    from registry.runtime.processes.lifecycle import run
    from registry.runtime.processes.sd_notify import SystemdNotifier
    from registry.runtime.tls.server import TlsFiles
    from registry.security.access_settings import AccessSettings
    from worker.advertising.advertise_flag import parse_advertise
    from worker.artifacts.version_plan import parse_labels, parse_policy
    from worker.errors import WorkerError
    from worker.server.serve import serve
    from worker.settings import Served
    from worker.system.process import end_in_time

    log = log_settings(log_format, log_level, access_log, access_log_sample)
    pixels = Pixels(size=size, resize=resize, channels=channels, mean=mean, std=std, layout=layout, outputs=outputs)

    async def main(stop: asyncio.Event) -> None:
        def source(path: Path | None) -> ModelSource:
            return source_of(
                model=path,
                graph=graph,
                labels=labels,
                input_layer=input_layer,
                output_layer=output_layer,
                signature=signature,
                engine=engine,
                precision=precision,
                agreement=agreement,
                samples=samples,
                device=device,
                gpu_memory_growth=gpu_memory_growth,
                allow_unsafe=allow_unsafe_model,
                pixels=pixels,
                max_pixels=max_pixels,
            )

        (first, path), *others = named_models(model or (), service=service)
        if cascade is not None and (model or graph is not None):
            raise SettingsError("Give either --cascade or a model: a cascade's models stand in its file.")
        if others:
            own = (graph, labels, input_layer, output_layer, signature, *pixels)
            refuse_for_several(own, port=port, count=1 + len(others))
        settings = WorkerSettings(
            backend=backend_settings(os.environ, consul=consul, discovery=discovery),
            source=source(path),
            service=first,
            cascade=cascade_source(cascade, registry=registry, token_file=lookup_token_file),
            more=tuple(Served(name, source(path)) for name, path in others),
            version_policy=parse_policy(version_policy),
            version_labels=parse_labels(version_label or ()),
            host=host,
            port=port,
            tls=TlsFiles.from_flags(tls_cert, tls_key, tls_client_ca),
            agent_check=agent_check,
            agent_check_name=agent_check_name,
            advertise=None if advertise is None else parse_advertise(advertise),
            allow_loopback=allow_loopback,
            register=register,
            weight=weight,
            top=num_top_predictions,
            max_body_bytes=max_body,
            body_memory_bytes=body_memory,
            deadline_s=deadline,
            queue_most=queue,
            load_timeout_s=load_timeout,
            drain_s=drain,
            require_ticket=require_ticket,
            access=AccessSettings(tokens, tuple(cors_origin or ()), tuple(allowed_host or ())),
            access_log_sample=log.access_sample,
            ui=not no_ui,
        )
        await serve(settings, stop, notifier=SystemdNotifier.from_environment(os.environ))

    code = run(main, failures=(RegistryError, WorkerError), log=log)
    end_in_time(code)
    raise typer.Exit(code)
