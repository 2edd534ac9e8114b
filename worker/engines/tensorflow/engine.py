"""TensorFlow: a SavedModel, a Keras file or a frozen graph -> an engine that takes uint8 images.

The model's function is frozen. One graph contains the operations that make its input from pixels, the model, and the
operations that make [n, classes] of its output; `convert` writes that graph for other engines.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.formats import SUFFIXES
from worker.artifacts.preprocess_config import Preprocess
from worker.artifacts.source import ModelSource
from worker.engines.adapter import EngineAdapter
from worker.engines.base import InputSpec
from worker.engines.device import GPU_BATCHES, name_of, pick
from worker.engines.model_io.input_plan import UNTOUCHED, Images, InputPlan, Scaling, plan, scaling_of, spec_of, stacked
from worker.engines.model_io.outputs import nearly_equal
from worker.engines.model_io.pixel_range import probed
from worker.engines.sample_images import sample_images
from worker.engines.tensorflow.quiet_import import quiet_tensorflow
from worker.errors import ModelError
from worker.system.cpu import usable_cores

with quiet_tensorflow():
    import tensorflow as tf

from worker.engines.tensorflow.first_layers import detect_scaling
from worker.engines.tensorflow.frozen_graph import from_graph
from worker.engines.tensorflow.input_ops import layout, prepare
from worker.engines.tensorflow.keras_file import from_keras
from worker.engines.tensorflow.optimized_graph import SUFFIX as OPTIMIZED_SUFFIX
from worker.engines.tensorflow.optimized_graph import SessionEngine
from worker.engines.tensorflow.program import Frozen, Program, Tensor, freeze
from worker.engines.tensorflow.saved_model import from_saved_model

_log = logging.getLogger(__name__)


class TensorFlowEngine(EngineAdapter):
    """An engine that calls `function`, a concrete function from images [n, height, width, 3] to scores [n, classes]."""

    def __init__(self, function: Any, spec: InputSpec, platform: str, device: str) -> None:
        def forward(images: Images) -> NDArray[np.float32]:
            scores: NDArray[np.float32] = function(tf.constant(stacked(images))).numpy()
            return scores

        self.function = function
        fixed = None if device == "cpu" else GPU_BATCHES
        super().__init__(forward, spec, name="tensorflow", platform=platform, device=device, fixed_batches=fixed)

    def close(self) -> None:
        """Release the graph and its constants."""
        super().close()
        self.function = None


def load(source: ModelSource) -> EngineAdapter:
    """Load the model of `source`; raises ModelError with the cause and the cure."""
    device = prepare_devices(source)
    try:
        if source.path is not None and source.path.suffix == OPTIMIZED_SUFFIX:
            return SessionEngine(source.path, source.preprocess)
        return _frozen_engine(_program(source), source.preprocess, device)
    except ModelError:
        raise
    except Exception as error:  # the layers of a model may raise anything when it first runs
        raise ModelError(f"The model cannot be run by this TensorFlow: {error}") from error


def prepare_devices(source: ModelSource) -> str:
    """Make only the device to use visible to TensorFlow, before it starts; returns the device's name."""
    gpus = tf.config.list_physical_devices("GPU")
    number = pick(source.device, seen=len(gpus), framework="TensorFlow")
    # When TensorFlow has started, for another model of this process, it refuses changes: then nothing changes.
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(usable_cores())
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([] if number is None else [gpus[number]], "GPU")
        if number is not None and source.gpu_memory_growth:
            tf.config.experimental.set_memory_growth(gpus[number], True)
    return name_of(number)


def _program(source: ModelSource) -> Program:
    names = {"input_layer": source.input_layer, "output_layer": source.output_layer}
    if source.graph is not None:
        return from_graph(source.graph, **names)
    path = source.path
    if path is not None and path.is_dir():
        return from_saved_model(path, signature=source.signature, **names)
    if path is not None and SUFFIXES.get(path.suffix.lower()) == "keras":
        return from_keras(path, safe=not source.allow_unsafe, **names)
    raise ModelError(
        f"{path} is of no kind that TensorFlow takes here: a SavedModel's folder, a .keras or .h5 file, "
        "or a frozen graph."
    )


def _frozen_engine(program: Program, requested: Preprocess, device: str) -> TensorFlowEngine:
    """An engine of the program with constants for its variables, unless that changes its answers."""
    frozen = freeze(program)
    prepared = plan(layout(program, requested), requested, scaling=_scaling(program, frozen, requested))
    spec = spec_of(prepared, requested)
    plain = TensorFlowEngine(_from_images(program, program.call, prepared), spec, program.platform, device)
    if frozen is None:
        return plain
    quick = TensorFlowEngine(_from_images(program, frozen.call, prepared), spec, program.platform, device)
    sample = sample_images(spec, 1)
    if nearly_equal(quick.predict(sample), plain.predict(sample)):
        return quick
    _log.info("With constants for its variables the model answers differently: it keeps them, and is slower.")
    return plain


def _scaling(program: Program, frozen: Frozen | None, requested: Preprocess) -> Scaling:
    if program.takes_bytes:
        return UNTOUCHED
    whole = not program.spec.dtype.is_floating
    own = probed(lambda: detect_scaling(frozen.graph, "images")) if frozen and not whole else None
    return scaling_of(requested, own=own, usual=program.usual_scaling, whole=whole)


def _from_images(program: Program, call: Callable[[Tensor], Tensor], plan: InputPlan) -> Any:
    """A concrete function from uint8 images [n, height, width, 3] to float32 scores [n, classes]."""
    to_input = prepare(program, plan)
    height, width = plan.size or (None, None)
    spec = tf.TensorSpec([plan.layout.batch, height, width, 3], tf.uint8, name="images")

    def function(images: Tensor) -> Tensor:
        scores = tf.cast(call(to_input(images)), tf.float32)
        return tf.reshape(scores, [tf.shape(images)[0], -1])

    return tf.function(function, input_signature=[spec], autograph=False).get_concrete_function()
