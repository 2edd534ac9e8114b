"""TensorFlow: a SavedModel, a Keras file or a frozen graph -> an engine that takes uint8 images.

The model's function is frozen; before it stands what makes its input of pixels, behind it what makes
[n, classes] of its output, all in one graph, which other engines can be given too (`tf_convert`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.formats import SUFFIXES
from worker.artifacts.source import ModelSource, Preprocess
from worker.engines.adapter import Runner
from worker.engines.base import InputSpec, warmup_images
from worker.engines.device import GPU_BATCHES, name_of, pick
from worker.engines.input_plan import UNTOUCHED, Images, Plan, Scaling, plan, scaling_of, spec_of, stacked
from worker.engines.load import alike
from worker.engines.tensorflow.quiet_import import quiet_tensorflow
from worker.errors import ModelError
from worker.system.cpu import usable_cores

with quiet_tensorflow():
    import tensorflow as tf

from worker.engines.tensorflow.first_layers import own_scaling
from worker.engines.tensorflow.frozen_graph import from_graph
from worker.engines.tensorflow.input_ops import layout, prepare
from worker.engines.tensorflow.optimized_graph import SUFFIX as KEPT
from worker.engines.tensorflow.optimized_graph import SessionEngine
from worker.engines.tensorflow.program import Frozen, Program, Tensor, freeze
from worker.engines.tensorflow.saved_model import from_keras, from_saved_model

_log = logging.getLogger(__name__)


class TensorFlowEngine(Runner):
    """An engine around `whole`, a concrete function from images [n, height, width, 3] to scores [n, classes]."""

    def __init__(self, whole: Any, spec: InputSpec, platform: str, device: str) -> None:
        def run(images: Images) -> NDArray[np.float32]:
            scores: NDArray[np.float32] = whole(tf.constant(stacked(images))).numpy()
            return scores

        self.whole = whole
        fixed = None if device == "cpu" else GPU_BATCHES
        super().__init__(run, spec, name="tensorflow", platform=platform, device=device, fixed_batches=fixed)

    def close(self) -> None:
        """Let go of the graph and its constants."""
        super().close()
        self.whole = None


def load(source: ModelSource) -> Runner:
    """Load the model of `source`; raises ModelError with the cause and the cure."""
    device = _prepare_devices(source)
    try:
        if source.path is not None and source.path.suffix == KEPT:
            return SessionEngine(source.path, source.preprocess)
        return _quickest(_program(source), source.preprocess, device)
    except ModelError:
        raise
    except Exception as error:  # running a model for the first time raises whatever its layers raise
        raise ModelError(f"The model cannot be run by this TensorFlow: {error}") from error


def _prepare_devices(source: ModelSource) -> str:
    """Show TensorFlow the one device to use, before it looks; the device's name."""
    gpus = tf.config.list_physical_devices("GPU")
    number = pick(source.device, seen=len(gpus), framework="TensorFlow")
    # Once TensorFlow has begun, with another model of this process, it refuses any change: it stays as it is then.
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
        return from_saved_model(path, **names)
    if path is not None and SUFFIXES.get(path.suffix.lower()) == "keras":
        return from_keras(path)
    raise ModelError(
        f"{path} is of no kind that TensorFlow takes here: a SavedModel's folder, a .keras or .h5 file, "
        "or a frozen graph."
    )


def _quickest(program: Program, said: Preprocess, device: str) -> TensorFlowEngine:
    """The program with constants for its variables, unless that changes its answers."""
    frozen = freeze(program)
    prepared = plan(layout(program, said), said, scaling=_scaling(program, frozen, said))
    spec = spec_of(prepared, said)
    plain = TensorFlowEngine(_whole(program, program.call, prepared), spec, program.platform, device)
    if frozen is None:
        return plain
    quick = TensorFlowEngine(_whole(program, frozen.call, prepared), spec, program.platform, device)
    sample = warmup_images(spec, 1)
    if alike(quick.predict(sample), plain.predict(sample)):
        return quick
    _log.info("With constants for its variables the model answers differently: it keeps them, and is slower.")
    return plain


def _scaling(program: Program, frozen: Frozen | None, said: Preprocess) -> Scaling:
    if program.takes_bytes:
        return UNTOUCHED
    whole = not program.spec.dtype.is_floating
    own = own_scaling(frozen.graph, "images") if frozen and not whole else None
    return scaling_of(said, own=own, usual=program.unscaled, whole=whole)


def _whole(program: Program, call: Callable[[Tensor], Tensor], plan: Plan) -> Any:
    """From uint8 images [n, height, width, 3] to float32 scores [n, classes], as one function."""
    into = prepare(program, plan)
    height, width = plan.size or (None, None)
    spec = tf.TensorSpec([plan.layout.batch, height, width, 3], tf.uint8, name="images")

    def whole(images: Tensor) -> Tensor:
        scores = tf.cast(call(into(images)), tf.float32)
        return tf.reshape(scores, [tf.shape(images)[0], -1])

    return tf.function(whole, input_signature=[spec], autograph=False).get_concrete_function()
