"""The same client without `await`: each call runs on one background event loop and is waited for.

Nothing is written twice: every method is made from the one of `AsyncClient`, its types included, except
`classify_many`, which takes its images in the caller's thread. The loop's thread is started by the first call and
ended by `close`, by the garbage collector or, at the latest, when the interpreter exits.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import copy
import functools
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from p2pclient.async_client import AsyncClient
from p2pclient.concurrency.concurrent_map import WINDOW
from p2pclient.errors import ClientClosed
from p2pclient.types import Image, Result

P = ParamSpec("P")
R = TypeVar("R")


def _same_arguments(
    _made_like: Callable[P, AsyncClient],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Client, P], None]]:
    """Give a constructor the signature of another one, for readers and type checkers."""

    def sign(init: Callable[..., None]) -> Callable[Concatenate[Client, P], None]:
        return functools.wraps(AsyncClient.__init__)(init)

    return sign


def _waited_for(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Client, P], R]:
    """The blocking counterpart of a method of `AsyncClient`."""

    @functools.wraps(method)
    def call(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return client._run(lambda made: method(made, *args, **kwargs))

    return call


class Client:
    """`AsyncClient` for code without an event loop; its arguments, methods and errors are the same.

        with Client("lookup:12480") as client:
            print(client.classify("cat.jpg").best.label)

    Any number of threads may use one client at the same time, and so may a process that was forked since:
    it gets a loop and connections of its own.
    """

    @_same_arguments(AsyncClient)
    def __init__(self, *args: Any, **options: Any) -> None:
        self._make = functools.partial(AsyncClient, *args, **options)
        self._engines = {os.getpid(): _Engine(self._make())}
        self._options: dict[str, Any] = {}
        self._closed = False

    classify = _waited_for(AsyncClient.classify)
    predict = _waited_for(AsyncClient.predict)
    lookup = _waited_for(AsyncClient.lookup)
    workers = _waited_for(AsyncClient.workers)
    services = _waited_for(AsyncClient.services)

    def with_options(
        self,
        *,
        service: str | None = None,
        top: int | None = None,
        timeout_s: float | None = None,
        attempts: int | None = None,
        hedge: bool | None = None,
    ) -> Self:
        """A client whose calls go by other options, those that are given; raises ValueError if one is invalid.

        It shares connections, subscriptions and the retry budget with this one: closing either closes both.
        """
        given = {"service": service, "top": top, "timeout_s": timeout_s, "attempts": attempts, "hedge": hedge}
        client = copy.copy(self)
        client._options = self._options | {name: value for name, value in given.items() if value is not None}
        client._derived(self._engine().client)
        return client

    def classify_many(
        self,
        images: Iterable[Image],
        *,
        concurrency: int = 8,
        ordered: bool = True,
        top: int | None = None,
        service: str | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[Result]:
        """Classify one image after another, `concurrency` at a time, each within `timeout_s`.

        Results come in the images' order, or as they are finished if not `ordered`. An image is taken from
        `images`, in the thread that fetches the results, when its turn has come, and one that fails gives a
        result with its error and stops nothing.
        """
        if (top is not None and top < 1) or concurrency < 1:
            raise ValueError(f"top and concurrency must be 1 or more, not {top} and {concurrency}")
        engine = self._engine()

        def begin(numbered: tuple[int, Image]) -> concurrent.futures.Future[Result]:
            index, image = numbered
            return engine.submit(
                lambda client: self._derived(client)._result(
                    index, image, top=top, service=service, timeout_s=timeout_s
                )
            )

        begun = (begin(numbered) for numbered in enumerate(images))
        return _results(begun, concurrency=concurrency, ordered=ordered)

    def __repr__(self) -> str:
        described = repr(self._derived(self._engine().client))
        return described.replace(AsyncClient.__name__, type(self).__name__, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection and end the thread; calls of other threads raise ClientClosed."""
        self._closed = True
        self._engine().close()

    def _run(self, begin: Callable[[AsyncClient], Coroutine[Any, Any, R]]) -> R:
        return _waited(self._engine().submit(lambda made: begin(self._derived(made))))

    def _derived(self, client: AsyncClient) -> AsyncClient:
        """This process's client with this one's options."""
        return client.with_options(**self._options) if self._options else client

    def _engine(self) -> _Engine:
        """This process's own: the one that a fork has copied is left alone, since the parent still uses it."""
        pid = os.getpid()
        engine = self._engines.get(pid)
        if engine is None:  # of several threads that come here at once, all get the one that was first
            engine = self._engines.setdefault(pid, _Engine(self._make()))
            if self._closed:
                engine.close()
        return engine


def _waited(future: concurrent.futures.Future[R]) -> R:
    try:
        return future.result()
    except concurrent.futures.CancelledError:
        raise ClientClosed("the client was closed during the call") from None
    except BaseException:
        future.cancel()  # Ctrl-C in this thread: the call need not go on
        raise


def _results(begun: Iterator[concurrent.futures.Future[R]], *, concurrency: int, ordered: bool) -> Iterator[R]:
    """The futures' results; the next future is asked for when fewer than `concurrency` are unfinished."""
    waiting: deque[concurrent.futures.Future[R]] = deque()
    more = True
    try:
        while True:
            running = [future for future in waiting if not future.done()]
            while more and len(running) < concurrency and len(waiting) < concurrency * WINDOW:
                future = next(begun, None)
                if future is None:
                    more = False
                else:
                    waiting.append(future)
                    running.append(future)
            if not waiting:
                return
            ready = waiting[0] if ordered else next((f for f in waiting if f.done()), None)
            if ready is not None and ready.done():
                waiting.remove(ready)
                yield _waited(ready)
            else:
                concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
    finally:
        for future in waiting:
            future.cancel()


class _Engine:
    """A client with the loop that it runs on, which is started by the first call."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self._lock = threading.Lock()
        self._loop: _Loop | None = None
        self._closed = False

    def submit(self, begin: Callable[[AsyncClient], Coroutine[Any, Any, R]]) -> concurrent.futures.Future[R]:
        """Start a call; raises ClientClosed."""
        with self._lock:
            if self._closed:
                raise ClientClosed("this client is closed: make a new one, or close it later")
            if self._loop is None:
                # It must not refer to this engine, or the client would never be collected.
                self._loop = _Loop(self.client.close)
                weakref.finalize(self, self._loop.stop).atexit = False
            return self._loop.submit(begin(self.client))

    def close(self) -> None:
        """End everything; what was submitted ends with ClientClosed."""
        with self._lock:
            self._closed = True
        if self._loop is not None:
            self._loop.stop_and_wait()


class _Loop:
    """An event loop in a thread of its own, which awaits `close()` before it ends.

    Nothing is done in a process that was forked since: there is no thread, and the loop's descriptors are the
    parent's.
    """

    def __init__(self, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._close = close
        self._pid = os.getpid()
        self._stopping = False
        self._loop = asyncio.new_event_loop()
        atexit.register(self.stop_and_wait)
        self._thread = threading.Thread(target=self._serve, name="p2pclient", daemon=True)
        self._thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, R]) -> concurrent.futures.Future[R]:
        """Start a coroutine on the loop, from any thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def stop(self) -> None:
        """Cancel what runs, await `close()` and end the loop, without waiting for it.

        The garbage collector calls this in any thread and at any moment: one that waited could wait for itself.
        """
        if os.getpid() == self._pid and not self._stopping:
            self._stopping = True
            self.submit(self._wind_down())

    def stop_and_wait(self) -> None:
        """The same, and wait for the thread to end."""
        self.stop()
        if os.getpid() == self._pid and threading.current_thread() is not self._thread:
            self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()
            atexit.unregister(self.stop_and_wait)

    async def _wind_down(self) -> None:
        calls = asyncio.all_tasks() - {asyncio.current_task()}
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await self._close()
        await asyncio.sleep(0)  # one round of the loop, in which closed sockets are released
        self._loop.stop()
