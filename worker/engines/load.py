"""A model and the name of an engine -> that engine with the model loaded, giving probabilities.

The engines' modules contain what differs between frameworks. This module tries out what matters for all of them:
whether other image sizes work, whether several images at once get the same answers as one by one, and whether the
outputs are probabilities.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from worker.artifacts.source import ModelSource
from worker.engines.adapter import first_line
from worker.engines.base import Engine
from worker.engines.frameworks import framework
from worker.engines.model_io.outputs import SoftmaxEngine, nearly_equal, outputs_of
from worker.engines.sample_images import ANY_SIZE, sample_images
from worker.errors import ModelError
from worker.images.decode import ImageSize

_log = logging.getLogger(__name__)

_OTHER_SIZE = (160, 192)  # height and width, to try a model that takes any size


def load_engine(source: ModelSource, name: str) -> Engine:
    """Load the model of `source`, whose `path` or `graph` must be set, with the engine called `name`.

    Raises ModelError with the cause and the cure.
    """
    try:
        return as_classifier(framework(name).load(source), source)
    except ModelError:
        raise
    except Exception as error:  # the readers and layers of a framework may raise anything
        where = source.path or source.graph
        raise ModelError(f"{where} cannot be loaded by the engine {name}: {first_line(error)}") from error


def as_classifier(engine: Engine, source: ModelSource) -> Engine:
    """The engine, giving probabilities, in batches that do not change its answers. Raises ModelError."""
    if engine.classes < 2:
        raise ModelError("The model gives one number an image; a classifier gives one a class: train it with softmax.")
    _try_sizes(engine)
    _try_batches(engine)
    requested = source.preprocess.outputs
    outputs = requested or outputs_of(engine.predict(sample_images(engine.input, 4)))
    engine.input = replace(engine.input, preprocess=replace(engine.input.preprocess, outputs=outputs))
    if outputs == "probabilities":
        return engine
    if requested is None:
        _log.info("The model's outputs are not all between 0 and 1: softmax is applied; --outputs changes it.")
    return SoftmaxEngine(engine)


def _try_sizes(engine: Engine) -> None:
    """Set the usual image size if the model accepts any size by its shape but fails at another one.

    Inside, such models often flatten what is left of the image, so that only the size of their training fits.
    """
    spec = engine.input
    if spec.size is not None:
        return
    try:
        engine.predict(sample_images(replace(spec, size=ImageSize(*_OTHER_SIZE)), 1))
    except ModelError:
        _log.info(
            "The model fails at other sizes than %d x %d, so images are scaled to that; --size changes it.", *ANY_SIZE
        )
        size = ImageSize(*ANY_SIZE, spec.preprocess.resize or "stretch", spec.preprocess.filter or "bilinear")
        engine.input = replace(spec, size=size, batch=None, preprocess=replace(spec.preprocess, size=ANY_SIZE))


def _try_batches(engine: Engine) -> None:
    """Set a batch of one if several images at once give other answers than one by one.

    Graphs with a fixed first dimension often repeat it inside, in a reshape, where no shape shows it.
    """
    if engine.input.batch is not None:
        return
    images = sample_images(engine.input, 2)
    one_by_one = np.concatenate([engine.predict([image]) for image in images])
    try:
        agree = nearly_equal(engine.predict(images), one_by_one)
    except ModelError:
        agree = False
    if not agree:
        _log.info("The model answers differently for several images at once: it gets them one by one.")
        engine.input = replace(engine.input, batch=1)
