"""Finds the service from which a request is answered: here, in the datacenter that it names, or in a failover one.

The rule of failover is that of Consul's prepared queries: another datacenter answers only while no instance that the
request selects is healthy here. Where none is healthy anywhere, this datacenter answers, with panic mode if need be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from registry.discovery.directory import Directory
from registry.discovery.other_datacenters import OtherDatacenters
from registry.discovery.rotations.selector import ANY, Selector
from registry.discovery.service import Service
from registry.lookup.service_resolution import service_named
from registry.runtime.errors import RegistryError
from registry.security.caller import Caller
from registry.web.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Found:
    """The service that answers, its directory, and all services whose changes may let another one answer."""

    service: Service
    directory: Directory
    considered: Sequence[Service]


class ServiceFinder:
    """Looks in `directory`, and in other datacenters where there are `others`."""

    def __init__(self, directory: Directory, others: OtherDatacenters | None = None) -> None:
        self._directory = directory
        self._others = others

    async def find(self, name: str, caller: Caller, selector: Selector = ANY, *, datacenter: str = "") -> Found:
        """The service of that name that can answer for the instances of `selector`.

        Raises AccessDenied and Refusal, as `service_named` does; 404 for an unknown datacenter, with those that exist.
        """
        if datacenter:
            directory = await self.directory(datacenter)
            service = await service_named(directory, name, caller)
            return Found(service, directory, (service,))
        if self._others is None or not self._others.failover:
            service = await service_named(self._directory, name, caller)
            return Found(service, self._directory, (service,))
        return await self._with_failover(self._others, name, caller, selector)

    async def directory(self, datacenter: str) -> Directory:
        """The services of a datacenter, "" for this one. Raises Refusal for an unknown one."""
        others = self._others
        if not datacenter:
            return self._directory
        if others is None:
            raise Refusal(404, f"There is no datacenter {datacenter[:40]!a} here.")
        if not others.follows(datacenter):
            try:
                names = await others.names()
            except RegistryError as error:
                product = self._directory.product
                raise Refusal(
                    503, f"{product} does not say which datacenters there are: {error}", again=True
                ) from error
            if datacenter not in names:
                raise Refusal(404, f"There is no datacenter {datacenter[:40]!a}: there are {', '.join(names)}.")
            if await others.is_here(datacenter):
                return self._directory
        return await others.directory(datacenter)

    async def _with_failover(self, others: OtherDatacenters, name: str, caller: Caller, selector: Selector) -> Found:
        here, refused = None, None
        try:
            here = await service_named(self._directory, name, caller)
        except Refusal as refusal:
            refused = refusal
        considered = [] if here is None else [here]
        if here is not None and here.serves(selector):
            return Found(here, self._directory, considered)
        for datacenter in others.failover:
            directory = await others.directory(datacenter)
            if others.silent(datacenter):
                continue
            try:
                service = await service_named(directory, name, caller)
            except Refusal:
                continue
            considered.append(service)
            if service.serves(selector):
                return Found(service, directory, considered)
        if here is None:
            assert refused is not None, "either there is a service here or a reason why not"
            raise refused
        return Found(here, self._directory, considered)
