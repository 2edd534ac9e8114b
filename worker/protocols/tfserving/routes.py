"""TensorFlow Serving's REST: `/v1/models/NAME[/versions/N|/labels/L]` and its `:predict`, `:classify`."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import Any

from aiohttp import web

from worker.errors import BadRequest, NotFound
from worker.inference.predictor import Predictor
from worker.protocols.common import Bodies, scores_of, timeout_s
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
from worker.repository.repository import Models
from worker.web.routes import DOT, JSON, PREDICTING, TIMEOUT, Route

_TAG = "tfserving"
_MODEL = "/v1/models/{name:[^/:]+}"
_ANY_VERSION = (_MODEL, _MODEL + "/versions/{version:[^/:]+}", _MODEL + "/labels/{label:[^/:]+}")


class TFServing:
    """The protocol over all `models`; `top` labels come of a classification."""

    def __init__(self, models: Models, bodies: Bodies, *, top: int) -> None:
        self._models = models
        self._bodies = bodies
        self._top = top

    def routes(self) -> list[Route]:
        """What is answered, for the version served by default, a numbered and a labelled one."""
        return [route for path in _ANY_VERSION for route in self._routes(path)]

    async def predict(self, request: web.Request) -> web.Response:
        """The probabilities of each image."""
        predictor = self._predictor(request)
        deadline_s = predictor.deadline_s(timeout_s(request))
        with predictor.receiving(deadline_s=deadline_s):
            body = await self._bodies.body(request)
            reading = partial(read_predict, body, model=predictor.model)
            images, columnar = await self._bodies.off_loop(len(body), reading)
        scores = await scores_of(predictor, images, deadline_s=deadline_s)
        with predictor.numbers.stage("encode"):
            numbers = await self._bodies.off_loop(sum(row.nbytes for row in scores), partial(decimal_rows, scores))
        return _json(f'{{"{"outputs" if columnar else "predictions"}":{numbers}}}')

    async def classify(self, request: web.Request) -> web.Response:
        """The best labels of each image."""
        predictor = self._predictor(request)
        deadline_s = predictor.deadline_s(timeout_s(request))
        with predictor.receiving(deadline_s=deadline_s):
            body = await self._bodies.body(request)
            images = await self._bodies.off_loop(len(body), partial(read_classify, body, model=predictor.model))
        scores = await scores_of(predictor, images, deadline_s=deadline_s)
        with predictor.numbers.stage("encode"):
            return _json(json.dumps({"results": [predictor.model.top(row, self._top) for row in scores]}))

    async def regress(self, _: web.Request) -> web.Response:
        """Always refused."""
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
        return _json(json.dumps(asdict(metadata(self._predictor(request).model))))

    def _predictor(self, request: web.Request) -> Predictor:
        asked = request.match_info
        return self._models.find(asked["name"], version=asked.get("version"), label=asked.get("label"))

    def _routes(self, path: str) -> list[Route]:
        asking: dict[str, Any] = {"tag": _TAG, "parameters": (TIMEOUT,), "refuses": PREDICTING}
        telling: dict[str, Any] = {"tag": _TAG, "refuses": PREDICTING[1:]}
        predicted: Any = Predictions | Outputs
        return [
            Route("POST", f"{path}:predict", self.predict, summary="Probabilities of all classes, for each image.",
                  takes={JSON: PredictRequest}, example={"instances": [{"b64": DOT}]},
                  answer={JSON: predicted}, **asking),
            Route("POST", f"{path}:classify", self.classify, summary="The best labels of each image.",
                  takes={JSON: ClassifyRequest}, example={"examples": [{"image": {"b64": DOT}}]},
                  answer={JSON: Results}, **asking),
            Route("POST", f"{path}:regress", self.regress, summary="Refused: these models classify.",
                  answer={}, **asking),
            Route("GET", path, self.status, summary="The state of the model's versions.",
                  answer={JSON: ModelStatus}, **telling),
            Route("GET", f"{path}/metadata", self.metadata, summary="The model's inputs and outputs.",
                  answer={JSON: Metadata}, **telling),
        ]  # fmt: skip


def _json(text: str) -> web.Response:
    return web.Response(text=f"{text}\n", content_type=JSON)
