"""Steps around every request, through aiohttp or the fast path: boot id, access, metrics, errors, drain.

While draining, responses close the connection so that clients stop sending here.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Protocol, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from registry.security.quota import held_places
from worker.errors import WrongWorker
from worker.repository.repository import ModelRepository
from worker.repository.request_epochs import RequestEpochs
from worker.telemetry.metrics import WorkerMetrics
from worker.telemetry.request_labels import request_labels
from worker.telemetry.shadow import HEADER
from worker.telemetry.step_timings import take_timings
from worker.web.endpoint_state import EndpointState
from worker.web.port_access import UNLIMITED, Permission, PortAccess
from worker.web.request import IncomingRequest
from worker.web.responses import JsonResponse, error_response, to_aiohttp, to_worker_error
from worker.web.ticket_limits import limited


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
    ) -> None:
        """`answered` is called, in a request's task, when its response is known and has yet to be sent."""
        self._state = state
        self._models = models
        self._metrics = metrics
        self._requests = requests
        self._answered = answered
        self._access = access

    async def answer(
        self,
        request: RequestT,
        handler: Callable[[RequestT], Awaitable[ResponseT]],
        convert: Callable[[JsonResponse], ResponseT],
    ) -> ResponseT:
        """The response of `handler`, or its error's, made by `convert`; raises nothing but a cancellation."""
        metrics = self._metrics
        since_s = time.monotonic()
        metrics.in_flight += 1
        try:
            with self._requests.track():
                self._check_boot(request)
                response = await self._permitted(request, handler)
        except Exception as error:
            response = convert(error_response(to_worker_error(error, request)))
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
        if self._access.origins:
            response.headers.update(self._access.origins.headers(request.headers))
        steps = take_timings()
        if steps is not None:
            response.headers["Server-Timing"] = steps
        if self._state.leaving:
            response.force_close()
        return response

    async def _permitted(self, request: RequestT, handler: Callable[[RequestT], Awaitable[ResponseT]]) -> ResponseT:
        permission = self._access.admit(request) if self._access.restricted else UNLIMITED
        if permission is UNLIMITED:
            return await handler(request)
        with _in_force(permission):
            return await handler(request)

    async def expect_continue(
        self, request: web.Request, ask_for_body: Callable[[web.Request], Awaitable[web.Response | None]]
    ) -> web.Response | None:
        """`Expect: 100-continue`: refuse at once what is not permitted, so that no body comes; else `ask_for_body`."""
        try:
            if self._access.restricted:
                self._access.check_ahead(request)
        except Exception as error:
            response = to_aiohttp(error_response(to_worker_error(error, request)))
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


@contextmanager
def _in_force(permission: Permission) -> Iterator[None]:
    """The permission's limits hold for what the current task does in this context, and its places are held."""
    limits, places = permission
    token = held_places.set(places)
    try:
        with limited(limits):
            yield
    finally:
        held_places.reset(token)
        if places is not None:
            places.release()


def aiohttp_middleware(frame: RequestFrame) -> Middleware:
    """`frame` around the requests that come through aiohttp."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        preflight = frame.preflight(request)
        if preflight is not None:
            return preflight
        response = await frame.answer(request, handler, to_aiohttp)
        if isinstance(request.content.exception(), web.RequestPayloadError):
            # After a body that cannot be decompressed nothing can be read; searching for its end would fail again.
            request.content.feed_eof()
            response.force_close()
        return response

    return answer
