"""`POST /`: the article's multipart field `data`, or a raw image body, in; `[[label, score], ...]` out."""

from __future__ import annotations

import json

from aiohttp import web

from worker.bodies import check_length, read_images
from worker.errors import BadRequest, TooLarge
from worker.models import Models
from worker.refusals import refused

TOP = 5


class Article:
    """The article's protocol over the model called `name`."""

    def __init__(self, models: Models, name: str, *, max_body_bytes: int, top: int = TOP) -> None:
        self._models = models
        self._name = name
        self._max_body_bytes = max_body_bytes
        self._top = top

    async def expected(self, request: web.Request) -> web.Response | None:
        """`Expect: 100-continue`: ask for the body, or refuse at once one that says itself that it is too large."""
        try:
            check_length(request, limit_bytes=self._max_body_bytes)
        except TooLarge as error:
            answer = refused(error)
            answer.force_close()  # the client may now keep its body or send it: only closing leaves no doubt
            return answer
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun
        return None

    async def classify(self, request: web.Request) -> web.Response:
        """One image: a list of pairs, best first; several: a list of those, in order."""
        top = _top(request.query.get("top"), default=self._top)
        predictor = self._models.find(self._name)
        deadline_s = predictor.deadline_s(timeout_s(request))
        with predictor.receiving(deadline_s=deadline_s):
            images = await read_images(request, limit_bytes=self._max_body_bytes)
        scores = await predictor.predict(images, deadline_s=deadline_s)
        with predictor.numbers.stage("encode"):
            answers = [predictor.model.top(row, top) for row in scores]
            body = answers if len(answers) > 1 else answers[0]
            return web.Response(text=f"{json.dumps(body, ensure_ascii=False)}\n", content_type="application/json")


def timeout_s(request: web.Request) -> float | None:
    """What the caller has left, from the header `P2P-Timeout-Ms`; None where it does not say."""
    text = request.headers.get("P2P-Timeout-Ms")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise BadRequest(f"P2P-Timeout-Ms: {text[:40]} cannot be used: give whole milliseconds.")
    return int(text) / 1000


def _top(text: str | None, *, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 1000 and len(text) < 9):
        raise BadRequest(f"top={text[:40]} cannot be used: give a whole number from 1 to 1000.")
    return int(text)
