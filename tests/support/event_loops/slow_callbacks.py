"""Finds the callbacks of event loops that compute for too long: asyncio's slow-callback log, in processor time.

In debug mode asyncio and uvloop log a callback by the time on the wall, to which other threads and processes add. Here
only the time that the loop's thread computes counts, so that a busy machine makes no findings. Starts of processes do
not count, nor garbage collections unless asked for: how long they take depends on all that the process has imported.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any
from unittest.mock import patch

import uvloop


@dataclass(eq=False)
class _Search:
    above_s: float
    collections: bool
    found: list[str] = field(default_factory=list)


_searches: list[_Search] = []  # one for each `slow_callbacks` that is open


class _Aside(threading.local):
    """What this thread has spent on other things than its callbacks, in seconds of its processor time."""

    collected_s = 0.0
    started_s = 0.0
    _began_s = 0.0
    _starting = False  # a process; garbage that is collected meanwhile belongs to it

    def collect(self, phase: str, _info: dict[str, int]) -> None:
        """Called by the garbage collector."""
        if self._starting:
            return
        if phase == "start":
            self._began_s = time.thread_time()
        else:
            self.collected_s += time.thread_time() - self._began_s

    def start(self, process: subprocess.Popen[Any], *arguments: Any, **options: Any) -> None:
        """Popen's constructor."""
        began_s, self._starting = time.thread_time(), True
        try:
            _popen(process, *arguments, **options)
        finally:
            self._starting = False
            self.started_s += time.thread_time() - began_s


_aside = _Aside()
_popen = subprocess.Popen.__init__


def _start_process(process: subprocess.Popen[Any], *arguments: Any, **options: Any) -> None:
    _aside.start(process, *arguments, **options)


def _measured(run: Callable[[], object], callback: object) -> object:
    """Run the callback and note it if it takes too long."""
    collected_s, computed_s = _aside.collected_s, time.thread_time() - _aside.started_s
    began_s = time.monotonic()
    try:
        return run()
    finally:
        took_s = time.thread_time() - _aside.started_s - computed_s
        collected_s = _aside.collected_s - collected_s
        for search in _searches:
            if took_s - (0 if search.collections else collected_s) > search.above_s:
                search.found.append(
                    f"{took_s * 1000:.0f} ms of processor time, {collected_s * 1000:.0f} of them garbage collection, "
                    f"and {(time.monotonic() - began_s) * 1000:.0f} ms on the wall: {_described(callback)}"
                )


def _described(callback: object) -> str:
    """The callback, or the task of which it is a step."""
    task = getattr(callback, "__self__", None)
    return f"a step of {task!r}"[:400] if isinstance(task, asyncio.Task) else repr(callback)[:400]


@contextmanager
def slow_callbacks(above_s: float, *, collections: bool = True) -> Iterator[list[str]]:
    """A list that gets a line for each callback that computes for longer, with or without garbage `collections`.

    Seen are all asyncio loops of this process, and the uvloops that are a `MeasuredUvloop`.
    """
    search = _Search(above_s, collections)
    with ExitStack() as undo:
        if not _searches:
            undo.enter_context(patch("asyncio.Handle._run", _run_handle))  # asyncio offers no hook without debug mode
            undo.enter_context(patch("subprocess.Popen.__init__", _start_process))
            gc.callbacks.append(_aside.collect)
            undo.callback(gc.callbacks.remove, _aside.collect)
        _searches.append(search)
        undo.callback(_searches.remove, search)
        yield search.found


_asyncio_run = asyncio.Handle._run


def _run_handle(handle: asyncio.Handle) -> object:
    return _measured(partial(_asyncio_run, handle), handle._callback)  # type: ignore[attr-defined]  # asyncio's own


class MeasuredUvloop(uvloop.Loop):
    """A uvloop whose callbacks `slow_callbacks` sees: the steps of tasks, timers, and protocols that receive data.

    uvloop runs callbacks in C, where nothing can be put around them: they are wrapped when they are handed in.
    """

    def call_soon(self, callback: Callable[..., object], *arguments: Any, **options: Any) -> Any:
        return super().call_soon(partial(_run, callback), *arguments, **options)

    def call_soon_threadsafe(self, callback: Callable[..., object], *arguments: Any, **options: Any) -> Any:
        return super().call_soon_threadsafe(partial(_run, callback), *arguments, **options)

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: Any, **options: Any) -> Any:
        return super().call_later(delay, partial(_run, callback), *arguments, **options)

    def call_at(self, when: float, callback: Callable[..., object], *arguments: Any, **options: Any) -> Any:
        return super().call_at(when, partial(_run, callback), *arguments, **options)

    async def create_server(self, factory: Callable[[], asyncio.Protocol], *arguments: Any, **options: Any) -> Any:
        return await super().create_server(lambda: _with_measured_reads(factory()), *arguments, **options)

    async def create_connection(self, factory: Callable[[], asyncio.Protocol], *arguments: Any, **options: Any) -> Any:
        return await super().create_connection(lambda: _with_measured_reads(factory()), *arguments, **options)


def _with_measured_reads(protocol: asyncio.Protocol) -> asyncio.Protocol:
    protocol.__class__ = _measuring_class(type(protocol))
    return protocol


@cache
def _measuring_class(kind: type[asyncio.Protocol]) -> type[asyncio.Protocol]:
    def data_received(protocol: asyncio.Protocol, data: bytes) -> None:
        _measured(partial(kind.data_received, protocol, data), kind.data_received)

    return type(kind.__name__, (kind,), {"__slots__": (), "data_received": data_received})


def _run(callback: Callable[..., object], *arguments: object) -> object:
    return _measured(partial(callback, *arguments), callback)
