"""The Open Inference Protocol V2 at `/v2/...`, the protocol of KServe's, Triton's and MLServer's clients."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

from aiohttp import web

from worker.errors import BadRequest
from worker.inference.tensor_predictor import TensorPredictor
from worker.protocols.common import outputs_of, scores_of, timeout_s
from worker.protocols.openinference.request import Inference, read_inference
from worker.protocols.openinference.response import EncodedResponse, write_response
from worker.protocols.openinference.schema import (
    INPUT,
    InferAnswer,
    InferRequest,
    Live,
    ModelMetadata,
    ModelReady,
    Ready,
    ServerMetadata,
    model_metadata,
    server_metadata,
)
from worker.protocols.openinference.tensors import TensorInference, read_tensor_inference, write_tensor_response
from worker.repository.repository import ModelRepository
from worker.repository.served_model import AnyPredictor
from worker.web.access.request_permission import permission_of
from worker.web.body_reader import BodyReader
from worker.web.routes import BYTES, DOT, JSON, PREDICTING, TIMEOUT, Parameter, Route

JSON_BYTES = "Inference-Header-Content-Length"

_TAG = "openinference"
_MODEL = "/v2/models/{name}"
_ANY_VERSION = (_MODEL, _MODEL + "/versions/{version}")
_SPLIT = Parameter(
    JSON_BYTES, "header", "string", "How many bytes of the body are JSON; 0: the body is one image.", "^[0-9]{1,11}$"
)
_EXAMPLE: Any = {"inputs": [{"name": INPUT, "shape": [1], "datatype": "BYTES", "data": [DOT]}]}


InferenceT = TypeVar("InferenceT", Inference, TensorInference)


class OpenInference:
    """The protocol for all `models`; `ready` says whether the worker takes requests."""

    def __init__(self, models: ModelRepository, body_reader: BodyReader, *, ready: Callable[[], bool]) -> None:
        self._models = models
        self._body_reader = body_reader
        self._ready = ready

    def routes(self) -> list[Route]:
        """The paths of the protocol."""
        about: dict[str, Any] = {"tag": _TAG, "summary": "What answers here.", "answer": {JSON: ServerMetadata}}
        return [
            Route("GET", "/v2/health/live", self.live, tag=_TAG, summary="Whether the process answers.",
                  answer={JSON: Live}),
            Route("GET", "/v2/health/ready", self.ready, tag=_TAG, summary="Whether requests are taken.",
                  answer={JSON: Ready}, also={503: "Not now: starting or leaving."}),
            Route("GET", "/v2", self.server, **about),
            Route("GET", "/v2/", self.server, **about),
            *(route for path in _ANY_VERSION for route in self._of_model(path)),
        ]  # fmt: skip

    async def live(self, _: web.Request) -> web.Response:
        """Always true: a process that is not alive does not answer."""
        return _json(Live(live=True))

    async def ready(self, _: web.Request) -> web.Response:
        """503 before a model is warm and while leaving."""
        ready = self._ready()
        return _json(Ready(ready), status=200 if ready else 503)

    async def server(self, _: web.Request) -> web.Response:
        """Name, version, extensions."""
        return _json(server_metadata())

    async def model_ready(self, request: web.Request) -> web.Response:
        """200 for a model that takes requests, else its 404 or 503."""
        return _json(ModelReady(self._predictor(request).model.name, ready=True))

    async def model(self, request: web.Request) -> web.Response:
        """Versions, inputs and outputs."""
        model = self._predictor(request).model
        return _json(model_metadata(model, self._models.statuses(model.name)))

    async def infer(self, request: web.Request) -> web.Response:
        """The scores of each image, or its best classes; the outputs of tensors."""
        predictor = self._predictor(request)
        if isinstance(predictor, TensorPredictor):
            return await self._infer_tensors(request, predictor)
        inference, deadline_s = await self._read(request, predictor, partial(read_inference, model=predictor.model))
        scores = await scores_of(predictor, inference.images, deadline_s=deadline_s, request=request)
        accepts = request.headers.get("Accept-Encoding", "")
        writing = partial(write_response, inference, scores, model=predictor.model, accepts=accepts)
        with predictor.numbers.stage("encode"):
            return _to_aiohttp(await self._body_reader.off_loop(sum(row.nbytes for row in scores), writing))

    async def _infer_tensors(self, request: web.Request, predictor: TensorPredictor) -> web.Response:
        reading = partial(read_tensor_inference, model=predictor.model)
        inference, deadline_s = await self._read(request, predictor, reading)
        parts = await outputs_of(predictor, inference.given, deadline_s=deadline_s, request=request)
        accepts = request.headers.get("Accept-Encoding", "")
        writing = partial(write_tensor_response, inference, parts, model=predictor.model, accepts=accepts)
        with predictor.numbers.stage("encode"):
            return _to_aiohttp(await self._body_reader.off_loop(sum(part.nbytes for part in parts), writing))

    async def _read(
        self, request: web.Request, predictor: AnyPredictor, read: Callable[..., InferenceT]
    ) -> tuple[InferenceT, float]:
        """What the request asks for, read from its body off the loop, and its deadline (monotonic)."""
        arrived_s = time.monotonic()
        deadline_s = predictor.deadline_s(timeout_s(request))
        json_bytes = _json_bytes(request)
        with predictor.receiving(deadline_s=deadline_s, permission=permission_of(request)):
            body = await self._body_reader.body(request)
            reading = partial(read, body, json_bytes=json_bytes)
            inference = await self._body_reader.off_loop(0 if json_bytes == 0 else len(body), reading)
        if inference.timeout_s is not None:
            deadline_s = min(deadline_s, arrived_s + inference.timeout_s)
        return inference, deadline_s

    def _predictor(self, request: web.Request) -> AnyPredictor:
        return self._models.find(request.match_info["name"], version=request.match_info.get("version"))

    def _of_model(self, path: str) -> list[Route]:
        describing: dict[str, Any] = {"tag": _TAG, "refuses": PREDICTING[1:]}
        return [
            Route("GET", f"{path}/ready", self.model_ready, summary="Whether a model can be asked.",
                  answer={JSON: ModelReady}, **describing),
            Route("GET", path, self.model, summary="What a model takes and gives.",
                  answer={JSON: ModelMetadata}, **describing),
            Route("POST", f"{path}/infer", self.infer, tag=_TAG, summary="Scores of images, outputs of tensors.",
                  takes={JSON: InferRequest, BYTES: bytes}, example=_EXAMPLE, answer={JSON: InferAnswer, BYTES: bytes},
                  parameters=(_SPLIT, TIMEOUT), refuses=PREDICTING),
        ]  # fmt: skip


def _json_bytes(request: web.Request) -> int | None:
    text = request.headers.get(JSON_BYTES)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise BadRequest(f"{JSON_BYTES}: {text[:40]} cannot be used: give the number of bytes of JSON.")
    return int(text)


def _to_aiohttp(response: EncodedResponse) -> web.Response:
    headers = {"Content-Type": JSON if response.json_bytes is None else BYTES}
    if response.coding:
        headers["Content-Encoding"] = response.coding
    if response.json_bytes is not None:
        headers[JSON_BYTES] = str(response.json_bytes)
    return web.Response(body=response.body, headers=headers)


def _json(document: Any, *, status: int = 200) -> web.Response:
    return web.Response(text=f"{json.dumps(asdict(document))}\n", content_type=JSON, status=status)
