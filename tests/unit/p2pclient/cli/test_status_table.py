"""The status table and what is read of a worker's pages, whatever they hold."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pclient.cli.status_model import Load, ModelState, ServiceState, WorkerState, load_of, model_of
from p2pclient.cli.status_table import as_json, as_table
from p2pclient.types import Worker

# An example has no time limit: the machine may be busy with something else.
in_moderation = settings(max_examples=60, deadline=None)

words = st.text("abc-.0123456789", max_size=60)
loads = st.builds(Load, st.integers(0, 999), st.integers(0, 9999), st.integers(0, 10**7), st.floats(0, 1e6))
models = st.builds(ModelState, st.booleans(), st.booleans(), words, words)
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
workers = st.builds(WorkerState, addresses, st.none() | models, st.none() | loads, st.none() | loads, words)
services = st.lists(
    st.builds(ServiceState, words, st.floats(0, 1e5), st.lists(workers, max_size=5).map(tuple)), max_size=3
)


@in_moderation
@given(states=services, width=st.integers(80, 200))
def test_every_line_fits(states, width):
    """No line of the table is wider than the terminal; each worker has its row."""
    text = as_table(states, width=width)
    assert all(len(line) <= width for line in text.splitlines())
    rows = sum(2 + len(s.workers) + sum(bool(w.error) for w in s.workers) if s.workers else 1 for s in states)
    assert len([line for line in text.splitlines() if line]) == (rows or 1)


@in_moderation
@given(states=services)
def test_json_is_one_line_with_every_worker(states):
    """One object that names every service and worker."""
    text = as_json(states)
    assert text.count("\n") == 1
    said = json.loads(text)["services"]
    assert [len(service["workers"]) for service in said] == [len(state.workers) for state in states]


@in_moderation
@given(body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_pages_of_other_servers_say_nothing(body):
    """Whatever another server answers is no error, and no model or load either."""
    assert model_of(body) is None
    assert load_of(body, now_s=0.0) is None


@given(flight=st.integers(0, 500), queue=st.integers(0, 500), answers=st.lists(st.integers(0, 10**6), max_size=4))
def test_load_is_read_from_metrics(flight, queue, answers):
    """Answers of every status are added up; the request for the page itself is not counted as in flight."""
    lines = [f'p2p_worker_requests_total{{status="{n}"}} {count}.0' for n, count in enumerate(answers)]
    lines += [f"p2p_worker_requests_in_flight {flight + 1}.0", f"p2p_worker_queue_depth {queue}.0", "nonsense NaN x"]
    assert load_of("\n".join(lines).encode(), now_s=5.0) == Load(flight, queue, sum(answers), 5.0)


def test_rates_leave_out_what_status_itself_asks():
    """Two pages a round are no traffic: 22 answers more in 2 s are 10 a second, 2 are none."""
    worker = Worker("classify", "w", "h", 1)
    before = Load(0, 0, 100, 10.0)
    assert WorkerState(worker, load=Load(0, 0, 122, 12.0), before=before).per_s == 10.0
    assert WorkerState(worker, load=Load(0, 0, 102, 12.0), before=before).per_s == 0.0
    assert WorkerState(worker, load=before).per_s is None
