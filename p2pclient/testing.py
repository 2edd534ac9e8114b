"""A client without servers, for the tests of applications: `FakeTransport` answers in their place.

    from p2pclient import Client
    from p2pclient.testing import FakeTransport, labels

    transport = FakeTransport(labels([("tabby", 0.9)]))
    with Client(transport=transport) as client:
        assert client.classify(b"an image").best.label == "tabby"
    assert transport.requests[0].body == b"an image"

Everything above the network is the client's own: workers are looked up and picked, failures are retried within
the budget and the deadline, answers are checked.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from yarl import URL

from p2pclient.errors import ClientClosed
from p2pclient.messages import Answer
from p2pclient.payloads import open_inference
from p2pclient.transport.base import ExchangeFailed
from p2pclient.types import Worker

__all__ = ["Answer", "FakeTransport", "SentRequest", "failure", "labels", "outputs"]


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One request as a worker would have seen it: `worker` is its `host:port`, `path` begins with a slash."""

    worker: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Handler: TypeAlias = Callable[[SentRequest], Answer | Awaitable[Answer]]


def labels(pairs: Iterable[tuple[str, float]]) -> Answer:
    """A worker's answer to an image: labels and their scores, best first."""
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(list(pairs)).encode())


def outputs(arrays: Mapping[str, Any], *, model: str = "model", version: str = "1") -> Answer:
    """A worker's answer to tensors: outputs by name, of anything that `predict` takes as inputs."""
    tensors = {name: open_inference.tensor(array) for name, array in arrays.items()}
    return Answer(200, *open_inference.encode("outputs", tensors, {"model_name": model, "model_version": version}))


def failure(status: int, sentence: str, *, retry_after_s: int | None = None) -> Answer:
    """A worker's answer that it cannot, or will not: 400 for a bad image, 503 for one that is busy."""
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return Answer(status, headers, json.dumps({"error": sentence}).encode())


class FakeTransport:
    """Answers in place of a lookup service and its workers, to be given to a client as its `transport`.

    `answer` is what each worker answers, or a function, which may be asynchronous, that makes it from the request.
    It may raise as a network does: ConnectionRefusedError (no process is there: the next worker is asked),
    another ConnectionError (the connection broke), or TimeoutError (no answer came, without waiting for it).

    `workers` are the `host:port` of the workers of each of `services`, of which the first is the default one. Tests
    may change both lists. `requests` holds what was sent to workers, in order.
    """

    def __init__(
        self,
        answer: Answer | Handler,
        *,
        workers: Sequence[str] = ("worker-1:80", "worker-2:80"),
        services: Sequence[str] = ("classify",),
    ) -> None:
        self.answer = answer
        self.workers = list(workers)
        self.services = list(services)
        self.requests: list[SentRequest] = []
        self._turn = 0
        self._closed = False

    async def exchange(
        self, method: str, url: URL, *, headers: Mapping[str, str], timeout_s: float, body: bytes | None = None
    ) -> Answer:
        """What the lookup service, or the worker at this address, answers; see `Transport`."""
        if self._closed:
            raise ClientClosed("this client is closed: make a new one, or close it later")
        if method == "GET":
            return await self._looked_up(url, timeout_s)
        request = SentRequest(f"{url.host}:{url.port}", url.path_qs, dict(headers), body or b"")
        self.requests.append(request)
        try:
            async with asyncio.timeout(timeout_s):
                made = self.answer(request) if callable(self.answer) else self.answer
                return await made if inspect.isawaitable(made) else made
        except TimeoutError as error:
            raise ExchangeFailed(f"no answer within {timeout_s:.3g} s", silent_s=timeout_s) from error
        except ConnectionError as error:
            refused = isinstance(error, ConnectionRefusedError)
            raise ExchangeFailed(str(error) or type(error).__name__, gone=True, unmet=refused) from error

    async def close(self) -> None:
        """Answer nothing more."""
        self._closed = True

    async def _looked_up(self, url: URL, timeout_s: float) -> Answer:
        """An answer of the lookup service."""
        question, _, service = url.path.strip("/").partition("/")
        service = service or next(iter(self.services), "")
        if question == "services":
            counts = {"instances": len(self.workers), "serving": len(self.workers), "versions": []}
            return _json([{"name": name, **counts} for name in self.services])
        if service not in self.services:
            return Answer(404, {}, f"no service {service}; there are: {', '.join(self.services)}\n".encode())
        workers = [self._shown(service, worker) for worker in self.workers]
        if question == "instances":
            if "index" in url.query:  # a long poll, in which nothing changes
                await asyncio.sleep(timeout_s)
            return _json({"service": service, "index": 1, "instances": workers})
        if not workers:
            return Answer(503, {"Retry-After": "1"}, b"no healthy worker: start one\n")
        self._turn += 1
        order = [workers[(self._turn - 1 + place) % len(workers)] for place in range(len(workers))]
        return _json(order[: int(url.query["count"])] if "count" in url.query else order[0])

    @staticmethod
    def _shown(service: str, address: str) -> dict[str, Any]:
        parsed = URL(f"http://{address}")
        worker = Worker(service, address, parsed.host or "", parsed.port or 80)
        return {"service": service, "id": worker.id, "host": worker.host, "port": worker.port, "health": worker.health}


def _json(value: object) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())
