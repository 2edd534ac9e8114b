"""Checks that run: a timer for each TTL, a task for each probe; each reports the status that it finds.

The decisions are pure functions next to the loops: when a run of equal results counts, and which checks are overdue.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from registry.agent.checks.definitions import Repeated, Ttl
from registry.agent.checks.probes import open_session, run_probe
from registry.agent.state.records import Status
from registry.runtime.tasks.supervise import cancel_all, start_supervised

Report = Callable[[str, Status, str], None]


@dataclass(frozen=True, slots=True)
class Streak:
    """How many results in a row were good, or bad."""

    good: int = 0
    bad: int = 0


def first_streak(run: Repeated) -> Streak:
    """The streak before the first result: both thresholds count as reached, so that the first result shows."""
    return Streak(good=run.successes, bad=run.failures)


def extend(streak: Streak, status: Status, run: Repeated) -> tuple[Streak, bool]:
    """The streak with one more result, and whether the check now takes the status of that result.

    A warning counts as good. Source: `StatusHandler` in Consul's agent/checks.
    """
    if status is Status.CRITICAL:
        streak = Streak(bad=streak.bad + 1)
        return streak, streak.bad >= run.failures
    streak = Streak(good=streak.good + 1)
    return streak, streak.good >= run.successes


def overdue(*, now_s: float, critical_since_s: Mapping[str, float], reap_after_s: Mapping[str, float]) -> set[str]:
    """The ids of the checks that have been critical for longer than their service is allowed."""
    return {
        check_id
        for check_id, since_s in critical_since_s.items()
        if check_id in reap_after_s and now_s - since_s > reap_after_s[check_id]
    }


def bounded(output: str, limit: int) -> str:
    """A heartbeat's note, cut to `limit` bytes and followed by its full length if it was longer."""
    raw = output.encode()
    if len(raw) <= limit:
        return output
    return f"{raw[:limit].decode(errors='ignore')} ... (captured {limit} of {len(raw)} bytes)"


class CheckRunner:
    """Every check that is running, by its id. Use as an async context manager; leaving it stops them all.

    `tls` is what the certificates of servers are verified with; True: the system's authorities.
    """

    def __init__(self, report: Report, *, tls: ssl.SSLContext | bool = True) -> None:
        self._report = report
        self._tls = tls
        self._definitions: dict[str, Ttl | Repeated] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopped: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> CheckRunner:
        self._session = open_session(self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        for check_id in list(self._definitions):
            self.stop(check_id)
        await cancel_all(*self._stopped)
        await self._session.close()

    def start(self, check_id: str, run: Ttl | Repeated) -> None:
        """Run a check. A probe that already runs with this definition goes on; a TTL begins anew."""
        if isinstance(run, Repeated) and self._definitions.get(check_id) == run:
            return
        self.stop(check_id)
        self._definitions[check_id] = run
        if isinstance(run, Ttl):
            self._restart_timer(check_id, run, note="")
        else:
            self._tasks[check_id] = start_supervised(f"check {check_id}", partial(self._repeat, check_id, run))

    def stop(self, check_id: str) -> None:
        """Stop a check; nothing more will be reported for it."""
        self._definitions.pop(check_id, None)
        timer = self._timers.pop(check_id, None)
        if timer:
            timer.cancel()
        task = self._tasks.pop(check_id, None)
        if task:
            task.cancel()
            self._stopped.add(task)
            task.add_done_callback(self._stopped.discard)

    def heartbeat(self, check_id: str, status: Status, note: str) -> bool:
        """Report for a TTL check and restart its timer; false if there is no such TTL check."""
        run = self._definitions.get(check_id)
        if not isinstance(run, Ttl):
            return False
        note = bounded(note, run.output_max_bytes)
        self._restart_timer(check_id, run, note=note)
        self._report(check_id, status, note)
        return True

    def _restart_timer(self, check_id: str, run: Ttl, *, note: str) -> None:
        timer = self._timers.pop(check_id, None)
        if timer:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._timers[check_id] = loop.call_later(run.lifetime_s, self._expire, check_id, note)

    def _expire(self, check_id: str, note: str) -> None:
        last_output = f" (last output before timeout follows): {note}" if note else ""
        self._report(check_id, Status.CRITICAL, f"TTL expired{last_output}")

    async def _repeat(self, check_id: str, run: Repeated) -> None:
        streak = first_streak(run)
        while True:
            status, output = await run_probe(run.probe, self._session)
            streak, counts = extend(streak, status, run)
            if counts:
                self._report(check_id, status, output)
            await asyncio.sleep(run.interval_s)
