"""How the client reads Consul's answers about health: the table that it shares with the registry."""

from __future__ import annotations

import pytest

from p2pclient.discovery.consul.health_answer import KnownWorkers, read_health, reconcile
from p2pclient.discovery.health_filter import HealthFilter
from p2pclient.messages import MALFORMED
from tests.support.consul_health_cases import CASES, HEADER_CASES, HEADERS, Case, Expected, HeaderCase


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_entries_are_read_as_the_table_says(case: Case) -> None:
    """Every field of every worker, and whether it is used, is as in the table; else nothing is read. No tags here."""
    if case.instances is None:
        with pytest.raises(MALFORMED):
            read_health(HEADERS, case.entries)
        return
    workers = reconcile(KnownWorkers(), read_health(HEADERS, case.entries), now_s=0).workers
    used = {worker.id for worker in HealthFilter().usable(workers)}
    assert [
        Expected(
            *(w.id, w.host, w.port, w.weight, w.health, w.version, w.boot, expected.tags, w.output, w.id in used),
            scheme=w.scheme,
            auth=w.auth,
        )
        for w, expected in zip(workers, case.instances, strict=True)
    ] == list(case.instances)


@pytest.mark.parametrize("case", HEADER_CASES, ids=lambda case: case.what)
def test_headers_are_read_as_the_table_says(case: HeaderCase) -> None:
    """The index is a number, and whether the answer is current depends on the leader."""
    if case.index is None:
        with pytest.raises(MALFORMED):
            read_health(case.headers, ())
        return
    said = read_health(case.headers, ())
    assert (said.index, said.current) == (case.index, case.current)
