"""The same client without `await`: each call runs on one background event loop and is waited for.

Nothing is written twice: every method is made from the one of `AsyncClient`, its types included.
The loop's thread is started by the first call and ended by `close`, by the garbage collector or, at
the latest, when the interpreter exits.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import threading
import weakref
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from p2pclient.client import AsyncClient
from p2pclient.errors import ClientClosed

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
        return client._run(lambda: method(client._client, *args, **kwargs))

    return call


class Client:
    """`AsyncClient` for code without an event loop; its arguments, methods and errors are the same.

        with Client("lookup:12480") as client:
            print(client.classify("cat.jpg").best.label)

    Any number of threads may use one client at the same time.
    """

    @_same_arguments(AsyncClient)
    def __init__(self, *args: Any, **options: Any) -> None:
        self._client = AsyncClient(*args, **options)
        self._lock = threading.Lock()
        self._loop: _Loop | None = None
        self._finish: Callable[[], object] | None = None
        self._closed = False

    classify = _waited_for(AsyncClient.classify)
    lookup = _waited_for(AsyncClient.lookup)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection and end the thread; calls of other threads raise ClientClosed."""
        with self._lock:
            self._closed = True
        if self._finish is not None:
            self._finish()

    def _run(self, begin: Callable[[], Coroutine[Any, Any, R]]) -> R:
        with self._lock:
            if self._closed:
                raise ClientClosed("this client is closed: make a new one, or close it later")
            if self._loop is None:
                self._loop = _Loop()
                # It must not refer to this client, or the client would never be collected.
                self._finish = weakref.finalize(self, self._loop.stop, self._client.close)
            future = self._loop.submit(begin())
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise ClientClosed("the client was closed during the call") from None
        except BaseException:
            future.cancel()  # Ctrl-C in this thread: the call need not go on
            raise


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="p2pclient", daemon=True)
        self._thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, R]) -> concurrent.futures.Future[R]:
        """Start a coroutine on the loop, from any thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def stop(self, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel what runs, await `close()`, end the loop and wait for its thread."""
        self.submit(self._wind_down(close))
        if threading.current_thread() is not self._thread:  # the collector may run in any thread
            self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    async def _wind_down(self, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        calls = asyncio.all_tasks() - {asyncio.current_task()}
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await close()
        await asyncio.sleep(0)  # one round of the loop, in which closed sockets are let go
        self._loop.stop()
