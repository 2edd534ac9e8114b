"""The status table and its JSON, for any services and workers."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pclient.cli.status.model import Load, ModelStatus, ServiceStatus, WorkerStatus
from p2pclient.cli.status.table import as_json, as_table
from p2pclient.types import Rollout, Worker

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
