"""A model and the name of an engine -> that engine, with the model in it, giving probabilities.

What differs from framework to framework is in their modules. What holds for all is tried out here: whether
several images at once get the same answers as one by one, and whether outputs are probabilities yet.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.source import ModelSource, Outputs
from worker.engines.adapter import first_line
from worker.engines.base import Engine, warmup_images
from worker.engines.frameworks import framework
from worker.engines.outputs import Softmaxed, are_probabilities
from worker.errors import ModelError

_log = logging.getLogger(__name__)


def load_engine(source: ModelSource, name: str) -> Engine:
    """Load the model of `source`, whose `path` or `graph` must be set, with the engine called `name`.

    Raises ModelError with the cause and the cure.
    """
    try:
        return settle(framework(name).load(source), source)
    except ModelError:
        raise
    except Exception as error:  # a framework raises whatever its readers and layers raise
        where = source.path or source.graph
        raise ModelError(f"{where} cannot be loaded by the engine {name}: {first_line(error)}") from error


def settle(engine: Engine, source: ModelSource) -> Engine:
    """The engine, with what its outputs showed taken into account. Raises ModelError for no classifier."""
    if engine.classes < 2:
        raise ModelError("The model gives one number an image; a classifier gives one a class: train it with softmax.")
    _try_batches(engine)
    said = source.preprocess.outputs
    outputs = said or _seen(engine)
    engine.input = replace(engine.input, preprocess=replace(engine.input.preprocess, outputs=outputs))
    if outputs == "probabilities":
        return engine
    if said is None:
        _log.info("The model's outputs are not probabilities (negative, or not adding up to 1): softmax is applied.")
    return Softmaxed(engine)


def alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether outputs are the same but for rounding."""
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-3, atol=1e-4)


def _seen(engine: Engine) -> Outputs:
    return "probabilities" if are_probabilities(engine.predict(warmup_images(engine.input, 4))) else "logits"


def _try_batches(engine: Engine) -> None:
    """Set a batch of one if several images at once give other answers than one by one.

    Graphs with a fixed first dimension often carry it on inside, in a reshape, where no shape shows it.
    """
    if engine.input.batch is not None:
        return
    images = warmup_images(engine.input, 2)
    one_by_one = np.concatenate([engine.predict([image]) for image in images])
    try:
        agree = alike(engine.predict(images), one_by_one)
    except ModelError:
        agree = False
    if not agree:
        _log.info("The model answers differently for several images at once: it gets them one by one.")
        engine.input = replace(engine.input, batch=1)
