"""TensorFlow: a SavedModel, a Keras file or a frozen graph -> an engine that takes uint8 images.

The model's function is frozen; before it stands what makes its input of pixels, behind it what makes
[n, classes] of its output, all in one graph. Whether it may be given several images at once is tried out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from worker.engines import InputSpec, warmup_images
from worker.engines.quiet import quiet_tensorflow
from worker.errors import ModelError
from worker.images import ImageSize
from worker.source import KERAS_SUFFIXES, ModelSource, Preprocess

with quiet_tensorflow():
    import tensorflow as tf

from worker.engines.tf_graph import from_graph
from worker.engines.tf_input import Plan, layout_of, plan, prepare
from worker.engines.tf_program import Frozen, Program, Tensor, freeze
from worker.engines.tf_saved import from_keras, from_saved_model
from worker.engines.tf_scaling import own_scaling

_log = logging.getLogger(__name__)


def load(source: ModelSource) -> TensorFlowEngine:
    """Load the model of `source`; raises ModelError with the cause and the cure."""
    try:
        engine = _quickest(_program(source), source.preprocess)
    except ModelError:
        raise
    except Exception as error:  # running a model for the first time raises whatever its layers raise
        raise ModelError(f"The model cannot be run by this TensorFlow: {error}") from error
    if engine.classes < 2:
        raise ModelError("The model gives one number an image; a classifier gives one a class: train it with softmax.")
    return _tried(engine)


class TensorFlowEngine:
    """A frozen function of TensorFlow behind the `Engine` protocol."""

    name = "tensorflow"
    device = "cpu"
    fixed_batches: tuple[int, ...] | None = None

    def __init__(self, run: Callable[[Tensor], Tensor], spec: InputSpec, platform: str) -> None:
        self._run: Callable[[Tensor], Tensor] | None = run
        self.input = spec
        self.platform = platform
        self.classes = self.predict(warmup_images(spec, 1)).shape[1]

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """The model's outputs [n, classes] for n images, in as many calls as its input asks for."""
        if self._run is None:
            raise ModelError("The model is closed.")
        at_once = self.input.batch or len(images)
        parts = [self._call(self._run, images[at : at + at_once]) for at in range(0, len(images), at_once)]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def close(self) -> None:
        """Let go of the graph and its constants."""
        self._run = None

    def _call(self, run: Callable[[Tensor], Tensor], images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        missing = (self.input.batch or 0) - len(images)
        stack = np.stack([*images, *[images[-1]] * missing])
        try:
            scores: NDArray[np.float32] = run(tf.constant(stack)).numpy()
        except tf.errors.OpError as error:
            raise ModelError(f"The model failed on {len(images)} images: {error.message}") from error
        return scores[: len(images)]


def _program(source: ModelSource) -> Program:
    names = {"input_layer": source.input_layer, "output_layer": source.output_layer}
    if source.graph is not None:
        return from_graph(source.graph, **names)
    path = source.path
    if path is not None and path.is_dir():
        return from_saved_model(path, **names)
    if path is not None and path.suffix in KERAS_SUFFIXES:
        return from_keras(path)
    raise ModelError(
        f"{path} is of no kind that TensorFlow takes here: --model wants a SavedModel's folder, "
        "a .keras or an .h5 file; a frozen graph goes to --graph."
    )


def _quickest(program: Program, preprocess: Preprocess) -> TensorFlowEngine:
    """The program with constants for its variables, unless that changes its answers."""
    layout = layout_of(program)
    frozen = freeze(program)
    prepared = plan(program, layout, preprocess, scaling=_scaling(program, frozen, preprocess))
    spec = _spec(prepared, preprocess)
    plain = TensorFlowEngine(_whole(program, program.call, prepared), spec, program.platform)
    if frozen is None:
        return plain
    quick = TensorFlowEngine(_whole(program, frozen.call, prepared), spec, program.platform)
    sample = warmup_images(spec, 1)
    if _agree(quick.predict(sample), plain.predict(sample)):
        return quick
    _log.info("With constants for its variables the model answers differently: it keeps them, and is slower.")
    return plain


def _scaling(program: Program, frozen: Frozen | None, preprocess: Preprocess) -> tuple[float, float]:
    """Mean and std for the pixels, with a line in the log on where they come from."""
    if program.takes_bytes or not program.spec.dtype.is_floating:
        return 0.0, 1.0
    own = own_scaling(frozen.graph, "images") if frozen else None
    mean, std = own or program.unscaled
    said = preprocess.over(Preprocess(mean=(mean,), std=(std,)))
    why = "and the model scales them further" if own else "the usual, as the model does not scale them"
    if preprocess.mean or preprocess.std:
        why = "as set"
    _log.info("Pixels go in as (pixel - %s) / %s, %s; --mean and --std change it.", said.mean, said.std, why)
    return mean, std


def _whole(program: Program, call: Callable[[Tensor], Tensor], plan: Plan) -> Callable[[Tensor], Tensor]:
    """From uint8 images [n, height, width, 3] to float32 scores [n, classes], as one function."""
    into = prepare(program, plan)
    height, width = plan.size or (None, None)
    spec = tf.TensorSpec([plan.layout.batch, height, width, 3], tf.uint8)

    def whole(images: Tensor) -> Tensor:
        scores = tf.cast(call(into(images)), tf.float32)
        return tf.reshape(scores, [tf.shape(images)[0], -1])

    function: Callable[[Tensor], Tensor] = tf.function(
        whole, input_signature=[spec], autograph=False
    ).get_concrete_function()
    return function


def _spec(plan: Plan, preprocess: Preprocess) -> InputSpec:
    size = None
    if plan.size:
        size = ImageSize(*plan.size, preprocess.resize or "stretch", preprocess.filter or "bilinear")
    # Images of any size cannot be stacked, so they go in one by one.
    return InputSpec(size, plan.layout.batch if size else 1, plan.pixels)


def _tried(engine: TensorFlowEngine) -> TensorFlowEngine:
    """The engine; with a batch of one if several images at once give other answers than one by one.

    Graphs with a fixed first dimension often carry it on inside, in a reshape, where no shape shows it.
    """
    if engine.input.batch is not None:
        return engine
    images = warmup_images(engine.input, 2)
    alone = np.concatenate([engine.predict([image]) for image in images])
    try:
        together = engine.predict(images)
        agree = _agree(together, alone)
    except ModelError:
        agree = False
    if not agree:
        _log.info("The model answers differently for several images at once: it gets them one by one.")
        engine.input = replace(engine.input, batch=1)
    return engine


def _agree(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether outputs are the same but for rounding."""
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-3, atol=1e-4)
