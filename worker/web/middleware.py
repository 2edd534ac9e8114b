"""Steps around every request, through aiohttp or the fast path: boot and request id, access, metrics, errors, drain.

While draining, responses close the connection so that clients stop sending here.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Protocol, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from registry.runtime.logs.access_log import AccessLog, stages_ms
from registry.runtime.request_id import HEADER as REQUEST_ID
from registry.runtime.request_id import RequestIds, sent_request_id
from worker.errors import WrongWorker
from worker.repository.repository import ModelRepository
from worker.repository.request_epochs import RequestEpochs
from worker.telemetry.metrics import WorkerMetrics
from worker.telemetry.request_labels import request_labels
from worker.telemetry.request_stages import noting_stages
from worker.telemetry.shadow import HEADER
from worker.telemetry.step_timings import take_timings
from worker.web.access.port_access import PortAccess
from worker.web.access.request_permission import permit
from worker.web.endpoint_state import EndpointState
from worker.web.request import IncomingRequest
from worker.web.responses import JsonResponse, error_response, to_aiohttp, to_worker_error


class AnyResponse(Protocol):
    """What aiohttp's responses and those of the fast path have in common."""

    @property
    def status(self) -> int:
        """Its HTTP status."""

    @property
    def headers(self) -> MutableMapping[str, str]:
        """Its headers."""

    def force_close(self) -> None:
        """End the connection after it."""


RequestT = TypeVar("RequestT", bound=IncomingRequest)
ResponseT = TypeVar("ResponseT", bound=AnyResponse)


class RequestFrame:
    """The steps around every request to one port."""

    def __init__(
        self,
        state: EndpointState,
        models: ModelRepository,
        metrics: WorkerMetrics,
        requests: RequestEpochs,
        *,
        answered: Callable[[], None],
        access: PortAccess,
        access_log: AccessLog | None = None,
    ) -> None:
        """`answered` is called, in a request's task, when its response is known and has yet to be sent.

        `access_log` gets lines of the requests that `answer_and_log` answers; None: there is none.
        """
        self._state = state
        self._models = models
        self._metrics = metrics
        self._requests = requests
        self._answered = answered
        self._access = access
        self._request_ids = RequestIds()
        self._access_log = access_log

    async def answer(
        self,
        request: RequestT,
        handler: Callable[[RequestT], Awaitable[ResponseT]],
        convert: Callable[[JsonResponse], ResponseT],
        *,
        request_id: str | None = None,
    ) -> ResponseT:
        """The response of `handler`, or its error's, made by `convert`; raises nothing but a cancellation.

        It carries `request_id`; None stands for the one that the request has, or a new one where it is an error.
        """
        metrics = self._metrics
        if request_id is None:
            request_id = sent_request_id(request.headers.get(REQUEST_ID))
        since_s = time.monotonic()
        metrics.in_flight += 1
        try:
            with self._requests.track():
                self._check_boot(request)
                answering = self._permitted(request, handler) if self._access.restricted else handler(request)
                response = await answering
        except Exception as error:
            request_id = request_id or self._request_ids.new()
            response = convert(error_response(to_worker_error(error, request, request_id=request_id)))
            forget_frames(error)
        finally:
            metrics.in_flight -= 1
            self._answered()
        labels = request_labels(request.path, default=self._models.default, known=self._models.names)
        took_s = time.monotonic() - since_s
        shadow = request.headers.get(HEADER)
        if shadow is None:
            metrics.answered(labels, status=response.status, took_s=took_s)
        else:
            metrics.shadow.answered(labels.model, shadow, status=response.status, took_s=took_s)
        if request_id:
            response.headers[REQUEST_ID] = request_id
        if self._access.origins:
            response.headers.update(self._access.origins.headers(request.headers))
        steps = take_timings()
        if steps is not None:
            stages = response.headers.get("Server-Timing")
            response.headers["Server-Timing"] = f"{steps}, {stages}" if stages else steps
        if self._state.leaving:
            response.force_close()
        return response

    @property
    def logs(self) -> bool:
        """Whether there is an access log."""
        return self._access_log is not None

    async def answer_and_log(
        self,
        request: RequestT,
        handler: Callable[[RequestT], Awaitable[ResponseT]],
        convert: Callable[[JsonResponse], ResponseT],
    ) -> ResponseT:
        """As `answer`; the access log gets a line of the request if it wants one."""
        log = self._access_log
        if log is None or not log.wants():
            return await self.answer(request, handler, convert)
        request_id = sent_request_id(request.headers.get(REQUEST_ID)) or self._request_ids.new()
        since_s = time.monotonic()
        with noting_stages() as stages:
            response = await self.answer(request, handler, convert, request_id=request_id)
        log.write(
            method=request.method,
            path=request.path,
            status=response.status,
            size=_size(response),
            took_s=time.monotonic() - since_s,
            request_id=request_id,
            received=request.content_length,
            client=request.remote,
            **stages_ms(stages.seconds),
        )
        return response

    async def _permitted(self, request: RequestT, handler: Callable[[RequestT], Awaitable[ResponseT]]) -> ResponseT:
        permission = self._access.admit(request)
        permit(request, permission)
        if permission.places is None:
            return await handler(request)
        try:
            return await handler(request)
        finally:
            permission.places.release()

    async def expect_continue(
        self, request: web.Request, ask_for_body: Callable[[web.Request], Awaitable[web.Response | None]]
    ) -> web.Response | None:
        """`Expect: 100-continue`: refuse at once what is not permitted, so that no body comes; else `ask_for_body`."""
        try:
            if self._access.restricted:
                self._access.check_ahead(request)
        except Exception as error:
            request_id = sent_request_id(request.headers.get(REQUEST_ID)) or self._request_ids.new()
            response = to_aiohttp(error_response(to_worker_error(error, request, request_id=request_id)))
            response.headers[REQUEST_ID] = request_id
            response.headers.update(self._access.origins.headers(request.headers))
            response.force_close()  # the client may now send its body or not: only closing leaves no doubt
            return response
        return await ask_for_body(request)

    def preflight(self, request: web.Request) -> web.Response | None:
        """The response to a browser that asks what a web page may send; None for any other request."""
        headers = self._access.origins.preflight(request.method, request.headers)
        return None if headers is None else web.Response(status=204, headers=headers)

    def _check_boot(self, request: IncomingRequest) -> None:
        boot = request.headers.get("P2P-Boot")
        if boot is not None and boot != self._state.boot:
            raise WrongWorker("Another process answers at this address now: look a worker up again.")


def _size(response: AnyResponse) -> int | None:
    """The length of the response's body; None where it is not known."""
    body = getattr(response, "body", None)
    return len(body) if isinstance(body, bytes) else None


def forget_frames(error: BaseException) -> None:
    """Forget the variables of the functions that an error has come through, and those of its causes.

    Where one of them awaited a future, the future's error and the function's frame refer to each other: the request's
    body would stay in memory until the next garbage collection, although the budget has counted it as given back.
    """
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        traceback.clear_frames(each.__traceback__)
        each = each.__cause__ or each.__context__


class Answering(Protocol):
    """`RequestFrame.answer`, alone or with what is noted of requests around it."""

    def __call__(
        self,
        request: RequestT,
        handler: Callable[[RequestT], Awaitable[ResponseT]],
        convert: Callable[[JsonResponse], ResponseT],
    ) -> Awaitable[ResponseT]:
        """The response of `handler`, or its error's, made by `convert`."""


def aiohttp_middleware(frame: RequestFrame, answering: Answering) -> Middleware:
    """`answering`, which is that of `frame`, around the requests that come through aiohttp."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        preflight = frame.preflight(request)
        if preflight is not None:
            return preflight
        response = await answering(request, handler, to_aiohttp)
        if isinstance(request.content.exception(), web.RequestPayloadError):
            # After a body that cannot be decompressed nothing can be read; searching for its end would fail again.
            request.content.feed_eof()
            response.force_close()
        return response

    return answer
