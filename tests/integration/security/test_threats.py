"""What docs/guide/security.md says that somebody cannot do, where no other test shows it."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from registry.agent.server import serve_agent
from registry.consul.errors import ConsulRefused
from registry.consul.key_value import KeyValue
from registry.consul.settings import ConsulSettings
from registry.runtime.tls.server import TlsFiles
from registry.security.access_settings import AccessSettings
from registry.security.tickets.key_folder import new_key
from registry.security.tickets.public_key import PREFIX
from registry.security.tickets.signing_keys import publish
from registry.server import running
from registry.settings import RegistrySettings
from tests.support.consul_process import ConsulProcess
from tests.support.photos import chelsea_jpeg
from tests.support.security.certificates import Authority
from tests.support.security.ticket_issuer import issuing
from tests.support.security.token_file import CLIENT, bearer, write_tokens
from tests.support.waiting import until
from tests.support.workers.echo_worker import echo_worker

IMAGE = chelsea_jpeg()
MANAGEMENT = "6f1f4c1e-5d0e-4f3b-9d52-0d8f8a2c7e11"
WORKER = 'service "echo" { policy = "write" } key_prefix "p2p-serving/ticket-keys/" { policy = "read" }'
LOOKUP = 'key_prefix "p2p-serving/ticket-keys/" { policy = "write" }'


async def test_a_ticket_is_not_a_token(tmp_path: Path) -> None:
    """A ticket permits requests to workers; the lookup service takes it for a wrong token, so that it gets no other."""
    access = AccessSettings(write_tokens(tmp_path))
    async with serve_agent(host="127.0.0.1", port=0) as agent, aiohttp.ClientSession() as http:
        settings = RegistrySettings(
            ConsulSettings(url=agent.url), port=0, service="echo", access=access, ticket_keys=tmp_path / "keys"
        )
        async with running(settings) as registry:

            async def asked(path: str, proof: str) -> tuple[int, str]:
                async with http.get(registry.url + path, headers=bearer(proof)) as answer:
                    return answer.status, await answer.text()

            async def signed() -> bool:
                return (await asked("/tickets/echo", CLIENT))[0] == 200

            async with echo_worker(agent.url, require_ticket=True):
                await until(signed)
                ticket = json.loads((await asked("/tickets/echo", CLIENT))[1])["ticket"]
                for path in ("/", "/next", "/tickets/echo", "/instances/echo", "/services", "/metrics"):
                    status, said = await asked(path, ticket)
                    assert status == 401, path
                    assert ticket not in said


@pytest.mark.parametrize("encrypted", [True, False])
async def test_who_reads_the_wire_sees_neither_image_nor_ticket(tmp_path: Path, encrypted: bool) -> None:
    """Over TLS, what passes between client and worker holds no part of them; without TLS it holds both."""
    authority = Authority(tmp_path / "authority")
    pem = authority.sign("worker")
    tls = TlsFiles(pem.cert, pem.key) if encrypted else None
    context = ssl.create_default_context(cafile=str(authority.ca))
    async with (
        serve_agent(host="127.0.0.1", port=0) as agent,
        issuing(agent.url) as issuer,
        echo_worker(agent.url, require_ticket=True, tls=tls) as worker,
        wiretap(worker.running.instance.port) as (port, seen),
    ):
        ticket = issuer.ticket()

        async def posted() -> bool:
            url = f"{'https' if encrypted else 'http'}://127.0.0.1:{port}/"
            async with worker.http.post(url, data=IMAGE, headers=bearer(ticket), ssl=context) as answer:
                return answer.status == 200

        await until(posted)
        assert len(seen) > len(IMAGE)
        assert [each in seen for each in (ticket.encode(), IMAGE[100:200])] == [not encrypted] * 2


@asynccontextmanager
async def wiretap(port: int) -> AsyncIterator[tuple[int, bytearray]]:
    """A port that leads to `port`, and all bytes that have passed there."""
    seen = bytearray()

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            seen.extend(data)
            target.write(data)
            await target.drain()
        target.close()

    async def tap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)

    server = await asyncio.start_server(tap, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], seen
    finally:
        server.close()


@pytest.fixture(scope="module")
def strict_consul(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulProcess]:
    """A Consul that denies by default."""
    process = ConsulProcess(consul_binary, tmp_path_factory.mktemp("consul"), management=MANAGEMENT)
    process.start()
    yield process
    process.stop()


def token_for(consul: ConsulProcess, name: str, rules: str) -> str:
    """A token of Consul with these rules."""

    def put(path: str, body: object) -> dict[str, str]:
        headers = {"X-Consul-Token": MANAGEMENT}
        request = urllib.request.Request(consul.url + path, json.dumps(body).encode(), headers=headers, method="PUT")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return dict(json.load(answer))

    put("/v1/acl/policy", {"Name": name, "Rules": rules})
    return str(put("/v1/acl/token", {"Policies": [{"Name": name}]})["SecretID"])


async def test_a_workers_rights_in_consul_add_no_key(strict_consul: ConsulProcess) -> None:
    """Who has a worker's Consul token reads public keys, and can neither add one, to sign with it, nor remove one."""
    lookup = KeyValue(settings(strict_consul, token_for(strict_consul, "lookup", LOOKUP)))
    worker = KeyValue(settings(strict_consul, token_for(strict_consul, "worker", WORKER)))
    try:
        key = new_key(time.time())
        await publish(lookup, key)
        assert list((await worker.under(PREFIX)).values) == [key.key_id]
        for forbidden in (publish(worker, new_key(time.time())), worker.delete(PREFIX + key.key_id)):
            with pytest.raises(ConsulRefused):
                await forbidden
        assert list((await lookup.under(PREFIX)).values) == [key.key_id]
    finally:
        await lookup.close()
        await worker.close()


async def test_nobody_without_a_token_reads_or_writes_consul(strict_consul: ConsulProcess) -> None:
    """Where Consul denies by default, who reaches its port alone adds no key and registers no worker."""
    nobody = KeyValue(settings(strict_consul, ""))
    try:
        with pytest.raises(ConsulRefused):
            await publish(nobody, new_key(time.time()))
    finally:
        await nobody.close()
    body = json.dumps({"Name": "echo", "Port": 1}).encode()
    request = urllib.request.Request(f"{strict_consul.url}/v1/agent/service/register", body, method="PUT")
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        await asyncio.to_thread(urllib.request.urlopen, request)
    refused.value.close()


def settings(consul: ConsulProcess, token: str) -> ConsulSettings:
    return ConsulSettings(url=consul.url, token=token or None)
