"""The client: what a caller asks for becomes a call, and what a worker answers becomes a value.

How a worker is found is `route`'s and `calls`' business; who knows the workers is told apart here: a lookup
service, several of them, or Consul itself.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from ssl import SSLContext
from types import TracebackType
from typing import Any, Literal, Self, overload

from p2pclient import validation
from p2pclient.balancing.balancer import Balance, Policy
from p2pclient.balancing.subsetting import SIZE
from p2pclient.calls.call_state import Clock
from p2pclient.calls.executor import Calls
from p2pclient.calls.service_channel import Route
from p2pclient.calls.worker_finder import sleep
from p2pclient.concurrent_map import Many
from p2pclient.discovery.address import Addresses, addresses
from p2pclient.discovery.base import Listing, Source
from p2pclient.discovery.consul import Consul
from p2pclient.discovery.registry import Lookup
from p2pclient.errors import ClientClosed, DeadlineExceeded, P2PError
from p2pclient.payloads import open_inference
from p2pclient.payloads.classification import image_post, labels
from p2pclient.payloads.image import read_image
from p2pclient.transport.http import MAX_ANSWER_BYTES, Wire
from p2pclient.transport.worker_client import Postman
from p2pclient.types import DEFAULT_REGISTRY, Image, Inference, Instances, Prediction, Result, Service, Worker


class AsyncClient:
    """A client of the workers that one lookup service knows, for use in one asyncio event loop.

        async with AsyncClient("lookup:12480") as client:
            prediction = await client.classify("cat.jpg")
            print(prediction.best.label)

    `registry` is "host", "host:port" or a URL, several of them separated by commas, or Consul itself,
    "consul://host:8500" or "consul+https://..."; `service` is the one to use where a call names none (the
    lookup service has a default of its own; with Consul it is "classify").

    `routing` "watch" keeps a list of the workers and picks from it; "lookup" asks the lookup service at each
    call, which gives exactly its rotation. With "watch", `policy` says how: "two_choices" by requests under
    way, "peak_ewma" by the time that answers take, too; and `subset` how many workers one client uses at
    most (None: all). `hedge` sends what is answered late to a second worker as well.

    `timeout_s` is the time for a whole call, retries included; `attempts` how many workers a call burdens
    at most; `connect_timeout_s` the time for one connection; `max_answer_bytes` what is read of an answer.

    `ca`, `cert` and `key` are PEM files to verify https with and to show, or `ssl` is a context that does
    both; workers are spoken to by `worker_scheme`. `token` is sent as a bearer token to lookup services and
    workers, `consul_token` (else CONSUL_HTTP_TOKEN of the environment) to Consul alone.

    Raises ValueError if one of these cannot be meant, OSError if a file cannot be read. Calls may run at the
    same time, as many as you like; connections are opened at the first call, kept, and closed with the client.
    """

    def __init__(
        self,
        registry: str = DEFAULT_REGISTRY,
        *,
        service: str | None = None,
        routing: Literal["watch", "lookup"] = "watch",
        policy: Policy = "two_choices",
        subset: int | None = SIZE,
        hedge: bool = False,
        timeout_s: float = 30.0,
        attempts: int = 3,
        connect_timeout_s: float = 1.0,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        worker_scheme: Literal["http", "https"] = "http",
        ssl: SSLContext | None = None,
        ca: str | None = None,
        cert: str | None = None,
        key: str | None = None,
        token: str | None = None,
        consul_token: str | None = None,
    ) -> None:
        validation.at_least_one("attempts", attempts)
        validation.at_least_one("max_answer_bytes", max_answer_bytes)
        self._service = service
        self._routing = validation.one_of("routing", routing, ("watch", "lookup"))
        if subset is not None:
            validation.at_least_one("subset", subset)
        self._new_balance: Callable[[], Balance] = functools.partial(Balance, policy=policy, subset=subset)
        self._new_balance()  # a setting that cannot be meant is told now
        self._timeout_s = validation.positive("timeout_s", timeout_s)
        self._wire = Wire(
            connect_timeout_s=validation.positive("connect_timeout_s", connect_timeout_s),
            tls=validation.tls(ssl, ca=ca, cert=cert, key=key),
            max_answer_bytes=max_answer_bytes,
        )
        where = addresses(registry)
        if token is not None and where.with_password and not where.consul:
            raise ValueError("token and a name or password in the address exclude each other: give one of them")
        self._shown = where.shown
        self._source = _source(self._wire, where, validation.token(token), validation.token(consul_token))
        scheme = validation.one_of("worker_scheme", worker_scheme, ("http", "https"))
        self._postman = Postman(self._wire, scheme=scheme, token=token)
        self._calls = Calls(self._source, attempts=attempts, hedge=hedge)
        self._routes: dict[str | None, Route] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._shown!r}, service={self._service!r}, routing={self._routing!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection. Calls still under way raise ClientClosed; closing twice is harmless."""
        watches = [route.watch for route in self._routes.values() if route.watch is not None]
        await asyncio.gather(*(watch.stop() for watch in watches))
        await self._wire.close()

    async def classify(
        self, image: Image, *, top: int = 5, service: str | None = None, timeout_s: float | None = None
    ) -> Prediction:
        """What the service's model sees in an image: the `top` best labels with their scores.

        `image` is a path, the encoded bytes, a binary file, or pixels: a NumPy array or a Pillow image;
        `service` and `timeout_s` replace the client's own for this call. Raises a P2PError, OSError if the
        path cannot be read, ValueError or TypeError for arguments that cannot be meant.
        """
        validation.at_least_one("top", top)
        clock = self._clock(timeout_s)
        post = image_post(image if type(image) is bytes else await _read_in_time(image, clock), top)
        postman = self._postman
        name = self._service if service is None else service
        done = await self._calls.call(
            lambda worker, limit: postman.post(worker, post, labels, limit), self._route(name), name, clock
        )
        return Prediction(done.value, done.worker.address, clock.spent_s, done.attempts)

    async def classify_many(
        self,
        images: AsyncIterable[Image] | Iterable[Image],
        *,
        concurrency: int = 8,
        ordered: bool = True,
        top: int = 5,
        service: str | None = None,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Result]:
        """Classify one image after another, `concurrency` at a time, each within `timeout_s`.

        Results come in the images' order, or as they are finished if not `ordered`. An image is taken from
        `images` when its turn has come, and one that fails gives a result with its error and stops nothing.
        """
        validation.at_least_one("top", top)

        async def one(numbered: tuple[int, Image]) -> Result:
            return await self._result(*numbered, top=top, service=service, timeout_s=timeout_s)

        async with Many(_numbered(images), one, concurrency=concurrency, ordered=ordered) as results:
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
    ) -> Inference:
        """What the service's model answers to tensors, over the Open Inference Protocol's binary form.

        `inputs` are by name: NumPy arrays or anything else with the buffer protocol, sequences of texts or
        bytes, or `Tensor`s; `outputs` names those wanted (none: all), `parameters` are the protocol's. Raises
        a P2PError (BadInput if the worker cannot use them), TypeError for what is no tensor.
        """
        post = open_inference.infer_post(
            {name: open_inference.tensor(a) for name, a in inputs.items()}, outputs, parameters or {}
        )
        clock = self._clock(timeout_s)
        postman = self._postman
        name = self._service if service is None else service
        done = await self._calls.call(
            lambda worker, limit: postman.post(
                worker,
                dataclasses.replace(post, path=open_inference.infer_path(worker.service)),
                open_inference.outputs,
                limit,
            ),
            self._route(name),
            name,
            clock,
        )
        found, model, version = done.value
        return Inference(found, model, version, done.worker.address, clock.spent_s, done.attempts)

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
        ProtocolError.
        """
        if count is not None:
            validation.at_least_one("count", count)
        name = self._service if service is None else service
        workers = await self._calls.ask(
            lambda limit_s: self._source.next(name, count=count, limit_s=limit_s), self._clock(timeout_s), sleep
        )
        assert workers, "an answer names workers"
        return workers[0] if count is None else workers

    async def instances(self, service: str | None = None, *, timeout_s: float | None = None) -> Instances:
        """All workers of a service, healthy or not: those of the subscription, or asked for now without one.

        Raises UnknownService, LookupUnavailable, ProtocolError.
        """
        name = self._service if service is None else service
        clock, route = self._clock(timeout_s), self._route(name)
        await route.subscribed(clock.left_s / 2)
        if route.watch is not None and route.watch.listing is not None:
            return Instances(route.watch.listing.service, route.watch.listing.workers, route.watch.age_s)
        listing: Listing | None = await self._calls.ask(
            lambda limit_s: self._source.listing(name, index=0, limit_s=limit_s), clock, sleep
        )
        assert listing is not None, "nothing ends a mere sleep"
        return Instances(listing.service, listing.workers, listing.stale_s)

    async def services(self, *, timeout_s: float | None = None) -> list[Service]:
        """Every service that can be asked for. Raises LookupUnavailable, ProtocolError."""
        services = await self._calls.ask(
            lambda limit_s: self._source.services(limit_s=limit_s), self._clock(timeout_s), sleep
        )
        return services or []

    async def _result(
        self, index: int, image: Image, *, top: int, service: str | None, timeout_s: float | None
    ) -> Result:
        """One of many: what goes wrong with it alone becomes part of its result."""
        try:
            prediction = await self.classify(image, top=top, service=service, timeout_s=timeout_s)
        except ClientClosed:
            raise
        except (P2PError, OSError, TypeError, ValueError) as error:
            return Result(index, image, error=error.with_traceback(None))
        return Result(index, image, prediction)

    def _route(self, service: str | None) -> Route:
        route = self._routes.get(service)
        if route is None:
            balance = self._new_balance() if self._routing == "watch" else None
            route = self._routes[service] = Route(self._source, service, balance)
        return route

    def _clock(self, timeout_s: float | None) -> Clock:
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._loop is not loop:
            raise RuntimeError("this client belongs to another event loop: make one in each, or use Client")
        return Clock(self._timeout_s if timeout_s is None else validation.positive("timeout_s", timeout_s))


def _source(wire: Wire, where: Addresses, token: str | None, consul_token: str | None) -> Source:
    if where.consul:
        return Consul(
            wire, where.urls, token=consul_token or validation.token(os.environ.get("CONSUL_HTTP_TOKEN") or None)
        )
    return Lookup(wire, where.urls, token=token)


async def _numbered(images: AsyncIterable[Image] | Iterable[Image]) -> AsyncIterator[tuple[int, Image]]:
    index = 0
    if isinstance(images, AsyncIterable):
        async for image in images:
            yield index, image
            index += 1
    else:
        for numbered in enumerate(images):
            yield numbered


async def _read_in_time(image: Image, clock: Clock) -> bytes:
    try:
        async with asyncio.timeout(clock.left_s):
            return await read_image(image)
    except TimeoutError as error:
        raise DeadlineExceeded("the image could not be read in the time given to the call") from error
