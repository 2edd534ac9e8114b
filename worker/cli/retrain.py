"""The command `p2p retrain`: a folder of photos -> a new version of a model with the labels of the folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.options import cache_folder
from worker.cli.printing import write_line

if TYPE_CHECKING:
    from worker.training.settings import TrainSettings

_FINE = "With --fine-tune: "
_FOR_COMPATIBILITY = "Accepted for compatibility with retrain.py; without effect."


def _names(name: str) -> tuple[str, str]:
    """A flag in both spellings: --image-dir and retrain.py's --image_dir."""
    return f"--{name}", f"--{name.replace('-', '_')}"


def _option(name: str, help_text: str, *others: str, **settings: Any) -> Any:
    return typer.Option(*dict.fromkeys(_names(name)), *others, help=help_text, **settings)


def _ignored(name: str) -> Any:
    return _option(name, _FOR_COMPATIBILITY, hidden=True)


def retrain(
    image_dir: Annotated[Path, _option("image-dir", "A folder with a folder of photos for each label.")],
    out: Annotated[
        Path | None,
        _option("out", "The model's folder, which gets the next numbered version, such as models/flowers."),
    ] = None,
    output_graph: Annotated[Path | None, _option("output-graph", "Write a frozen graph, as retrain.py does.")] = None,
    output_labels: Annotated[
        Path | None, _option("output-labels", "Write the labels, one a line.  [default: labels.txt beside the graph]")
    ] = None,
    final_tensor_name: Annotated[
        str, _option("final-tensor-name", "The name of the output in the frozen graph.")
    ] = "final_result",
    architecture: Annotated[
        str,
        _option(
            "architecture", "The network: efficientnet_lite0, or a name of keras.applications whose weights are here."
        ),
    ] = "efficientnet_lite0",
    testing_percentage: Annotated[
        int, _option("testing-percentage", "Per cent of the photos that test.", min=0, max=50)
    ] = 10,
    validation_percentage: Annotated[
        int, _option("validation-percentage", "Per cent of the photos that validate.", min=0, max=40)
    ] = 10,
    fine_tune: Annotated[
        bool, _option("fine-tune", "Train the network's last blocks, too, if cross-validation says it is better.")
    ] = False,
    how_many_training_steps: Annotated[
        int, _option("how-many-training-steps", f"{_FINE}training steps.", "--steps", min=1)
    ] = 200,
    learning_rate: Annotated[float, _option("learning-rate", f"{_FINE}the rate.", min=0.0)] = 0.0003,
    train_batch_size: Annotated[int, _option("train-batch-size", f"{_FINE}photos per step.", min=1)] = 32,
    eval_step_interval: Annotated[int, _option("eval-step-interval", f"{_FINE}steps between validations.", min=1)] = 10,
    flip_left_right: Annotated[
        bool, _option("flip-left-right", "Train on photos that are mirrored at random, too.")
    ] = False,
    random_crop: Annotated[
        int, _option("random-crop", "Per cent that random crops of photos cut away.", min=0, max=90)
    ] = 0,
    random_scale: Annotated[
        int, _option("random-scale", "Per cent by which photos are enlarged at random.", min=0, max=400)
    ] = 0,
    random_brightness: Annotated[
        int, _option("random-brightness", "Per cent by which brightness changes at random.", min=0, max=100)
    ] = 0,
    print_misclassified_test_images: Annotated[
        bool, _option("print-misclassified-test-images", "Print the photos for testing that are labelled wrongly.")
    ] = False,
    bottleneck_dir: Annotated[
        Path | None, _option("bottleneck-dir", "Where features are kept.  [default: a folder in the user's cache]")
    ] = None,
    seed: Annotated[int, _option("seed", "Runs with the same photos and seed give the same model.", min=0)] = 0,
    summaries_dir: Annotated[str | None, _ignored("summaries-dir")] = None,
    test_batch_size: Annotated[int | None, _ignored("test-batch-size")] = None,
    validation_batch_size: Annotated[int | None, _ignored("validation-batch-size")] = None,
    intermediate_store_frequency: Annotated[int | None, _ignored("intermediate-store-frequency")] = None,
    intermediate_output_graphs_dir: Annotated[str | None, _ignored("intermediate-output-graphs-dir")] = None,
    model_dir: Annotated[str | None, _ignored("model-dir")] = None,
) -> None:
    """Teach the default model new labels from a folder of photos.

    The folder holds one folder of photos for each label, such as
    flowers/daisy/1.jpg and flowers/rose/2.jpg. Photos in folders below
    these count, too, and so do linked folders; train/, val/ and test/
    may stand above. Copies and near-duplicates are used together: to
    train, or to test, never both. Ctrl-C keeps the best so far.

    \b
      p2p retrain --image-dir flowers --out models/flowers
      p2p worker --model models/flowers

    All flags may be written as retrain.py writes them, with _. Those
    accepted for compatibility, without effect: --summaries_dir,
    --test_batch_size, --validation_batch_size, --model_dir,
    --intermediate_store_frequency, --intermediate_output_graphs_dir.
    """
    from worker.training.features.distortions import Distortions
    from worker.training.photos.split import Shares
    from worker.training.settings import TrainSettings

    settings = TrainSettings(
        image_dir=image_dir,
        out=out,
        graph=output_graph,
        output_labels=output_labels,
        final=final_tensor_name,
        shares=Shares(test=testing_percentage, validation=validation_percentage),
        architecture=architecture,
        distortions=Distortions(flip_left_right, random_crop, random_scale, random_brightness, seed),
        cache=cache_folder(),
        bottleneck_dir=bottleneck_dir,
        seed=seed,
        fine_tune=fine_tune,
        steps=how_many_training_steps,
        learning_rate=learning_rate,
        batch=train_batch_size,
        interval=eval_step_interval,
    )
    _run(settings, print_mistakes=print_misclassified_test_images)


def _run(settings: TrainSettings, *, print_mistakes: bool) -> None:
    from worker.cli.training_progress import shown_progress
    from worker.errors import WorkerError
    from worker.training.interruption import ctrl_c_asks
    from worker.training.photos.find import find_photos

    if settings.out is None and settings.graph is None:
        raise typer.BadParameter("name the model's folder with --out, or a frozen graph with --output-graph.")
    try:
        found = find_photos(settings.image_dir, out=settings.out)
        with shown_progress() as progress, ctrl_c_asks(progress.say) as stopped:
            progress.say(f"Found {len(found.files)} photos of {len(found.labels)} labels.")
            progress.stage("Starting", 1)
            from worker.training.train import train

            result = train(settings, progress=progress, stopped=stopped)
    except WorkerError as error:
        write_line(f"error: {error}", sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        write_line("Stopped. What was computed is kept, so that the next run goes on from there.", sys.stderr)
        raise typer.Exit(130) from None
    if print_mistakes:
        for mistake in result.facts["mistakes"]:
            write_line(f"{mistake['file']}: {mistake['predicted']}, not {mistake['label']}", sys.stdout)
    write_line(str(result), sys.stdout)
