"""Which models fit a step: classifiers for labels, and for boxes those that take images and give tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from worker.batching.policy import Pace
from worker.cascade.definition import Boxes, Step
from worker.cascade.model_steps import classifier_of, detector_of
from worker.engines.base import InputSpec
from worker.engines.tensors import IMAGE_INPUT, Signature, Tensors, TensorSpec
from worker.errors import ModelError
from worker.images.decode import ImageSize
from worker.inference.image_predictor import ImagePredictor
from worker.inference.tensor_model import TensorModel
from worker.inference.tensor_predictor import TensorPredictor
from worker.system.loop_threads import LoopThreads
from worker.telemetry.metrics import WorkerMetrics

IMAGE = (TensorSpec(IMAGE_INPUT, "BYTES", ()),)
BOXES = (TensorSpec("boxes", "FP32", (-1, 4)), TensorSpec("scores", "FP32", (-1,)))
STEP = Step("find", model=Path("find.py"))


class Engine:
    """A tensor engine of which nothing is asked but what it takes and gives."""

    name = platform = "python"
    device = "cpu"
    trouble: str | None = None

    def __init__(self, signature: Signature) -> None:
        self.signature = signature

    def example(self) -> Tensors | None:
        return None

    def predict(self, rows: Tensors) -> Sequence[Tensors]:
        raise AssertionError("nothing is predicted")

    def close(self) -> None:
        pass


@contextmanager
def predicting(signature: Signature, size: ImageSize | None = None) -> Iterator[TensorPredictor]:
    """The predictor of a model of tensors, before it has begun."""
    decoding = LoopThreads(1, name="decode")
    try:
        yield TensorPredictor.over(
            TensorModel("pets.find", "1", Engine(signature), InputSpec(size), 1000),
            Pace(cap=4, batch_s=0.001, single_s=0.001),
            decoding=decoding,
            queue_most=1,
            deadline_s=60.0,
            numbers=WorkerMetrics(),
        )
    finally:
        decoding.close()


@pytest.mark.parametrize("outputs", [BOXES, (*BOXES, TensorSpec("names", "BYTES")), None])
@pytest.mark.parametrize("size", [None, ImageSize(8, 8, "stretch")])
def test_a_detector_takes_images_and_gives_boxes(
    outputs: tuple[TensorSpec, ...] | None, size: ImageSize | None
) -> None:
    """More outputs than those do no harm, and those that are not known yet may be boxes."""
    with predicting(Signature(IMAGE, outputs, images=True), size) as predictor:
        assert detector_of(predictor, STEP, Boxes()) is predictor


@pytest.mark.parametrize(
    ("signature", "size", "says"),
    [
        (Signature(IMAGE, BOXES[:1], images=True), None, "gives the outputs boxes, and not scores. Name them"),
        (Signature(IMAGE, BOXES, images=True), ImageSize(8, 8, "crop"), "sees the middle of an image only"),
        (Signature((TensorSpec("x", "FP32"),), BOXES), None, "takes tensors, not images. Wrap it in a Python file"),
    ],
)
def test_other_models_of_tensors_give_no_boxes(signature: Signature, size: ImageSize | None, says: str) -> None:
    """The sentence names the step and the model, and says what to do."""
    with predicting(signature, size) as predictor, pytest.raises(ModelError, match=f"^Step find: find.py {says}"):
        detector_of(predictor, STEP, Boxes())


def test_a_classifier_gives_labels() -> None:
    """And no boxes; a model of tensors gives none."""
    predictor = cast("ImagePredictor", object())  # only its class matters
    assert classifier_of(predictor, STEP) is predictor
    with pytest.raises(ModelError, match=r"find\.py gives labels, not boxes\. Leave out boxes, or name a Python file"):
        detector_of(predictor, STEP, Boxes())
    for signature, says in (
        (Signature(IMAGE, BOXES, images=True), r"find\.py gives tensors, not labels\. For boxes write boxes = {}"),
        (Signature((TensorSpec("x", "FP32"),), BOXES), "takes tensors, not images"),
    ):
        with predicting(signature) as tensors, pytest.raises(ModelError, match=says):
            classifier_of(tensors, STEP)
