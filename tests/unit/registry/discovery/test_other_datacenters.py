"""Other datacenters: which are followed, and what of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from registry.consul.errors import ConsulUnavailable
from registry.discovery import other_datacenters as module
from registry.discovery.other_datacenters import DATACENTERS_AT_MOST, OtherDatacenters
from registry.instances.instance import Instance
from tests.support.fakes import FakeCatalog
from tests.support.waiting import until

WORKER = Instance("cats", "c1", "10.0.0.5", 9001)


class Catalog(FakeCatalog):
    """A catalog with one service, which may be closed; `away` while Consul does not answer for it."""

    def __init__(self, *, away: bool = False) -> None:
        super().__init__(cats=(WORKER,), dogs=())
        self.closed = False
        self.away = away

    async def services(self, *, index: int = 0):  # type: ignore[no-untyped-def]  # as FakeCatalog's
        if self.away:
            raise ConsulUnavailable("No path to datacenter")
        return await super().services(index=index)

    async def datacenters(self) -> Sequence[str]:
        return ["dc1", "dc2"]

    async def datacenter(self) -> str:
        raise ConsulUnavailable("not allowed")

    async def close(self) -> None:
        self.closed = True


async def test_only_what_is_asked_for_is_followed() -> None:
    """A datacenter's services are listed at once, and each is followed from the first request for it on."""
    async with OtherDatacenters(Catalog(), lambda _: Catalog()) as others:  # type: ignore[arg-type,return-value]  # fakes
        directory = await others.directory("dc2")
        await until(lambda: directory.listed)
        assert list(directory.services()) == []
        service = directory.find("cats")
        assert service is not None
        await service.wait_until_known()
        assert (service.datacenter, service.snapshot.serving) == ("dc2", (WORKER,))
        assert await others.directory("dc2") is directory


async def test_one_that_nobody_asks_for_gives_way() -> None:
    """At most so many are followed: the one asked for longest ago is closed, but none of those for failover."""
    opened: dict[str, Catalog] = {}

    def open_catalog(name: str) -> Catalog:
        opened[name] = Catalog()
        return opened[name]

    others = OtherDatacenters(Catalog(), open_catalog, failover=("dc0",))  # type: ignore[arg-type]  # fakes
    async with others:
        names = [f"dc{number}" for number in range(DATACENTERS_AT_MOST)]
        for name in names:
            await others.directory(name)
        await others.directory("dc1")
        await others.directory("new")
        assert [name for name, catalog in opened.items() if catalog.closed] == ["dc2"]
    assert all(catalog.closed for catalog in opened.values())


async def test_one_that_does_not_answer_is_silent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After the time for a first answer it is waited for no more, which is logged once."""
    monkeypatch.setattr(module, "FIRST_ANSWER_WAIT_S", 0.05)
    others = OtherDatacenters(Catalog(), lambda _: Catalog(away=True))  # type: ignore[arg-type,return-value]  # fakes
    async with others:
        assert not others.silent("dc9")
        await others.directory("dc9")
        assert not others.silent("dc9")
        await until(lambda: others.silent("dc9"))
        assert others.silent("dc9")
    assert caplog.text.count("Datacenter dc9 does not answer") == 1


async def test_the_name_of_this_datacenter_may_be_unknown() -> None:
    """A token without the right to ask the agent: no name is that of this datacenter."""
    async with OtherDatacenters(Catalog(), lambda _: Catalog()) as others:  # type: ignore[arg-type,return-value]  # fakes
        assert await others.names() == ["dc1", "dc2"]
        assert not await others.is_here("dc1")
