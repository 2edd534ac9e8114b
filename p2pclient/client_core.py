"""What clients share that were made from one another: connections, subscriptions, what was learned of workers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from p2pclient import validation
from p2pclient.balancing.balancer import Balancer
from p2pclient.calls.executor import CallExecutor
from p2pclient.calls.pauses import Pauses
from p2pclient.calls.service_channel import ServiceChannel
from p2pclient.calls.shadowing import Shadowing
from p2pclient.discovery.address import Addresses, addresses
from p2pclient.discovery.base import WorkerSource
from p2pclient.discovery.consul.source import ConsulSource
from p2pclient.discovery.registry import RegistrySource
from p2pclient.messages import Request
from p2pclient.options import Balancing
from p2pclient.tracing.provider import call_tracing
from p2pclient.transport.base import Transport
from p2pclient.transport.worker_client import WorkerClient
from p2pclient.types import Label, Worker

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


class ClientCore:
    """One transport, one source of workers, and a channel for each service that was called.

    `balancing` None: the lookup service is asked at each call. Raises ValueError if an option is invalid.
    """

    def __init__(
        self,
        registry: str,
        transport: Transport,
        *,
        balancing: Balancing | None,
        worker_scheme: str | None,
        token: str | None,
        consul_token: str | None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        where = addresses(registry)
        if token is not None and where.with_password and not where.consul:
            raise ValueError("token and a name or password in the address exclude each other: give one of them")
        self.shown = where.shown
        tracing = call_tracing(tracer_provider)
        if tracing is not None:
            transport = tracing.transport(transport)
        self.transport = transport
        self.source = _source(transport, where, validation.token(token), validation.token(consul_token))
        if worker_scheme is not None:
            validation.one_of("worker_scheme", worker_scheme, ("http", "https"))
        self.worker_client = WorkerClient(transport, scheme=worker_scheme, token=token, tickets=self.source)
        self.shadowing = Shadowing(self.worker_client)
        self.pauses = Pauses()
        self.executor = CallExecutor(self.source, self.pauses, tracing)
        self._balancing = balancing
        self._channels: dict[str | None, ServiceChannel] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def channel(self, service: str | None) -> ServiceChannel:
        """The one channel of a service."""
        channel = self._channels.get(service)
        if channel is None:
            balancer = None
            if self._balancing is not None:
                balancer = Balancer(subset=self._balancing.subset, slow_start_s=self._balancing.slow_start_s)
            channel = self._channels[service] = ServiceChannel(self.source, service, balancer, self.pauses)
        return channel

    def shadow(
        self, service: str | None, answered: Worker, request: Callable[[Worker], Request], best: Label | None
    ) -> None:
        """Copy a call that `answered` has answered, with this best label, to the versions that shadow the service."""
        channel = self.channel(service)
        if channel.shadows:
            self.shadowing.offer(channel, answered, request, best)

    def check_loop(self) -> None:
        """Raise RuntimeError in any other event loop than the one of the first call."""
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._loop is not loop:
            raise RuntimeError("this client belongs to another event loop: make one in each, or use Client")

    async def close(self) -> None:
        """End every wait, every subscription and every connection."""
        self.pauses.close()
        subscriptions = [channel.subscription for channel in self._channels.values()]
        await asyncio.gather(*(each.stop() for each in subscriptions if each is not None))
        await self.shadowing.close()
        await self.source.close()
        await self.transport.close()


def _source(transport: Transport, where: Addresses, token: str | None, consul_token: str | None) -> WorkerSource:
    if where.consul:
        consul_token = consul_token or validation.token(os.environ.get("CONSUL_HTTP_TOKEN") or None)
        return ConsulSource(transport, where.urls, token=consul_token)
    return RegistrySource(transport, where.urls, token=token)
