"""A worker's registration in Consul: registers, sends heartbeats, registers again when forgotten, deregisters.

It runs in a thread with an event loop of its own, so that heartbeats are sent on time however busy the worker is:
with heartbeats missed under load, a healthy worker would leave and rejoin the rotation again and again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any

from registry.consul.catalog import Checks
from registry.consul.errors import ConsulRefused, ConsulUnavailable, Forgotten, TokenRefused
from registry.consul.registration.catalog_registrar import LEAVING
from registry.consul.registration.registrar import Registrar, open_registrar
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Instance, RegisterAt
from registry.runtime.tasks.supervise import cancel_all, start_supervised
from worker.advertising.refuse_loopback import refuse_loopback

logger = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
"""A third of the check's TTL: two heartbeats may be lost."""

AUDIT_S = 30.0
"""The time between two questions whether the agent still holds the registration, where heartbeats show it too."""

FIRST_AUDIT_S = 8.0
"""The time before the first of these questions: by then Consul's check has failed if it cannot reach the worker."""

FAREWELL_S = 3.0
"""The longest that leaving may take when Consul does not answer; it removes what it cannot reach."""


class Registration:
    """Keeps `instance` registered while the context is open.

    Registers on entry (raises ConsulRefused where Consul refuses; where it does not answer, tries again in the
    background), sends heartbeats while `moving()` is true, registers again whenever Consul has forgotten the instance,
    deregisters on exit. `place` says where: at the agent or in the catalogue. Where `checks` have no `ttl_s` there are
    no heartbeats, and Consul is asked as often whether it still knows the instance.

    `fit()` is called before every registration but the first: a worker that Consul removed because it hangs must
    not come back as passing while it still hangs. Both are called from the registration's own thread.

    A loopback address is refused (ConsulRefused) where other machines take part in this Consul, unless
    `allow_loopback` says that clients are on this machine.
    """

    def __init__(
        self,
        consul: ConsulSettings,
        instance: Instance,
        checks: Checks,
        *,
        place: RegisterAt = RegisterAt.AGENT,
        moving: Callable[[], bool] = lambda: True,
        fit: Callable[[], Awaitable[bool]] | None = None,
        allow_loopback: bool = False,
    ) -> None:
        self._consul = consul
        self._place = place
        self._instance = instance
        self._checks = checks
        self._moving = moving
        self._fit = fit
        self._allow_loopback = allow_loopback
        self._audit_s = AUDIT_S if checks.ttl_s else 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="registration", daemon=True)
        self._registrar: Registrar | None = None
        self._task: asyncio.Task[None] | None = None
        self._updated = asyncio.Event()
        self._left = False
        self._registered = False
        self._check_failure: str | None = None  # what Consul's own check found at the last audit

    async def __aenter__(self) -> Registration:
        self._thread.start()
        try:
            await self._on_thread(self._begin())
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._on_thread(self._end())
        finally:
            await self._close()

    @property
    def instance(self) -> Instance:
        """The instance that is registered, or is about to be."""
        return self._instance

    async def update(self, instance: Instance) -> None:
        """Register another version, tags or meta under the same id, soon and as often as it takes.

        The checks keep their state and an operator's maintenance stays, because nothing is deregistered in between.
        """
        await self._on_thread(self._update(instance))

    async def leave(self) -> None:
        """Leave the rotation, still registered: clients stop being sent here. Returns when Consul knows."""
        await self._on_thread(self._leave())

    async def _on_thread(self, work: Coroutine[Any, Any, None]) -> None:
        future: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        await asyncio.wrap_future(future)

    async def _begin(self) -> None:
        self._registrar = open_registrar(self._place, self._consul)
        self._registered = await self._try_to_register(self._registrar)
        self._task = start_supervised(f"heartbeats of {self._instance.id}", partial(self._stay, self._registrar))

    async def _update(self, instance: Instance) -> None:
        self._instance = instance
        self._updated.set()

    async def _updated_before(self, until_s: float) -> bool:
        """Wait for an update, at most until then; whether there is one."""
        try:
            async with asyncio.timeout(until_s - time.monotonic()):
                await self._updated.wait()
        except TimeoutError:
            return False
        self._updated.clear()
        return True

    async def _stay(self, registrar: Registrar) -> None:
        """Send heartbeats, ask whether the registration still exists, and register again as often as it takes."""
        audit_at_s = time.monotonic() + min(self._audit_s, FIRST_AUDIT_S)
        beat_at_s = _next_beat_s()
        while True:
            if await self._updated_before(beat_at_s):
                self._registered = await self._register_if_fit(registrar)
                continue
            beat_at_s = _next_beat_s()
            if not self._registered:
                self._registered = await self._register_if_fit(registrar)
                continue
            try:
                self._registered = await self._heartbeat(registrar)
                if self._registered and time.monotonic() >= audit_at_s:
                    audit_at_s = time.monotonic() + self._audit_s
                    self._registered = await self._audit(registrar)
            except (ConsulUnavailable, ConsulRefused) as error:
                logger.warning("Consul could not be told or asked: %s", error)
            if not self._registered:
                self._log_forgotten()
                self._registered = await self._register_if_fit(registrar)

    async def _audit(self, registrar: Registrar) -> bool:
        """Whether the agent still holds the registration; a check of Consul's that begins or ceases to fail is logged.

        Only Consul knows why its check fails: where it cannot reach the advertised address, this worker sees nothing.
        """
        known = await registrar.knows(self._instance.id, boot=self._instance.boot)
        try:
            failure = await registrar.failing_check(self._instance.id) if known else self._check_failure
        except ConsulRefused:  # a token that may register but not read
            return known
        if failure and not self._check_failure:
            logger.warning("Consul's check of %s fails, so clients are not sent here: %s", self._instance.id, failure)
        elif self._check_failure and not failure:
            logger.info("Consul's check of %s passes again.", self._instance.id)
        self._check_failure = failure
        return known

    def _log_forgotten(self) -> None:
        if self._check_failure:
            sentence = "Consul has removed %s, because its check fails: %s. Registering again."
            logger.warning(sentence, self._instance.id, self._check_failure.rstrip("."))
        else:
            logger.warning("Consul has forgotten %s: registering again.", self._instance.id)

    async def _register_if_fit(self, registrar: Registrar) -> bool:
        if self._fit is not None and not await self._fit():
            logger.warning("%s stays unregistered until it is well.", self._instance.id)
            return False
        return await self._try_to_register(registrar)

    async def _heartbeat(self, registrar: Registrar) -> bool:
        """Send one; whether the agent knows the check. True where there are no heartbeats."""
        if not self._checks.ttl_s:
            return True
        try:
            if self._moving():
                await registrar.heartbeat(self._instance.id)
            else:
                await registrar.silence(self._instance.id, note="the prediction loop does not move")
        except Forgotten:
            return False
        return True

    async def _try_to_register(self, registrar: Registrar) -> bool:
        try:
            if not self._allow_loopback:
                await refuse_loopback(self._instance.host, self._consul)
            await registrar.register(self._instance, self._checks)
        except ConsulUnavailable as error:
            logger.warning("%s Serving unregistered, trying again.", error)
            return False
        except ConsulRefused as error:
            # At the start this is an error of the set-up, later perhaps a rotated token. But an agent that has just
            # started and reaches no server refuses every token, because it cannot look one up.
            unchecked = isinstance(error, TokenRefused) and not await registrar.has_leader()
            if self._task is None and not unchecked:
                raise
            logger.warning("%s Serving unregistered, trying again.", error)
            return False
        logger.info("Registered as %s.", self._instance.id)
        return True

    async def _leave(self) -> None:
        if self._registrar is None or self._left:
            return
        self._left = True
        if self._task is not None:
            await cancel_all(self._task)
        await self._within_farewell(
            lambda registrar: registrar.maintenance(self._instance.id, enable=True, reason=LEAVING)
        )

    async def _end(self) -> None:
        await self._leave()
        await self._within_farewell(lambda registrar: registrar.deregister(self._instance.id))

    async def _within_farewell(self, say: Callable[[Registrar], Awaitable[None]]) -> None:
        assert self._registrar is not None
        try:
            async with asyncio.timeout(FAREWELL_S):
                await say(self._registrar)
        except (TimeoutError, ConsulUnavailable, ConsulRefused) as error:
            logger.warning("Leaving without Consul: %s", error or "no answer in time")
        except Forgotten:
            return

    async def _close(self) -> None:
        if self._registrar is not None:
            await self._on_thread(self._registrar.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()


def _next_beat_s() -> float:
    return time.monotonic() + HEARTBEAT_S * random.uniform(0.9, 1.0)
