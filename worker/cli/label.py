"""The command `p2p label`: labels images in this process, without a server."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

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
    ModelPath,
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
    source_of,
)
from worker.cli.printing import write_line
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from worker.cli.label_formats import Format


def label(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|DIR|-...",
            help="Images; DIR: those in a folder and below; -: names from standard input, one a line, or as "
            "find -print0 writes them.",
        ),
    ],
    model: ModelPath = None,
    graph: Graph = None,
    labels: Labels = None,
    input_layer: InputLayer = None,
    output_layer: OutputLayer = None,
    signature: Signature = None,
    num_top_predictions: Top = WorkerSettings.top,
    engine: EngineName = "auto",
    precision: Precision = "f32",
    agreement: Agreement = None,
    samples: Samples = None,
    device: Device = "auto",
    gpu_memory_growth: GpuMemoryGrowth = False,
    allow_unsafe_model: AllowUnsafeModel = False,
    size: Size = None,
    resize: Resize = None,
    channels: Channels = None,
    mean: Mean = None,
    std: Std = None,
    layout: Layout = None,
    outputs: Outputs = None,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV with a header: file, rank, label, score, error.")] = False,
) -> None:
    """Label images here, without a server.

    The model is loaded once and kept, so that names can be fed one by one:

    \b
      p2p label cat.jpg
      find photos -name '*.jpg' | p2p label -
    """
    from worker.errors import WorkerError

    if json and csv:
        raise typer.BadParameter("choose one of --json and --csv.")
    source = source_of(
        model=model,
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
        pixels=Pixels(size=size, resize=resize, channels=channels, mean=mean, std=std, layout=layout, outputs=outputs),
        max_pixels=max_pixels,
    )
    missing = [file for file in files if file != "-" and not os.path.lexists(file)]
    if len(missing) == len(files):  # then the model need not be loaded
        for file in missing:
            write_line(f"{file}: No such file or directory; check the name.", sys.stderr)
        raise typer.Exit(1)
    write_line("Loading the model; at its first use engines are compared, which can take half a minute ...", sys.stderr)
    try:
        from worker.cli.label_files import label_files
        from worker.inference.load_model import load_classifier

        loaded = load_classifier(source, name="label")
    except WorkerError as error:
        write_line(f"error: {error}", sys.stderr)
        raise typer.Exit(1) from None
    try:
        names = _names(files, _standard_input())
        form: Format = "json" if json else "csv" if csv else "text"
        code = label_files(names, model=loaded, top=num_top_predictions, form=form, out=sys.stdout, err=sys.stderr)
    finally:
        loaded.close()
    raise typer.Exit(code)


def _standard_input() -> BinaryIO:
    """Standard input with a buffer of its own.

    A thread waits for names when the program ends. Python would then wait for the lock of sys.stdin's own buffer.
    """
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except (OSError, ValueError):  # replaced by something that is no file
        return sys.stdin.buffer


def _names(files: Sequence[str], stdin: BinaryIO) -> Iterator[str]:
    """The files named, with - replaced by the names that `stdin` gives, each as it comes.

    Names end with a line's end, or with a null character, as `find -print0` writes them.
    """
    for name in files:
        if name != "-":
            yield name
            continue
        for line in stdin:
            yield from (os.fsdecode(each) for each in line.rstrip(b"\r\n").split(b"\0") if each.strip())
