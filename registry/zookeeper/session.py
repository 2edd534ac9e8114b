"""A session with ZooKeeper for one event loop: kazoo carries the calls on threads of its own, and we await them.

kazoo reconnects by itself and begins a new session where the old one has expired. It gives up after a failed
authentication, and it never comes back to servers that have lost their data: they refuse a client that has seen more
than they have. So a client that is dead, or without a connection for longer than a session lives, is replaced.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from kazoo.client import KazooClient, TransactionRequest
from kazoo.exceptions import (
    AuthFailedError,
    BadVersionError,
    ConnectionLoss,
    InvalidACLError,
    KazooException,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
    SessionClosedRequireSaslError,
)
from kazoo.protocol.states import KazooState, KeeperState
from kazoo.retry import KazooRetry

from registry.backend.errors import BackendUnavailable, CredentialsRefused
from registry.backend.source import CALL_TIMEOUT_S
from registry.runtime.tasks.race import finishes_first
from registry.runtime.tasks.supervise import cancel_all, start_supervised
from registry.zookeeper.settings import AUTH, ZooKeeperSettings

CONNECTION_WAIT_S = 2.0
"""How long a call waits for a connection: longer than it takes to go to another server of the ensemble."""

RECONNECTS_WITHIN_S = 1.0
"""The longest pause between two attempts to connect."""

LOOKS_EVERY_S = 1.0
"""How often it is looked whether the client has to be replaced."""

CLOSING_S = 2.0
"""The longest that closing waits for ZooKeeper; the session ends by itself later."""

_ABOUT_NODES = (BadVersionError, NodeExistsError, NoNodeError, NotEmptyError)

Call = Callable[[KazooClient], Any]
"""Starts an operation of kazoo's and returns its result to come."""


class Session:
    """A session that is opened with the first call; `lost` is called in the event loop whenever its watches are gone.

    Calls raise BackendUnavailable where there is no connection or no answer, CredentialsRefused where our user may not
    do it, and kazoo's own errors for what the nodes do not allow (NoNodeError, NodeExistsError, BadVersionError).
    """

    def __init__(self, settings: ZooKeeperSettings, lost: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._lost = lost
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: KazooClient | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._connection = asyncio.Event()
        self._unconnected_since_s = 0.0
        self._waiting: set[asyncio.Future[Any]] = set()
        self._refusal = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether a server holds the session at the moment."""
        return self._connection.is_set()

    @property
    def refused(self) -> bool:
        """Whether the servers do not accept our user."""
        return self._refusal.is_set()

    @property
    def id(self) -> int | None:
        """ZooKeeper's number of the session, as nodes name their owner; None without a connection."""
        known = self._client.client_id if self._client is not None and self.connected else None
        return known[0] if known else None

    @property
    def last_transaction(self) -> int:
        """The number of the last transaction of the ensemble that we have heard of."""
        return int(self._client.last_zxid) if self._client is not None else 0

    async def call(self, start: Call) -> Any:
        """The result of an operation."""
        client = await self._connected_client()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        start(client).rawlink(partial(_hand_over, loop, future))
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                result = await future
        except TimeoutError:
            raise BackendUnavailable(f"{self._name} did not answer within {CALL_TIMEOUT_S:g} s.") from None
        except KazooException as error:
            raise self._translated(error) from error
        self._refusal.clear()
        return result

    async def transact(self, build: Callable[[TransactionRequest], None]) -> None:
        """Do all of the operations that `build` puts into a transaction, or none: raises what `call` raises."""

        def start(client: KazooClient) -> Any:
            transaction = client.transaction()
            build(transaction)
            return transaction.commit_async()

        results = await self.call(start)
        for failure in (each for each in results if isinstance(each, KazooException)):
            if not isinstance(failure, (RolledBackError, RuntimeInconsistency)):  # that of another operation
                raise self._translated(failure)

    async def close(self) -> None:
        """End the session. Where no server answers it ends by itself, when its time is over."""
        if self._keeping is not None:
            await cancel_all(self._keeping)
        if self._client is not None:
            closed = _close(self._client)
            await asyncio.to_thread(closed.wait, CLOSING_S)
            self._client = None

    def _translated(self, error: KazooException) -> Exception:
        """The error that a caller gets for one of kazoo's."""
        known: Exception = error
        if isinstance(error, _ABOUT_NODES):
            return known
        if isinstance(error, (AuthFailedError, SessionClosedRequireSaslError)):
            self._refusal.set()
            return CredentialsRefused(self._not_accepted())
        if isinstance(error, (NoAuthError, InvalidACLError)):
            return CredentialsRefused(self._not_allowed())
        return BackendUnavailable(f"{self._name} could not answer: {type(error).__name__}.")

    @property
    def _name(self) -> str:
        return f"ZooKeeper at {self._settings.url}"

    def _not_accepted(self) -> str:
        user = self._settings.credentials
        if user is None:
            return f"{self._name} accepts nobody without a user: give one in {AUTH}."
        return f"{self._name} does not accept the user {user.user!a} ({user.scheme}): look at its password in {AUTH}."

    def _not_allowed(self) -> str:
        user = self._settings.credentials
        who = f"the user {user.user!a} ({user.scheme})" if user else "somebody without a user"
        return (
            f"{self._name} refused: {who} may not do this to the nodes below {self._settings.root}. Give a user that "
            f"may in {AUTH}, or change the nodes' access control list."
        )

    async def _connected_client(self) -> KazooClient:
        if self._client is None:
            self._loop = asyncio.get_running_loop()
            self._open()
            self._keeping = start_supervised("keep the session with ZooKeeper", self._keep)
        if not self.connected:
            await finishes_first(self._connection.wait(), self._refusal.wait(), timeout_s=CONNECTION_WAIT_S)
        if not self.connected:
            if self.refused:
                raise CredentialsRefused(self._not_accepted())
            raise BackendUnavailable(f"{self._name} cannot be reached, or it has no quorum of servers.")
        assert self._client is not None
        return self._client

    def _open(self) -> None:
        """Begin with a new client."""
        user = self._settings.credentials
        sasl, digest = None, None
        if user is not None and user.scheme == "sasl":
            sasl = {"mechanism": "DIGEST-MD5", "username": user.user, "password": user.password}
        elif user is not None:
            digest = [("digest", f"{user.user}:{user.password}")]
        client = KazooClient(
            hosts=",".join(self._settings.hosts),
            timeout=self._settings.session_timeout_s,
            auth_data=digest,
            sasl_options=sasl,
            connection_retry=KazooRetry(max_tries=-1, delay=0.1, max_delay=RECONNECTS_WITHIN_S),
            logger=_logger(),
        )
        self._client = client
        self._unconnected_since_s = time.monotonic()
        client.add_listener(partial(self._state_in_thread, client))
        client.start_async()

    def _state_in_thread(self, client: KazooClient, state: str) -> None:
        """kazoo's connection thread says that the state has changed."""
        assert self._loop is not None
        refused = client.client_state == KeeperState.AUTH_FAILED
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._state_changed, client, state, refused)

    def _state_changed(self, client: KazooClient, state: str, refused: bool) -> None:
        if client is not self._client:
            return
        if refused:
            self._refusal.set()
        if state == KazooState.CONNECTED:
            self._connection.set()
        elif self.connected:
            self._connection.clear()
            self._unconnected_since_s = time.monotonic()
            self._lost()
            for future in self._waiting:  # kazoo may forget what comes while it loses its connection
                if not future.done():
                    future.set_exception(AuthFailedError() if refused else ConnectionLoss())

    async def _keep(self) -> None:
        """Replace the client whenever it cannot come back."""
        while True:
            await asyncio.sleep(LOOKS_EVERY_S)
            client, waited_s = self._client, time.monotonic() - self._unconnected_since_s
            if client is None or self.connected:
                continue
            dead = client.client_state in (KeeperState.CLOSED, KeeperState.AUTH_FAILED)
            if dead or waited_s > 1.5 * self._settings.session_timeout_s:
                _close(client)
                self._open()


def _logger() -> logging.Logger:
    """For kazoo, which says in passing what we say where it matters, and at DEBUG would write passwords."""
    logger = logging.getLogger(f"{__name__}.kazoo")
    logger.setLevel(logging.ERROR)
    return logger


def _hand_over(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], result: Any) -> None:
    """In a thread of kazoo's: have the event loop take the result."""
    with suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(_settle, future, result)


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if future.done():
        return
    if result.exception is None:
        future.set_result(result.value)
    else:
        future.set_exception(result.exception)


def _close(client: KazooClient) -> threading.Event:
    """Stop the client in a thread, since kazoo may wait long for a server; the event is set when that is done."""
    closed = threading.Event()

    def close() -> None:
        try:
            client.stop()
            client.close()
        except Exception as error:  # its threads are daemons, and end with the process at the latest
            _logger().info("kazoo's client could not be closed: %s", error)
        finally:
            closed.set()

    threading.Thread(target=close, name="close a session with ZooKeeper", daemon=True).start()
    return closed
