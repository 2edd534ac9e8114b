"""How the registry reads Consul's answers about health: the table that it shares with p2pclient."""

from __future__ import annotations

import json

import pytest

from registry.backend.entry import read_entry
from registry.backend.health_answer import HealthAnswer
from registry.consul.entry_cache import EntryCache
from registry.consul.health_answer import health_answer
from registry.discovery.reconcile import reconcile
from registry.discovery.snapshot import Snapshot
from tests.support.consul_health_cases import CASES, HEADER_CASES, HEADERS, Case, Expected, HeaderCase

MALFORMED = (LookupError, TypeError, ValueError, AttributeError)


def read(case: Case) -> HealthAnswer:
    return health_answer(HEADERS, EntryCache(read_entry).values(json.dumps(case.entries)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_entries_are_read_as_the_table_says(case: Case) -> None:
    """Every field of every instance, and whether it is handed out, is as in the table; else nothing is read."""
    if case.instances is None:
        with pytest.raises(MALFORMED):
            read(case)
        return
    answer = read(case)
    eligible = {i.id for i in reconcile(Snapshot("web"), answer, now_s=0).eligible}
    assert [
        Expected(
            *(i.id, i.host, i.port, i.weight, i.health.value, i.version, i.boot, i.tags, i.output, i.id in eligible),
            scheme=i.scheme,
            auth=i.auth,
        )
        for i in answer.instances
    ] == list(case.instances)


@pytest.mark.parametrize("case", HEADER_CASES, ids=lambda case: case.what)
def test_headers_are_read_as_the_table_says(case: HeaderCase) -> None:
    """The index is a number, and whether the answer is current depends on the leader."""
    if case.index is None:
        with pytest.raises(MALFORMED):
            health_answer(case.headers, ())
        return
    answer = health_answer(case.headers, ())
    assert (answer.index, answer.current) == (case.index, case.current)
