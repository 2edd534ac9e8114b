"""The command `p2p retrain`: a folder of photos -> a model with new labels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.printing import write_line


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
    flowers/daisy/1.jpg and flowers/rose/2.jpg. Photos in folders below
    these count, too, and so do linked folders. Copies of a photo are
    used together: to train, or to test, never both.

    \b
      p2p retrain --image-dir flowers --out my-model
      p2p worker --model my-model
    """
    from worker.errors import WorkerError
    from worker.training.photo_split import find_photos

    def say(line: str) -> None:
        write_line(line, sys.stdout)

    try:
        folders = find_photos(image_dir, out=out, say=lambda line: None)
        photos = sum(map(len, folders.values()))
        say(f"Found {photos} photos of {len(folders)} labels. Loading TensorFlow and the default model ...")
        from worker.training.retrain import retrain as train

        say(str(train(image_dir=image_dir, out=out, steps=steps, say=say)))
    except WorkerError as error:
        write_line(f"error: {error}", sys.stderr)
        raise typer.Exit(1) from None
