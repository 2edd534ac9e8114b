"""`POST /`, the article's protocol: a multipart field `data` or a raw image in, `[[label, score], ...]` out."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from aiohttp import web

from registry.security.permission import Permission
from worker.errors import BadRequest, WrongMethod
from worker.inference.tensor_predictor import TensorPredictor
from worker.protocols.common import tensor_paths, timeout_s
from worker.protocols.tensor_json import rows_json
from worker.repository.repository import ModelRepository
from worker.telemetry.request_stages import noting_stages, server_timing
from worker.telemetry.shadow import HEADER
from worker.web.access.request_permission import permission_of
from worker.web.body_reader import BodyReader
from worker.web.request import IncomingRequest
from worker.web.responses import JsonResponse, to_aiohttp
from worker.web.routes import BYTES, FORM, JSON, PREDICTING, TIMEOUT, TIMINGS, TOP, VERSION, Route

_TAG = "article"


@dataclass(frozen=True, slots=True)
class Form:
    """Images as the fields of a form."""

    data: Annotated[str, "An image file; the field may come up to 64 times."]


class Article:
    """The article's protocol for the model `name`; without `?top=` a response holds `top` labels per image."""

    def __init__(self, models: ModelRepository, name: str, body_reader: BodyReader, *, top: int) -> None:
        self._models = models
        self._name = name
        self._body_reader = body_reader
        self._top = top

    def routes(self) -> list[Route]:
        """The paths of the protocol."""
        pairs = list[tuple[str, float]]
        answer: Any = pairs | list[pairs]
        return [
            Route("POST", "/", self.classify, tag=_TAG, summary="The best labels of one image, or of several.",
                  takes={FORM: Form, BYTES: bytes}, answer={JSON: answer}, parameters=(TOP, VERSION, TIMINGS, TIMEOUT),
                  refuses=PREDICTING),
            Route("GET", "/", self.usage, tag=_TAG, summary="Says how to ask.", answer={}, refuses=(WrongMethod,)),
        ]  # fmt: skip

    async def classify(self, request: web.Request) -> web.Response:
        """`answer` for a request that aiohttp has read."""
        return to_aiohttp(await self.answer(request))

    def answer(self, request: IncomingRequest) -> Awaitable[JsonResponse]:
        """One image: a list of pairs, best first; several: a list of those, in order. Raises WorkerError.

        Of a model that gives tensors: the outputs of each image. With `?timings` the header Server-Timing says how long
        each stage took.
        """
        return self._timed(request) if "timings" in request.query else self._answer(request)

    async def _timed(self, request: IncomingRequest) -> JsonResponse:
        with noting_stages() as stages:
            response = await self._answer(request)
        response.headers["Server-Timing"] = server_timing(stages.seconds)
        return response

    async def _answer(self, request: IncomingRequest) -> JsonResponse:
        top = _top(request.query.get("top"), default=self._top)
        predictor = self._models.find(self._name, version=request.query.get("version"))
        if isinstance(predictor, TensorPredictor) and not predictor.model.signature.images:
            raise BadRequest(f"The model {self._name} takes tensors, not images: ask {tensor_paths(self._name)}.")
        deadline_s = predictor.deadline_s(timeout_s(request))
        permission = permission_of(request)
        with predictor.receiving(deadline_s=deadline_s, permission=permission):
            images = await self._body_reader.images(request)
        if isinstance(predictor, TensorPredictor):
            return await self._outputs(predictor, images, deadline_s=deadline_s, permission=permission)
        scores = await predictor.predict(images, deadline_s=deadline_s, permission=permission)
        if (shadow := request.headers.get(HEADER)) is not None:
            predictor.numbers.compare_shadow(shadow, *predictor.model.top(scores[0], 1)[0])
        with predictor.numbers.stage("encode"):
            return JsonResponse(f"{labelled([predictor.model.top(row, top) for row in scores])}\n".encode())

    async def _outputs(
        self, predictor: TensorPredictor, images: Sequence[bytes], *, deadline_s: float, permission: Permission
    ) -> JsonResponse:
        """The outputs of a model that gives tensors: those of one image, or a list of those of several."""
        parts = await predictor.predict_encoded(images, deadline_s=deadline_s, permission=permission)

        def text() -> bytes:
            rows = rows_json(parts)
            return (rows[0] if len(rows) == 1 else f"[{', '.join(rows)}]").encode() + b"\n"

        with predictor.numbers.stage("encode"):
            return JsonResponse(await self._body_reader.off_loop(sum(part.nbytes for part in parts), text))

    async def usage(self, _: web.Request) -> web.Response:
        """Always raises WrongMethod, whose sentence says how to send an image."""
        raise WrongMethod("POST an image here: curl -F data=@cat.jpg, or the image as the body.", allow=["POST"])


def labelled(images: Sequence[Sequence[tuple[str, float]]]) -> str:
    """JSON of the labels and finite scores of each image, as json.dumps writes it, at a quarter of its cost."""
    lists = [f"[{', '.join([f'[{_quoted(label)}, {score!r}]' for label, score in pairs])}]" for pairs in images]
    return lists[0] if len(lists) == 1 else f"[{', '.join(lists)}]"


@lru_cache(maxsize=4096)
def _quoted(label: str) -> str:
    return json.dumps(label, ensure_ascii=False)


def _top(text: str | None, *, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 1000 and len(text) < 9):
        raise BadRequest(f"top={text[:40]} cannot be used: give a whole number from 1 to 1000.")
    return int(text)
