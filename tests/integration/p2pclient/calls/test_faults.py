"""What goes wrong in a fleet, done to real servers: no call fails while one healthy worker is in reach."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import time
import tracemalloc
from contextlib import closing, contextmanager

import pytest

from p2pclient import (
    AsyncClient,
    Classification,
    DeadlineExceeded,
    LookupUnavailable,
    NoWorker,
    ProtocolError,
    WorkerFailed,
    timeouts,
)
from p2pclient.calls import service_channel

# What takes less than this has not hung; exact times are in tests/unit/p2pclient/calls.
HANGS_S = 10.0


@contextmanager
def ends_within(seconds):
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


async def test_a_dead_worker_is_passed_over_at_once(fleet):
    """A refused connection costs neither the call nor a wait: the next worker answers."""
    dead, alive = fleet.add(2)
    dead.stop()
    async with AsyncClient(fleet.url, routing="lookup") as client:
        prediction = await client.classify(fleet.jpeg)
    assert (prediction.worker, prediction.attempts) == (alive.address, 2)
    assert fleet.lookup.asked == ["/next", "/next?count=2"]


async def test_two_dead_workers_of_three_are_passed_over(fleet):
    """The third attempt asks for enough workers to find one that this call has not tried."""
    *dead, alive = fleet.add(3)
    for worker in dead:
        worker.stop()
    async with AsyncClient(fleet.url, routing="lookup") as client:
        prediction = await client.classify(fleet.jpeg)
    assert (prediction.worker, prediction.attempts) == (alive.address, 3)
    assert fleet.lookup.asked == ["/next", "/next?count=2", "/next?count=3"]


@pytest.mark.parametrize("status", [421, 429, 500, 502, 503, 504])
async def test_a_worker_that_cannot_is_passed_over(fleet, status):
    """A worker that refuses or fails is left for another, without waiting for its Retry-After."""
    refusing, willing = fleet.add(2)
    refusing.behave = fleet.answers(status, "not now: come back later", Retry_After="20")
    async with AsyncClient(fleet.url, routing="lookup") as client:
        with ends_within(10):
            prediction = await client.classify(fleet.jpeg)
    assert (prediction.worker, prediction.attempts) == (willing.address, 2)
    assert (len(refusing.seen), len(willing.seen)) == (1, 1)


async def test_another_process_on_the_port_is_passed_over(fleet):
    """A worker that restarted since the lookup refuses (421), and the image goes to another."""
    restarted, other = fleet.add(2)
    stale = [dict(fleet.lookup._shown(worker)) for worker in (restarted, other)]
    restarted.boot = "another process"
    assert stale[0]["boot"] != restarted.boot
    fleet.lookup._shown = lambda worker: stale[0] if worker is restarted else stale[1]
    async with AsyncClient(fleet.url, routing="lookup") as client:
        assert (await client.classify(fleet.jpeg)).worker == other.address


async def test_a_older_owner_the_port_is_passed_over(fleet):
    """A program that is no worker, even one that says 400 or 404, does not fail the call."""
    stranger, worker = fleet.add(2)
    for status in (200, 400, 404):
        fleet.lookup.workers = [stranger, worker]
        stranger.behave = fleet.says("<h1>Hello</h1>", status=status, kind="text/html")
        async with AsyncClient(fleet.url, routing="lookup") as client:
            for _ in range(2):
                assert (await client.classify(fleet.jpeg)).worker == worker.address


async def test_a_port_that_speaks_no_http_is_passed_over(fleet):
    """Not even HTTP comes back: another worker answers; alone, it is named."""

    async def greet(_reader, writer):
        writer.write(b"220 mail.example.org ESMTP\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    stranger, worker = fleet.add(2)
    stranger.stop()
    stranger.port = server.sockets[0].getsockname()[1]
    async with server, AsyncClient(fleet.url, routing="lookup") as client:
        assert (await client.classify(fleet.jpeg)).worker == worker.address
        fleet.lookup.workers = [stranger]
        with pytest.raises(ProtocolError, match=f"127.0.0.1:{stranger.port}"):
            await client.classify(fleet.jpeg)
        stranger.port = 0


@pytest.mark.parametrize("how", ["reset", "reset_mid_response"])
async def test_a_connection_cut_under_way_is_made_good(fleet, how):
    """A reset before or in the middle of an answer sends the image to another worker."""
    cutting, other = fleet.add(2)
    cutting.behave = getattr(fleet, how)
    async with AsyncClient(fleet.url, routing="lookup") as client:
        prediction = await client.classify(fleet.jpeg)
    assert (prediction.worker, prediction.attempts) == (other.address, 2)


async def test_a_kept_connection_that_was_closed_costs_no_attempt(fleet):
    """A server that hangs up on an idle connection is sent the image again, on a new one."""
    (worker,) = fleet.add()
    worker.behave = fleet.hang_up_on_kept_connections
    async with AsyncClient(fleet.url, routing="lookup", attempts=1) as client:
        for _ in range(4):
            assert (await client.classify(fleet.jpeg)).attempts == 1
    assert len({seen.connection for seen in worker.seen}) == 4


async def test_a_new_connection_that_is_cut_costs_an_attempt(fleet):
    """Only a kept connection is forgiven: else a worker that dies of an image would be sent it twice."""
    (worker,) = fleet.add()
    worker.behave = fleet.reset
    async with AsyncClient(fleet.url, routing="lookup", attempts=1) as client:
        with pytest.raises(WorkerFailed, match="can be reached"):
            await client.classify(fleet.jpeg)
    assert len(worker.seen) == 1


async def test_a_hung_worker_leaves_time_for_another(fleet):
    """An attempt takes at most half of what is left, so that another worker can still answer."""
    hung, other = fleet.add(2)
    hung.behave = fleet.hang
    async with AsyncClient(fleet.url, routing="lookup", timeout_s=2) as client:
        prediction = await client.classify(fleet.jpeg)
    assert (prediction.worker, prediction.attempts) == (other.address, 2)
    told = [int(worker.seen[0].headers["P2P-Timeout-Ms"]) for worker in (hung, other)]
    assert 1000 < told[0] <= 2000
    assert 0 < told[1] <= 1100  # what is left


async def test_when_all_hang_the_call_ends_by_its_deadline(fleet):
    """Each attempt is told what the call has left, the last one gets all of it, and then it is over."""
    workers = fleet.add(2)
    for worker in workers:
        worker.behave = fleet.hang
    async with AsyncClient(fleet.url, routing="lookup", timeout_s=30) as client:
        with ends_within(1 + HANGS_S), pytest.raises(DeadlineExceeded, match="allow more time") as caught:
            await client.classify(fleet.jpeg, timeout_s=1)
    told = sorted(int(seen.headers["P2P-Timeout-Ms"]) for worker in workers for seen in worker.seen)
    assert caught.value.attempts == len(told) > 1
    assert 500 < told[-1] <= 1000
    assert all(later_ms <= 500 for later_ms in told[:-1])


async def test_one_busy_worker_is_asked_again_when_it_said(fleet):
    """Where there is nobody else, Retry-After is honoured: not a second early."""
    (worker,) = fleet.add()
    busy = fleet.answers(503, "the queue is full: try again", Retry_After="1")
    arrivals = []

    async def busy_once(request, body):
        arrivals.append(time.monotonic())
        return await (busy if len(arrivals) == 1 else fleet.answer)(request, body)

    worker.behave = busy_once
    async with AsyncClient(fleet.url, routing="lookup") as client:
        assert (await client.classify(fleet.jpeg)).attempts == 2
    assert arrivals[1] - arrivals[0] >= 1


async def test_a_retry_after_beyond_the_deadline_ends_the_call(fleet):
    """It is of no use to wait for a time at which nobody listens any more: the reason is told at once."""
    fleet.add()[0].behave = fleet.answers(503, "the queue is full", Retry_After="60")
    async with AsyncClient(fleet.url, routing="lookup") as client:
        with ends_within(5), pytest.raises(WorkerFailed, match="queue is full") as caught:
            await client.classify(fleet.jpeg)
    assert (caught.value.status, caught.value.attempts) == (503, 1)


async def test_attempts_are_counted(fleet):
    """`attempts` workers are asked and no more; the last one's reason is what is told."""
    workers = fleet.add(5)
    for worker in workers:
        worker.behave = fleet.answers(500, "the model broke: see the log")
    async with AsyncClient(fleet.url, routing="lookup", attempts=4) as client:
        with pytest.raises(WorkerFailed, match=r"the model broke: see the log \(4 attempts\)") as caught:
            await client.classify(fleet.jpeg)
    assert [len(worker.seen) for worker in workers].count(1) == 4
    assert caught.value.worker in {worker.address for worker in workers}


async def test_a_worker_that_accepts_no_connection_is_passed_over(fleet):
    """Packets that vanish cost one connect timeout, not the call."""
    silent, other = fleet.add(2)
    silent.stop()
    with closing(socket.socket()) as full, closing(socket.socket()) as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        silent.port = full.getsockname()[1]
        waiting.connect(full.getsockname())  # the queue holds one: further ones are dropped
        async with AsyncClient(fleet.url, routing="lookup", connect_timeout_s=0.3) as client:
            prediction = await client.classify(fleet.jpeg)
    silent.port = 0
    assert (prediction.worker, prediction.attempts) == (other.address, 2)
    assert 0.2 < prediction.took_s < 5


async def test_all_workers_gone_and_back(fleet):
    """While no worker is healthy the call waits; when one is, it is answered."""
    async with AsyncClient(fleet.url, routing="lookup") as client:
        call = asyncio.create_task(client.classify(fleet.jpeg))
        await asyncio.to_thread(fleet.until, lambda: fleet.lookup.asked)
        (worker,) = await asyncio.to_thread(fleet.add)
        prediction = await call
    assert prediction.worker == worker.address
    assert prediction.attempts == 1


async def test_no_worker_until_the_deadline(fleet):
    """If no worker comes, NoWorker is raised with the lookup service's sentence, not after the deadline."""
    async with AsyncClient(fleet.url, routing="lookup", timeout_s=1.5) as client:
        with ends_within(1.5 + HANGS_S), pytest.raises(NoWorker, match="start one") as caught:
            await client.classify(fleet.jpeg)
    assert (caught.value.status, caught.value.lookups) == (503, 2)


@pytest.fixture
def no_patience(monkeypatch):
    """Wait no longer for a lookup service that has never answered than `attempts` tries take."""
    monkeypatch.setattr(timeouts, "PATIENCE_S", 0.0)


async def test_the_lookup_service_gone_and_back(fleet, no_patience):
    """One that has answered before is waited for, where it has named nobody yet: several tries do not fail a call."""
    fleet.add()
    refused = asyncio.Queue()

    async def refuse(_reader, writer):
        writer.close()
        refused.put_nowait("once")

    async with AsyncClient(fleet.url, routing="lookup") as client:
        await client.classify(fleet.jpeg, service="classify")
        await asyncio.to_thread(fleet.lookup.stop)
        async with await asyncio.start_server(refuse, "127.0.0.1", fleet.lookup.port):
            call = asyncio.create_task(client.classify(fleet.jpeg))
            for _ in range(8):  # more than `attempts`
                await refused.get()
        await asyncio.to_thread(fleet.lookup.start)
        assert isinstance(await call, Classification)


@pytest.mark.parametrize("fault", ["refused", "hung", "reset", "500"])
async def test_no_lookup_service_until_the_deadline(fleet, closed_port, fault):
    """However the lookup service is away, it is tried again, to the deadline at most."""
    url = f"http://127.0.0.1:{closed_port}" if fault == "refused" else fleet.url
    if fault == "hung":
        fleet.lookup.replace = fleet.hang
    elif fault == "reset":
        fleet.lookup.replace = fleet.reset
    elif fault == "500":
        fleet.lookup.replace = fleet.answers(500, "broken")
    async with AsyncClient(url, routing="lookup", timeout_s=1) as client:
        with ends_within(1 + HANGS_S), pytest.raises(LookupUnavailable, match=f"{url}: .*p2p up") as caught:
            await client.classify(fleet.jpeg)
    assert caught.value.lookups >= 1  # three, where the machine is not too busy: see the unit tests
    if fault != "refused":  # aiohttp itself sends a GET twice if the connection breaks
        # The deadline may end a lookup before its request has arrived.
        assert 1 <= len(fleet.lookup.asked) <= caught.value.lookups * (2 if fault == "reset" else 1)


async def test_a_wrong_address_is_told_before_the_deadline(closed_port, no_patience):
    """Where no lookup service has ever answered, the user need not wait for the whole deadline."""
    async with AsyncClient(f"127.0.0.1:{closed_port}", timeout_s=60) as client:
        with ends_within(10), pytest.raises(LookupUnavailable, match="connection refused") as caught:
            await client.classify(b"an image")
    assert caught.value.lookups == 3


async def test_calls_that_were_retried_leave_no_memory_behind(fleet, monkeypatch):
    """A failed attempt keeps neither its error nor the image, even where the collector never runs."""
    monkeypatch.setattr(service_channel, "LEFT_OUT_S", 0.0)  # the dead worker is tried again by each call
    dead, _alive = fleet.add_processes(2, takes_s=0)
    dead.stop()
    image = fleet.jpeg + bytes(2**20)
    async with AsyncClient(fleet.url, routing="lookup") as client:
        await client.classify(image)
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            attempts = [(await client.classify(bytes(bytearray(image)))).attempts for _ in range(30)]
            kept, _peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
    assert attempts.count(2) >= 10
    assert kept < 5 * 2**20  # of 30 MiB that were sent


async def signal_one_under_load(fleet, workers, number):
    """Eight callers at a time; one of the workers gets a signal under load, which lasts until calls have met it."""
    async with AsyncClient(fleet.url, routing="lookup", timeout_s=3) as client:
        met = asyncio.Event()

        async def call_often():
            predictions = []
            while len(predictions) < 15 or not met.is_set():
                predictions.append(await client.classify(fleet.jpeg))
            return predictions

        callers = [asyncio.create_task(call_often()) for _ in range(8)]
        await asyncio.to_thread(fleet.until, lambda: len(fleet.lookup.asked) > 40)
        workers[0].signal(number)
        before = len(fleet.lookup.asked)
        await asyncio.to_thread(fleet.until, lambda: len(fleet.lookup.asked) > before + 20)
        if number is signal.SIGSTOP:  # so do health checks; until then each call there costs half its time
            fleet.lookup.workers = workers[1:]
        met.set()
        return [prediction for caller in callers for prediction in await caller]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_no_call_fails_when_a_worker_is_killed_or_stopped(fleet, number, monkeypatch):
    """kill -9 (dead) or SIGSTOP (hung) for one of two workers under load: every call is answered."""
    monkeypatch.setattr(timeouts, "LATE_AT_LEAST_S", 0.2)
    workers = fleet.add_processes(2, takes_s=0.01)
    with asyncio.Runner() as runner:
        predictions = runner.run(signal_one_under_load(fleet, workers, number))
    assert len(predictions) >= 120
    assert {prediction.worker for prediction in predictions} == {worker.address for worker in workers}
    assert any(prediction.attempts > 1 for prediction in predictions)


@pytest.mark.parametrize("routing", ["watch", "lookup"])
def test_a_first_call_that_a_stopped_worker_has_is_answered_by_another(fleet, routing):
    """SIGSTOP, and it is not known how long answers take: another is asked after a second, not after half of 30."""
    stopped, other = fleet.add_processes(2, takes_s=0.01)
    stopped.signal(signal.SIGSTOP)

    async def first_calls():
        async with AsyncClient(fleet.url, service="classify", routing=routing) as client:
            return await asyncio.gather(*(client.classify(fleet.jpeg) for _ in range(6)))

    with asyncio.Runner() as runner:
        answers = runner.run(first_calls())
    assert {answer.worker for answer in answers} == {other.address}
    assert {answer.attempts for answer in answers} == {1, 2}
    assert max(answer.took_s for answer in answers) < 1 + HANGS_S


NOT_USABLE = [
    ("host", "foo..bar"), ("host", "x" * 64), ("host", "[::1]"), ("host", "http://10.0.0.5"), ("host", "a b"),
    ("host", "a\r\nX: y"), ("host", "a\0b"), ("host", "a." * 150), ("host", ""), ("host", "fe80::1%lo"),
    ("port", 70000), ("port", -1), ("port", 0), ("boot", "a\nb"), ("boot", "a\r\nX-Evil: 1"), ("boot", "\u00e9"),
    ("version", "\x1b[31m"),
]  # fmt: skip


@pytest.mark.parametrize("routing", ["watch", "lookup"])
@pytest.mark.parametrize(("field", "value"), NOT_USABLE)
async def test_a_worker_to_which_nothing_can_be_sent_is_passed_over(fleet, routing, field, value):
    """A host that is no name, or a boot id that fits into no header, costs no call: another worker is asked."""
    odd, other = fleet.add(2)
    shown = fleet.lookup._shown
    fleet.lookup._shown = lambda worker: shown(worker) | ({field: value} if worker is odd else {})
    async with AsyncClient(fleet.url, service="classify", routing=routing) as client:
        answers = [await client.classify(fleet.jpeg) for _ in range(6)]
    assert {(answer.worker, answer.attempts) for answer in answers} == {(other.address, 1)}
    assert odd.seen == []
