"""What a hostile or broken client may send: it gets its 4xx, memory stays bounded, and neighbours are answered."""

from __future__ import annotations

import asyncio
import io
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from registry.consul.settings import ConsulSettings
from tests.support.command_process import Command, command, free_port
from tests.support.consul_process import ConsulProcess
from tests.support.photos import coffee, encode
from tests.support.waiting import until
from worker.artifacts.source import ModelSource
from worker.server.serve import running
from worker.settings import WorkerSettings

MB = 1 << 20
KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")


def png(width: int, height: int) -> bytes:
    return encode(Image.new("RGB", (width, height)), "PNG")


NEIGHBOUR = png(30, 10)


@dataclass
class Target:
    """A worker at `port`, and every connection to it."""

    port: int
    http: aiohttp.ClientSession
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def post(self, data: Any, **headers: str) -> tuple[int, Any]:
        async with self.http.post(f"http://127.0.0.1:{self.port}/", data=data, headers=headers) as answer:
            return answer.status, await answer.json()

    async def neighbour(self) -> None:
        """An ordinary request is answered, and soon."""
        async with asyncio.timeout(5):
            assert await self.post(NEIGHBOUR) == (200, [["width", 0.75], ["height", 0.25]])

    async def raw(self, message: bytes) -> asyncio.StreamReader:
        """A connection of its own that has sent so much."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        for at in range(0, len(message), MB):  # a write of all of it would hold the event loop
            writer.write(message[at : at + MB])
            if len(message) > MB:
                await writer.drain()
        return reader

    async def status(self, message: bytes) -> int:
        """The status that such a message gets while its connection stays open."""
        async with asyncio.timeout(10):
            line = await (await self.raw(message)).readline()
        return int(line.split()[1])


@asynccontextmanager
async def worker_on(consul: ConsulProcess, **changes: Any) -> AsyncIterator[Target]:
    settings = WorkerSettings(
        backend=ConsulSettings(url=consul.url),
        source=ModelSource(engine="echo", max_pixels=50_000_000),
        **{"service": "abused", "drain_s": 0.0, "finish_s": 1.0} | changes,
    )
    async with running(settings) as worker, aiohttp.ClientSession() as http:
        target = Target(worker.instance.port, http)
        yield target
        await target.neighbour()
        for writer in target.writers:
            writer.close()


@pytest.fixture
async def target(shared_consul: ConsulProcess) -> AsyncIterator[Target]:
    async with worker_on(shared_consul, max_body_bytes=2 * MB) as target:
        yield target


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def png_of_zeros(width: int, height: int) -> bytes:
    """A PNG of black grey pixels, made without holding them."""
    squeeze = zlib.compressobj(9)
    row = bytes(width + 1)
    data = b"".join([*(squeeze.compress(row) for _ in range(height)), squeeze.flush()])

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def gif_bomb() -> bytes:
    data = bytearray(encode(Image.new("P", (20, 10)), "GIF"))
    data[6:10] = b"\xff" * 4
    return bytes(data)


def webp_bomb() -> bytes:
    return encode(Image.new("RGB", (16_383, 5_000)), "WEBP", lossless=True, quality=0, method=0)


def jpeg_that_lies() -> bytes:
    data = bytearray(encode(Image.new("RGB", (16, 16)), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xff\xdc" * 2
    return bytes(data)


def bmp_that_lies() -> bytes:
    data = bytearray(encode(Image.new("RGB", (16, 16)), "BMP"))
    data[18:26] = struct.pack("<ii", 1_000_000, 1_000_000)
    return bytes(data)


@pytest.mark.parametrize(
    "bomb",
    [lambda: png_of_zeros(100_000, 1_000), webp_bomb, gif_bomb, jpeg_that_lies, bmp_that_lies],
    ids=["PNG", "WebP", "GIF", "JPEG", "BMP"],
)
async def test_a_decompression_bomb_is_refused_by_its_header(target: Target, bomb: Callable[[], bytes]) -> None:
    """A small file that says it is more than 50 million pixels is a 413 that names the limit, at once."""
    status, body = await target.post(await asyncio.to_thread(bomb))
    assert (status, "--max-pixels" in body["error"]) == (413, True)


async def test_a_very_wide_image_within_the_limit_is_an_image(target: Target) -> None:
    """100,000 pixels wide and 30 high is answered as what it is."""
    status, pairs = await target.post(png_of_zeros(100_000, 30))
    assert (status, pairs[0]) == (200, ["width", pytest.approx(100_000 / 100_030, abs=1e-5)])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_file_cut_short_is_a_bad_request(target: Target, kind: str) -> None:
    """Wherever a file of any kind was cut, it is a 400 with a sentence."""
    data = await asyncio.to_thread(lambda: encode(Image.fromarray(coffee()), kind))
    for share in (0.001, 0.1, 0.9, 0.99):
        status, body = await target.post(data[: max(16, int(len(data) * share))])
        assert (status, "damaged or cut short" in body["error"]) == (400, True), share


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
async def test_of_an_animation_only_the_first_frame_costs(target: Target, kind: str) -> None:
    """A file of 300 frames is answered as its first frame."""
    frames = [Image.new("RGB", (32, 24), (n % 256, 0, 255)) for n in range(300)]
    animation = {"save_all": True, "append_images": frames[1:], "duration": 20}
    data = await asyncio.to_thread(encode, frames[0], kind, **animation)
    assert (await target.post(data))[0] == 200


@pytest.mark.parametrize("framing", ["length", "chunked", "form"])
async def test_a_body_of_64_megabytes_is_refused(target: Target, framing: str) -> None:
    """64 MB are a 413, however they come; without a length as soon as there are more than the limit."""

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield bytes(MB)

    if framing == "length":
        request = target.post(io.BytesIO(bytes(64 * MB)))
    elif framing == "chunked":
        request = target.post(stream())
    else:
        request = target.post(aiohttp.FormData({"data": io.BytesIO(bytes(64 * MB))}))
    status, body = await request
    assert (status, "--max-body" in body["error"]) == (413, True)


@pytest.mark.parametrize(
    "framing", [b"Content-Type: multipart/form-data; boundary=b\r\n", b"Content-Type: image/jpeg\r\n"]
)
async def test_a_body_without_end_is_refused(target: Target, framing: bytes) -> None:
    """A form or an image that goes on and on is a 413 when the limit is reached, while its sender goes on."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + framing + b"\r\n"
    begin = b'--b\r\nContent-Disposition: form-data; name="data"\r\n\r\n'
    body = b"%x\r\n%b\r\n" % (len(begin), begin) + (b"10000\r\n" + bytes(65_536) + b"\r\n") * 40
    assert await target.status(head + body) == 413


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (NEIGHBOUR, "text/plain", 200),
        (NEIGHBOUR, "image/jpeg", 200),
        (NEIGHBOUR, "multipart/form-data; boundary=b", 400),
        (NEIGHBOUR, "multipart/form-data", 400),
        (b"--b\r\n\r\n" + NEIGHBOUR + b"\r\n--b--", "image/png", 415),
        (b'{"instances": []}', "image/png", 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", 415),
    ],
)
async def test_a_type_is_never_believed(target: Target, body: bytes, content_type: str, status: int) -> None:
    """What a body is, its first bytes say; only a form must be called one."""
    assert (await target.post(body, **{"Content-Type": content_type}))[0] == status


async def test_a_length_that_lies_harms_only_its_sender(target: Target) -> None:
    """More than the length says is another request, and a bad one; less is waited for until its sender goes."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"
    reader = await target.raw(head % (len(NEIGHBOUR), NEIGHBOUR + b"and more\r\n\r\n"))
    statuses = [line.split()[1] for line in (await reader.read()).splitlines() if line.startswith(b"HTTP/1.")]
    assert statuses[-1:] == [b"400"]  # perhaps after a 200: it depends on what came together
    await target.raw(head % (len(NEIGHBOUR) + 1, NEIGHBOUR))
    target.writers[-1].close()


async def test_broken_bodies_leave_no_traceback_in_the_log(target: Target, caplog: pytest.LogCaptureFixture) -> None:
    """A body that is not gzip or not chunked as announced is answered with 400 and logs no error."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    assert await target.status(head % 100 + b"no gzip at all") == 400
    assert await target.status(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n") == 400
    await target.neighbour()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_compressed_body_counts_as_what_it_becomes(target: Target) -> None:
    """A gzip body is undone, and measured afterwards: 60 kB that become 64 MB are a 413."""
    squeeze = zlib.compressobj(9, wbits=31)
    assert (await target.post(squeeze.compress(NEIGHBOUR) + squeeze.flush(), **{"Content-Encoding": "gzip"}))[0] == 200
    squeeze = zlib.compressobj(9, wbits=31)
    bomb = await asyncio.to_thread(lambda: squeeze.compress(bytes(64 * MB)) + squeeze.flush())
    assert (await target.post(bomb, **{"Content-Encoding": "gzip"}))[0] == 413


@pytest.mark.parametrize(
    "headers",
    [b"X: %b\r\n" % (b"x" * 9000), b"".join(b"X-%d: x\r\n" % n for n in range(200)), b"X" * 70_000],
    ids=["long", "many", "endless"],
)
async def test_headers_too_large_are_refused(target: Target, headers: bytes) -> None:
    """A header of more than 8190 bytes, more than 128 of them, and one without end are a 400."""
    assert await target.status(b"GET / HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n") == 400


async def test_slow_senders_are_sent_away(shared_consul: ConsulProcess) -> None:
    """A body that is not here when the deadline has passed is a 408; its neighbours never noticed."""
    async with worker_on(shared_consul, deadline_s=1.0) as target:
        message = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nslow"
        slow = [asyncio.create_task(target.status(message)) for _ in range(50)]
        await target.neighbour()
        assert await asyncio.gather(*slow) == [408] * 50


async def test_connections_without_a_request_are_closed(
    shared_consul: ConsulProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection on which nothing comes, and one whose headers do not end, are closed after a while."""
    monkeypatch.setattr("worker.server.serve.IDLE_S", 0.3)
    async with worker_on(shared_consul) as target:
        idle, half = await target.raw(b""), await target.raw(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Le")
        async with asyncio.timeout(5):
            assert (await idle.read(), await half.read()) == (b"", b"")


async def test_a_thousand_connections_leave_room_for_neighbours(target: Target, many_files: None) -> None:
    """Beside 400 idle connections, 300 that stop amid their headers and 300 amid a body, 200 requests are answered."""
    await asyncio.gather(*(target.raw(b"") for _ in range(400)))
    await asyncio.gather(*(target.raw(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Le") for _ in range(300)))
    half = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + bytes(1000)
    await asyncio.gather(*(target.raw(half) for _ in range(300)))
    answers = await asyncio.gather(*(target.post(NEIGHBOUR) for _ in range(200)))
    assert [status for status, _ in answers] == [200] * 200


def resident_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@asynccontextmanager
async def worker_process(consul: ConsulProcess, *flags: str) -> AsyncIterator[tuple[Command, Target]]:
    port = free_port()
    common = ["worker", "--engine", "echo", "--service", "bounded", "--port", str(port), "--consul", consul.url]
    async with command(*common, *flags) as process, aiohttp.ClientSession() as http:
        await until(lambda: "Serving bounded on" in process.output, within_s=30)
        target = Target(port, http)
        try:
            yield process, target
        finally:
            for writer in target.writers:
                writer.close()


async def test_what_a_worker_holds_of_bodies_is_bounded(shared_consul: ConsulProcess) -> None:
    """Against 16 senders of 30 MB each and a budget of 64 MB the process grows by little more than that."""
    flags = ("--body-memory", str(64 * MB), "--max-body", str(32 * MB))
    async with worker_process(shared_consul, *flags) as (process, target):
        await target.neighbour()
        before = resident_bytes(process.pid)
        most = 0
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (31 * MB)
        message = await asyncio.to_thread(lambda: head + bytes(30 * MB))

        async def send() -> None:
            await target.raw(message)

        senders = [asyncio.create_task(send()) for _ in range(16)]
        while not all(sender.done() for sender in senders):
            await target.neighbour()
            most = max(most, resident_bytes(process.pid))
        await asyncio.gather(*senders, return_exceptions=True)
        # Besides the bodies: what 16 connections have unread, and what malloc keeps.
        assert most - before < (64 + 32 + 64) * MB
        assert most - before > 30 * MB  # or nothing was tried


PEAK = """
import sys
from worker.images.decode import ImageSize, decode

def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))

size, before = ImageSize(224, 224, "crop", "bicubic"), peak()
for path in sys.argv[1:]:
    decode(open(path, "rb").read(), size=size, max_pixels=50_000_000)
print(peak() - before)
"""


def test_decoding_takes_a_bounded_number_of_bytes_a_pixel(tmp_path: Path) -> None:
    """The costliest kinds (alpha, palettes, 16 bits, progressive JPEG, WebP) take at most 17 bytes a pixel."""
    side = 3000
    rgba = Image.new("RGBA", (side, side), (9, 9, 9, 9))
    photo = Image.new("RGB", (side, side), (9, 99, 9))
    files = {
        "declared.png": encode(photo, "PNG", transparency=(0, 0, 0), compress_level=1),
        "palette.png": encode(Image.new("P", (side, side)), "PNG", transparency=0, compress_level=1),
        "deep.png": encode(Image.new("I;16", (side, side)), "PNG", compress_level=1),
        "progressive.jpg": encode(photo, "JPEG", progressive=True, subsampling=0),
        "lossless.webp": encode(rgba, "WEBP", lossless=True, quality=0, method=0),
        "plain.gif": encode(Image.new("P", (side, side)), "GIF"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    arguments = [sys.executable, "-c", PEAK, *(str(tmp_path / name) for name in files)]
    printed = subprocess.run(arguments, cwd=Path(__file__).parents[4], stdout=subprocess.PIPE, check=True).stdout
    assert 3 * side**2 < int(printed) < 17 * side**2
