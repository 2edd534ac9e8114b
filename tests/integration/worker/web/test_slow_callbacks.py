"""No request, whatever its body holds, makes the event loop compute for longer than 20 ms at a time."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from registry.consul.settings import ConsulSettings
from tests.support.consul_process import ConsulProcess
from tests.support.event_loops.slow_callbacks import slow_callbacks
from worker.artifacts.source import ModelSource
from worker.server.serve import running
from worker.settings import WorkerSettings

MB = 1 << 20
LONGEST_S = 0.02

DOT = b"[[[0,0,0]]]"
MANY_IMAGES = b'{"instances": [' + b",".join([DOT] * 1_500_000) + b"]}"
TALL_IMAGE = b'{"instances": [[' + b",".join([b"[[0,0,0]]"] * 1_000_000) + b"]]}"
COLUMNS = b'{"inputs": {"image": [' + b",".join([b'{"b64":""}'] * 1_000_000) + b"]}}"
BRACKETS = b'{"instances": ' + b"[" * 20 * MB
TENSOR = b'{"inputs": [{"name":"image","shape":[1],"datatype":"UINT8","data":[%b]}]}'
NUMBERS = TENSOR % b",".join([b"0"] * 4_000_000)


def part(head: bytes, content: bytes) -> bytes:
    return b"--b\r\nContent-Disposition: form-data; name=" + head + b"\r\n\r\n" + content + b"\r\n"


ESCAPES = part(b'"' + b"\\a" * 8000 + b'"', b"v") * 255 + b"--b--\r\n"
MANY_PARTS = part(b'"' + b"a" * 100 + b'"', b"") * 100_000 + b"--b--\r\n"
LARGE_PARTS = part(b'"data"', bytes(8 * MB)) * 3 + b"--b--\r\n"
NEARLY_BOUNDARIES = part(b'"data"', b"\r\n--" * 4_000_000) + b"--b--\r\n"

JSON = b"application/json"
FORM = b"multipart/form-data; boundary=b"
TFS, V2 = b"/v1/models/slow:predict", b"/v2/models/slow/infer"

CASES = {
    "many images": (TFS, JSON, MANY_IMAGES, 413),
    "a tall image": (TFS, JSON, TALL_IMAGE, 200),
    "columns": (TFS, JSON, COLUMNS, 413),
    "brackets": (TFS, JSON, BRACKETS, 400),
    "numbers": (V2, JSON, NUMBERS, 400),
    "escapes": (b"/", FORM, ESCAPES, 413),
    "many parts": (b"/", FORM, MANY_PARTS, 413),
    "large parts": (b"/", FORM, LARGE_PARTS, 415),
    "nearly boundaries": (b"/", FORM, NEARLY_BOUNDARIES, 415),
    "a raw body": (b"/", b"image/png", bytes(30 * MB), 415),
}


async def status(port: int, path: bytes, content_type: bytes, body: bytes, *headers: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = (b"Host: x", b"Content-Type: " + content_type, b"Content-Length: %d" % len(body), *headers)
    writer.write(b"POST " + path + b" HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n")
    for at in range(0, len(body), MB):  # a write of all of it would be a slow callback of this test's
        writer.write(body[at : at + MB])
        await writer.drain()
    async with asyncio.timeout(60):
        line = await reader.readline()
    writer.close()
    return int(line.split()[1])


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
async def test_no_body_holds_the_loop(shared_consul: ConsulProcess, packed: bool) -> None:
    """JSON of many values, forms of many or strange parts, and large bodies, plain and compressed, share the loop."""
    settings = WorkerSettings(
        backend=ConsulSettings(url=shared_consul.url),
        source=ModelSource(engine="echo"),
        service="slow",
        drain_s=0.0,
        finish_s=1.0,
    )
    async with running(settings) as worker:
        for name, (path, content_type, body, wanted) in CASES.items():
            sent = await asyncio.to_thread(gzip.compress, body, 1) if packed else body
            headers = (b"Content-Encoding: gzip",) if packed else ()
            with slow_callbacks(LONGEST_S) as slow:
                found = await status(worker.instance.port, path, content_type, sent, *headers)
            assert (name, found, slow) == (name, wanted, [])
