"""The stand-in for the network: an application's tests see what a client does, without a server."""

from __future__ import annotations

import asyncio
import logging

import numpy as np
import pytest

from p2pclient import (
    AsyncClient,
    AuthenticationError,
    BadImage,
    Client,
    DeadlineExceeded,
    NoWorker,
    UnknownService,
    WorkerFailed,
    testing,
)
from p2pclient.testing import FakeTransport, failure, labels, outputs

TABBY = labels([("tabby", 0.9), ("lynx", 0.1)])


def test_every_name_is_there():
    """Each name of `__all__` can be had."""
    assert all(getattr(testing, name) is not None for name in testing.__all__)


def test_a_blocking_client_classifies_without_a_server():
    """The answer comes back as labels, and the request that a worker would have seen is kept."""
    transport = FakeTransport(TABBY)
    with Client(transport=transport) as client:
        classification = client.classify(b"an image", top=2)
        assert [worker.address for worker in client.workers()] == ["worker-1:80", "worker-2:80"]
        assert [service.name for service in client.services()] == ["classify"]
        assert client.lookup().service == "classify"
    assert classification.best == ("tabby", 0.9)
    (request,) = transport.requests
    assert (request.body, request.path, request.worker) == (b"an image", "/?top=2", classification.worker)


async def test_tensors_are_predicted_without_a_server():
    """The outputs that a test gives come back as arrays, with the model's name."""
    transport = FakeTransport(outputs({"y": np.ones((1, 3), np.float32)}, model="classify", version="7"))
    async with AsyncClient(transport=transport) as client:
        prediction = await client.predict({"x": np.zeros(4, np.float32)})
    np.testing.assert_array_equal(prediction.outputs["y"], np.ones((1, 3), np.float32))
    assert (prediction.model, prediction.version) == ("classify", "7")
    assert transport.requests[0].path == "/v2/models/classify/infer"


@pytest.mark.parametrize("routing", ["watch", "lookup"])
@pytest.mark.parametrize("fault", [ConnectionRefusedError(), ConnectionResetError("reset"), failure(503, "busy")])
async def test_faults_are_retried_as_those_of_a_network(fault, routing):
    """A function that fails once for one worker is asked again, as another worker."""

    def once(request):
        if len(transport.requests) > 1:
            return TABBY
        if isinstance(fault, Exception):
            raise fault
        return fault

    transport = FakeTransport(once)
    async with AsyncClient(transport=transport, routing=routing) as client:
        classification = await client.classify(b"an image")
    assert classification.attempts == 2
    assert len({request.worker for request in transport.requests}) == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (failure(400, "no image"), BadImage),
        (failure(500, "the model broke"), WorkerFailed),
        (failure(401, "who are you?"), AuthenticationError),
        (failure(403, "not you"), AuthenticationError),
        (failure(408, "too slow"), WorkerFailed),
    ],
)
async def test_answers_become_the_errors_that_they_mean(answer, error):
    """A status raises what it raises of a real worker, with its sentence; a wrong token is not tried again."""
    transport = FakeTransport(answer)
    async with AsyncClient(transport=transport) as client:
        with pytest.raises(error) as caught:
            await client.classify(b"an image")
    assert caught.value.status == answer.status
    assert caught.value.attempts == len(transport.requests) == (3 if error is WorkerFailed else 1)


async def test_silence_is_a_timeout():
    """An answer that does not come is DeadlineExceeded, which is a TimeoutError."""

    async def never(_request):
        await asyncio.Event().wait()

    async with AsyncClient(transport=FakeTransport(never), timeout_s=0.1) as client:
        with pytest.raises(TimeoutError) as caught:
            await client.classify(b"an image")
    assert isinstance(caught.value, DeadlineExceeded)


async def test_services_and_workers_may_be_missing():
    """A name that is not among the services is unknown; a service without workers has none in time."""
    async with AsyncClient(transport=FakeTransport(TABBY, workers=[]), timeout_s=0.2) as client:
        with pytest.raises(UnknownService, match="there are: classify"):
            await client.classify(b"an image", service="other")
        with pytest.raises(NoWorker, match="start one"):
            await client.classify(b"an image")


async def test_other_options_share_the_client():
    """with_options changes what calls go by; connections, subscriptions and the end are shared."""
    transport = FakeTransport(TABBY, services=["classify", "other"])
    async with AsyncClient(transport=transport) as client:
        other = client.with_options(top=1, attempts=1, service="other", timeout_s=3, hedge=True)
        await client.classify(b"1")
        await other.classify(b"2")
        assert repr(other) == repr(client).replace("service=None", "service='other'")
        with pytest.raises(ValueError, match="attempts"):
            client.with_options(attempts=0)
    assert [request.path for request in transport.requests] == ["/?top=5", "/?top=1"]
    assert [int(request.headers["P2P-Timeout-Ms"]) > 3000 for request in transport.requests] == [True, False]
    assert other._core is client._core


def test_other_options_of_a_blocking_client():
    """The same without a loop: both use one thread, and closing either closes both."""
    transport = FakeTransport(failure(500, "broken"))
    with Client(transport=transport) as client:
        once = client.with_options(attempts=1, top=2)
        with pytest.raises(WorkerFailed) as caught:
            once.classify(b"an image")
        assert caught.value.attempts == len(transport.requests) == 1
        assert [result.error.attempts for result in once.classify_many([b"1"])] == [1]
        with pytest.raises(ValueError, match="top"):
            client.with_options(top=0)
        assert repr(once) == repr(client)
    assert {request.path for request in transport.requests} == {"/?top=2"}


async def test_the_log_says_who_was_asked_and_why_again(caplog):
    """At DEBUG the log names the worker of each attempt, at INFO why there is another one."""
    caplog.set_level(logging.DEBUG, logger="p2pclient")
    transport = FakeTransport(lambda _: TABBY if len(transport.requests) > 1 else failure(503, "queue is full"))
    async with AsyncClient(transport=transport) as client:
        await client.classify(b"an image")
    first, second = (request.worker for request in transport.requests)
    said = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "p2pclient"]
    assert [level for level, _ in said] == ["DEBUG", "INFO", "DEBUG"]
    assert f"{first} is asked" in said[0][1]
    assert "503: queue is full; another attempt in" in said[1][1]
    assert f"{second} is asked" in said[2][1]
