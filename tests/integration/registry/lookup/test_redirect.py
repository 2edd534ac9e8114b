"""One step instead of two: the lookup service sends requests on, and no image byte passes through it.

Workers are small real servers; between the clients and the lookup service stands a relay that keeps all bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from registry.discovery.directory import Directory
from registry.instances.instance import Health, Instance
from registry.lookup.connection import LookupConnection
from registry.lookup.fast_path import FastPath
from registry.lookup.routes import build_app
from registry.runtime.connections.open_connections import Connections
from registry.web import discard_body
from tests.support.fakes import FakeCatalog
from tests.support.waiting import until

IMAGE_3MB = b"\xff\xd8" + bytes(range(256)) * 12_000
IMAGE_50KB = b"\xff\xd8" + bytes(range(256)) * 200


class Relay:
    """A TCP relay to `port` that keeps what clients send through it."""

    def __init__(self, port: int) -> None:
        self.sent_up = b""
        self.port = 0
        self._target = port

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(self._pump(reader, up_writer, self._keep), self._pump(up_reader, writer, len))

    def _keep(self, data: bytes) -> None:
        self.sent_up += data

    @staticmethod
    async def _pump(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Callable[[bytes], object]
    ) -> None:
        try:
            while data := await reader.read(1 << 16):
                seen(data)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


class Fleet:
    """A lookup service behind a relay, with two workers that say what they got."""

    def __init__(self, catalog: FakeCatalog, port: int, relay: Relay) -> None:
        self.catalog = catalog
        self.port = port
        self.relay = relay
        self.url = f"http://127.0.0.1:{relay.port}"


async def echo(request: web.Request) -> web.Response:
    """Who answers, what was asked, and the digest of the image."""
    if request.content_type == "multipart/form-data":
        field = (await request.post())["data"]
        assert isinstance(field, web.FileField)
        body = field.file.read()
    else:
        body = await request.read()
    digest = hashlib.sha256(body).hexdigest()
    port = request.transport.get_extra_info("sockname")[1]
    return web.Response(text=f"{request.method} {request.raw_path} {digest} {port}")


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[int]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def lookup_service(directory: Directory) -> AsyncIterator[int]:
    fast = FastPath(directory)
    runner = web.AppRunner(build_app(directory, fast), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    factory = partial(
        LookupConnection, runner.server, fast, Connections(at_most=1000), access_log=None, keepalive_timeout=75.0
    )
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await runner.cleanup()


def worker_app() -> web.Application:
    app = web.Application(client_max_size=8 << 20)
    app.router.add_route("*", r"/{path:[\s\S]*}", echo)
    return app


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with serving(worker_app()) as one, serving(worker_app()) as two:
        workers = tuple(Instance("classify", f"w{p}", "127.0.0.1", p) for p in (one, two))
        catalog = FakeCatalog(classify=workers, empty=())
        async with (
            Directory(catalog, default="classify") as directory,  # type: ignore[arg-type]  # a fake
            lookup_service(directory) as port,
        ):
            relay = Relay(port)
            server = await asyncio.start_server(relay.handle, "127.0.0.1", 0)
            relay.port = server.sockets[0].getsockname()[1]
            yield Fleet(catalog, port, relay)
            server.close()


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


async def curl(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "curl", "--silent", "--show-error", "--max-time", "30", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def raw(port: int, request: bytes) -> bytes:
    """All that the server answers to these bytes until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(), 15)
    finally:
        writer.close()


def location_of(answer: bytes) -> str:
    head = answer.partition(b"\r\n\r\n")[0].decode()
    return next(line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("Location"))


async def test_curl_with_a_large_image_sends_no_byte_of_it_to_the_lookup_service(fleet: Fleet, tmp_path: Path) -> None:
    """`curl -L -F data=@3MB.jpg` reaches a worker with its image; the lookup service gets the head only."""
    image = tmp_path / "cat.jpg"
    image.write_bytes(IMAGE_3MB)
    said = await curl("-L", "-F", f"data=@{image}", fleet.url)
    assert said.startswith(f"POST / {digest(IMAGE_3MB)}")
    assert_head_only(fleet.relay.sent_up)


async def test_curl_that_is_told_to_expect_sends_no_byte_of_a_small_image_either(fleet: Fleet, tmp_path: Path) -> None:
    """`curl -L -H 'Expect: 100-continue' -F data=@50kB.jpg` does the same below curl's own limit of 1 MiB."""
    image = tmp_path / "cat.jpg"
    image.write_bytes(IMAGE_50KB)
    said = await curl("-L", "-H", "Expect: 100-continue", "-F", f"data=@{image}", f"{fleet.url}/to/classify/p?top=1")
    assert said.startswith(f"POST /p?top=1 {digest(IMAGE_50KB)}")
    assert_head_only(fleet.relay.sent_up)


def assert_head_only(sent: bytes) -> None:
    """One request head came through, and not one byte behind it."""
    assert sent.startswith(b"POST ")
    assert b"Expect: 100-continue" in sent
    assert sent.index(b"\r\n\r\n") + 4 == len(sent)


@pytest.mark.parametrize("image", [IMAGE_50KB, IMAGE_3MB], ids=["50kB", "3MB"])
async def test_curl_without_expect_gets_its_answer(fleet: Fleet, tmp_path: Path, image: bytes) -> None:
    """A client that sends its body unasked is let, and reaches a worker all the same."""
    file = tmp_path / "cat.jpg"
    file.write_bytes(image)
    said = await curl("-L", "-H", "Expect:", "-F", f"data=@{file}", fleet.url)
    assert said.startswith(f"POST / {digest(image)}")


async def test_aiohttp_with_expect100_sends_no_byte_to_the_lookup_service(fleet: Fleet) -> None:
    """aiohttp's client with expect100=True follows the 307 before it sends its body."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{fleet.url}/", data=io.BytesIO(IMAGE_3MB), expect100=True) as answer,
    ):
        assert (await answer.text()).startswith(f"POST / {digest(IMAGE_3MB)}")
    assert_head_only(fleet.relay.sent_up)


async def test_a_client_that_sends_all_before_it_reads_gets_its_answer(fleet: Fleet) -> None:
    """3 MB pushed without Expect and without reading are dropped, the 307 is read after, the connection lives."""
    head = f"POST /to/classify/x HTTP/1.1\r\nHost: h\r\nContent-Length: {len(IMAGE_3MB)}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", fleet.port)
    writer.write(head + IMAGE_3MB)
    await asyncio.wait_for(writer.drain(), 15)
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 15)
    assert answer.startswith(b"HTTP/1.1 307 ")
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 15)).endswith(b"alive\n")
    writer.close()


async def test_the_answer_to_expect_is_the_307_at_once_and_the_connection_ends(fleet: Fleet) -> None:
    """No `100 Continue` comes before the 307, and it says that the connection closes: no body can be mistaken."""
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", fleet.port)
    writer.write(head)
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert answer.startswith(b"HTTP/1.1 307 ")
    assert b"\r\nConnection: close\r\n" in answer
    writer.close()


@pytest.mark.parametrize(("path", "status"), [("/", 503), ("/to/empty/x", 503), ("/to/nosuch/x", 404)])
async def test_a_refusal_too_comes_before_the_body_is_asked_for(fleet: Fleet, path: str, status: int) -> None:
    """Without a worker, 503 and 404 are given in place of `100 Continue`, as one sentence."""
    fleet.catalog.put("classify", Instance("classify", "w", "127.0.0.1", 1, health=Health.MAINTENANCE))

    async def answer() -> tuple[int, bool, str]:
        body = io.BytesIO(IMAGE_3MB)
        async with http.post(fleet.url + path, data=body, expect100=True, allow_redirects=False) as got:
            return got.status, "Retry-After" in got.headers, await got.text()

    async def refused() -> bool:
        return (await answer())[0] == status

    async with aiohttp.ClientSession() as http:
        await until(refused)
        fleet.relay.sent_up = b""
        got = await answer()
    assert got[:2] == (status, status == 503)
    assert got[2].count("\n") == 1
    assert_head_only(fleet.relay.sent_up)


async def test_workers_take_turns(fleet: Fleet) -> None:
    """Requests that are sent on rotate as lookups do."""
    ports = []
    async with aiohttp.ClientSession() as http:
        for _ in range(6):
            async with http.get(f"{fleet.url}/to/classify/") as answer:
                ports.append((await answer.text()).split()[-1])
    assert all(a != b for a, b in pairwise(ports))
    assert len(set(ports)) == 2


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"])
async def test_any_method_is_sent_on(fleet: Fleet, method: str) -> None:
    """`/to/...` answers every method with the same 307."""
    request = f"{method} /to/classify/a%2Fb?x=%20 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    answer = await raw(fleet.port, request.encode())
    assert answer.startswith(b"HTTP/1.1 307 ")
    assert location_of(answer).endswith("/a%2Fb?x=%20")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/to/classify", "/"),
        ("/to/classify?x", "/?x"),
        ("/to/classify//evil.example/", "//evil.example/"),
        ("/to/classify/@evil.example", "/@evil.example"),
        ("/to/classify/\\\\evil.example", "/%5C%5Cevil.example"),
        ("/to/classify/%0d%0aSet-Cookie:%20a=b", "/%0d%0aSet-Cookie:%20a=b"),
        ("/to/classify/..//..//x", "/..//..//x"),
        ("http://other.example/to/classify/y", "/y"),
    ],
)
async def test_no_path_leads_anywhere_but_to_the_worker(fleet: Fleet, target: str, path: str) -> None:
    """The Location is always a worker's, with the path as it was sent, and no header can be smuggled in."""
    answer = await raw(fleet.port, f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
    where = location_of(answer)
    assert where.endswith(path)
    assert where.removesuffix(path).rpartition(":")[0] == "http://127.0.0.1"
    assert b"\r\nSet-Cookie" not in answer


@pytest.mark.parametrize("target", [b"/to/classify/\xff", b"/to/classify/a\x01b", b"/to//x", b"/to/", b"/to"])
async def test_a_target_that_is_none_is_refused(fleet: Fleet, target: bytes) -> None:
    """Bytes that no target may have, and paths without a service, get a 4xx."""
    answer = await raw(fleet.port, b"GET " + target + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert answer.split()[1] in (b"400", b"404")


async def test_a_body_without_end_is_cut(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who goes on sending after the answer is cut off after so many bytes."""
    monkeypatch.setattr(discard_body, "DISCARD_AT_MOST_BYTES", 1 << 20)
    await assert_cut(fleet.port, b"x" * (1 << 16))


async def test_a_body_that_does_not_come_is_not_waited_for(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who announces a body and does not send it is cut off after so long."""
    monkeypatch.setattr(discard_body, "DISCARD_AT_MOST_S", 0.1)
    await assert_cut(fleet.port, b"")


async def assert_cut(port: int, chunk: bytes) -> None:
    """The server answers 307 and hangs up while the body goes on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n")
    async with asyncio.timeout(5):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 307 ")
        sent = 0
        try:
            while not reader.at_eof():
                writer.write(chunk)
                await writer.drain()
                sent += len(chunk)
                await asyncio.sleep(0) if chunk else await reader.read()
        except ConnectionError:
            pass
    assert sent < 100_000_000
    writer.close()
