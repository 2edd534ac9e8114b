"""The command `p2p retrain`: a folder of photos -> a model with new labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def retrain(
    image_dir: Annotated[
        Path,
        typer.Option("--image-dir", "--image_dir", help="A folder of photos for each label."),
    ],
    out: Annotated[Path, typer.Option(help="Where the new model goes.")],
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 200,
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
