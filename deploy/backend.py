"""Finds the discovery backend for `p2p up`: the one that is named, else a Consul that answers, else one of our own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from deploy.up_settings import HOST, UpSettings
from registry.backend.errors import BackendRefused, BackendUnavailable
from registry.chosen_backend import BackendSettings, backend_settings, open_source
from registry.consul.catalog import Catalog
from registry.consul.errors import ConsulUnavailable
from registry.consul.settings import ConsulSettings
from registry.runtime.errors import SettingsError
from registry.runtime.processes.children import WriteLine
from worker.advertising.refuse_loopback import refuse_loopback

_OTHER_BACKENDS = frozenset(
    f"P2P{command}_{flag}" for command in ("", "_REGISTRY", "_WORKER") for flag in ("CONSUL", "DISCOVERY")
)
"""Variables that the children would use in place of the backend that is chosen for all of them."""


def children_environment(settings: UpSettings, backend: BackendSettings) -> Mapping[str, str]:
    """The environment in which children reach the backend."""
    environ = {name: value for name, value in settings.environ.items() if name not in _OTHER_BACKENDS}
    return environ | backend.as_environment()


async def find_backend(
    settings: UpSettings, write_line: WriteLine, *, start_agent: Callable[[], Awaitable[str]]
) -> BackendSettings:
    """The backend; `start_agent` gives the URL of an agent of our own, where nobody named one and none answers.

    Raises SettingsError where one that is named does not answer, or must not be used by workers on loopback.
    """
    if settings.discovery:
        backend = backend_settings(settings.environ, consul=settings.consul, discovery=settings.discovery)
        await _check_answers(backend)
        write_line(f"{backend.product}: the one at {backend.url}.")
    else:
        named = settings.consul or settings.environ.get("CONSUL_HTTP_ADDR")
        consul = backend = ConsulSettings.from_environment(settings.environ, url=named)
        version = await _version(consul, named=bool(named))
        if version is None:
            return replace(consul, url=await start_agent())
        write_line(f"Consul: the one at {consul.url} (version {version}).")
    await _refuse_loopback(settings, backend)
    return backend


async def _check_answers(backend: BackendSettings) -> None:
    source = open_source(backend)
    try:
        await source.services()
    except (BackendUnavailable, BackendRefused) as error:
        raise SettingsError(str(error)) from error
    finally:
        await source.close()


async def _version(consul: ConsulSettings, *, named: bool) -> str | None:
    """The version of the agent; None where nobody named one and none answers."""
    catalog = Catalog(consul, timeout_s=5.0)
    try:
        return await catalog.version()
    except ConsulUnavailable as error:
        if named:
            raise SettingsError(f"{error} Start it, or unset CONSUL_HTTP_ADDR to use our own.") from error
        return None
    finally:
        await catalog.close()


async def _refuse_loopback(settings: UpSettings, backend: BackendSettings) -> None:
    """Raise SettingsError where other machines take part in this backend: the workers listen on loopback."""
    if settings.allow_loopback:
        return
    try:
        await refuse_loopback(HOST, backend)
    except BackendRefused as error:
        raise SettingsError(
            f"{error} --host and --advertise are flags of p2p worker: start the workers with it, or unset "
            "CONSUL_HTTP_ADDR to use our own Consul."
        ) from error
