"""What Prometheus is told to scrape."""

from __future__ import annotations

from registry.instances.instance import Health, Instance
from registry.lookup.operators.scrape_targets import scrape_targets

WORKER = Instance("cats", "c1", "10.0.0.5", 9001, version="3", tags=("gpu",), meta={"protocol": "article"})
SECURE = Instance(
    "cats", "c2", "fd00::1", 9001, health=Health.CRITICAL, meta={"protocol": "article", "scheme": "https"}
)
ADOPTED = Instance("flask", "f1", "10.0.0.5", 8000)


def test_workers_of_any_health_and_the_lookup_itself_are_targets() -> None:
    """Each has its role and scheme, a worker its service; a server that p2p exec registered is left out."""
    groups = scrape_targets([WORKER, SECURE, ADOPTED], lookup_address="lookup:12480", lookup_scheme="http")
    assert [group["targets"] for group in groups] == [["lookup:12480"], ["10.0.0.5:9001"], ["[fd00::1]:9001"]]
    lookup, worker, secure = (group["labels"] for group in groups)
    assert lookup == {"__scheme__": "http", "role": "lookup"}
    assert worker == {
        "__scheme__": "http",
        "role": "worker",
        "service": "cats",
        "__meta_p2p_id": "c1",
        "__meta_p2p_host": "10.0.0.5",
        "__meta_p2p_version": "3",
        "__meta_p2p_health": "passing",
        "__meta_p2p_tags": ",gpu,",
    }
    assert (secure["__scheme__"], secure["__meta_p2p_health"]) == ("https", "critical")
