"""One model of a worker as clients and Consul see it: its port, its state, and what is registered of it."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from registry.instances.instance import (
    LOADING_META,
    TICKET_AUTH,
    TOKEN_AUTH,
    Instance,
    RegisterAt,
    Scheme,
    failed_meta,
    stable_id,
    version_tag,
)
from registry.runtime.listen import port_of
from worker.advertising.advertised import Advertised
from worker.repository.served_model import ServedModel
from worker.settings import WorkerSettings
from worker.web.endpoint_state import EndpointState

FAILED_SHOWN = 3
"""How many versions that could not be loaded a registration names; Consul allows 64 entries."""


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """One model of a worker as clients see it: its port, its state, its registration's boot id.

    `number` counts the worker's models, from 0.
    """

    number: int
    store: ServedModel
    listener: socket.socket
    state: EndpointState

    @property
    def port(self) -> int:
        """The port that was really bound."""
        return port_of(self.listener)


def health_url(settings: WorkerSettings, instance: Instance) -> str | None:
    """What Consul's agent fetches; None where it fetches nothing, and the heartbeats alone say that the worker lives.

    Unless told otherwise it fetches nothing from a port on which clients need a certificate: agents show none unless
    they are configured to. A worker in the catalogue has no heartbeats that end by themselves: it is always checked.
    """
    wanted = settings.agent_check
    if wanted is None:
        mutual = settings.tls is not None and settings.tls.client_ca is not None
        wanted = not mutual or settings.register is RegisterAt.CATALOG
    return f"{instance.origin}/healthz?boot={instance.boot}" if wanted else None


def instance_of(settings: WorkerSettings, endpoint: ModelEndpoint, advertised: Advertised) -> Instance:
    """The registration of one model: its version is the default one, and each version that serves has a tag."""
    store, host, port = endpoint.store, advertised.host, advertised.port(endpoint.number, endpoint.port)
    scheme = Scheme.HTTP if settings.tls is None else Scheme.HTTPS
    return Instance(
        service=store.name,
        id=stable_id(store.name, host, port),
        host=host,
        port=port,
        weight=settings.weight,
        version=store.current.model.version,
        tags=tuple(version_tag(version) for version in store.loaded),
        boot=endpoint.state.boot,
        meta={"model": store.name, "protocol": "article", **scheme.meta, **_auth(settings), **_coming_versions(store)},
    )


def _coming_versions(store: ServedModel) -> dict[str, str]:
    """What the registration says of the version that is being loaded, and of the newest ones that failed."""
    statuses = store.statuses()
    loading = next((status.version for status in statuses if status.state == "LOADING"), "")
    said = {LOADING_META: loading} if loading else {}
    for status in [status for status in statuses if status.error][:FAILED_SHOWN]:
        said |= failed_meta(status.version, status.error)
    return said


def _auth(settings: WorkerSettings) -> dict[str, str]:
    """What the registration says of the permission that requests need."""
    if settings.require_ticket:
        return {"auth": TICKET_AUTH}
    return {"auth": TOKEN_AUTH} if settings.access.tokens is not None else {}
