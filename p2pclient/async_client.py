"""The client: what a caller asks for becomes a call, and what a worker answers becomes a value.

`calls` finds a worker and asks it; `discovery` knows the workers, from a lookup service, several of them, or Consul.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import functools
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from p2pclient import validation
from p2pclient.calls.call_state import Answered
from p2pclient.calls.deadline import Deadline
from p2pclient.calls.worker_finder import Question
from p2pclient.client_core import ClientCore
from p2pclient.concurrency.concurrent_map import ConcurrentMap, numbered
from p2pclient.errors import ClientClosed, P2PError
from p2pclient.messages import Answer, Request
from p2pclient.options import TLS, Balancing, CallOptions
from p2pclient.payloads import open_inference
from p2pclient.payloads.classification import image_request, labels
from p2pclient.payloads.image import read_image_within
from p2pclient.transport.base import Transport
from p2pclient.transport.http import MAX_ANSWER_BYTES, HttpTransport
from p2pclient.types import (
    DEFAULT_REGISTRY,
    Classification,
    Image,
    Prediction,
    Result,
    Service,
    Snapshot,
    Worker,
)

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

T = TypeVar("T")


class AsyncClient:
    """A client of the workers that one lookup service knows, for use in one asyncio event loop.

        async with AsyncClient("lookup:12480") as client:
            classification = await client.classify("cat.jpg")
            print(classification.best.label)

    `registry` is "host", "host:port" or a URL, several of them separated by commas, or Consul itself,
    "consul://host:8500" or "consul+https://...".

    Each call goes by `service`, the one to use (None: the lookup service's default, with Consul "classify"); `top`,
    how many labels; `timeout_s`, the time for a whole call, retries included; `attempts`, how many attempts may
    burden a worker and fail (one that meets with a refused connection burdens nobody); `hedge`: whether a second
    worker is asked when the first has taken longer than 95 of 100 answers. `with_options` changes these.

    `routing` "watch" keeps a list of the workers and picks from it as `balancing` says; "lookup" asks the lookup
    service at each call, which gives exactly its rotation.

    `connect_timeout_s` is the time for one connection; `max_answer_bytes` what is read of an answer; `tls` what https
    is verified with; `worker_scheme` overrides the scheme that workers are registered with. `token` is sent as a
    bearer token to lookup services, and to workers that ask for one, `consul_token` (else CONSUL_HTTP_TOKEN of the
    environment) to Consul alone. `transport` carries the requests in place of the network, as in `p2pclient.testing`.
    `tracer_provider` (OpenTelemetry's) gets the spans of the calls; default: the one that the application has set up.

    Raises ValueError if an option is invalid, OSError if a file cannot be read. Calls may run at the same time, as
    many as you like; connections are opened at the first call, kept, and closed with the client.
    """

    def __init__(
        self,
        registry: str = DEFAULT_REGISTRY,
        *,
        service: str | None = None,
        top: int = 5,
        timeout_s: float = 30.0,
        attempts: int = 3,
        hedge: bool = False,
        routing: Literal["watch", "lookup"] = "watch",
        balancing: Balancing | None = None,
        connect_timeout_s: float = 1.0,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        worker_scheme: Literal["http", "https"] | None = None,
        tls: TLS | None = None,
        token: str | None = None,
        consul_token: str | None = None,
        transport: Transport | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        self._options = CallOptions(service=service, top=top, timeout_s=timeout_s, attempts=attempts, hedge=hedge)
        self._routing = validation.one_of("routing", routing, ("watch", "lookup"))
        network = HttpTransport(
            connect_timeout_s=validation.positive("connect_timeout_s", connect_timeout_s),
            tls=(tls or TLS()).verification(),
            max_answer_bytes=validation.at_least_one("max_answer_bytes", max_answer_bytes),
        )
        self._core = ClientCore(
            registry,
            network if transport is None else transport,
            balancing=(balancing or Balancing()) if routing == "watch" else None,
            worker_scheme=worker_scheme,
            token=token,
            consul_token=consul_token,
            tracer_provider=tracer_provider,
        )

    def __repr__(self) -> str:
        about = f"{self._core.shown!r}, service={self._options.service!r}, routing={self._routing!r}"
        return f"{type(self).__name__}({about})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def with_options(
        self,
        *,
        service: str | None = None,
        top: int | None = None,
        timeout_s: float | None = None,
        attempts: int | None = None,
        hedge: bool | None = None,
    ) -> Self:
        """A client whose calls go by other options, those that are given; raises ValueError if one is invalid.

        It shares connections, subscriptions and the retry budget with this one: closing either closes both.
        """
        client = copy.copy(self)
        client._options = self._options.but(
            service=service, top=top, timeout_s=timeout_s, attempts=attempts, hedge=hedge
        )
        return client

    async def close(self) -> None:
        """Close every connection. Calls still under way raise ClientClosed; closing twice is harmless."""
        await self._core.close()

    async def classify(
        self, image: Image, *, top: int | None = None, service: str | None = None, timeout_s: float | None = None
    ) -> Classification:
        """What the service's model sees in an image: the `top` best labels with their scores.

        `image` is a path, the encoded bytes, a binary file, or pixels: a NumPy array or a Pillow image; the other
        arguments replace the client's own options for this call. Raises a P2PError, OSError if the path cannot be
        read, ValueError or TypeError for invalid arguments.
        """
        options = self._options.but(top=top, service=service, timeout_s=timeout_s)
        deadline = self._deadline(options)
        content = image if type(image) is bytes else await read_image_within(image, deadline.left_s)
        request = image_request(content, options.top)
        done = await self._call(lambda _: request, labels, options, deadline)
        self._core.shadow(options.service, done.worker, lambda _: request, done.value[0])
        return Classification(done.value, done.worker.address, deadline.spent_s, done.attempts)

    async def classify_many(
        self,
        images: AsyncIterable[Image] | Iterable[Image],
        *,
        concurrency: int = 8,
        ordered: bool = True,
        top: int | None = None,
        service: str | None = None,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Result]:
        """Classify one image after another, `concurrency` at a time, each within `timeout_s`.

        Results come in the images' order, or as they are finished if not `ordered`. An image is taken from
        `images` when its turn has come, and one that fails gives a result with its error and stops nothing.
        """
        self._options.but(top=top, service=service, timeout_s=timeout_s)  # raises ValueError

        async def one(item: tuple[int, Image]) -> Result:
            return await self._result(*item, top=top, service=service, timeout_s=timeout_s)

        async with ConcurrentMap(numbered(images), one, concurrency=concurrency, ordered=ordered) as results:
            async for _, result in results:
                yield result

    async def predict(
        self,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] = (),
        parameters: Mapping[str, Any] | None = None,
        service: str | None = None,
        timeout_s: float | None = None,
    ) -> Prediction:
        """What the service's model answers to tensors, over the Open Inference Protocol's binary form.

        `inputs` are by name: NumPy arrays or anything else with the buffer protocol, sequences of texts or
        bytes, or `Tensor`s; `outputs` names those wanted (none: all), `parameters` are the protocol's. Raises
        a P2PError (BadInput if the worker cannot use them), TypeError for what is no tensor.
        """
        options = self._options.but(service=service, timeout_s=timeout_s)
        deadline = self._deadline(options)
        make_request = functools.partial(open_inference.request_for, inputs, outputs, parameters or {})
        request = await asyncio.to_thread(make_request) if open_inference.takes_long(inputs) else make_request()

        def of(worker: Worker) -> Request:
            return dataclasses.replace(request, path=open_inference.infer_path(worker.service))

        done = await self._call(of, open_inference.outputs, options, deadline)
        self._core.shadow(options.service, done.worker, of, None)
        found, model, version = done.value
        return Prediction(found, model, version, done.worker.address, deadline.spent_s, done.attempts)

    @overload
    async def lookup(
        self, service: str | None = None, *, count: None = None, timeout_s: float | None = None
    ) -> Worker: ...

    @overload
    async def lookup(
        self, service: str | None = None, *, count: int, timeout_s: float | None = None
    ) -> list[Worker]: ...

    async def lookup(
        self, service: str | None = None, *, count: int | None = None, timeout_s: float | None = None
    ) -> Worker | list[Worker]:
        """The next worker in the lookup service's rotation; with `count`, a list of up to that many different ones.

        Waits for a worker if none is healthy. Raises NoWorker, UnknownService, LookupUnavailable,
        AuthenticationError, ProtocolError.
        """
        if count is not None:
            validation.at_least_one("count", count)
        options = self._options.but(service=service, timeout_s=timeout_s)
        source = self._core.source
        workers = await self._ask(
            lambda limit_s: source.next(options.service, count=count, limit_s=limit_s), options, self._deadline(options)
        )
        return workers[0] if count is None else workers

    async def workers(self, service: str | None = None, *, timeout_s: float | None = None) -> Snapshot:
        """All workers of a service, healthy or not: those of the subscription, or asked for now without one.

        Raises UnknownService, LookupUnavailable, AuthenticationError, ProtocolError.
        """
        options = self._options.but(service=service, timeout_s=timeout_s)
        deadline, channel = self._deadline(options), self._core.channel(options.service)
        await channel.subscribed(deadline.left_s / 2)
        subscription = channel.subscription
        if subscription is not None and subscription.listing is not None:
            return subscription.listing.snapshot(subscription.age_s)
        source = self._core.source
        listing = await self._ask(
            lambda limit_s: source.listing(options.service, after=None, limit_s=limit_s), options, deadline
        )
        return listing.snapshot(listing.stale_s)

    async def services(self, *, timeout_s: float | None = None) -> list[Service]:
        """Every service that can be asked for. Raises LookupUnavailable, AuthenticationError, ProtocolError."""
        options, ask = self._options.but(timeout_s=timeout_s), self._core.source.services
        return await self._ask(lambda limit_s: ask(limit_s=limit_s), options, self._deadline(options))

    def _call(
        self,
        request: Callable[[Worker], Request],
        read: Callable[[Answer], T],
        options: CallOptions,
        deadline: Deadline,
    ) -> Coroutine[Any, Any, Answered[T]]:
        core, post = self._core, self._core.worker_client.post
        return core.executor.call(
            lambda worker, timeout_s: post(worker, request(worker), read, timeout_s),
            core.channel(options.service),
            deadline,
            attempts=options.attempts,
            hedge=options.hedge,
        )

    async def _ask(self, question: Question[T], options: CallOptions, deadline: Deadline) -> T:
        return await self._core.executor.finder.answer(question, deadline, tries=options.attempts)

    async def _result(
        self, index: int, image: Image, *, top: int | None, service: str | None, timeout_s: float | None
    ) -> Result:
        """One of many: what goes wrong with it alone becomes part of its result."""
        try:
            classification = await self.classify(image, top=top, service=service, timeout_s=timeout_s)
        except ClientClosed:
            raise
        except (P2PError, OSError, TypeError, ValueError) as error:
            return Result(index, image, error=error.with_traceback(None))
        return Result(index, image, classification)

    def _deadline(self, options: CallOptions) -> Deadline:
        self._core.check_loop()
        return Deadline(options.timeout_s)
