"""What people are told of a failure is what was the case: table by table, through the whole client."""

from __future__ import annotations

import socket

import pytest

from p2pclient import (
    AsyncClient,
    AuthenticationError,
    LookupUnavailable,
    ProtocolError,
    UnknownService,
    WorkerFailed,
)

NOT_FOUND = [
    ("application/json", '{"detail":"Not Found"}'),  # FastAPI
    ("text/plain", "404: Not Found"),  # aiohttp
    ("text/plain", "404 page not found\n"),  # Go's net/http
    ("text/plain", "There is nothing at /next: try /."),
    ("text/html", "<h1>no service here</h1>"),
    ("text/plain", ""),
]


@pytest.mark.parametrize("routing", ["watch", "lookup"])
@pytest.mark.parametrize(("kind", "text"), NOT_FOUND)
async def test_another_server_s_404_is_no_unknown_service(fleet, routing, kind, text):
    """A server that is no lookup service has its own 404: then it is the address that is wrong."""
    fleet.lookup.replace = fleet.says(text, status=404, kind=kind)
    async with AsyncClient(fleet.url, service="cats", routing=routing, timeout_s=5) as client:
        with pytest.raises(ProtocolError, match="does not answer as a lookup service") as e:
            await client.classify(fleet.jpeg)
    assert (e.value.attempts, e.value.status) == (0, 404)


@pytest.mark.parametrize(
    "text",
    ["There is no service 'cats': there are dogs.", "There is no service 'cats', nor any other.", "no service cats"],
)
async def test_a_lookup_service_s_404_is_an_unknown_service(fleet, text):
    """The lookup service's own sentence comes through."""
    fleet.lookup.replace = fleet.says(text, status=404)
    async with AsyncClient(fleet.url, service="cats", timeout_s=5) as client:
        with pytest.raises(UnknownService, match="no service"):
            await client.classify(fleet.jpeg)


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (401, AuthenticationError, "give a token that it accepts"),
        (403, AuthenticationError, "give a token that it accepts"),
        (408, WorkerFailed, "answered 408: too slow"),
        (429, WorkerFailed, "answered 429: too slow"),
        (503, WorkerFailed, "answered 503: too slow"),
    ],
)
async def test_a_worker_s_refusal_is_not_another_program_s(fleet, status, error, said):
    """A worker that answers in its own form is believed; a token is not tried again, a time-out is."""
    (worker,) = fleet.add()
    worker.behave = fleet.answers(status, "too slow")
    async with AsyncClient(fleet.url, timeout_s=10) as client:
        with pytest.raises(error, match=said) as caught:
            await client.classify(fleet.jpeg)
    assert "another program" not in str(caught.value)
    assert caught.value.status == status
    assert caught.value.attempts == len(worker.seen) == (1 if error is AuthenticationError else 3)


async def test_questions_are_not_attempts(closed_port):
    """An error says how often the lookup service was asked, and nothing of attempts where no worker was."""
    async with AsyncClient(f"127.0.0.1:{closed_port}", timeout_s=1) as client:
        with pytest.raises(LookupUnavailable) as caught:
            await client.classify(b"an image")
    assert caught.value.attempts == 0
    assert "attempts" not in str(caught.value)
    assert f"({caught.value.lookups} lookups)" in str(caught.value)


@pytest.mark.parametrize(
    ("addresses", "said"),
    [
        (["127.0.0.1"], "connection refused"),
        (["127.0.0.1", "127.0.0.2"], "connection refused"),
        (["127.0.0.1", "240.0.0.1"], "connection refused|unreachable|Connect call failed"),
    ],
)
async def test_a_refused_connection_is_no_tls_fault(closed_port, monkeypatch, addresses, said):
    """However many addresses a name has, the sentence says what the system said, and nothing of ssl."""
    real = socket.getaddrinfo

    def resolve(host, port, *arguments, **options):
        if host != "lookup.test":
            return real(host, port, *arguments, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with AsyncClient(f"lookup.test:{closed_port}", timeout_s=1) as client:
        with pytest.raises(LookupUnavailable, match=said) as caught:
            await client.classify(b"an image")
    assert "ssl" not in str(caught.value)
    assert "closed" not in str(caught.value)
