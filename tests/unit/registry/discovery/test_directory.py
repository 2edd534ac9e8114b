"""The directory: which services it knows by which name, and when it asks Consul again."""

from __future__ import annotations

import pytest

from registry.consul.errors import ConsulUnavailable
from registry.consul.instance import Instance
from registry.discovery import service_list
from registry.discovery.directory import Directory
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
