"""No ticket and no ticket key is ever shown but to the caller: a run at DEBUG level, with errors provoked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from p2pclient import AsyncClient, P2PError
from registry.agent.server import serve_agent
from registry.consul.settings import ConsulSettings
from registry.proxy.server import ProxySettings
from registry.proxy.server import running as proxy_running
from registry.runtime.logs.settings import LogSettings
from registry.security.access_settings import AccessSettings
from registry.security.caller import Caller
from registry.security.tickets.key_folder import KeyFolder
from registry.security.tickets.ticket_signer import SigningKey, TicketSigner
from registry.server import running as registry_running
from registry.settings import RegistrySettings
from tests.support.photos import chelsea_jpeg
from tests.support.security.token_file import CLIENT, bearer, write_tokens
from tests.support.shown import Shown
from tests.support.waiting import until
from tests.support.workers.echo_worker import EchoWorker, echo_worker

LOG = LogSettings(access_sample=1.0)


@dataclass(frozen=True)
class Served:
    """What runs, and where its keys are."""

    consul: str
    registry: str
    worker: EchoWorker
    proxy: str
    keys: Path


@asynccontextmanager
async def everything(folder: Path) -> AsyncIterator[Served]:
    """A lookup service with tokens that signs tickets, a worker that requires them, and a proxy."""
    access, keys = AccessSettings(write_tokens(folder)), folder / "keys"
    async with serve_agent(host="127.0.0.1", port=0) as agent:
        consul = ConsulSettings(url=agent.url)
        lookup = RegistrySettings(consul, port=0, service="secrets", access=access, ticket_keys=keys, log=LOG)
        async with (
            registry_running(lookup) as registry,
            echo_worker(
                agent.url, service="secrets", require_ticket=True, access=access, access_log_sample=1.0
            ) as worker,
            proxy_running(ProxySettings(consul, port=0, service="secrets", access_log_sample=1.0)) as proxy,
        ):
            yield Served(agent.url, registry.url, worker, proxy.url, keys)


@pytest.mark.timeout(300)
async def test_no_ticket_and_no_key_is_shown(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Logs, errors, reprs, `p2p keys` and the answers of workers and the proxy hold neither.

    The answers of the lookup service to the caller itself hold its tickets: that is what they are for.
    """
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    shown = Shown()
    async with everything(tmp_path) as served, aiohttp.ClientSession() as http:
        tickets = await _tickets(http, served.registry)
        shown.marks += [ticket.rpartition(".")[2][:40] for ticket in tickets]
        await _use_at_workers(shown, http, served, tickets)
        await _confuse_the_lookup(shown, http, served.registry, tickets[0])
        await _call(shown, served.registry)
        await _change_keys(shown, served)
        _add_reprs(shown, served.keys, tickets)
    shown.add("the log", caplog.text)
    shown.records(caplog.records)
    lines = [record for record in caplog.records if record.name == "registry.runtime.logs.access_log"]
    assert len(lines) > 20, "there is an access log"
    assert len(shown.marks) > 5
    assert len(shown.texts) > 40
    assert not shown.leaks(), "\n\n".join(shown.leaks())


async def _tickets(http: aiohttp.ClientSession, registry: str) -> list[str]:
    """A ticket from every kind of answer that holds one; they are good at the worker."""

    async def handed_out() -> bool:
        async with http.get(f"{registry}/next", headers=bearer(CLIENT)) as answer:
            return answer.status == 200 and "ticket=" in await answer.text()

    await until(handed_out)
    tickets = []
    for path in ("/", "/next", "/next?scheme=1"):
        async with http.get(registry + path, headers=bearer(CLIENT)) as answer:
            tickets.append((await answer.text()).strip().partition("ticket=")[2])
    for path in ("/tickets/secrets", "/tickets/secrets?max_requests=2", "/tickets/secrets?max_body=10"):
        async with http.get(registry + path, headers=bearer(CLIENT)) as answer:
            tickets.append((await answer.json())["ticket"])
    async with http.post(registry, headers=bearer(CLIENT), data=b"x", allow_redirects=False) as answer:
        assert answer.status == 307
        tickets.append(answer.headers["Location"].partition("ticket=")[2])
    return tickets


async def _use_at_workers(shown: Shown, http: aiohttp.ClientSession, served: Served, tickets: list[str]) -> None:
    """Right, changed, and with requests that are refused for other reasons: in the query and in the header."""
    mutated = [tickets[0][:-3], f"{tickets[0]}x", f"{tickets[0].rpartition('.')[0]}.", f"x{tickets[1]}"]
    paths = ("/v1/models/none:predict", "/v2/models/secrets/infer", "/metrics", "/readyz", "/nowhere")
    asked = [(path, tickets[3], {}) for path in paths] + [("/", tickets[3], {"P2P-Boot": "other"})]
    asked += [("/", ticket, {}) for ticket in (*tickets, *mutated)]
    statuses = set()
    for origin in (served.worker.url, served.proxy):
        for path, ticket, headers in asked:
            for url, proof in ((f"{origin}{path}?ticket={ticket}", {}), (origin + path, bearer(ticket))):
                async with http.post(url, headers=headers | proof, data=chelsea_jpeg()) as answer:
                    shown.add(f"POST {path}", f"{answer.headers} {await answer.text()}")
                    statuses.add(answer.status)
        shown.add(origin, (await _broken(origin, tickets[3])).decode(errors="replace"))
    assert {200, 401, 403, 404, 413, 421} <= statuses


async def _broken(origin: str, ticket: str) -> bytes:
    """The answer to a ticket in a request that is not HTTP."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(origin.rpartition(":")[2]))
    writer.write(f"POST /?ticket={ticket} HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n".encode())
    try:
        async with asyncio.timeout(5):
            return await reader.read(1 << 16)
    finally:
        writer.close()


async def _confuse_the_lookup(shown: Shown, http: aiohttp.ClientSession, registry: str, ticket: str) -> None:
    """A ticket where a token belongs, and in the queries of paths that have none."""
    for path in ("/nowhere", "/next/none", "/to/none/x", "/tickets/none"):
        for headers in (bearer(ticket), bearer(CLIENT)):
            async with http.get(f"{registry}{path}?ticket={ticket}", headers=headers) as answer:
                shown.add(f"GET {path}", f"{answer.status} {await answer.text()}")


async def _call(shown: Shown, registry: str) -> None:
    """The client library keeps tickets; calls that fail while it has them, and what a debugger shows of it."""
    for routing in ("watch", "lookup"):
        async with AsyncClient(registry, token=CLIENT, service="secrets", routing=routing) as client:
            assert (await client.classify(chelsea_jpeg())).labels
            shown.add(routing, f"{client!r} {vars(client)!r} {await client.workers()!r}")
            for image in (b"no image", b""):
                try:
                    await client.classify(image)
                except (P2PError, ValueError) as error:
                    shown.error(routing, error)


async def _change_keys(shown: Shown, served: Served) -> None:
    """`p2p keys` names keys by their ids; a folder with a damaged key is refused without a word of its content."""
    folder = KeyFolder(served.keys)
    environ = {"P2P_CONSUL": served.consul, "P2P_TICKET_KEYS": str(served.keys)}
    assert await shown.command("keys", "list", environ=environ) == 0
    assert await shown.command("keys", "rotate", environ=environ) == 0
    shown.marks += [key.private.private_bytes_raw().hex() for key in folder.load()]
    (first, *_) = folder.load()
    assert await shown.command("keys", "revoke", first.key_id, environ=environ) == 0
    damaged = served.keys / "damaged.json"
    damaged.write_text((served.keys / f"{folder.load()[0].key_id}.json").read_text())
    damaged.chmod(0o600)
    assert await shown.command("keys", "rotate", environ=environ) == 1
    damaged.unlink()


def _add_reprs(shown: Shown, keys: Path, tickets: list[str]) -> None:
    """What a debugger would show."""
    (key, *_) = KeyFolder(keys).load()
    signer = TicketSigner()
    signer.use(SigningKey(key.key_id, key.private))
    text = signer.ticket(Caller("alice", frozenset()), "secrets")
    shown.marks.append(text.rpartition(".")[2][:40])
    for value in (key, SigningKey(key.key_id, key.private), signer, KeyFolder(keys)):
        shown.add(type(value).__name__, repr(value) + str(value))
