"""The directory: which services it knows by which name, and when it asks Consul again."""

from __future__ import annotations

import asyncio

import pytest

from registry.consul.errors import ConsulUnavailable
from registry.discovery import directory as discovery_directory
from registry.discovery import service_list
from registry.discovery.directory import Directory
from registry.discovery.rotations.selector import Selector
from registry.instances.instance import Instance
from registry.lookup.service_resolution import service_named
from registry.security.caller import ANONYMOUS
from registry.web.refusal import Refusal
from tests.support.fakes import FakeCatalog
from tests.support.waiting import until

A, B = (Instance("classify", f"classify-{port}", "127.0.0.1", port) for port in (9001, 9002))


class AwayCatalog(FakeCatalog):
    """A catalog whose list of services cannot be read for a while."""

    away = True
    listed = 0

    async def services(self, *, index: int = 0):  # type: ignore[no-untyped-def]  # as the base class
        self.listed += 1
        if self.away:
            raise ConsulUnavailable("gone")
        return await super().services(index=index)


async def test_new_services_are_found_as_soon_as_the_leader_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an outage the list of services is read at once, not when the pause after the last error has passed."""
    monkeypatch.setattr(service_list, "backoff_s", lambda *_: 60.0)
    catalog = AwayCatalog(classify=(A,), other=(B,))
    async with Directory(catalog, default="classify") as directory:  # type: ignore[arg-type]  # a fake
        await until(lambda: catalog.listed == 1)
        assert directory.find("other") is None
        catalog.away = False
        directory.leader_found()
        await until(lambda: directory.find("other") is not None, within_s=5)


async def test_processes_agree_on_the_index() -> None:
    """Long polls of one client may reach different processes: the same set has the same index in all of them."""
    catalog = FakeCatalog(classify=(A, B))
    async with (
        Directory(catalog, default="classify") as one,  # type: ignore[arg-type]  # a fake
        Directory(catalog, default="classify") as two,  # type: ignore[arg-type]  # a fake
    ):
        first, second = one.followed("classify"), two.followed("classify")
        assert first is not None
        assert second is not None
        await first.wait_until_known()
        await second.wait_until_known()
        before = first.index
        assert before == second.index > 0
        catalog.put("classify", A)
        await second.wait_for_change(before, timeout_s=5)
        await until(lambda: first.index == second.index != before)
        catalog.put("classify", A, B)
        await until(lambda: first.index == second.index == before)


async def test_names_are_found_in_any_case() -> None:
    """Domain names have no case: a followed service and one that is only listed are found in any spelling."""
    catalog = FakeCatalog(Classify=(A,), other=(B,))
    async with Directory(catalog, default="Classify") as directory:  # type: ignore[arg-type]  # a fake
        await until(lambda: directory.exists("other") and directory.ready)
        assert directory.registered_name("CLASSIFY") == "Classify"
        assert directory.registered_name("OTHER") == "other"
        assert directory.registered_name("Nobody") == "nobody"


async def test_services_of_ours_displace_those_of_others() -> None:
    """However many services of others are asked for, a new one of ours is followed; a stranger's waits for room."""
    catalog = FakeCatalog(classify=(A,), other_1=(B,), other_2=(B,), other_3=(B,))
    catalog.untagged |= {"other_1", "other_2", "other_3"}
    async with Directory(catalog, default="classify", followed_at_most=3) as directory:  # type: ignore[arg-type]
        assert await directory.wait_until_listed()
        assert directory.find("other_1") is not None
        assert directory.find("other_2") is not None
        assert directory.find("other_3") is None
        assert directory.exists("other_3")
        catalog.put("brandnew", B)
        await until(lambda: directory.followed("brandnew") is not None)
        assert len(list(directory.services())) == 3
        assert directory.followed("classify") is not None


async def test_a_request_that_waits_for_a_change_ends_when_its_service_is_given_up() -> None:
    """A long poll on a service that makes room for one of ours returns at once."""
    catalog = FakeCatalog(classify=(A,), other=(B,))
    catalog.untagged.add("other")
    async with Directory(catalog, default="classify", followed_at_most=2) as directory:  # type: ignore[arg-type]
        assert await directory.wait_until_listed()
        other = directory.find("other")
        assert other is not None
        await other.wait_until_known()
        poll = asyncio.create_task(other.wait_for_change(other.index, timeout_s=60))
        await asyncio.sleep(0)
        catalog.put("brandnew", B)
        await asyncio.wait_for(poll, 5)
        assert directory.followed("other") is None


async def test_names_are_not_denied_before_consul_has_listed_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the list of services is unknown a service is not said to be missing: it is 503, not 404."""
    monkeypatch.setattr(discovery_directory, "FIRST_ANSWER_WAIT_S", 0.01)
    catalog = AwayCatalog(classify=(A,), other=(B,))
    async with Directory(catalog, default="classify") as directory:  # type: ignore[arg-type]  # a fake
        with pytest.raises(Refusal) as refused:
            await service_named(directory, "other", ANONYMOUS)
        assert (refused.value.status, refused.value.again, directory.ready) == (503, True, False)


async def test_names_are_sorted_once() -> None:
    """Requests for unknown services cost no sorting of all names, until something has changed."""
    catalog = FakeCatalog(classify=(A,), b=(B,), a=(B,))
    async with Directory(catalog, default="classify") as directory:  # type: ignore[arg-type]  # a fake
        await until(lambda: len(directory.names) == 3 and all(s.snapshot.known for s in directory.services()))
        assert directory.names == ["a", "b", "classify"]
        assert directory.names is directory.names
        catalog.put("c", B)
        await until(lambda: "c" in directory.names)


async def test_other_selectors_never_restart_the_rotation_over_all() -> None:
    """Requests with 1,000 Host headers or versions leave the rotation over all workers where it was."""
    versions = tuple(Instance("classify", f"v-{n}", "127.0.0.1", 9000 + n, tags=(f"version-{n}",)) for n in range(1000))
    catalog = FakeCatalog(classify=versions)
    async with Directory(catalog, default="classify") as directory:  # type: ignore[arg-type]  # a fake
        service = directory.find("classify")
        assert service is not None
        await service.wait_until_known()
        rotation, local = service.rotation(), service.rotation(Selector(hosts=frozenset({"127.0.0.1"})))
        generation = service.generation
        for n in range(1000):
            assert service.rotation(Selector(hosts=frozenset({"127.0.0.1", f"name-{n}"}))) is local
        assert service.generation is generation
        for n in range(1000):
            service.rotation(Selector(version=str(n)))
            await asyncio.sleep(0)
        assert service.rotation() is rotation
