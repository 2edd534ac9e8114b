"""`p2p up`: Consul (or the embedded agent), the lookup service and workers, on this machine, as one command.

Starts the same commands that one would start by hand, waits until the lookup service hands the workers out,
and says what to try. On a signal the workers go first, while the others are still there for them.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import sys
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from registry.consul.catalog import Catalog
from registry.consul.errors import ConsulUnavailable
from registry.consul.settings import DEFAULT_CONSUL_URL, ConsulSettings
from registry.runtime import children
from registry.runtime.children import Child, Say
from registry.runtime.errors import SettingsError
from registry.runtime.listen import bind, port_of

HOST = "127.0.0.1"
AGENT_PORT = 8500
DEFAULT_PORT = 12480
"""The lookup service's, which clients ask unless they are told another."""
POLL_S = 0.2
WORKER_PATIENCE_S = 40.0
"""More than a worker's drain grace and the time for what is in flight."""

PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class UpSettings:
    """What `p2p up` takes; `environ` is what the children see."""

    environ: Mapping[str, str]
    workers: int = 2
    model: str | None = None
    service: str = "classify"
    port: int = DEFAULT_PORT
    consul: str | None = None


class EndedEarlyError(Exception):
    """Something that was started has ended by itself."""


async def up(settings: UpSettings, stop: asyncio.Event, *, say: Say) -> None:
    """Run everything until `stop` is set.

    Raises SettingsError for a taken port, EndedEarlyError when a part ended that the rest cannot do without.
    """
    bind(HOST, settings.port).close()  # a clear refusal before anything is started
    fleet = _Fleet(settings, say)
    try:
        await _unless_stopped(fleet.run(), stop)
    finally:
        await fleet.stop()


async def _unless_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    running = asyncio.create_task(work)
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((running, stopped), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        running.cancel()
        stopped.cancel()
        await asyncio.gather(running, stopped, return_exceptions=True)


class _Fleet:
    """The children, and the order in which they come and go."""

    def __init__(self, settings: UpSettings, say: Say) -> None:
        self._settings = settings
        self._say = say
        self._pillars: list[Child] = []
        self._workers: list[Child] = []

    async def run(self) -> None:
        consul = await self._find_consul()
        environ = dict(self._settings.environ) | {"CONSUL_HTTP_ADDR": consul}
        await self._start_registry(environ)
        await self._start_workers(environ)
        watch = asyncio.create_task(self._watch())
        ready = asyncio.create_task(self._wait_until_served())
        try:
            await asyncio.wait((watch, ready), return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
            self._say(_invitation(self._settings, ready.result()))
            await watch
        finally:
            watch.cancel()
            ready.cancel()
            await asyncio.gather(watch, ready, return_exceptions=True)

    async def stop(self) -> None:
        if self._workers or self._pillars:
            self._say("Stopping: the workers finish what they have begun ...")
        await asyncio.gather(*(w.stop(patience_s=WORKER_PATIENCE_S) for w in self._workers))
        for pillar in reversed(self._pillars):
            await pillar.stop(patience_s=PATIENCE_S)
        if self._workers or self._pillars:
            self._say("All stopped.")

    async def _find_consul(self) -> str:
        settings = self._settings
        named = settings.consul or settings.environ.get("CONSUL_HTTP_ADDR")
        consul = ConsulSettings.from_environment(settings.environ, url=named)
        catalog = Catalog(consul, timeout_s=5.0)
        try:
            version = await catalog.version()
        except ConsulUnavailable as error:
            if named:
                raise SettingsError(f"{error} Start it, or unset CONSUL_HTTP_ADDR to use our own.") from error
            return await self._start_agent()
        finally:
            await catalog.close()
        self._say(f"Consul: the one at {consul.url} (version {version}).")
        return consul.url

    async def _start_agent(self) -> str:
        port = _free_port(AGENT_PORT)
        url = f"http://{HOST}:{port}"
        self._say(f"Consul: none at {DEFAULT_CONSUL_URL}, so the embedded agent is started on {url}.")
        await self._start_pillar("agent", ["agent", "--port", str(port)], self._settings.environ)
        await self._answers(f"{url}/v1/status/leader")
        return url

    async def _start_registry(self, environ: Mapping[str, str]) -> None:
        settings = self._settings
        arguments = ["registry", "--host", HOST, "--port", str(settings.port), "--service", settings.service]
        await self._start_pillar("registry", arguments, environ)
        await self._answers(f"http://{HOST}:{settings.port}/healthz")

    async def _start_pillar(self, name: str, arguments: list[str], environ: Mapping[str, str]) -> None:
        self._pillars.append(await self._start(name, arguments, environ))

    async def _start_workers(self, environ: Mapping[str, str]) -> None:
        settings = self._settings
        what = settings.model or "the ImageNet model EfficientNet-Lite0"
        self._say(f"Workers: starting {settings.workers} with {what} ...")
        arguments = ["worker", "--host", HOST, "--port", "0", "--service", settings.service]
        if settings.model:
            arguments += ["--model", settings.model]
        for number in range(1, settings.workers + 1):
            self._workers.append(await self._start(f"worker {number}", arguments, environ))

    async def _start(self, name: str, arguments: list[str], environ: Mapping[str, str]) -> Child:
        command = [sys.executable, "-m", "p2pclient", *arguments]
        return await children.start(name, command, environ=environ, say=self._say)

    async def _answers(self, url: str) -> None:
        """Wait until `url` answers 200. Raises EndedEarlyError when a pillar has ended instead."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while True:
                for pillar in self._pillars:
                    if not pillar.running:
                        raise EndedEarlyError(f"{await pillar.ended()}: see its last lines above.")
                try:
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            return
                except (aiohttp.ClientError, TimeoutError):
                    pass
                await asyncio.sleep(POLL_S)

    async def _wait_until_served(self) -> list[str]:
        """Wait until the lookup service hands out every worker that still runs; their addresses."""
        url = f"http://{HOST}:{self._settings.port}/instances/{self._settings.service}"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while True:
                async with session.get(url) as answer:
                    found = (await answer.json())["instances"] if answer.status == 200 else []
                serving = [i["address"] for i in found if i["health"] in ("passing", "warning")]
                if len(serving) >= sum(w.running for w in self._workers):
                    return serving
                await asyncio.sleep(POLL_S)

    async def _watch(self) -> None:
        """Tell of every child that ends; raise when what is left cannot serve."""
        waiting = {asyncio.create_task(c.ended()): c for c in (*self._pillars, *self._workers)}
        try:
            while waiting:
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    child = waiting.pop(task)
                    if child in self._pillars or not any(w.running for w in self._workers):
                        raise EndedEarlyError(f"{task.result()}: see its last lines above.")
                    self._say(f"{task.result()}; the others go on.")
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


def _free_port(wished: int) -> int:
    try:
        listener = bind(HOST, wished)
    except SettingsError:
        listener = bind(HOST, 0)
    with listener:
        return port_of(listener)


def _invitation(settings: UpSettings, addresses: list[str]) -> str:
    """What is ready, and lines to try that work as they are typed in this folder."""
    cat = shlex.quote(os.path.relpath(Path(__file__).with_name("cat.jpg")))
    p2p = _p2p_as_typed()
    registry = "" if settings.port == DEFAULT_PORT else f" --registry {HOST}:{settings.port}"
    return (
        f"\nReady: the lookup service on http://{HOST}:{settings.port}, workers on {', '.join(addresses)}.\n\n"
        "Try:\n"
        f"    curl -F data=@{cat} localhost:`curl -s localhost:{settings.port}`\n"
        f"    {p2p} classify{registry} {cat}\n"
        f"    {p2p} status{registry}\n\n"
        "Ctrl-C stops everything."
    )


def _p2p_as_typed() -> str:
    """`p2p` where the shell finds this one, else its path from this folder."""
    script = Path(sys.executable).with_name("p2p")
    if not script.exists():
        return f"{shlex.quote(sys.executable)} -m p2pclient"
    found = shutil.which("p2p")
    return "p2p" if found and Path(found).samefile(script) else shlex.quote(os.path.relpath(script))
