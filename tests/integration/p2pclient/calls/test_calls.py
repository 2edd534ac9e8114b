"""Calls that go well, and those that must not be tried again."""

from __future__ import annotations

import asyncio
import io

import pytest
from aiohttp import web

from p2pclient import (
    AsyncClient,
    BadImage,
    ClientClosed,
    ImageTooLarge,
    Label,
    ProtocolError,
    UnknownService,
)


async def test_bytes_become_labels(fleet):
    """Bytes go to a worker with the headers of the contract, its labels come back in order."""
    (worker,) = fleet.add()
    async with AsyncClient(fleet.url, routing="lookup", timeout_s=20) as client:
        prediction = await client.classify(fleet.jpeg, top=2)
    assert prediction.labels == (Label("tabby", 0.61), Label("tiger cat", 0.3))
    assert prediction.best.label == "tabby"
    assert (prediction.worker, prediction.attempts) == (worker.address, 1)
    assert 0 < prediction.took_s < 20
    (seen,) = worker.seen
    assert seen.body == fleet.jpeg
    assert seen.query == {"top": "2"}
    assert seen.headers["Content-Type"] == "image/jpeg"
    assert seen.headers["P2P-Boot"] == worker.boot
    assert 15_000 < int(seen.headers["P2P-Timeout-Ms"]) <= 20_000


@pytest.mark.parametrize("kind", ["path", "text path", "bytes", "bytearray", "memoryview", "open file", "BytesIO"])
async def test_every_kind_of_image_arrives_whole(fleet, tmp_path, kind):
    """A path, bytes of any kind and a binary file all send the same body."""
    (worker,) = fleet.add()
    path = tmp_path / "cat.jpg"
    path.write_bytes(fleet.jpeg * 60_000)  # 3.6 MB: more than one write
    data = path.read_bytes()
    with path.open("rb") as file:
        image = {
            "path": path,
            "text path": str(path),
            "bytes": data,
            "bytearray": bytearray(data),
            "memoryview": memoryview(data),
            "open file": file,
            "BytesIO": io.BytesIO(data),
        }[kind]
        async with AsyncClient(fleet.url) as client:
            await client.classify(image)
    assert worker.seen[0].body == data


async def test_an_unreadable_path_is_an_oserror(fleet, tmp_path):
    """A path that does not exist raises what `open` raises, and asks nobody."""
    fleet.add()
    async with AsyncClient(fleet.url) as client:
        with pytest.raises(FileNotFoundError):
            await client.classify(tmp_path / "none.jpg")
    assert fleet.lookup.asked == []


async def test_calls_follow_the_rotation(fleet):
    """Each call takes the worker that the lookup service names, so that two workers alternate."""
    workers = fleet.add(2)
    async with AsyncClient(fleet.url, routing="lookup") as client:
        answered = [(await client.classify(fleet.jpeg)).worker for _ in range(6)]
    assert answered == [workers[i % 2].address for i in range(6)]


async def test_connections_are_kept(fleet):
    """Calls one after the other use one connection; calls at the same time open no more than needed."""
    (worker,) = fleet.add()
    async with AsyncClient(fleet.url) as client:
        for _ in range(5):
            await client.classify(fleet.jpeg)
        assert len({seen.connection for seen in worker.seen}) == 1
        for _ in range(3):
            await asyncio.gather(*(client.classify(fleet.jpeg) for _ in range(10)))
    assert len({seen.connection for seen in worker.seen}) <= 10


@pytest.mark.parametrize(("status", "kind"), [(400, BadImage), (413, ImageTooLarge), (415, BadImage)])
async def test_a_bad_image_is_not_sent_again(fleet, status, kind):
    """The image's fault is told at once with the worker's sentence; no second worker is troubled."""
    workers = fleet.add(2)
    for worker in workers:
        worker.behave = fleet.answers(status, "this is no image: send a JPEG")
    async with AsyncClient(fleet.url, routing="lookup") as client:
        with pytest.raises(kind, match="send a JPEG") as caught:
            await client.classify(b"no image")
    assert sum(len(worker.seen) for worker in workers) == 1
    assert (caught.value.status, caught.value.worker, caught.value.attempts) == (status, workers[0].address, 1)


async def test_a_refusal_before_the_body_was_read_is_heard(fleet):
    """A worker that refuses a huge body without reading it is understood, not taken for a broken one."""
    (worker,) = fleet.add()
    worker.behave = fleet.too_large
    async with AsyncClient(fleet.url) as client:
        with pytest.raises(ImageTooLarge, match="32 MB"):
            await client.classify(bytes(40 * 2**20))
    assert len(worker.seen) == 1


async def test_an_unknown_service_is_told_at_once(fleet):
    """The lookup service's sentence names the services there are; it is not asked again."""
    fleet.add()
    async with AsyncClient(fleet.url, service="clasify") as client:
        with pytest.raises(UnknownService, match="classify, echo"):
            await client.classify(fleet.jpeg)
    assert fleet.lookup.asked == ["/next/clasify"]


async def test_a_service_name_cannot_leave_its_place(fleet):
    """A name with slashes and question marks stays one path segment."""
    async with AsyncClient(fleet.url) as client:
        with pytest.raises(UnknownService):
            await client.lookup("../to/x?count=1")
    assert fleet.lookup.asked == ["/next/..%2Fto%2Fx%3Fcount%3D1"]


async def test_lookup_gives_one_or_several(fleet):
    """Without a count one worker comes, with one a list of different workers."""
    workers = fleet.add(3)
    async with AsyncClient(fleet.url, service="classify") as client:
        one = await client.lookup()
        several = await client.lookup(count=5)
    assert (one.address, one.boot, one.version, one.service) == (workers[0].address, "boot-w0", "1", "classify")
    assert [worker.id for worker in several] == ["w1", "w2", "w0"]
    assert fleet.lookup.asked == ["/next/classify", "/next/classify?count=5"]


@pytest.mark.parametrize(
    "text",
    ["<html>", "[]", '{"service": "classify"}', '{"service":"c","id":"i","host":"a b","port":1}', "[" * 100_000],
)
async def test_what_is_no_lookup_service_is_named_so(fleet, text):
    """An answer of another program's raises ProtocolError with the address and what came."""
    fleet.lookup.replace = fleet.says(text)
    async with AsyncClient(fleet.url) as client:
        with pytest.raises(ProtocolError, match=f"{fleet.url} does not answer as a lookup service"):
            await client.classify(fleet.jpeg)


@pytest.mark.parametrize(
    "text", ["<html>", "[]", "{}", '[["tabby"]]', '[["tabby", "0.6"]]', '[["tabby", NaN]]', "[[1.5, 2]]", "3"]
)
async def test_what_is_no_worker_is_named_so(fleet, text):
    """Labels that are none raise ProtocolError once every attempt has had such an answer."""
    (worker,) = fleet.add()
    worker.behave = fleet.says(text)
    async with AsyncClient(fleet.url) as client:
        with pytest.raises(ProtocolError, match=worker.address) as caught:
            await client.classify(fleet.jpeg)
    assert caught.value.attempts == len(worker.seen) == 3


async def test_class_numbers_become_text(fleet):
    """A model without names for its classes answers with numbers."""
    fleet.add()[0].behave = fleet.says("[[281, 0.9], [7, 0]]")
    async with AsyncClient(fleet.url) as client:
        assert (await client.classify(fleet.jpeg)).labels == (("281", 0.9), ("7", 0.0))


async def test_an_endless_answer_is_cut_off(fleet):
    """More than 16 MiB of answer is refused instead of filling the memory."""
    (worker,) = fleet.add()

    async def endless(request, _body):
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 2**20)

    worker.behave = endless
    async with AsyncClient(fleet.url, attempts=1) as client:
        with pytest.raises(ProtocolError, match="larger than 16 MiB"):
            await client.classify(fleet.jpeg)


async def test_a_redirect_is_not_followed(fleet):
    """A lookup service that sends the client elsewhere is not obeyed."""
    fleet.lookup.replace = fleet.answers(307, "go there", Location="http://127.0.0.1:1/")
    async with AsyncClient(fleet.url) as client:
        with pytest.raises(ProtocolError, match="307"):
            await client.classify(fleet.jpeg)


async def test_what_a_server_says_cannot_steer_the_terminal(fleet):
    """Escape sequences and line breaks in an error's sentence do not reach the user."""
    fleet.add()[0].behave = fleet.answers(400, "\x1b[2Jbad\x07 image\nsecond line")
    async with AsyncClient(fleet.url) as client:
        with pytest.raises(BadImage) as caught:
            await client.classify(fleet.jpeg)
    assert str(caught.value) == "?[2Jbad? image"


async def test_closing_leaves_nothing_behind(fleet):
    """After the client is closed no task is left, and using it says so; closing again is harmless."""
    fleet.add()
    before = asyncio.all_tasks()
    async with AsyncClient(fleet.url) as client:
        await asyncio.gather(*(client.classify(fleet.jpeg) for _ in range(5)))
    assert asyncio.all_tasks() == before
    await client.close()
    with pytest.raises(ClientClosed):
        await client.classify(fleet.jpeg)


async def test_closing_ends_calls_under_way(fleet):
    """A call that waits for a worker ends with ClientClosed when the client is closed."""
    (worker,) = fleet.add()
    worker.behave = fleet.hang
    client = AsyncClient(fleet.url)
    call = asyncio.create_task(client.classify(fleet.jpeg))
    await asyncio.to_thread(fleet.until, lambda: worker.seen)
    await client.close()
    with pytest.raises(ClientClosed):
        await call


async def test_a_cancelled_call_lets_go_of_its_connection(fleet):
    """Cancelling a call closes the connection on which its worker still works, and no other."""
    (worker,) = fleet.add()
    worker.behave = fleet.hang
    async with AsyncClient(fleet.url) as client:
        call = asyncio.create_task(client.classify(fleet.jpeg))
        await asyncio.to_thread(fleet.until, lambda: worker.seen)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        worker.behave = fleet.answer
        await client.classify(fleet.jpeg)
    assert worker.seen[0].connection != worker.seen[1].connection


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 0},
        {"timeout_s": 0},
        {"timeout_s": float("inf")},
        {"connect_timeout_s": -1},
        {"registry": "a b"},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(options):
    """A wrong setting is a ValueError where the client is made, not a puzzle at the first call."""
    with pytest.raises(ValueError, match=r"must be|give http://HOST:PORT"):
        AsyncClient(**options)


async def test_arguments_that_cannot_be_meant_are_refused(fleet, tmp_path):
    """Zero labels, zero workers, a text file and a number as an image are errors of the caller."""
    async with AsyncClient(fleet.url) as client:
        with pytest.raises(ValueError, match="top"):
            await client.classify(fleet.jpeg, top=0)
        with pytest.raises(ValueError, match="count"):
            await client.lookup(count=0)
        with pytest.raises(ValueError, match="timeout_s"):
            await client.classify(fleet.jpeg, timeout_s=-1)
        with pytest.raises(TypeError, match="not int"):
            await client.classify(3)
        with pytest.raises(TypeError, match='mode "rb"'):
            await client.classify(io.StringIO("text"))
    assert fleet.lookup.asked == []
