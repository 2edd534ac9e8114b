"""A worker that requires tickets: what each refusal says, on the fast path, through aiohttp and in all protocols."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from yarl import URL

from registry.agent.server import serve_agent
from registry.security.tickets.ticket import Limits, Ticket, sign
from tests.support import photos
from tests.support.raw_http import conversation, undated
from tests.support.security.ticket_issuer import Issuer, issuing
from tests.support.workers.echo_worker import EchoWorker, echo_worker

IMAGE = photos.chelsea_jpeg()
FAST, SLOW = "fast path", "aiohttp"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served() -> AsyncIterator[tuple[EchoWorker, Issuer]]:
    async with (
        serve_agent(host="127.0.0.1", port=0) as agent,
        issuing(agent.url) as issuer,
        echo_worker(agent.url, require_ticket=True) as worker,
    ):
        yield worker, issuer


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def post(worker: EchoWorker, *, path: str, ticket: str | None, body: bytes = IMAGE) -> tuple[int, bytes, str]:
    """Status, headers and sentence of `POST /` by either path; an unknown header keeps a request off the fast one."""
    more = "" if path == FAST else "X-Unknown: 1\r\n"
    bearer = "" if ticket is None else f"Authorization: Bearer {ticket}\r\n"
    head = f"POST / HTTP/1.1\r\nHost: x\r\n{more}{bearer}Content-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", worker.running.instance.port)
    try:
        writer.write(head.encode("latin-1") + body)
        headers = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", headers)
        assert length is not None
        said = json.loads(await reader.readexactly(int(length[1])))
    finally:
        writer.close()
        await writer.wait_closed()
    return int(headers[9:12]), headers, said["error"] if isinstance(said, dict) else ""


def refusals(issuer: Issuer, now_s: int) -> list[tuple[str | None, int, str]]:
    """Every kind of ticket that permits nothing: the ticket, the status, the beginning of the sentence."""
    good, stranger = issuer.ticket(), Ed25519PrivateKey.generate()
    header, claims, signature = good.split(".")
    of_stranger = Ticket("alice", "echo", now_s, now_s + 60)
    return [
        (None, 401, "A ticket is needed here"),
        ("no-ticket", 401, "The ticket is malformed"),
        (
            f"{header}.{claims}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}",
            401,
            "The ticket's signature is wrong",
        ),
        (sign(of_stranger, stranger, issuer.key.key_id), 401, "The ticket's signature is wrong"),
        (sign(of_stranger, stranger, "stranger"), 401, "The ticket's key is unknown or was revoked"),
        ("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + claims + ".AA", 401, "The ticket is not signed with EdDSA"),
        (issuer.ticket(issued_s=now_s - 200, expires_s=now_s - 31), 401, "The ticket has expired"),
        (issuer.ticket(issued_s=now_s + 60, expires_s=now_s + 120), 401, "The ticket is not valid yet"),
        (issuer.ticket(service="cats"), 403, "The ticket is for the service cats, and not for echo"),
        (issuer.ticket(instance_id="echo-10.0.0.9-1"), 421, "The ticket is for another worker"),
        (issuer.ticket(limits=Limits(max_body_bytes=100)), 413, f"The body has {len(IMAGE)} bytes, the ticket allows"),
    ]


@pytest.mark.parametrize("path", [FAST, SLOW])
async def test_a_ticket_permits_a_prediction(served: tuple[EchoWorker, Issuer], path: str) -> None:
    worker, issuer = served
    for ticket in (issuer.ticket(), issuer.ticket(instance_id=worker.running.instance.id)):
        assert (await post(worker, path=path, ticket=ticket))[0] == 200


async def test_each_refusal_is_the_same_on_both_paths(served: tuple[EchoWorker, Issuer]) -> None:
    worker, issuer = served
    for ticket, status, words in refusals(issuer, int(time.time())):
        answers = [await post(worker, path=path, ticket=ticket) for path in (FAST, SLOW)]
        assert undated(answers[0][1]) == undated(answers[1][1]), words
        for got, headers, sentence in answers:
            assert (got, sentence[: len(words)]) == (status, words)
            assert (b"WWW-Authenticate: Bearer" in headers) == (status == 401)
            assert (b'error="invalid_token"' in headers) == (status == 401 and ticket is not None)


@pytest.mark.parametrize("path", [FAST, SLOW])
async def test_clocks_may_differ_by_half_a_minute(served: tuple[EchoWorker, Issuer], path: str) -> None:
    worker, issuer = served
    now_s = int(time.time())
    for ticket in (
        issuer.ticket(issued_s=now_s + 25, expires_s=now_s + 85),
        issuer.ticket(issued_s=now_s - 85, expires_s=now_s - 25),
    ):
        assert (await post(worker, path=path, ticket=ticket))[0] == 200


@pytest.mark.parametrize("path", [FAST, SLOW])
async def test_requests_are_counted(served: tuple[EchoWorker, Issuer], path: str) -> None:
    worker, issuer = served
    ticket = issuer.ticket(limits=Limits(max_requests=2, ticket_id=f"counted on the {path}"))
    answers = [await post(worker, path=path, ticket=ticket) for _ in range(3)]
    assert [status for status, _, _ in answers] == [200, 200, 403]
    assert answers[2][2] == "The ticket allowed 2 requests, and they were made: ask for another one."


async def test_the_ticket_may_stand_in_the_query(served: tuple[EchoWorker, Issuer]) -> None:
    worker, issuer = served
    assert (await worker.post(f"/?ticket={issuer.ticket()}", IMAGE)).status == 200
    assert (await worker.post(f"/?top=1&ticket={issuer.ticket()}", IMAGE)).status == 200
    assert (await worker.post(f"/?ticket={issuer.ticket(service='cats')}", IMAGE)).status == 403
    assert (await worker.get(f"/v2/models/echo?ticket={issuer.ticket()}")).status == 200


PROTECTED = [
    ("POST", "/"), ("GET", "/v1/models/echo"), ("GET", "/v1/models/echo/metadata"),
    ("GET", "/v1/models/echo/versions/1"),
    ("POST", "/v1/models/echo:predict"), ("POST", "/v1/models/echo:classify"), ("POST", "/v1/models/echo:regress"),
    ("GET", "/v2"), ("GET", "/v2/models/echo"), ("GET", "/v2/models/echo/ready"), ("POST", "/v2/models/echo/infer"),
    ("POST", "/v2/models/echo/versions/1/infer"), ("GET", "/openapi.json"), ("GET", "/nothing"), ("HEAD", "/v2"),
    ("DELETE", "/"), ("POST", "/healthz/"), ("GET", "//healthz"), ("GET", "/v2/health/live/x"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), PROTECTED)
async def test_every_path_but_the_open_ones_wants_a_ticket(
    served: tuple[EchoWorker, Issuer], method: str, path: str
) -> None:
    worker, issuer = served
    body = IMAGE if method == "POST" else None
    assert (await worker.ask(method, path, body)).status == 401
    bearer = {"Authorization": f"Bearer {issuer.ticket()}"}
    assert (await worker.ask(method, path, body, **bearer)).status not in (401, 403)


@pytest.mark.parametrize("path", ["/v1/models/cats", "/v2/models/cats", "/v2/models/cats%2Fecho", "/v1/models/%65cho"])
async def test_a_ticket_is_for_the_model_in_the_path(served: tuple[EchoWorker, Issuer], path: str) -> None:
    """The model that counts is the one that the handler would use, however the path is spelt."""
    worker, issuer = served
    bearer = {"Authorization": f"Bearer {issuer.ticket()}"}
    async with worker.http.get(URL(f"{worker.url}{path}", encoded=True), headers=bearer) as answer:
        assert answer.status == (200 if "cho" in path and "cats" not in path else 403)


@pytest.mark.parametrize("path", ["/healthz", "/v2/health/live", "/v2/health/ready"])
async def test_health_is_open(served: tuple[EchoWorker, Issuer], path: str) -> None:
    worker, _ = served
    assert (await worker.get(path)).status == 200


async def test_readiness_is_open_and_its_details_are_not(served: tuple[EchoWorker, Issuer]) -> None:
    worker, issuer = served
    assert (await worker.get("/readyz")).json == {"ready": True}
    assert (await worker.ask("GET", "/readyz", Authorization="Bearer nonsense")).json == {"ready": True}
    said = await worker.ask("GET", "/readyz", Authorization=f"Bearer {issuer.ticket()}")
    assert said.json["models"].keys() == {"echo"}


async def test_metrics_are_for_this_machine(served: tuple[EchoWorker, Issuer]) -> None:
    worker, _ = served
    assert (await worker.get("/metrics")).status == 200


async def answer_before_the_body(worker: EchoWorker, ticket: str | None) -> bytes:
    bearer = "" if ticket is None else f"Authorization: Bearer {ticket}\r\n"
    head = f"POST / HTTP/1.1\r\nHost: x\r\n{bearer}Content-Length: {1 << 20}\r\nExpect: 100-continue\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", worker.running.instance.port)
    try:
        writer.write(head.encode())
        return await reader.readuntil(b"\r\n")
    finally:
        writer.close()
        await writer.wait_closed()


async def test_the_body_is_not_asked_for_without_a_ticket(served: tuple[EchoWorker, Issuer]) -> None:
    worker, issuer = served
    assert await answer_before_the_body(worker, None) == b"HTTP/1.1 401 Unauthorized\r\n"
    assert await answer_before_the_body(worker, issuer.ticket(service="cats")) == b"HTTP/1.1 403 Forbidden\r\n"
    too_small = issuer.ticket(limits=Limits(max_body_bytes=1 << 19))
    assert await answer_before_the_body(worker, too_small) == b"HTTP/1.1 413 Request Entity Too Large\r\n"
    once = issuer.ticket(limits=Limits(max_requests=1, ticket_id="expected"))
    assert await answer_before_the_body(worker, once) == b"HTTP/1.1 100 Continue\r\n"


async def test_a_body_without_a_length_is_read_no_further_than_the_ticket_allows(
    served: tuple[EchoWorker, Issuer],
) -> None:
    worker, issuer = served

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield bytes(100)

    bearer = {"Authorization": f"Bearer {issuer.ticket(limits=Limits(max_body_bytes=500))}"}
    async with worker.http.post(worker.url, data=chunks(), headers=bearer) as answer:
        assert answer.status == 413
        assert (await answer.json())["error"] == "The body is larger than the 500 bytes that its ticket allows."


@pytest.mark.parametrize("path", [FAST, SLOW])
async def test_a_ticket_bounds_the_time_that_a_request_may_take(served: tuple[EchoWorker, Issuer], path: str) -> None:
    worker, issuer = served
    status, _, sentence = await post(worker, path=path, ticket=issuer.ticket(limits=Limits(deadline_s=1e-9)))
    assert status in (503, 504), sentence


async def test_the_registration_says_that_a_ticket_is_wanted(served: tuple[EchoWorker, Issuer]) -> None:
    worker, _ = served
    assert worker.running.instance.auth == "ticket"


async def test_a_revoked_key_is_refused_at_once_and_without_keys_requests_may_come_again() -> None:
    async with (
        serve_agent(host="127.0.0.1", port=0) as agent,
        echo_worker(agent.url, require_ticket=True) as worker,
        issuing(agent.url) as issuer,
    ):
        ticket = issuer.ticket()
        seen = await statuses_until(200, worker, ticket)
        assert set(seen) <= {503, 200}
        await issuer.revoke()
        assert set(await statuses_until(401, worker, ticket)) <= {200, 401}


async def test_a_worker_that_does_not_require_tickets_reads_none() -> None:
    async with serve_agent(host="127.0.0.1", port=0) as agent, echo_worker(agent.url) as worker:
        assert (await post(worker, path=FAST, ticket="nonsense"))[0] == 200
        assert worker.running.instance.auth == "none"


async def statuses_until(status: int, worker: EchoWorker, ticket: str) -> list[int]:
    """The statuses of one request after another, until it is this one."""
    seen: list[int] = []
    async with asyncio.timeout(10):
        while status not in seen:
            seen.append((await post(worker, path=FAST, ticket=ticket))[0])
    return seen


async def test_no_ticket_is_logged_or_answered(
    served: tuple[EchoWorker, Issuer], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever becomes of a request, its ticket is in no line of the log and in no answer."""
    worker, issuer = served
    caplog.set_level(logging.DEBUG)
    ticket = issuer.ticket()
    secret = ticket.encode()
    requests = [
        b"POST /?ticket=" + secret + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /nothing?ticket=" + secret + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"PUT /v2?ticket=" + secret + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /?ticket=" + secret + b" HTTP/9.9\r\nHost: x\r\n\r\n",
        b"POST /?ticket=" + secret + b"\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + secret + b"\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + secret + b"\x01\r\nContent-Length: 1\r\n\r\n",
        b"GET ?ticket=" + secret + b"\r\n\r\n",
    ]
    for request in requests:
        said, _ = await conversation(worker.running.instance.port, [request])
        assert secret not in said, request
    assert ticket not in caplog.text
    assert ticket.split(".")[1] not in caplog.text
