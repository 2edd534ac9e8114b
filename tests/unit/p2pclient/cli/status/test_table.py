"""The status table and its JSON, for any services and workers."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pclient.cli.status.model import Load, ModelStatus, ServiceStatus, VersionStatus, WorkerStatus
from p2pclient.cli.status.summary import summary_of
from p2pclient.cli.status.table import as_json, as_table
from p2pclient.types import Panic, Rollout, Worker

# An example has no time limit: the machine may be busy with something else.
in_moderation = settings(max_examples=60, deadline=None)


words = st.text("abc-.0123456789", max_size=60)


loads = st.builds(Load, st.integers(0, 999), st.integers(0, 9999), st.integers(0, 10**7), st.floats(0, 1e6))


models = st.builds(ModelStatus, st.booleans(), st.booleans(), words, words)


addresses = st.builds(
    Worker,
    st.just("classify"),
    words,
    words,
    st.integers(1, 65535),
    words,
    words,
    st.integers(1, 100),
    st.sampled_from(["passing", "warning", "critical", "maintenance"]),
)


workers = st.builds(WorkerStatus, addresses, st.none() | models, st.none() | loads, st.none() | loads, words)


services = st.lists(
    st.builds(ServiceStatus, words, st.floats(0, 1e5), st.lists(workers, max_size=5).map(tuple)), max_size=3
)


@in_moderation
@given(statuses=services, width=st.integers(80, 200))
def test_every_line_fits(statuses, width):
    """No line of the table is wider than the terminal; each worker has its row, and a warning comes after all rows."""
    text = as_table(statuses, width=width)
    assert all(len(line) <= width for line in text.splitlines())
    rows = sum(2 + len(s.workers) + sum(bool(w.error) for w in s.workers) if s.workers else 1 for s in statuses)
    table = text.partition("\nwarning: ")[0]
    assert len([line for line in table.splitlines() if line]) == (rows or 1)


@in_moderation
@given(statuses=services)
def test_json_is_one_line_with_every_worker(statuses):
    """One object that names every service and worker."""
    text = as_json(statuses)
    assert text.count("\n") == 1
    said = json.loads(text)["services"]
    assert [len(service["workers"]) for service in said] == [len(state.workers) for state in statuses]


def test_a_split_is_told_with_what_is_missing():
    """In a line below the heading, and in the JSON."""
    rollout = Rollout({"3": 90, "4": 10}, {"5": 2.5}, {"3": 90}, ("4",))
    status = ServiceStatus("flowers", 0.0, (WorkerStatus(Worker("flowers", "a", "h", 1)),), rollout=rollout)
    assert as_table([status], width=200).splitlines()[1] == (
        "  split: 3=90 4=10; shadows: 5=2.5%; warning: no healthy worker of version 4, whose calls go to 3"
    )
    (service,) = json.loads(as_json([status]))["services"]
    assert service["rollout"]["absent"] == ["4"]


def test_what_the_lookup_service_says_stands_in_the_table_and_in_the_json():
    """Shares in place of weights, its sentences word for word, and once where the worker says the same."""
    said = {
        "notes": ["1 of 4 healthy: all 4 are handed out"],
        "workers": [
            {"id": "a", "share_percent": 33.33, "notes": ["critical: \x1b[2J503", "version 4 is being loaded"]}
        ],
    }
    worker = Worker("classify", "a", "10.0.0.1", 9001, "3", "b", 2, "passing")
    model = ModelStatus(True, False, "3", "onnx", versions=(VersionStatus("4", "LOADING"),))
    status = ServiceStatus("classify", 0.0, (WorkerStatus(worker, model),), panic=Panic(1, 4), summary=summary_of(said))
    heading, note, heads, row, *notes = as_table([status], width=100).splitlines()
    assert heading == "classify: 1 of 1 serving, version 3, as of now"
    assert note == "  1 of 4 healthy: all 4 are handed out"
    assert (heads.split()[3], row.split()[3]) == ("share", "33.3%")
    assert notes[:2] == ["  10.0.0.1:9001: critical: \\x1b[2J503", "  10.0.0.1:9001: version 4 is being loaded"]
    assert not any("version 4" in line for line in notes[2:])
    (service,) = json.loads(as_json([status]))["services"]
    assert service["notes"] == said["notes"]
    assert service["workers"][0]["share_percent"] == 33.33
    assert service["workers"][0]["notes"] == said["workers"][0]["notes"]


def test_a_lookup_service_that_tells_no_summary_leaves_the_table_as_it_was():
    """An older one, or one that gives an odd answer: weights stand there, and panic mode in the heading."""
    worker = Worker("classify", "a", "10.0.0.1", 9001, "3", "b", 2, "passing")
    for odd in (None, {}, {"workers": [{}], "notes": []}, {"workers": 3, "notes": []}, []):
        status = ServiceStatus("classify", 0.0, (WorkerStatus(worker),), panic=Panic(1, 4), summary=summary_of(odd))
        heading, heads, row, *_ = as_table([status], width=100).splitlines()
        assert "panic mode (1 of 4 are healthy: all are used)" in heading
        assert (heads.split()[3], row.split()[3]) == ("weight", "2")


def test_figures_stand_below_the_heading_and_with_wide_in_each_row():
    """As the lookup service has measured them; a worker that tells none has dashes, and so has an older service."""
    figures = {"at": 1000.0, "queue": 2, "requests_per_s": 12.345, "errors": 0.0123, "p50_s": 0.01834, "p99_s": 1.5}
    said = {
        "notes": [],
        "figures": figures,
        "workers": [
            {"id": "a", "share_percent": 50, "notes": [], "figures": figures},
            {"id": "b", "share_percent": 50, "notes": [], "figures": {"fault": "no answer", "requests_per_s": None}},
        ],
    }
    workers = tuple(WorkerStatus(Worker("classify", id_, "10.0.0.1", 9001, "3")) for id_ in "ab")
    status = ServiceStatus("classify", 0.0, workers, summary=summary_of(said))
    line = as_table([status], width=100).splitlines()[1]
    assert line == "  12.3 requests/s, errors 1.23%, p50 18.3 ms, p99 1.5 s"
    _, _, heads, first, second, *_ = as_table([status], width=80, wide=True).splitlines()
    assert heads.split()[-4:] == ["rate", "errors", "p50", "p99"]
    assert first.endswith("12.3/s   1.23%  18.3 ms  1.5 s")
    assert second.split()[-4:] == ["-"] * 4
    (service,) = json.loads(as_json([status]))["services"]
    shown = {name: figures[name] for name in ("requests_per_s", "errors", "p50_s", "p99_s")}
    assert service["figures"] == service["workers"][0]["figures"] == shown
    assert service["workers"][1]["figures"] == dict.fromkeys(shown)


def test_an_idle_service_has_a_rate_and_no_times():
    """A service that is not asked has no errors either; odd figures are left out."""
    for figures, line in (
        ({"requests_per_s": 0, "errors": None}, "  0 requests/s"),
        ({"requests_per_s": 1234.5, "errors": 0, "p50_s": 0.0004}, "  1234 requests/s, errors 0%, p50 0.4 ms, p99 -"),
    ):
        status = ServiceStatus(
            "classify", 0.0, (), summary=summary_of({"notes": [], "workers": [], "figures": figures})
        )
        assert as_table([status], width=100).splitlines()[1] == line
    for odd in (None, [], "fast", {"requests_per_s": "many"}, {"requests_per_s": -1}, {"requests_per_s": float("nan")}):
        status = ServiceStatus("classify", 0.0, (), summary=summary_of({"notes": [], "workers": [], "figures": odd}))
        assert len(as_table([status], width=100).splitlines()) == 1
