"""The two agents of the contract, ours and the real Consul: a test that takes `consul` or `api` runs against both.

Each is one process for the whole session, so tests use names of their own (`name`) and leave nothing that
would disturb another.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from tests.support.consul_process import ConsulProcess

PATIENCE_S = 10.0


@dataclass(frozen=True)
class Consul:
    """A running agent."""

    url: str
    pid: int


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def index(self) -> int:
        return int(self.headers["X-Consul-Index"])


class Api:
    """Raw HTTP to one agent."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def ask(self, method: str, path: str, body: object = None) -> Reply:
        """One request to /v1/PATH; a body that is not bytes goes as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.request(method, f"{self.url}/v1/{path}", data=data) as response:
            return Reply(response.status, await response.text(), response.headers)

    async def get(self, path: str) -> Reply:
        return await self.ask("GET", path)

    async def put(self, path: str, body: object = None) -> Reply:
        return await self.ask("PUT", path, body)

    async def do(self, path: str, body: object = None) -> None:
        """A PUT that must succeed."""
        reply = await self.put(path, body)
        assert reply.status == 200, reply

    async def until(self, path: str, wanted: Callable[[Any], object]) -> Reply:
        """Ask until the JSON that comes back is as wanted: a real agent tells its servers a little later."""
        return await self.eventually(lambda: self.get(path), lambda reply: reply.status < 400 and wanted(reply.json))

    async def eventually(self, ask: Callable[[], Awaitable[Reply]], wanted: Callable[[Reply], object]) -> Reply:
        until_s = time.monotonic() + PATIENCE_S
        while True:
            reply = await ask()
            if wanted(reply):
                return reply
            assert time.monotonic() < until_s, f"still {reply} after {PATIENCE_S:g} s"
            await asyncio.sleep(0.01)

    async def blocked(self, path: str, index: int) -> asyncio.Task[Reply]:
        """A read of PATH that waits for a higher index, and had not ended a moment later."""
        joint = "&" if "?" in path else "?"
        watch = asyncio.create_task(self.get(f"{path}{joint}index={index}&wait=20s"))
        done, _ = await asyncio.wait([watch], timeout=0.1)
        assert not done, watch.result()
        return watch

    async def register(self, name: str, **fields: object) -> Reply:
        """Register a service under its own name and return health/service/NAME once it is there."""
        await self.do("agent/service/register", {"Name": name, **fields})
        return await self.until(f"health/service/{name}", len)

    async def settle(self) -> None:
        """Return when everything that was said to the agent before has reached the catalogue."""
        name = f"settled-{uuid.uuid4().hex}"
        await self.register(name)
        await self.do(f"agent/service/deregister/{name}")
        await self.until(f"health/service/{name}", lambda found: not found)


@pytest.fixture(scope="session")
def embedded_agent() -> Iterator[Consul]:
    """Ours, in a process of its own that must not print a single warning or traceback."""
    command = [sys.executable, "-W", "error", Path(__file__).parents[1] / "support" / "servers" / "run_agent.py"]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=environ, **pipes) as process:  # type: ignore[call-overload]  # dict
        yield Consul(process.stdout.readline().strip(), process.pid)
        _, complaints = process.communicate("", timeout=PATIENCE_S)
    assert complaints == ""
    assert process.returncode == 0


@pytest.fixture(scope="session")
def real_consul(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consul]:
    process = ConsulProcess(consul_binary, tmp_path_factory.mktemp("consul"), wan=True)
    process.start()
    try:
        yield Consul(process.url, process.pid)
    finally:
        process.stop()


@pytest.fixture(scope="session", params=["embedded-agent", "real-consul"])
def consul(request: pytest.FixtureRequest) -> Consul:
    """First the one, then the other."""
    running: Consul = request.getfixturevalue(request.param.replace("-", "_"))
    return running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"svc-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def api(consul: Consul, session: aiohttp.ClientSession, name: str) -> AsyncIterator[Api]:
    """One agent's API; what a test registered under its name is removed, so that it wakes no watcher later."""
    api = Api(session, consul.url)
    yield api
    for service_id, service in (await api.get("agent/services")).json.items():
        if name in service["Service"]:
            await api.do(f"agent/service/deregister/{quote(service_id)}")


@pytest.fixture
async def node(api: Api) -> str:
    """The agent's name for its machine."""
    found: str = (await api.get("agent/self")).json["Config"]["NodeName"]
    return found
