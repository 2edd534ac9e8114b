"""Lookups at a fixed rate, each timed from the moment at which it was due.

    python -m benchmarks.lookup.paced_lookups URL [--rate 500] [--seconds 5]

A client that asks again only after its last answer would leave out the requests that it would have sent while the
server stood still. Prints p50, p99 and the worst, in milliseconds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import time
from urllib.parse import urlsplit

from benchmarks.harness.summary import percentile


def times_ms(url: str, *, rate_hz: float, seconds: float) -> list[float]:
    """The milliseconds of each lookup, from when it was due until its answer had come."""
    parts = urlsplit(url)
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    measured: list[float] = []
    with socket.create_connection((parts.hostname or "", parts.port or 80)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began_s = time.perf_counter()
        for number in range(int(rate_hz * seconds)):
            due_s = began_s + number / rate_hz
            time.sleep(max(0.0, due_s - time.perf_counter()))
            connection.sendall(request)
            answer = connection.recv(4096)
            measured.append((time.perf_counter() - due_s) * 1000)
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(f"{url} answered {answer!r}")
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    with contextlib.suppress(PermissionError):  # where it is allowed, this client never waits for the processor
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    measured = times_ms(options.url, rate_hz=options.rate, seconds=options.seconds)
    print(percentile(measured, 0.5), percentile(measured, 0.99), max(measured))


if __name__ == "__main__":
    main()
