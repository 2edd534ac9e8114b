"""No secret is ever shown: a whole run at DEBUG level, with errors provoked, in which every secret is a known text."""

from __future__ import annotations

import asyncio
import base64
import logging
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from deploy.up_settings import UpSettings
from p2pclient import AsyncClient, P2PError
from registry.consul.catalog import Catalog
from registry.consul.settings import ConsulSettings
from registry.proxy.server import ProxySettings
from registry.proxy.server import running as proxy_running
from registry.runtime.errors import RegistryError
from registry.runtime.logs.settings import LogSettings
from registry.security.access_settings import AccessSettings
from registry.security.tokens.token_file_reader import watched_tokens
from registry.server import running as registry_running
from registry.settings import RegistrySettings
from tests.support.consul_process import ConsulProcess
from tests.support.photos import chelsea_jpeg
from tests.support.security.token_file import bearer
from tests.support.shown import Shown, garbage
from tests.support.waiting import until
from tests.support.workers.echo_worker import echo_worker
from worker.artifacts.source import ModelSource
from worker.settings import WorkerSettings

RIGHT, WRONG, OPERATOR = "right-token-5ec7e7", "wrong-token-5ec7e7", "operator-token-5ec7e7"
CONSUL_TOKEN, PASSWORD = "consul-token-5ec7e7", "password-5ec7e7"
USERS = [f"{user}:{PASSWORD}" for user in ("u", "user")]
MARKS = ["5ec7e7", *(base64.b64encode(each.encode()).decode() for each in USERS)]
"""Parts of every secret of this test and of nothing else, as they are and as HTTP's Basic authentication has them."""

TABLES = f"""
[alice]
token = "{RIGHT}"
services = ["secrets", "none"]
rate = 100

[olga]
token = "{OPERATOR}"
roles = ["operator"]
"""

NAMES = ("classify", "lookup", "status")

LOG = LogSettings(access_sample=1.0)


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.toml"
    path.write_text(TABLES)
    path.chmod(0o644)  # provokes the warning
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "cat.jpg"
    path.write_bytes(chelsea_jpeg())
    return path


@pytest.mark.timeout(300)
async def test_no_secret_is_shown(
    shared_consul: ConsulProcess, tokens: Path, photo: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Logs, outputs, answers, errors and reprs of lookup service, worker, proxy and commands hold none of them."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    shown = Shown(MARKS)
    async with AsyncExitStack() as stack:
        access = AccessSettings(tokens)
        consul = ConsulSettings.from_environment(
            {"CONSUL_HTTP_TOKEN": CONSUL_TOKEN, "CONSUL_HTTP_AUTH": f"u:{PASSWORD}"}, url=shared_consul.url
        )
        registry = await stack.enter_async_context(
            registry_running(RegistrySettings(consul, port=0, service="secrets", access=access, log=LOG))
        )
        worker = await stack.enter_async_context(
            echo_worker(shared_consul.url, service="secrets", access=access, access_log_sample=1.0)
        )
        proxy = await stack.enter_async_context(
            proxy_running(ProxySettings(consul, port=0, service="secrets", access=access, access_log_sample=1.0))
        )
        wrong_port = await stack.enter_async_context(garbage())
        await _until_served(registry.url)
        await _ask_everything(shown, [registry.url, worker.url, proxy.url])
        await _provoke_errors(shown, registry.url, wrong_port)
        await _provoke_errors_of_consul(shown, consul, wrong_port)
        await _run_commands(shown, registry.url, wrong_port, photo)
        await _damage_the_token_file(tokens)
    shown.add("the log", caplog.text)
    shown.records(caplog.records)
    lines = [record for record in caplog.records if record.name == "registry.runtime.logs.access_log"]
    assert len(lines) > 20, "there is an access log"
    _add_reprs(shown, consul, access, tokens)
    assert "The token file" in caplog.text
    assert len(shown.texts) > 50
    assert not shown.leaks(), "\n\n".join(shown.leaks())


async def _until_served(url: str) -> None:
    async with aiohttp.ClientSession(headers=bearer(OPERATOR)) as http:

        async def served() -> bool:
            async with http.get(f"{url}/next") as answer:
                return answer.status == 200

        await until(served)


async def _ask_everything(shown: Shown, urls: list[str]) -> None:
    """Requests with every token to every kind of path, well formed and not."""
    paths = (
        *("/", "/next", "/next/none", "/next/other", "/instances/secrets", "/services", "/metrics", "/readyz"),
        *(
            "/events",
            "/summary",
            "/nowhere",
            "/v1/models/secrets",
            "/v1/models/none:predict",
            "/v2/models/secrets/infer",
            "/to/secrets/x",
        ),
    )
    async with aiohttp.ClientSession() as http:
        for url in urls:
            for token in (RIGHT, WRONG, OPERATOR):
                for method in ("GET", "POST", "BREW"):
                    for path in paths:
                        async with http.request(
                            method, url + path, headers=bearer(token), data=b"x", allow_redirects=False
                        ) as answer:
                            shown.add(f"{method} {url}{path}", f"{answer.headers} {await answer.text()}")
            for broken in ("Bad\x00Header: 1", "Content-Length: x", "Transfer-Encoding: x"):
                head = f"POST / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {RIGHT}\r\n{broken}\r\n\r\n"
                shown.add(url, await _raw(url, head))


async def _raw(url: str, text: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(text.encode())
    try:
        async with asyncio.timeout(5):
            return (await reader.read(1 << 16)).decode(errors="replace")
    finally:
        writer.close()


async def _provoke_errors(shown: Shown, url: str, wrong_port: int) -> None:
    """Every way in which a call can fail while it carries a token or a password."""
    with_password = url.replace("http://", f"http://user:{PASSWORD}@")
    wrong = f"user:{PASSWORD}@127.0.0.1:{wrong_port}"
    gone = (f"http://user:{PASSWORD}@127.0.0.1:1", f"http://user:{PASSWORD}@no-such-host.invalid")
    addresses = (url, with_password, f"http://{wrong}", f"consul://{wrong}", *gone)
    for address in addresses:
        for token in (None, RIGHT, WRONG, f"{RIGHT}\nand a line"):
            try:
                async with AsyncClient(
                    address, token=token, consul_token=CONSUL_TOKEN, service="none", timeout_s=0.5, routing="lookup"
                ) as client:
                    shown.add(address.rpartition("@")[2], repr(client) + repr(vars(client)))
                    await client.classify(b"no image")
            except (P2PError, ValueError) as error:
                shown.error(address.rpartition("@")[2], error)


async def _provoke_errors_of_consul(shown: Shown, consul: ConsulSettings, wrong_port: int) -> None:
    """A server in Consul's place that answers with what is no HTTP, one that is gone, and one that refuses."""
    for url in (f"http://127.0.0.1:{wrong_port}", "http://127.0.0.1:1", consul.url):
        catalog = Catalog(replace(consul, url=url), timeout_s=1)
        try:
            await catalog.version()
        except RegistryError as error:
            shown.error(url, error)
        finally:
            await catalog.close()


async def _run_commands(shown: Shown, url: str, wrong_port: int, photo: Path) -> None:
    """The client's commands with right and wrong tokens, and the servers' with passwords that do not help."""
    address = url.replace("http://", f"http://user:{PASSWORD}@")
    codes = {}
    for token in (RIGHT, WRONG):
        environ = {"P2P_TOKEN": token, "P2P_REGISTRY": url}
        for arguments in (("classify", str(photo)), ("lookup",), ("status",)):
            codes[token, arguments[0]] = await shown.command(*arguments, environ=environ)
    assert codes == {(token, name): int(token is WRONG) for token in (RIGHT, WRONG) for name in NAMES}
    for registry in (f"http://user:{PASSWORD}@127.0.0.1:{wrong_port}", address, f"{address}/bad path?"):
        arguments = ("lookup", "--registry", registry, "--timeout", "0.5")
        assert await shown.command(*arguments, environ={}) != 0
        assert await shown.command("status", environ={"P2P_REGISTRY": registry, "P2P_TOKEN": RIGHT}) != 0
    environ = {"CONSUL_HTTP_TOKEN": CONSUL_TOKEN, "CONSUL_HTTP_AUTH": f"u:{PASSWORD}"}
    for name, consul in (("registry", "127.0.0.1:x"), ("worker", "h/path"), ("proxy", "h:1:2"), ("up", "127.0.0.1:x")):
        assert await shown.command(name, "--consul", f"http://u:{PASSWORD}@{consul}", environ=environ) == 1


async def _damage_the_token_file(tokens: Path) -> None:
    """The running servers notice, and log it."""
    file = watched_tokens(tokens)
    for text in (RIGHT, f'[alice]\ntoken = "{RIGHT}', f'[alice]\ntoken = "{RIGHT} "', f'"{RIGHT}" = 1'):
        tokens.write_text(text)
        await file.look()


def _add_reprs(shown: Shown, consul: ConsulSettings, access: AccessSettings, tokens: Path) -> None:
    """What a debugger would show of the settings."""
    environ = {"P2P_TOKEN": RIGHT, "CONSUL_HTTP_TOKEN": CONSUL_TOKEN}
    tokens.write_text(TABLES)
    for value in (
        consul,
        access,
        RegistrySettings(consul, access=access),
        ProxySettings(consul, access=access),
        WorkerSettings(consul, ModelSource(engine="echo"), access=access),
        UpSettings(environ=environ),
        watched_tokens(tokens),
        watched_tokens(tokens).value,
    ):
        shown.add(type(value).__name__, repr(value) + str(value))
