"""The commands `p2p worker`, `exec`, `label` and `retrain`: they parse and call; TensorFlow comes when called."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.options import (
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
    ModelPath,
    OutputLayer,
    Outputs,
    Pixels,
    Precision,
    Resize,
    Size,
    Std,
    Top,
    source_of,
)

if TYPE_CHECKING:
    from worker.artifacts.source import ModelSource

Models = Annotated[
    list[Path] | None,
    typer.Option(
        "--model",
        envvar="P2P_MODEL",
        metavar="[NAME=]PATH",
        help="SavedModel folder, folder of numbered versions, or .keras/.h5 file; with a NAME it is the service's, "
        "and --model may be repeated (in P2P_MODEL with a : between).  [default: the ImageNet model "
        "EfficientNet-Lite0]",
    ),
]


def worker(
    model: Models = None,
    service: Annotated[
        str | None, typer.Option(envvar="P2P_SERVICE", help="The name to register under.  [default: classify]")
    ] = None,
    host: Annotated[str, typer.Option(envvar="P2P_HOST", help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(envvar="P2P_PORT", min=0, max=65535, help="0: any free port. With several models the first's."),
    ] = 0,
    advertise: Annotated[
        str | None,
        typer.Option(
            envvar="P2P_ADVERTISE",
            metavar="HOST",
            help="Host that clients reach this worker at.  [default: --host, or the Consul agent's address]",
        ),
    ] = None,
    weight: Annotated[
        int, typer.Option(envvar="P2P_WEIGHT", min=1, help="Share of the traffic against other workers.")
    ] = 1,
    version_policy: Annotated[
        str,
        typer.Option(
            envvar="P2P_VERSION_POLICY",
            metavar="latest|all|N,M",
            help="Of a folder of numbered versions serve the highest, all, or these; the first is the default.",
        ),
    ] = "latest",
    version_label: Annotated[
        list[str] | None,
        typer.Option(
            envvar="P2P_VERSION_LABEL",
            metavar="NAME=N",
            help="A name for a version, such as canary=3; stable is the default. May be repeated.",
        ),
    ] = None,
    engine: EngineName = "auto",
    precision: Precision = "f32",
    device: Device = "auto",
    gpu_memory_growth: GpuMemoryGrowth = False,
    consul: Annotated[
        str | None,
        typer.Option(envvar="P2P_CONSUL", metavar="URL", help="Consul agent; CONSUL_HTTP_ADDR is read too."),
    ] = None,
    graph: Graph = None,
    labels: Labels = None,
    input_layer: InputLayer = None,
    output_layer: OutputLayer = None,
    num_top_predictions: Top = 5,
    size: Size = None,
    resize: Resize = None,
    channels: Channels = None,
    mean: Mean = None,
    std: Std = None,
    layout: Layout = None,
    outputs: Outputs = None,
    max_pixels: MaxPixels = 50_000_000,
    max_body: Annotated[int, typer.Option(envvar="P2P_MAX_BODY", min=1, help="Largest request body, in bytes.")] = 32
    << 20,
    body_memory: Annotated[
        int,
        typer.Option(
            envvar="P2P_BODY_MEMORY",
            min=1,
            help="Bytes of request bodies held at once, over all connections; at least --max-body.",
        ),
    ] = 256 << 20,
    deadline: Annotated[
        float, typer.Option(envvar="P2P_DEADLINE", min=0.001, help="Seconds a request may take at most.")
    ] = 30.0,
    queue: Annotated[
        int, typer.Option(envvar="P2P_QUEUE", min=1, help="Images that may wait before new ones are refused.")
    ] = 256,
    load_timeout: Annotated[
        float,
        typer.Option(
            envvar="P2P_LOAD_TIMEOUT", min=1, help="Seconds a new version may take to load before it counts as failed."
        ),
    ] = 600.0,
    drain: Annotated[
        float,
        typer.Option(envvar="P2P_DRAIN", min=0, help="Seconds to go on serving after leaving the rotation."),
    ] = 2.0,
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
    """
    from registry.consul.settings import ConsulSettings
    from registry.runtime.errors import RegistryError
    from registry.runtime.lifecycle import run
    from worker.artifacts.version_plan import parse_labels, parse_policy
    from worker.cli.several_models import named_models, refuse_for_several
    from worker.errors import WorkerError
    from worker.server.serve import serve
    from worker.settings import Served, WorkerSettings
    from worker.system.process import end_in_time

    pixels = Pixels(size=size, resize=resize, channels=channels, mean=mean, std=std, layout=layout, outputs=outputs)

    async def main(stop: asyncio.Event) -> None:
        def source(path: Path | None) -> ModelSource:
            return source_of(
                model=path,
                graph=graph,
                labels=labels,
                input_layer=input_layer,
                output_layer=output_layer,
                engine=engine,
                precision=precision,
                device=device,
                gpu_memory_growth=gpu_memory_growth,
                pixels=pixels,
                max_pixels=max_pixels,
            )

        (first, path), *others = named_models(model or (), service=service)
        if others:
            own = (graph, labels, input_layer, output_layer, *pixels)
            refuse_for_several(own, port=port, count=1 + len(others))
        settings = WorkerSettings(
            consul=ConsulSettings.from_environment(os.environ, url=consul),
            source=source(path),
            service=first,
            more=tuple(Served(name, source(path)) for name, path in others),
            version_policy=parse_policy(version_policy),
            version_labels=parse_labels(version_label or ()),
            host=host,
            port=port,
            advertise=advertise,
            weight=weight,
            top=num_top_predictions,
            max_body_bytes=max_body,
            body_memory_bytes=body_memory,
            deadline_s=deadline,
            queue_most=queue,
            load_timeout_s=load_timeout,
            drain_s=drain,
        )
        await serve(settings, stop)

    code = run(main, failures=(RegistryError, WorkerError))
    end_in_time(code)
    raise typer.Exit(code)


def exec_(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="The server; {port} becomes its port.")],
    service: Annotated[str, typer.Option(envvar="P2P_SERVICE", help="The name to register under.")],
    host: Annotated[
        str, typer.Option(envvar="P2P_HOST", help="Address that COMMAND listens on; 0.0.0.0 for all.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="P2P_PORT", min=0, max=65535, help="0: any free port.")] = 0,
    advertise: Annotated[
        str | None,
        typer.Option(
            envvar="P2P_ADVERTISE",
            metavar="HOST",
            help="Host that clients and Consul reach COMMAND at; if not given, --host or the agent's address.",
        ),
    ] = None,
    health_path: Annotated[
        str,
        typer.Option(
            envvar="P2P_HEALTH_PATH",
            metavar="PATH",
            help="Answers a GET with 2xx, within a second, while COMMAND is well. Asked every 2 s: a small page "
            "that never changes is best.",
        ),
    ] = "/",
    start_timeout: Annotated[
        float, typer.Option(envvar="P2P_START_TIMEOUT", min=0, help="Seconds COMMAND may take to answer it.")
    ] = 60.0,
    drain: Annotated[
        float,
        typer.Option(envvar="P2P_DRAIN", min=0, help="Seconds to go on serving after leaving the rotation."),
    ] = 2.0,
    stop_timeout: Annotated[
        float,
        typer.Option(envvar="P2P_STOP_TIMEOUT", min=0, help="Seconds COMMAND may take to end before SIGKILL."),
    ] = 30.0,
    tag: Annotated[
        list[str] | None, typer.Option(envvar="P2P_TAG", help="Tag to register with; may be repeated.")
    ] = None,
    weight: Annotated[
        int, typer.Option(envvar="P2P_WEIGHT", min=1, help="Share of the traffic against other workers.")
    ] = 1,
    consul: Annotated[
        str | None,
        typer.Option(envvar="P2P_CONSUL", metavar="URL", help="Consul agent; CONSUL_HTTP_ADDR is read too."),
    ] = None,
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
    from registry.consul.settings import ConsulSettings
    from registry.runtime.errors import RegistryError
    from registry.runtime.lifecycle import run_with_own_signals
    from worker.exec.settings import ExecSettings
    from worker.exec.supervisor import supervise

    async def main() -> int:
        settings = ExecSettings(
            consul=ConsulSettings.from_environment(os.environ, url=consul),
            service=service,
            command=tuple(command),
            environ=os.environ,
            host=host,
            port=port,
            advertise=advertise,
            health_path=health_path,
            start_timeout_s=start_timeout,
            drain_s=drain,
            stop_timeout_s=stop_timeout,
            tags=tuple(tag or ()),
            weight=weight,
        )
        return await supervise(settings)

    raise typer.Exit(run_with_own_signals(main, failures=(RegistryError,)))


def label(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE|-...", help="Image files; - reads file names from standard input.")
    ],
    model: ModelPath = None,
    graph: Graph = None,
    labels: Labels = None,
    input_layer: InputLayer = None,
    output_layer: OutputLayer = None,
    num_top_predictions: Top = 5,
    engine: EngineName = "auto",
    precision: Precision = "f32",
    device: Device = "auto",
    gpu_memory_growth: GpuMemoryGrowth = False,
    size: Size = None,
    resize: Resize = None,
    channels: Channels = None,
    mean: Mean = None,
    std: Std = None,
    layout: Layout = None,
    outputs: Outputs = None,
    max_pixels: MaxPixels = 50_000_000,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Label images here, without a server.

    The model is loaded once and kept, so that names can be fed one by one:

    \b
      p2p label cat.jpg
      find photos -name '*.jpg' | p2p label -
    """
    from worker.errors import WorkerError
    from worker.inference.label_files import label_files
    from worker.inference.model import load

    source = source_of(
        model=model,
        graph=graph,
        labels=labels,
        input_layer=input_layer,
        output_layer=output_layer,
        engine=engine,
        precision=precision,
        device=device,
        gpu_memory_growth=gpu_memory_growth,
        pixels=Pixels(size=size, resize=resize, channels=channels, mean=mean, std=std, layout=layout, outputs=outputs),
        max_pixels=max_pixels,
    )
    try:
        loaded = load(source, name="label")
    except WorkerError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    try:
        names = _names(files)
        code = label_files(names, model=loaded, top=num_top_predictions, as_json=json, out=sys.stdout, err=sys.stderr)
    finally:
        loaded.close()
    raise typer.Exit(code)


def retrain(
    image_dir: Annotated[
        Path,
        typer.Option("--image-dir", "--image_dir", envvar="P2P_IMAGE_DIR", help="A folder of photos for each label."),
    ],
    out: Annotated[Path, typer.Option(envvar="P2P_OUT", help="Where the new model goes.")],
    steps: Annotated[int, typer.Option(envvar="P2P_STEPS", min=1, help="Training steps.")] = 200,
) -> None:
    """Teach the default model new labels from a folder of photos.

    The folder holds one folder of photos for each label, such as
    flowers/daisy/1.jpg and flowers/rose/2.jpg.

    \b
      p2p retrain --image-dir flowers --out my-model
      p2p worker --model my-model
    """
    from worker.errors import WorkerError
    from worker.training.retrain import retrain as train

    try:
        result = train(image_dir=image_dir, out=out, steps=steps)
    except WorkerError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{result}")


def main() -> None:
    """`python -m worker` is `p2p worker`."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(worker)
    app()


def _names(files: Sequence[str]) -> Iterator[str]:
    """The files named, with - replaced by what standard input names, one a line, as it comes."""
    for name in files:
        if name == "-":
            yield from (line.rstrip("\n") for line in sys.stdin if line.strip())
        else:
            yield name
