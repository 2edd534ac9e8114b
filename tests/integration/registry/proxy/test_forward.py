"""What passes through the proxy: everything, as it was sent, but for what concerns one connection only."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
from collections import Counter
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from registry.consul.catalog import Catalog, Checks
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Instance
from registry.proxy import upload
from registry.proxy.server import ProxySettings, running
from tests.support.consul_process import ConsulProcess
from tests.support.lookups.running_proxy import connect, exchange, proxy, scripted, split, worker
from tests.support.waiting import until

IMAGE = b"\xff\xd8" + bytes(range(256)) * 12_000


async def name_port(request: web.Request) -> web.Response:
    return web.Response(text=str(request.transport.get_extra_info("sockname")[1]))  # type: ignore[union-attr]


async def show(request: web.Request) -> web.Response:
    """What reached the worker: method, target, headers as sent, digest of the body."""
    body = await request.read()
    return web.json_response(
        {
            "method": request.method,
            "target": request.raw_path,
            "headers": [[name.decode(), value.decode()] for name, value in request.raw_headers],
            "digest": hashlib.sha256(body).hexdigest(),
        }
    )


def shown(answer: bytes) -> dict[str, Any]:
    """What `show` said, headers as a dictionary of lists by lowered name."""
    said: dict[str, Any] = json.loads(split(answer)[2])
    headers: dict[str, list[str]] = {}
    for name, value in said["headers"]:
        headers.setdefault(name.lower(), []).append(value)
    return said | {"headers": headers}


def saying(answer: bytes) -> Any:
    """A scripted worker that reads one request head and says `answer`."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return script


def get(*lines: str, method: str = "GET", target: str = "/") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: h", "Connection: close", *lines, "", ""]).encode()


async def test_fixed_workers_take_turns() -> None:
    """Requests alternate over the listed workers."""
    async with worker(name_port) as one, worker(name_port) as two, proxy(one, two) as url:
        ports = [split(await exchange(url, get()))[2] for _ in range(6)]
    assert Counter(ports) == {str(one).encode(): 3, str(two).encode(): 3}
    assert ports[0] != ports[1]


async def test_workers_of_a_service_are_found_and_lost(shared_consul: ConsulProcess) -> None:
    """With --service the workers are those that Consul knows at the moment; without any it is 503, come again."""
    consul = ConsulSettings(url=shared_consul.url)
    catalog = Catalog(consul)
    settings = ProxySettings(consul, port=0, service="proxied")
    checks = Checks(f"{shared_consul.url}/v1/status/leader")
    async with worker(name_port) as port, running(settings) as it, aiohttp.ClientSession() as http:

        async def asked() -> tuple[int, str, str | None]:
            async with http.post(it.url, data=b"x") as answer:
                return answer.status, await answer.text(), answer.headers.get("Retry-After")

        async def served() -> bool:
            return (await asked())[0] == 200

        async def refused() -> bool:
            return (await asked())[0] == 503

        assert await asked() == (503, "No healthy worker right now: try again.\n", "1")
        await catalog.register(Instance("proxied", "p1", "127.0.0.1", port), checks)
        await until(served)
        assert (await asked())[1] == str(port)
        await catalog.maintenance("p1", enable=True)
        await until(refused)
    await catalog.close()


async def test_an_image_arrives_as_it_was_sent() -> None:
    """Method, target and 3 MB of body reach the worker unchanged."""
    async with worker(show) as port, proxy(port) as url, aiohttp.ClientSession() as http:
        target = "/a%2Fb//c/..;x=%E4?top=5&u=http://x/"
        async with http.put(aiohttp.client.URL(url + target, encoded=True), data=io.BytesIO(IMAGE)) as answer:
            said = await answer.json()
    assert (said["method"], said["target"]) == ("PUT", target)
    assert said["digest"] == hashlib.sha256(IMAGE).hexdigest()


async def test_request_headers() -> None:
    """What concerns one connection is dropped, what the worker must know is added, all else passes."""
    async with worker(show) as port, proxy(port) as url:
        answer = await exchange(
            url,
            b"POST http://cats.example/x HTTP/1.1\r\nHost: cats.example\r\n"
            b"Connection: close, X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n"
            b"Proxy-Authorization: Basic eDp5\r\nUpgrade: h2c\r\nTrailer: X-End\r\n"
            b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: forged\r\nX-Forwarded-Proto: forged\r\n"
            b"Via: 1.0 outer\r\nCookie: a=b\r\nX-Twice: 1\r\nX-Twice: 2\r\nX-Latin: caf\xe9\r\n"
            b"Content-Length: 3\r\n\r\nabc",
        )
    said = shown(answer)
    assert said["target"] == "/x"
    assert said["headers"] == {
        "host": [f"127.0.0.1:{port}"],
        "cookie": ["a=b"],
        "x-twice": ["1", "2"],
        "x-latin": ["café"],
        "content-length": ["3"],
        "x-forwarded-for": ["192.0.2.1, 127.0.0.1"],
        "x-forwarded-host": ["cats.example"],
        "x-forwarded-proto": ["http"],
        "via": ["1.0 outer", "1.1 p2p-proxy"],
    }


async def test_answer_headers() -> None:
    """The worker's status, reason and headers reach the client, repeated ones too, and nothing is made up."""
    head = (
        b"HTTP/1.1 418 Short And Stout\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nDate: then\r\nX-Own: y\r\n"
        b"Connection: close, X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\n"
        b"Proxy-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nteas"
    )
    async with scripted(saying(head)) as port, proxy(port) as url:
        status, lines, body = split(await exchange(url, get()))
    assert (status, body) == (b"HTTP/1.1 418 Short And Stout", b"teas")
    assert sorted(lines) == [
        b"Connection: close",
        b"Content-Length: 4",
        b"Date: then",
        b"Set-Cookie: a=1",
        b"Set-Cookie: b=2",
        b"Via: 1.1 p2p-proxy",
        b"X-Own: y",
    ]


async def test_compressed_bodies_stay_as_they_are() -> None:
    """Neither a request's nor an answer's Content-Encoding is undone."""
    packed = gzip.compress(IMAGE)

    async def same(request: web.Request) -> web.Response:
        return web.Response(body=await request.read(), headers={"Content-Encoding": "gzip"})

    async with (
        worker(same) as port,
        proxy(port) as url,
        aiohttp.ClientSession(auto_decompress=False) as http,
        http.post(url, data=io.BytesIO(packed), headers={"Content-Encoding": "gzip"}) as answer,
    ):
        assert answer.headers["Content-Encoding"] == "gzip"
        assert hashlib.sha256(await answer.read()).digest() == hashlib.sha256(packed).digest()


@pytest.mark.parametrize(
    ("said", "body", "framing"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc", b"Content-Length: 3"),
        (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc",
            b"3\r\nabc\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked",
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nabc", b"3\r\nabc\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            b"3\r\nabc\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", b""),
        (b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", b"", b"ETag: x"),
        (
            b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
            b"a",
            b"Content-Length: 1",
        ),
    ],
    ids=["length", "close", "1.0", "chunked", "204", "304", "103"],
)
async def test_framing_of_answers(said: bytes, body: bytes, framing: bytes) -> None:
    """However a worker marks the end of its answer, the client can tell it."""
    async with scripted(saying(said)) as port, proxy(port) as url:
        _, lines, got = split(await exchange(url, get()))
    assert got == body
    assert (not framing) or framing in lines
    assert len([line for line in lines if line.startswith((b"Content-Length", b"Transfer-Encoding"))]) == bool(body)


async def test_an_answer_to_head_keeps_its_length_and_has_no_body() -> None:
    """HEAD tells the length of what GET would give."""
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 4711\r\n\r\n"
    async with scripted(saying(said)) as port, proxy(port) as url:
        _, lines, body = split(await exchange(url, get(method="HEAD")))
    assert b"Content-Length: 4711" in lines
    assert body == b""


async def test_a_client_of_http_1_0_is_answered_to_the_end_of_the_connection() -> None:
    """No chunks for a client that does not know them."""
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    async with scripted(saying(said)) as port, proxy(port) as url:
        status, lines, body = split(await exchange(url, b"GET / HTTP/1.0\r\n\r\n"))
    assert status == b"HTTP/1.0 200 OK"
    assert body == b"abc"
    assert not [line for line in lines if line.startswith(b"Transfer-Encoding")]


async def test_chunked_requests_pass() -> None:
    """A body whose length nobody told arrives whole."""
    async with worker(show) as port, proxy(port) as url:
        chunks = get("Transfer-Encoding: chunked", method="POST") + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
        said = shown(await exchange(url, chunks))
    assert said["digest"] == hashlib.sha256(b"abc").hexdigest()
    assert "content-length" not in said["headers"]


async def test_connections_are_kept_on_both_sides() -> None:
    """Requests on one connection to the proxy travel on one connection to the worker."""
    peers = set()

    async def note(request: web.Request) -> web.Response:
        peers.add(request.transport.get_extra_info("peername"))  # type: ignore[union-attr]
        return web.Response(text="x")

    async with worker(note) as port, proxy(port) as url, aiohttp.ClientSession() as http:
        for _ in range(5):
            async with http.post(url, data=b"x") as answer:
                assert await answer.text() == "x"
    assert len(peers) == 1


@pytest.mark.parametrize(
    "request_line", ["OPTIONS *", "CONNECT h:80", "GET /\x01", "GET nothing", "GET /%s" % ("x" * 9000)]
)
async def test_what_is_no_request_for_a_worker_is_refused(request_line: str) -> None:
    """A target without a path, with control characters, or too long, gets a 400 and reaches no worker."""
    async with worker(name_port) as port, proxy(port) as url:
        answer = await exchange(url, f"{request_line} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
    assert split(answer)[0].split()[1] == b"400"


async def test_expect_reaches_the_worker_and_its_refusal_spares_the_body() -> None:
    """A worker that answers 413 in place of `100 Continue` gets no byte of the image, nor does the proxy."""
    heads: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno\n")
        heads.append(await reader.read())

    async with scripted(refuse) as port, proxy(port) as url:
        reader, writer = await connect(url)
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\nExpect: 100-continue\r\n\r\n")
        answer = await asyncio.wait_for(reader.readuntil(b"no\n"), 5)
        writer.close()
        await until(lambda: len(heads) == 2)
    assert answer.startswith(b"HTTP/1.1 413 Too Large\r\n")
    assert b"\r\nConnection: close\r\n" in answer
    assert b"Expect: 100-continue" in heads[0]
    assert heads[1] == b""


async def test_the_client_is_asked_when_the_worker_asks() -> None:
    """`100 Continue` passes from the worker to the client, once, and then the body to the worker."""
    async with worker(show) as port, proxy(port) as url, aiohttp.ClientSession() as http:
        async with http.post(url, data=io.BytesIO(IMAGE), expect100=True) as answer:
            said = await answer.json()
        head = get("Expect: 100-continue", "Content-Length: 3", method="POST")
        raw = await exchange(url, head + b"abc")
    assert said["digest"] == hashlib.sha256(IMAGE).hexdigest()
    assert raw.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_a_worker_that_never_asks_is_sent_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does not know `Expect` gets the body after a while, as curl would send it."""
    monkeypatch.setattr(upload, "CONTINUE_AFTER_S", 0.1)

    async def simple(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + await reader.readexactly(3))

    async with scripted(simple) as port, proxy(port) as url:
        answer = await exchange(url, get("Expect: 100-continue", "Content-Length: 3", method="POST") + b"abc")
    assert b"abc" in answer
