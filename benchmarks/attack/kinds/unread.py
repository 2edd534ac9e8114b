"""Clients that send requests with large answers and read none of them."""

from __future__ import annotations

import asyncio
import socket

from benchmarks.attack.kinds.sending import connect, get, paced
from benchmarks.attack.targets import CROWD, Findings, Targets
from benchmarks.harness.inputs import padded_bmp
from benchmarks.harness.requests import BOUNDARY, FORM_TYPE, post

CLIENTS_OF_WORKERS = 14
CLIENTS_OF_LOOKUPS = 800
REQUESTS_EACH = 20
HELD_S = 15
"""How long a connection is held, unless the server ends it before."""

_IMAGES = 4
"""Their thousand labels each are more than the kernels buffer, so that the worker has to hold the answer."""

_BODY_BYTES = 18_000_000
"""With so large a body, CLIENTS_OF_WORKERS requests would take all of a worker's memory for bodies."""

_RECEIVE_BYTES = 4096
_FORMS_PER_S = 4.0
"""Few enough that predicting the images takes little of the worker's time."""

_LOOKUPS_PER_S = 100.0


def form_with_large_answer() -> bytes:
    """A POST of images that are decoded in no time, which asks for a thousand labels of each."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="data"\r\nContent-Type: image/bmp\r\n\r\n'.encode()
    field = head + padded_bmp(_BODY_BYTES // _IMAGES) + b"\r\n"
    return post(field * _IMAGES + f"--{BOUNDARY}--\r\n".encode(), FORM_TYPE, path="/?top=1000")


async def read_nothing(targets: Targets, findings: Findings) -> None:
    """Keep the connections to workers and to the lookup service that never read; one that is closed is replaced."""
    instances = get(f"/instances/{CROWD}") * REQUESTS_EACH
    async with asyncio.TaskGroup() as group:
        for port in targets.workers:
            group.create_task(
                _open(CLIENTS_OF_WORKERS, _FORMS_PER_S, port, form_with_large_answer(), "a worker", findings)
            )
        group.create_task(
            _open(CLIENTS_OF_LOOKUPS, _LOOKUPS_PER_S, targets.lookup, instances, "the lookup service", findings)
        )


async def _open(clients: int, per_s: float, port: int, requests: bytes, whose: str, findings: Findings) -> None:
    async with asyncio.TaskGroup() as group:
        async for number in paced(per_s):
            if number == clients:
                break
            group.create_task(_send_again_and_again(port, requests, whose, findings))


async def _send_again_and_again(port: int, requests: bytes, whose: str, findings: Findings) -> None:
    loop = asyncio.get_running_loop()
    while True:
        made: socket.socket | None = None
        try:
            made = await connect(port, receive_bytes=_RECEIVE_BYTES)
            findings.outcomes[f"connections to {whose}"] += 1
            await loop.sock_sendall(made, requests)
            if await _closed(made):
                findings.outcomes[f"closed by {whose}"] += 1
        except OSError as error:
            findings.outcomes[type(error).__name__] += 1
        finally:
            if made is not None:
                made.close()
        await asyncio.sleep(1.0)


async def _closed(made: socket.socket) -> bool:
    """Take nothing that the server sends for HELD_S; whether it has closed the connection by then."""
    for _ in range(HELD_S):
        await asyncio.sleep(1.0)
        if made.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _ESTABLISHED:
            return True
    return False


_ESTABLISHED = 1
"""TCP's state of a connection that both sides hold open: the first byte of Linux's struct tcp_info."""
