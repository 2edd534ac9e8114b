"""TensorFlow Serving's REST API: `/v1/models/NAME[/versions/N|/labels/L]` with `:predict` and `:classify`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from aiohttp import web

from worker.engines.tensors import Tensors
from worker.errors import BadRequest, NotFound
from worker.inference.tensor_model import TensorModel
from worker.inference.tensor_predictor import TensorPredictor
from worker.protocols.common import Images, classifier, outputs_of, scores_of, timeout_s
from worker.protocols.tensor_json import columns_json, rows_json
from worker.protocols.tfserving.codec import decimal_rows
from worker.protocols.tfserving.schema import (
    ClassifyRequest,
    Metadata,
    ModelStatus,
    Outputs,
    Predictions,
    PredictRequest,
    Results,
    metadata,
    read_classify,
    read_predict,
    status,
)
from worker.protocols.tfserving.tensors import read_tensors, tensor_metadata
from worker.repository.repository import ModelRepository
from worker.repository.served_model import AnyPredictor
from worker.web.access.request_permission import permission_of
from worker.web.body_reader import BodyReader
from worker.web.routes import DOT, JSON, PREDICTING, TIMEOUT, Route

_TAG = "tfserving"
_MODEL = "/v1/models/{name:[^/:]+}"
_ANY_VERSION = (_MODEL, _MODEL + "/versions/{version:[^/:]+}", _MODEL + "/labels/{label:[^/:]+}")


class TFServing:
    """The protocol for all `models`; a classification has `top` labels per image."""

    def __init__(self, models: ModelRepository, body_reader: BodyReader, *, top: int) -> None:
        self._models = models
        self._body_reader = body_reader
        self._top = top

    def routes(self) -> list[Route]:
        """The paths for the version served by default, for a numbered and for a labelled one."""
        return [route for path in _ANY_VERSION for route in self._routes(path)]

    async def predict(self, request: web.Request) -> web.Response:
        """The probabilities of each image, or the outputs of each row."""
        predictor = self._predictor(request)
        if isinstance(predictor, TensorPredictor):
            return await self._predict_tensors(request, predictor)
        deadline_s = predictor.deadline_s(timeout_s(request))
        with predictor.receiving(deadline_s=deadline_s, permission=permission_of(request)):
            body = await self._body_reader.body(request)
            reading = partial(read_predict, body, model=predictor.model)
            images, columnar = await self._body_reader.off_loop(len(body), reading)
        scores = await scores_of(predictor, images, deadline_s=deadline_s, request=request)
        with predictor.numbers.stage("encode"):
            numbers = await self._body_reader.off_loop(sum(row.nbytes for row in scores), partial(decimal_rows, scores))
        return _json(f'{{"{"outputs" if columnar else "predictions"}":{numbers}}}')

    async def _predict_tensors(self, request: web.Request, predictor: TensorPredictor) -> web.Response:
        deadline_s = predictor.deadline_s(timeout_s(request))
        model = predictor.model
        reading: Callable[[bytes], tuple[Tensors | Images, bool]] = (
            partial(read_predict, model=model)
            if model.signature.images
            else partial(read_tensors, signature=model.signature)
        )
        with predictor.receiving(deadline_s=deadline_s, permission=permission_of(request)):
            body = await self._body_reader.body(request)
            given, columnar = await self._body_reader.off_loop(len(body), partial(reading, body))
        parts = await outputs_of(predictor, given, deadline_s=deadline_s, request=request)

        def text() -> str:
            if columnar:
                return f'{{"outputs": {columns_json(parts)}}}'
            return f'{{"predictions": [{", ".join(rows_json(parts))}]}}'

        with predictor.numbers.stage("encode"):
            return _json(await self._body_reader.off_loop(sum(part.nbytes for part in parts), text))

    async def classify(self, request: web.Request) -> web.Response:
        """The best labels of each image."""
        predictor = classifier(self._predictor(request))
        deadline_s = predictor.deadline_s(timeout_s(request))
        with predictor.receiving(deadline_s=deadline_s, permission=permission_of(request)):
            body = await self._body_reader.body(request)
            images = await self._body_reader.off_loop(len(body), partial(read_classify, body, model=predictor.model))
        scores = await scores_of(predictor, images, deadline_s=deadline_s, request=request)
        with predictor.numbers.stage("encode"):
            return _json(json.dumps({"results": [predictor.model.top(row, self._top) for row in scores]}))

    async def regress(self, _: web.Request) -> web.Response:
        """Always raises BadRequest."""
        raise BadRequest("This model classifies, it has no regression: ask :predict or :classify.")

    async def status(self, request: web.Request) -> web.Response:
        """The state of every version, or of the one that was asked for."""
        name, version = request.match_info["name"], request.match_info.get("version")
        if "label" in request.match_info:
            version = self._predictor(request).model.version
        known = self._models.statuses(name)
        found = [each for each in known if version in (None, each.version)]
        if not found:
            versions = ", ".join(each.version for each in known)
            raise NotFound(f"The model {name} has no version {version!r}; it has {versions}.")
        return _json(json.dumps(asdict(status(found))))

    async def metadata(self, request: web.Request) -> web.Response:
        """The signatures."""
        model = self._predictor(request).model
        document = tensor_metadata(model) if isinstance(model, TensorModel) else metadata(model)
        return _json(json.dumps(asdict(document)))

    def _predictor(self, request: web.Request) -> AnyPredictor:
        path = request.match_info
        return self._models.find(path["name"], version=path.get("version"), label=path.get("label"))

    def _routes(self, path: str) -> list[Route]:
        predicting: dict[str, Any] = {"tag": _TAG, "parameters": (TIMEOUT,), "refuses": PREDICTING}
        describing: dict[str, Any] = {"tag": _TAG, "refuses": PREDICTING[1:]}
        predicted: Any = Predictions | Outputs
        return [
            Route("POST", f"{path}:predict", self.predict, summary="Scores of images, outputs of tensors.",
                  takes={JSON: PredictRequest}, example={"instances": [{"b64": DOT}]},
                  answer={JSON: predicted}, **predicting),
            Route("POST", f"{path}:classify", self.classify, summary="The best labels of each image.",
                  takes={JSON: ClassifyRequest}, example={"examples": [{"image": {"b64": DOT}}]},
                  answer={JSON: Results}, **predicting),
            Route("POST", f"{path}:regress", self.regress, summary="Refused: these models classify.",
                  answer={}, **predicting),
            Route("GET", path, self.status, summary="The state of the model's versions.",
                  answer={JSON: ModelStatus}, **describing),
            Route("GET", f"{path}/metadata", self.metadata, summary="The model's inputs and outputs.",
                  answer={JSON: Metadata}, **describing),
        ]  # fmt: skip


def _json(text: str) -> web.Response:
    return web.Response(text=f"{text}\n", content_type=JSON)
