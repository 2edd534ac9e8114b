"""Asks a step's question of a model in this process: a classifier for scores, or a detector for boxes."""

from __future__ import annotations

from collections.abc import Callable

from worker.cascade.definition import Boxes, Step
from worker.cascade.schedule import Outcome
from worker.cascade.step_labels import StepLabels
from worker.cascade.steps import Detections
from worker.engines.tensors import Signature, joined
from worker.errors import ModelError
from worker.images.decode import ImageSize
from worker.inference.image_predictor import ImagePredictor
from worker.inference.tensor_predictor import TensorPredictor
from worker.repository.served_model import AnyPredictor

CurrentModel = Callable[[], AnyPredictor]
"""The predictor of the version that answers now. Raises Busy before one is loaded."""

PYTHON_MODEL = "a Python file whose predict takes images: list[np.ndarray]"
"""What takes images and gives tensors, for a sentence."""


class ModelStep:
    """A classifier in this process. Raises ModelError where `current` is none."""

    def __init__(self, step: Step, current: CurrentModel) -> None:
        self._step = step
        self._current = current
        self._labels = StepLabels(step)
        classifier_of(current(), step)

    async def run(self, image: bytes, *, deadline_s: float) -> Outcome:
        """See `StepRunner.run`; the image waits for a batch as any image does."""
        predictor = classifier_of(self._current(), self._step)
        (scores,) = await predictor.predict([image], deadline_s=deadline_s)
        merged = self._labels.merged(predictor.model.labels, scores)
        return Outcome("ran", self._labels.names, merged, complete=True)


class ModelDetector:
    """A detector in this process. Raises ModelError where `current` is none, or has no such outputs."""

    def __init__(self, step: Step, boxes: Boxes, current: CurrentModel) -> None:
        self._step = step
        self._boxes = boxes
        self._current = current
        detector_of(current(), step, boxes)

    async def detect(self, image: bytes, *, deadline_s: float) -> Detections:
        """See `Detector.detect`; the image waits for a batch as any image does."""
        predictor = detector_of(self._current(), self._step, self._boxes)
        parts = await predictor.predict_encoded([image], deadline_s=deadline_s)
        return Detections(joined(parts).arrays, predictor.model.input.size)


def classifier_of(predictor: AnyPredictor, step: Step) -> ImagePredictor:
    """The predictor of a model that gives labels. Raises ModelError for any other."""
    if not isinstance(predictor, TensorPredictor):
        return predictor
    if not predictor.model.signature.images:
        raise _takes_tensors(step)
    raise ModelError(f"Step {step.name}: {step.model} gives tensors, not labels. For boxes write boxes = {{}}.")


def detector_of(predictor: AnyPredictor, step: Step, boxes: Boxes) -> TensorPredictor:
    """The predictor of a model that takes images and may give these boxes. Raises ModelError for any other."""
    if not isinstance(predictor, TensorPredictor):
        raise ModelError(
            f"Step {step.name}: {step.model} gives labels, not boxes. Leave out boxes, or name {PYTHON_MODEL} and "
            f"which returns the tensors {boxes.boxes} and {boxes.scores}."
        )
    if not predictor.model.signature.images:
        raise _takes_tensors(step)
    _check_outputs(predictor.model.signature, step, boxes)
    _check_whole(predictor.model.input.size, step)
    return predictor


def _check_outputs(signature: Signature, step: Step, boxes: Boxes) -> None:
    """Raise ModelError for outputs that are known before the first answer and lack the boxes or their scores."""
    if signature.outputs is None:
        return
    given = [output.name for output in signature.outputs]
    missing = next((name for name in (boxes.boxes, boxes.scores) if name not in given), None)
    if missing is not None:
        raise ModelError(
            f"Step {step.name}: {step.model} gives the outputs {', '.join(given)}, and not {missing}. Name them: "
            'boxes = { boxes = "...", scores = "..." }.'
        )


def _check_whole(size: ImageSize | None, step: Step) -> None:
    """Raise ModelError for a size for which images are cut: boxes would be those of the part that is left."""
    if size is not None and size.resize == "crop":
        raise ModelError(
            f'Step {step.name}: {step.model} sees the middle of an image only, because of resize = "crop", and its '
            'boxes would be those of the middle. Write resize = "stretch", or leave out the size.'
        )


def _takes_tensors(step: Step) -> ModelError:
    return ModelError(
        f"Step {step.name}: {step.model} takes tensors, not images. Wrap it in {PYTHON_MODEL}, and name that file."
    )
