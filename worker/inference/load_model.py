"""The flags about a model -> the loaded model: a classifier of images, or a model of tensors."""

from __future__ import annotations

import logging
from dataclasses import replace

from worker.artifacts.formats import format_of
from worker.artifacts.labels import read_labels
from worker.artifacts.preprocess_config import read_preprocess
from worker.artifacts.safety.check import refuse_link, refuse_unnamed_code, refuse_unsafe
from worker.artifacts.signatures.takes_tensors import takes_tensors
from worker.artifacts.source import ModelSource, Place, locate
from worker.engines.base import FILELESS, Engine, InputSpec
from worker.engines.load import as_classifier
from worker.engines.load_tensors import load_tensors
from worker.engines.python.engine import PythonClassifier
from worker.engines.python.engine import load as load_python
from worker.errors import ModelError
from worker.inference.model import Model, load
from worker.inference.tensor_model import TensorModel

_log = logging.getLogger(__name__)

AnyModel = Model | TensorModel


def load_model(source: ModelSource, *, name: str, trial: bool = False) -> AnyModel:
    """Load `source` as the model called `name`; raises ModelError with the cause and the cure.

    `trial` marks a trial load, see `worker.engines.selection.select.open_model`.
    """
    if source.engine in FILELESS or source.path is None or source.graph is not None:
        return load(source, name=name, trial=trial)
    place = locate(source.path, labels=source.labels)
    model_format = format_of(place.path)
    if model_format == "python":
        return _python_model(source, place, name=name)
    if (
        source.input_layer
        or source.output_layer
        or not takes_tensors(place.path, model_format, signature=source.signature)
    ):
        return load(source, name=name, trial=trial)
    if not source.allow_unsafe:
        refuse_unsafe(place.path, model_format)
    engine = load_tensors(replace(source, path=place.path), model_format)
    _log.info("Loaded %s version %s from %s: a model of tensors.", name, place.version, place.path)
    return TensorModel(name, place.version, engine, InputSpec(None), source.max_pixels)


def load_classifier(source: ModelSource, *, name: str) -> Model:
    """As `load_model`; ModelError for a model that does not give scores or labels of images."""
    model = load_model(source, name=name)
    if isinstance(model, Model):
        return model
    model.close()
    raise ModelError(f"The model in {source.path} gives tensors, not labels of images: serve it with p2p worker.")


def _python_model(source: ModelSource, place: Place, *, name: str) -> AnyModel:
    if source.engine not in ("auto", "python"):
        raise ModelError(f"{place.path} is a Python file, which --engine {source.engine} cannot run.")
    if source.precision == "auto":
        raise ModelError(f"--precision auto compares engines, and {place.path} is a Python file, which has none.")
    if not source.allow_unsafe:
        refuse_unnamed_code(place.path, named=source.path)
        if place.labels is not None and source.labels is None:
            refuse_link(place.labels, place.path)
    preprocess = source.preprocess.over(read_preprocess(place.path))
    engine = load_python(place.path, preprocess, name=name)
    try:
        if not isinstance(engine, PythonClassifier):
            _log.info("Loaded %s version %s from %s: a model of tensors.", name, place.version, place.path)
            return TensorModel(name, place.version, engine, engine.input, source.max_pixels)
        classifier: Engine = as_classifier(engine, replace(source, preprocess=preprocess))
        labels = engine.labels or read_labels(place.labels, classes=engine.classes)
    except BaseException:
        engine.close()
        raise
    _log.info("Loaded %s version %s from %s.", name, place.version, place.path)
    return Model(name, place.version, labels, classifier, source.max_pixels, trouble_of=lambda: engine.trouble)
