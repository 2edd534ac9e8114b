"""The text of the summary: whole, and as changes from which a reader makes the whole again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from registry.discovery.snapshot import Snapshot
from registry.instances.instance import Health, Instance
from registry.lookup.operators.summary import ServiceFacts
from registry.lookup.operators.summary_text import ServiceText, SummaryTexts, changes, whole
from registry.worker_figures.figures import Figures, ServiceFigures, WorkerFigures

A = Instance("cats", "a", "10.0.0.1", 9001, version="3")


def text_of(texts: SummaryTexts, *instances: Instance, figures: ServiceFigures | None = None) -> ServiceText:
    proven = frozenset(instance.id for instance in instances)
    snapshot = Snapshot("cats", instances, known=True, proven=proven)
    return texts.text(snapshot, ServiceFacts(figures=figures))


def applied(told: dict[str, Any], change: str) -> dict[str, Any]:
    """What a reader of the stream makes of a change, as the page does."""
    if not change:
        return told
    services = {service["name"]: service for service in told["services"]}
    said = json.loads(change)
    for service in said["services"]:
        changed, gone = service.pop("changed"), service.pop("gone")
        workers = {worker["id"]: worker for worker in services.get(service["name"], {"workers": []})["workers"]}
        workers |= {worker["id"]: worker for worker in changed}
        service["workers"] = [worker for id_, worker in workers.items() if id_ not in gone]
        services[service["name"]] = service
    return {"services": [service for name, service in services.items() if name not in said["gone"]]}


def in_order(told: dict[str, Any]) -> list[dict[str, Any]]:
    """Services by name and workers by id: a reader sorts them as it likes."""
    services = sorted(told["services"], key=lambda service: str(service["name"]))
    return [each | {"workers": sorted(each["workers"], key=lambda worker: str(worker["id"]))} for each in services]


workers = st.dictionaries(
    st.sampled_from("abcd"), st.tuples(st.sampled_from(list(Health)), st.sampled_from(["", "refused", "né"]))
)
fleets = st.dictionaries(st.sampled_from(["cats", "dogs", 'say "hi"']), workers)


@settings(max_examples=60, deadline=None)
@given(st.lists(fleets, min_size=2, max_size=5))
def test_changes_lead_from_one_whole_to_the_next(steps: list[dict[str, dict[str, tuple[Health, str]]]]) -> None:
    """Whatever joins, leaves or changes: whoever applies the changes has what a new reader is told."""
    texts: dict[str, SummaryTexts] = {}
    before: dict[str, ServiceText] = {}
    told: dict[str, Any] = {"services": []}
    for fleet in steps:
        now = {}
        for name, members in fleet.items():
            instances = [
                replace(A, service=name, id=id_, health=health, output=output)
                for id_, (health, output) in members.items()
            ]
            snapshot = Snapshot(name, tuple(instances), known=True, proven=frozenset("ab"))
            now[name] = texts.setdefault(name, SummaryTexts()).text(snapshot, ServiceFacts())
        told = applied(told, changes(before, now))
        assert in_order(told) == in_order(json.loads(whole(now)))
        before = now


def test_nothing_is_told_while_nothing_changes() -> None:
    texts = SummaryTexts()
    assert changes({"cats": text_of(texts, A)}, {"cats": text_of(texts, A)}) == ""


def test_a_check_that_says_something_else_changes_one_worker() -> None:
    """Its output is no part of an instance's identity, and is told all the same; of the others nothing is."""
    texts, b = SummaryTexts(), replace(A, id="b")
    before = {"cats": text_of(texts, A, b)}
    said = json.loads(changes(before, {"cats": text_of(texts, A, replace(b, output="slow"))}))
    (service,) = said["services"]
    assert [worker["id"] for worker in service["changed"]] == ["b"]
    assert service["changed"][0]["notes"] == ["passing: slow"]


def test_figures_stand_with_the_service_the_version_and_the_worker() -> None:
    """To four digits; a worker that tells none has the reason, and the service a note that counts such workers."""
    total = Figures(12.34567, 0.25, 0.0123456, None)
    known = WorkerFigures(total, "onnx", 1, 2, 1.7e9)
    figures = ServiceFigures(total, {"3": total}, {"a": known, "b": WorkerFigures(fault="no answer")}, at_s=1000.04)
    said = json.loads(whole({"cats": text_of(SummaryTexts(), A, replace(A, id="b"), figures=figures)}))
    (service,) = said["services"]
    shown = {"requests_per_s": 12.35, "errors": 0.25, "p50_s": 0.01235, "p99_s": None}
    assert service["figures"] == {"at": 1000.0, "queue": 2} | shown
    assert service["versions"][0]["figures"] == shown
    state = {"engine": "onnx", "in_flight": 1, "queue": 2, "started_at": 1.7e9, "fault": ""}
    assert service["workers"][0]["figures"] == state | shown
    assert service["workers"][1]["figures"]["fault"] == "no answer"
    assert service["notes"] == ["1 of 2 healthy workers do not tell their figures: no answer"]
