"""Chooses the worker for the next request of the proxy, from a fixed list or from the directory."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Protocol

from registry.discovery.directory import Directory
from registry.discovery.rotations.rotation import Rotation
from registry.instances.instance import Instance
from registry.runtime.errors import SettingsError

_WORKER = re.compile(
    r"(?:(?P<scheme>https?)://)?(?:(?P<name>[A-Za-z0-9._-]+):|\[(?P<ipv6>[0-9A-Fa-f:.]+)\]:)?(?P<port>[0-9]{1,5})"
)


class Workers(Protocol):
    """The source of a proxy's workers."""

    def next(self, exclude: Collection[str]) -> Instance | None:
        """The next worker in rotation whose id is not in `exclude`; None where there is none."""
        ...


class FixedWorkers:
    """A list that never changes: the article's first proxy."""

    def __init__(self, instances: Collection[Instance]) -> None:
        self._rotation = Rotation(instances)

    def next(self, exclude: Collection[str]) -> Instance | None:
        """See Workers."""
        return self._rotation.next_except(exclude)


class ServiceWorkers:
    """The serving workers of the directory's default service: the article's second proxy."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def next(self, exclude: Collection[str]) -> Instance | None:
        """See Workers."""
        service = self._directory.followed(self._directory.default)
        return None if service is None else service.rotation().next_except(exclude)


def parse_workers(text: str) -> tuple[Instance, ...]:
    """`20001,10.0.0.5:8080,https://gpu1:8443` as workers; a port alone is one on this machine.

    Raises SettingsError for anything else.
    """
    workers = [_parse(item.strip()) for item in text.split(",")]
    if len({worker.id for worker in workers}) < len(workers):
        raise SettingsError(f"--workers {text} names a worker twice: name each once.")
    return tuple(workers)


def _parse(item: str) -> Instance:
    match = _WORKER.fullmatch(item)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise SettingsError(
            f"--workers cannot use {item!r}: give ports, host:port or https://host:port, such as 20001,10.0.0.5:8080."
        )
    host, port = match["name"] or match["ipv6"] or "127.0.0.1", int(match["port"])
    meta = {"scheme": match["scheme"]} if match["scheme"] else {}
    return Instance(service="", id=f"{host}:{port}", host=host, port=port, meta=meta)
