"""Sends broken images, forms, JSON and framings to a worker: no 5xx, no growth, no slow callback, others are served.

    python -m benchmarks.fuzz.worker [--seconds 60] [--seed N]

Images of every format, and forms that contain them, are mutated (bits, cuts, copies, lengths) and posted to a worker in
this process, with the engine that predicts nothing: raw and as forms, with a length, chunked and compressed; and long
JSON bodies and forms of large heads to the parsers of all protocols. After every round an ordinary request must be
answered, and no callback of the event loop may have taken more than 20 ms of its thread's processor time, garbage
collection in it included; what other threads and programs do does not count. A finding is printed with the message that
provokes it, and makes the exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import gzip
import random
import resource
import sys
import time
import warnings
from collections import Counter

from PIL import Image

from benchmarks.harness.p2p import agent
from registry.consul.settings import ConsulSettings
from tests.support.event_loops.slow_callbacks import slow_callbacks
from tests.support.photos import chelsea, encode
from worker.artifacts.source import ModelSource
from worker.server.serve import running
from worker.settings import WorkerSettings

AT_ONCE = 8
ANSWER_WITHIN_S = 10.0
FINDINGS_AT_MOST = 5
GROWTH_BYTES = 300 << 20
"""How much this process may grow after the first tenth of the time: the memory of decoding, and some more."""

MAX_PIXELS = 4_000_000
ODD_BYTES = (b"\0", b"\xff", b"\xff\xff\xff\xff", b"\x80", b"\r\n", b"\r\n\r\n", b"--b", b"--b--", b'"', b";")
SLOW_CALLBACK_S = 0.02
ELEMENTS = (
    b"[[[0,0,0]]]",
    b'{"b64":""}',
    b"[",
    b"{",
    b"0",
    b'"\\u0041"',
    b"[[",
    b'{"image":{"b64":"AAAA"}}',
    b"1e5",
    b" ",
)
WANTED = frozenset({200, 400, 408, 413, 415})
TOO_LATE = frozenset({-1, 504})
"""No answer in time, and the answer of a worker that could not answer in time."""


def originals() -> list[bytes]:
    """A small file of each format and of each of its variants."""
    cat = Image.fromarray(chelsea()).resize((60, 40))
    frames = [cat, cat.rotate(90), cat.rotate(180)]
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [encode(cat, kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP")]
    files += [encode(cat, kind, save_all=True, append_images=frames[1:]) for kind in ("GIF", "WEBP", "PNG")]
    files += [encode(cat.convert(mode), "PNG") for mode in ("1", "L", "P", "LA", "RGBA")]
    files += [encode(cat, "PNG", transparency=(1, 2, 3)), encode(cat.convert("I;16"), "PNG")]
    files += [encode(cat.convert("CMYK"), "JPEG"), encode(cat, "JPEG", progressive=True, exif=exif)]
    return [*files, encode(cat.convert("RGBA"), "WEBP", lossless=True), encode(cat.convert("P"), "BMP")]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The bytes with one to six mutations, most of them near the beginning."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        near = chance.choice((64, 200, len(data)))
        at, end = sorted((chance.randrange(min(near, len(data)) + 1), chance.randrange(len(data) + 1)))
        end = min(end, at + chance.choice((1, 4, 40, 10_000)))
        match chance.randrange(6):
            case 0 if at < len(data):
                data = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
            case 1:
                odd = chance.choice(ODD_BYTES)
                data = data[:at] + odd + data[at + len(odd) :]
            case 2:
                data = data[:at] + data[end:]
            case 3:
                data = data[:end] + data[at:]
            case 4:
                data = data[:at] + chance.randbytes(end - at) + data[end:]
            case _:
                data = data[: max(at, 1)] if chance.random() < 0.2 else data
    return data


def form(images: list[bytes], chance: random.Random) -> bytes:
    """A form of these images, which is mutated itself in half of the cases."""
    encodings = (b"", b"", b"\r\nContent-Transfer-Encoding: base64", b"\r\nContent-Transfer-Encoding: quoted-printable")
    body = b""
    for image in images:
        name = chance.choice((b"data", b"data", b"other", b""))
        head = b'Content-Disposition: form-data; name="%b"; filename="a"%b' % (name, chance.choice(encodings))
        body += b"--b\r\n" + head + b"\r\n\r\n" + image + b"\r\n"
    body += b"--b--\r\n"
    return mutated(body, chance) if chance.random() < 0.5 else body


def long_body(chance: random.Random) -> bytes:
    """A request with up to 2 MB of JSON or of heads of fields, which small elements make long to parse."""
    element, count = chance.choice(ELEMENTS), chance.choice((64, 65, 5000, 100_000))
    if chance.random() < 0.3:
        head = (
            b'Content-Disposition: form-data; name="' + chance.choice((b"\\a", b"a", b"; x=")) * (count % 8000) + b'"'
        )
        body = (b"--b\r\n" + head + b"\r\n\r\nv\r\n") * chance.choice((1, 20, 255)) + b"--b--\r\n"
        target, content_type = b"/", b"multipart/form-data; boundary=b"
    else:
        name = chance.choice((b"instances", b"inputs", b"examples", b"other"))
        body = b'{"' + name + b'": [' + chance.choice((b",", b"", b", ")).join([element] * count) + b"]}"
        target = chance.choice(
            (b"/v1/models/fuzzed:predict", b"/v1/models/fuzzed:classify", b"/v2/models/fuzzed/infer")
        )
        content_type = b"application/json"
    body = mutated(body[: 2 << 20], chance) if chance.random() < 0.5 else body[: 2 << 20]
    packed = chance.random() < 0.5
    body = gzip.compress(body, 1) if packed else body
    encoding = b"Content-Encoding: gzip\r\n" if packed else b""
    return b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n%b" % (
        target,
        content_type,
        encoding,
        len(body),
        body,
    )


def message(files: list[bytes], chance: random.Random) -> bytes:
    """A whole request, after whose answer the connection is closed."""
    content_type = chance.choice((b"image/jpeg", b"application/octet-stream", b""))
    body = mutated(chance.choice(files), chance)
    if chance.random() < 0.4:
        content_type = b"multipart/form-data; boundary=" + chance.choice((b"b", b"b", b"b", b'"b"', b"", b"c"))
        body = form([body, *chance.sample(files, chance.randrange(3))], chance)
    headers = [b"Host: x", b"Connection: close", b"Content-Type: " + content_type]
    if chance.random() < 0.1:
        headers.append(b"Content-Encoding: " + chance.choice((b"gzip", b"deflate", b"br", b"zstd", b"x")))
        body = mutated(gzip.compress(body), chance) if chance.random() < 0.7 else body
    if chance.random() < 0.3:
        size = chance.choice((1, 7, 1000, 100_000)) if len(body) < 5000 else 10_000
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        headers.append(b"Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        body = mutated(body, chance) + b"\r\n0\r\n\r\n" if chance.random() < 0.2 else body
    else:
        headers.append(b"Content-Length: %d" % len(body))
    return b"POST / HTTP/1.1\r\n" + b"\r\n".join(headers) + b"\r\n\r\n" + body


async def status(port: int, sent: bytes) -> int:
    """The status of the answer to a message; 0 if the connection is closed without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(ANSWER_WITHIN_S):
            words = (await reader.readline()).split()
        return int(words[1]) if words else 0
    except ConnectionError:
        return 0
    finally:
        writer.close()


class Fuzzer:
    """Counts answers by status, and collects findings."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.files = originals()
        self.plain = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (
            len(self.files[1]),
            self.files[1],
        )
        self.counts: Counter[int] = Counter()
        self.findings: list[str] = []

    async def round(self, port: int) -> None:
        """Send some messages at once, then an ordinary one."""
        messages = await asyncio.to_thread(self._messages)  # making them would be a slow callback
        for sent, found in zip(messages, await asyncio.gather(*(self.ask(port, m) for m in messages)), strict=True):
            if found in TOO_LATE:  # the machine may have been busy: alone, and a second time, it must be in time
                found = await self.ask(port, sent)
            self.counts[found] += 1
            if found not in WANTED | {0}:
                self.findings.append(f"status {found} for {sent!r}")
        if await self.ask(port, self.plain) != 200:
            self.findings.append("an ordinary request was not answered after: " + "\n".join(map(repr, messages)))

    def _messages(self) -> list[bytes]:
        return [*(message(self.files, self.chance) for _ in range(AT_ONCE)), long_body(self.chance)]

    async def ask(self, port: int, sent: bytes) -> int:
        try:
            return await status(port, sent)
        except TimeoutError:
            return -1

    async def run(self, port: int, seconds: float) -> int:
        """Fuzz for so long, or until there are FINDINGS_AT_MOST findings; by how many bytes the process grew."""
        began_s, settled = time.monotonic(), 0
        while (spent_s := time.monotonic() - began_s) < seconds and len(self.findings) < FINDINGS_AT_MOST:
            await self.round(port)
            if not settled and spent_s > seconds / 10:
                settled = most_resident_bytes()
        gc.collect()
        return most_resident_bytes() - settled


def most_resident_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def fuzz(fuzzer: Fuzzer, consul: str, seconds: float) -> int:
    source = ModelSource(engine="echo", max_pixels=MAX_PIXELS)
    # The deadline is short, because the worker waits for the rest of a broken chunk.
    settings = WorkerSettings(
        ConsulSettings(url=consul), source, service="fuzzed", deadline_s=1.0, drain_s=0.0, finish_s=1.0
    )
    async with running(settings) as worker:
        gc.collect()
        gc.freeze()  # a collection of all that this process has imported would be a slow callback
        with slow_callbacks(SLOW_CALLBACK_S) as slow:
            grown = await fuzzer.run(worker.instance.port, seconds)
    fuzzer.findings += [f"A callback took {each}" for each in slow]
    return grown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    fuzzer = Fuzzer(options.seed)
    with agent(core=None) as consul:
        grown = asyncio.run(fuzz(fuzzer, consul.url, options.seconds))
    print(f"seed {options.seed}: {sum(fuzzer.counts.values()):,} requests; the process grew by {grown / 2**20:.0f} MiB")
    for found, count in sorted(fuzzer.counts.items()):
        print(f"  {found or 'closed without an answer'}: {count:,}")
    print("\n".join(fuzzer.findings) or "Nothing found.")
    sys.exit(bool(fuzzer.findings) or grown > GROWTH_BYTES)


if __name__ == "__main__":
    main()
