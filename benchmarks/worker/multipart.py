"""What a form costs over the raw body: CPU microseconds of the whole worker process a request.

    python -m benchmarks.worker.multipart [--seconds 3] [--rounds 5]

A worker with the engine that predicts nothing answers one client, which posts the same bytes raw and as a form of
curl's shape, in turns. They are a 2 x 2 BMP followed by padding: a real image, so that the whole road is measured,
but decoded in no time, so that it is the road. The last lines are the readers alone, in this process, beside parsers
from packages where those are installed.
"""

from __future__ import annotations

import argparse
import io
import os
import socket
import statistics
import time
from collections.abc import Callable, Sequence

from aiohttp import BodyPartReader
from aiohttp.multipart import MultipartReader
from aiohttp.streams import StreamReader
from PIL import Image

from benchmarks.harness.rounds import P2P, answers, free_port, server
from worker.web.multipart import read_form

SIZES = (35_000, 1_000_000)
BOUNDARY = b"------------------------d74496d66958873e"
PIECE_BYTES = 1 << 16
ONE_BY_ONE = 200


def image(size: int) -> bytes:
    """A tiny BMP, padded with what could be a photograph's bytes."""
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "BMP")
    return file.getvalue() + os.urandom(size - file.tell())


def form(content: bytes) -> bytes:
    """The body that `curl -F data=@cat.bmp` sends."""
    head = b'Content-Disposition: form-data; name="data"; filename="cat.bmp"\r\nContent-Type: image/bmp'
    return b"--%b\r\n%b\r\n\r\n%b\r\n--%b--\r\n" % (BOUNDARY, head, content, BOUNDARY)


def request(body: bytes, content_type: bytes) -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (content_type, len(body)) + body


def cpu_s(pid: int) -> float:
    """The CPU time of all threads of a process, from the scheduler's nanoseconds."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def post_for(connection: socket.socket, message: bytes, seconds: float) -> int:
    """Post one after another; how many were answered with 200."""
    until_s, done = time.monotonic() + seconds, 0
    while time.monotonic() < until_s:
        connection.sendall(message)
        answer = connection.recv(1 << 16)
        if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"\n"):
            raise RuntimeError(f"the worker answered {answer!r}")
        done += 1
    return done


def road(pid: int, port: int, size: int, *, seconds: float, rounds: int) -> dict[str, list[float]]:
    """CPU microseconds of the worker a request, each round's, by form of body."""
    content = image(size)
    messages = {
        "raw": request(content, b"image/bmp"),
        "form": request(form(content), b"multipart/form-data; boundary=" + BOUNDARY),
    }
    spent: dict[str, list[float]] = {name: [] for name in messages}
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for number in range(rounds + 1):
            for name, message in messages.items():
                before_s = cpu_s(pid)
                done = post_for(connection, message, seconds)
                if number:  # the first is for warming up
                    spent[name].append((cpu_s(pid) - before_s) / done * 1e6)
    return spent


def readers(body: bytes) -> dict[str, Callable[[], int]]:
    """Ways to get the bytes of the one field out of the pieces; each gives their number."""
    pieces = [body[at : at + PIECE_BYTES] for at in range(0, len(body), PIECE_BYTES)]
    found: dict[str, Callable[[], int]] = {
        "joined, not parsed": lambda: len(b"".join(pieces)),
        "worker.web.multipart": lambda: sum(len(f.content or b"") for f in read_form(pieces, BOUNDARY, wanted="data")),
        "aiohttp": lambda: _aiohttp(pieces),
    }
    try:
        import python_multipart
    except ImportError:
        pass
    else:

        def parsed() -> int:
            parts: list[bytes] = []
            parser = python_multipart.MultipartParser(
                BOUNDARY, {"on_part_data": lambda data, start, end: parts.append(data[start:end])}
            )
            for piece in pieces:
                parser.write(piece)
            return len(b"".join(parts))

        found["python-multipart"] = parsed
    try:
        from streaming_form_data import StreamingFormDataParser
        from streaming_form_data.targets import ValueTarget
    except ImportError:
        return found

    def streamed() -> int:
        parser, target = StreamingFormDataParser({"Content-Type": CONTENT_TYPE}), ValueTarget()
        parser.register("data", target)
        for piece in pieces:
            parser.data_received(piece)
        return len(target.value)

    found["streaming-form-data"] = streamed
    return found


CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"


def _aiohttp(pieces: Sequence[bytes]) -> int:
    """aiohttp's reader, fed by hand: nothing here ever waits, so it needs no loop that runs."""

    async def read() -> int:
        stream = StreamReader(_Unpaused(), 1 << 30, loop=_NoLoop())  # type: ignore[arg-type]  # it asks them nothing
        for piece in pieces:
            stream.feed_data(piece)
        stream.feed_eof()
        part = await MultipartReader({"Content-Type": CONTENT_TYPE}, stream).next()
        assert isinstance(part, BodyPartReader)
        return len(await part.read(decode=False))

    try:
        read().send(None)
    except StopIteration as done:
        return int(done.value)
    raise AssertionError("it waited")


class _NoLoop:
    """An event loop that nothing asks."""


class _Unpaused:
    """A connection that need not be paused."""

    connected = True

    def pause_reading(self) -> None: ...

    def resume_reading(self, resume_parser: bool = True) -> None: ...


def alone(size: int) -> None:
    """Print what the readers alone take."""
    content = image(size)
    contestants = readers(form(content))
    took: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ONE_BY_ONE):
        for name, read in contestants.items():
            began_s = time.thread_time()
            if read() < len(content):
                raise RuntimeError(f"{name} lost something")
            took[name].append((time.thread_time() - began_s) * 1e6)
    for name, times in took.items():
        print(f"| {size:,} bytes, {name} | {statistics.median(times):.0f} | | |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    port, agent_port = free_port(), free_port()
    consul = f"http://127.0.0.1:{agent_port}"
    print("| CPU microseconds | raw | form | form / raw |\n| --- | --- | --- | --- |")
    with (
        server([*P2P, "agent", "--port", str(agent_port)]),
        server([*P2P, "worker", "--engine", "echo", "--port", str(port), "--consul", consul]) as worker,
    ):
        answers(f"http://127.0.0.1:{port}/readyz")
        for size in SIZES:
            spent = road(worker.pid, port, size, seconds=options.seconds, rounds=options.rounds)
            raw, as_form = (statistics.median(spent[name]) for name in ("raw", "form"))
            print(f"| {size:,} bytes, the whole worker | {raw:.0f} | {as_form:.0f} | {as_form / raw:.2f} |", flush=True)
    for size in SIZES:
        alone(size)


if __name__ == "__main__":
    main()
