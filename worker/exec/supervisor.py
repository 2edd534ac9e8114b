"""Any server as a worker: started on a free port, registered while it answers, taken out before it is stopped.

What flows: a command line with {port} in it -> a child process -> its health path answers -> a registration
with an HTTP check that Consul runs itself. The child is not restarted, and its exit code becomes ours.

Between our choosing a free port and the child's binding it, another program may take it. The child then ends
as servers do that cannot bind, and its code and message are the report; and where /proc shows that a process
older than the child listens there, its answers are not taken for the child's.

Two things hold less firmly than for `p2p worker`. Should we be killed, the kernel kills the child (on Linux), but
not what that has started: begin with the server itself rather than with a script around it. And a foreign health
path cannot be asked for our boot id: whoever gets the port of a killed server passes its check.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import uuid
from collections.abc import Coroutine, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp

from registry.consul.catalog import Checks
from registry.consul.instance import Instance, stable_id
from registry.consul.settings import ConsulSettings
from registry.runtime.listen import bind, port_of
from worker.exec.child import Child
from worker.exec.port_owner import stranger_on
from worker.registration import Registration, advertised

logger = logging.getLogger(__name__)

POLL_S = 0.1
"""Between two questions whether the child has come up."""

TIMEOUT_S = 1.0
"""For one answer of the health path, ours and Consul's check alike."""

TOO_LATE = 1
"""The exit code when the child was stopped because it did not come up."""

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""The exit codes of a shell for a command that cannot be started."""

PASSED_ON = (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that mean to a server whatever it wants: reload, rotate logs."""

_LOCAL = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}
"""Where to reach what listens on all addresses."""


@dataclass(frozen=True, slots=True)
class AdoptSettings:
    """What `p2p exec` takes: see its --help for the meaning of each. `environ` is what the command sees."""

    consul: ConsulSettings
    service: str
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 0
    advertise: str | None = None
    health_path: str = "/"
    start_timeout_s: float = 60.0
    drain_s: float = 2.0
    stop_timeout_s: float = 30.0
    tags: tuple[str, ...] = ()
    weight: int = 1


async def adopt(settings: AdoptSettings) -> int:
    """Run the command until it ends or a signal asks for its end; the exit code, the child's where it had one.

    Raises SettingsError for a port that cannot be had, ConsulUnavailable where the address to register must
    be asked of Consul, ConsulRefused where Consul refuses the registration; the child is stopped then.
    """
    instance = await _instance(settings)
    command = [argument.replace("{port}", str(instance.port)) for argument in settings.command]
    try:
        child = await Child.start(command, environ={**settings.environ, "PORT": str(instance.port)})
    except OSError as error:
        logger.error("%s cannot be started: %s.", command[0], error.strerror)
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    logger.info("Started %s (process %d).", child.name, child.pid)
    with _Signals(child) as signals:
        late = False
        try:
            late = await _live(settings, instance, child, signals)
        finally:
            code = await child.stop(signals.number, patience_s=settings.stop_timeout_s)
    return TOO_LATE if late else code


async def _instance(settings: AdoptSettings) -> Instance:
    host = settings.advertise or await advertised(settings.host, settings.consul)
    with bind(settings.host, settings.port) as listener:
        port = port_of(listener)
    return Instance(
        service=settings.service,
        id=stable_id(settings.service, host, port),
        host=host,
        port=port,
        weight=settings.weight,
        tags=settings.tags,
        boot=uuid.uuid4().hex,
    )


async def _live(settings: AdoptSettings, instance: Instance, child: Child, signals: _Signals) -> bool:
    """From the start to the moment when the child may be stopped; whether it came up too late to be taken."""
    here = replace(instance, host=_LOCAL.get(settings.host, settings.host))
    probe = Probe(_url(here, settings.health_path), port=here.port, child=child.pid)
    up = await _unless(probe.until_passing(), child.ended(), signals.asked.wait(), timeout_s=settings.start_timeout_s)
    if up:
        await _serve(settings, instance, child, signals, probe)
    elif child.code is not None and not signals.asked.is_set():
        logger.error(
            "The command ended with code %d before it answered %s: its own last lines say why.",
            child.code,
            probe.url,
        )
    elif not signals.asked.is_set():
        logger.error(
            "The command did not answer %s with a 2xx within %g s (last: %s): name a path that does with "
            "--health-path, or give it more time with --start-timeout.",
            probe.url,
            settings.start_timeout_s,
            probe.last,
        )
        return True
    return False


async def _serve(settings: AdoptSettings, instance: Instance, child: Child, signals: _Signals, probe: Probe) -> None:
    """Registered until the child ends, or a signal asks and the drain grace has passed."""
    checks = Checks(health_url=_url(instance, settings.health_path), timeout_s=TIMEOUT_S, ttl_s=None)
    async with Registration(settings.consul, instance, checks, fit=probe.passes) as place:
        logger.info("Serving on http://%s.", instance.address)
        await _unless(child.ended(), signals.asked.wait())
        if child.code is not None:
            logger.info("The command ended with code %d.", child.code)
            return
        logger.info("Leaving the rotation; the command is sent %s in %g s.", signals.number.name, settings.drain_s)
        await place.leave()
        # Whoever looked this server up a moment ago is still on the way.
        await _unless(child.ended(), timeout_s=settings.drain_s)


def _url(instance: Instance, path: str) -> str:
    return f"http://{instance.address}/{path.removeprefix('/')}"


async def _unless(
    work: Coroutine[Any, Any, None], *ends: Coroutine[Any, Any, object], timeout_s: float | None = None
) -> bool:
    """Whether `work` gets done in time and before any of `ends`; what is not done is cancelled."""
    tasks = [asyncio.create_task(coroutine) for coroutine in (work, *ends)]
    try:
        done, _ = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
    return done == {tasks[0]}


class Probe:
    """Asks the child's health path as Consul will: a GET, redirects followed, 2xx passes.

    Not "anything below 500": what Consul's check calls critical must not be registered as passing. A 429 is
    a warning to Consul, but of a server that starts it says that it is not ready.
    """

    def __init__(self, url: str, *, port: int, child: int) -> None:
        self.url = url
        self.last = "nothing was asked yet"
        self._port = port
        self._child = child

    async def until_passing(self) -> None:
        """Return when it passes."""
        while not await self.passes():  # noqa: ASYNC110  no event tells of another process's readiness
            await asyncio.sleep(POLL_S)

    async def passes(self) -> bool:
        """Whether it passes now; `last` says in words what came. From any event loop."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(self.url) as answer:
                came, passes = f"{answer.status} {answer.reason}", 200 <= answer.status < 300
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: redirected to what is no URL
            self.last = str(error) or "no answer in time"
            return False
        stranger = stranger_on(self._port, child=self._child) if passes else None
        # In one step, whenever the clock ends this: half of it would say that a stranger's answer is the command's.
        self.last = came
        if stranger is not None:
            self.last = f"port {self._port} was taken by process {stranger.pid}, {stranger.name}, in between"
        return passes and stranger is None


class _Signals(AbstractContextManager["_Signals"]):
    """What this process is told, as events for us or as signals for the child.

    The first SIGTERM or SIGINT sets `asked`, and `number` to itself: what to stop the child with. The second
    kills the child, the rest follows from its end; the third ends us on the spot.
    """

    def __init__(self, child: Child) -> None:
        self.asked = asyncio.Event()
        self.number = signal.SIGTERM
        self._child = child
        self._forced = False
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> _Signals:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end, number)
        for number in PASSED_ON:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup's wish holds for the child as well
                self._loop.add_signal_handler(number, self._child.send, number)
        return self

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, *PASSED_ON):
            self._loop.remove_signal_handler(number)

    def _end(self, number: signal.Signals) -> None:
        if self._forced:
            os._exit(128 + number)
        elif self.asked.is_set():
            self._forced = True
            self._child.send(signal.SIGKILL)
        else:
            self.number = number
            self.asked.set()
