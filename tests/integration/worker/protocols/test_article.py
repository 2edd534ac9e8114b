"""The article's path and the others on its port: versions, and bodies that are announced before they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from PIL import Image

from tests.support.consul_process import ConsulProcess
from tests.support.photos import encode
from tests.support.workers.echo_worker import EchoWorker, echo_worker

pytestmark = pytest.mark.asyncio(loop_scope="module")

PNG = encode(Image.new("RGB", (30, 10)), "PNG")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(shared_consul: ConsulProcess) -> AsyncIterator[EchoWorker]:
    async with echo_worker(shared_consul.url, max_body_bytes=100_000) as running:
        yield running


async def test_a_version_is_asked_for_by_its_number(worker: EchoWorker) -> None:
    """`?version=` that is served is answered as without it; another is a 404 that names those there are."""
    assert (await worker.post("/?version=1", PNG)).json == [["width", 0.75], ["height", 0.25]]
    said = await worker.post("/?version=7", PNG)
    assert (said.status, "'7'" in said.error, "1" in said.error) == (404, True, True)


@pytest.mark.parametrize("path", ["/", "/v1/models/echo:predict", "/v2/models/echo/infer"])
async def test_a_large_body_is_refused_before_it_is_sent_on_every_path(worker: EchoWorker, path: str) -> None:
    """A client that asks first (Expect: 100-continue) gets its 413 at once, or is told to go on."""
    for length, line in ((100_001, b"413"), (100, b"100 Continue")):
        reader, writer = await asyncio.open_connection("127.0.0.1", worker.running.instance.port)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        writer.write(head.encode())
        assert line in await asyncio.wait_for(reader.readline(), 5)
        writer.close()


async def test_a_form_with_broken_part_headers_is_a_bad_request(worker: EchoWorker) -> None:
    """Control characters in the headers of a form's part are the client's fault, not the worker's."""
    form = b'--b\r\nContent-Disposition: form-data; name="\x12"\r\n\r\nx\r\n--b--\r\n'
    said = await worker.post("/", form, Content_Type="multipart/form-data; boundary=b")
    assert (said.status, len(said.error) > 10) == (400, True)


async def test_a_head_request_is_answered_without_a_body(worker: EchoWorker) -> None:
    """HEAD, which some balancers check with, is answered wherever GET is."""
    said = await worker.ask("HEAD", "/healthz")
    assert (said.status, said.body) == (200, b"")


async def test_neighbours_of_a_broken_request_keep_their_connections(worker: EchoWorker) -> None:
    """While every kind of broken body is sent, good requests on other connections are answered."""

    async def good() -> None:
        for _ in range(20):
            assert (await worker.post("/", PNG)).status == 200

    async def broken() -> None:
        for path in ("/", "/v1/models/echo:predict", "/v2/models/echo/infer"):
            for body in (b"[" * 10_000, b'{"instances": [1' + b"0" * 9000 + b"]}", b"\0" * 50_000):
                assert (await worker.post(path, body)).status // 100 == 4

    await asyncio.gather(good(), broken(), good(), broken())
